"""Messages without CHUNKING, the next one's envelope behind each text in one write (RFC 2920 section 3.1).

The answer to DATA is waited for, so there is one round trip a message, where `transaction` needs two.

Must stay true: a text goes out only after a 354, and then whole, or the session is over; a text that cannot be read
is found out before its envelope goes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from datapallas.errors import DataPallasError
from datapallas.smtp import command
from datapallas.smtp.body import packed, stuffed
from datapallas.smtp.client import MESSAGE, Exchange, State
from datapallas.smtp.judging import anybody, hear, recipients_of
from datapallas.smtp.target import Sent
from datapallas.smtp.transaction import envelope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datapallas.smtp.client import Client, Conversation
    from datapallas.smtp.parcels import Parcel, Source
    from datapallas.smtp.reply import Reply

    Told = Callable[[Sent | DataPallasError], None]

_NOTHING = b".\r\n"


class _Open(NamedTuple):
    """A message whose envelope goes out; or why it does not."""

    head: bytes = b""
    said: Sequence[str] = ()
    text: bytes = b""
    problem: DataPallasError | None = None


class _Answer(NamedTuple):
    """What follows from the replies to an envelope: the text that is due, or what became of the message."""

    text: bytes
    result: Sent | DataPallasError


def texts(client: Client, source: Source, told: Told, fits: Callable[[Parcel], bool]) -> Conversation[None]:
    """Send parcels as long as they fit; `told` as in `pipeline`."""
    current = _begin(client, source, fits)
    while current is not None:
        replies: list[Reply] = []
        if current.said:
            replies = yield Exchange((current.head,), len(current.said), len(current.said))
        while current is not None:
            answer = _answered(client, current, replies)
            if not answer.text:
                told(answer.result)
                break
            following = None if client.closed else _begin(client, source, fits)
            current, replies = yield from _text(client, told, answer, following)
        else:
            return
        current = None if client.closed else _begin(client, source, fits)


def _text(
    client: Client, told: Told, answer: _Answer, following: _Open | None
) -> Conversation[tuple[_Open | None, list[Reply]]]:
    """Write a text and the next envelope; give that one and its replies."""
    head, said = (following.head, following.said) if following is not None else (b"", ())
    asks = 1 + len(said)
    replies = yield Exchange(packed([answer.text, head]), asks, asks, "final")
    lost = client.lost
    final = lost is None or lost.written or lost.octets >= len(answer.text)
    try:
        hear(client, (MESSAGE,), replies[:1], final=final)
        if not replies:
            if lost is not None:
                client.lost = lost._replace(written=final)
            raise client.broken(MESSAGE, final=True)
    except DataPallasError as error:
        client.unsteady = client.unsteady or (following is not None and error.code != "closing")
        if client.lost is None:
            client.lost = client.gone(error)
        told(error)
    else:
        result = answer.result
        told(Sent(result.recipients, replies[0]) if isinstance(result, Sent) and result.final else result)
    if client.lost is not None:
        client.lost = client.gone(client.lost.error)
    return following, replies[1:]


def _begin(client: Client, source: Source, fits: Callable[[Parcel], bool]) -> _Open | None:
    """Take the next message and read it; None when none fits."""
    parcel = source.peek()
    if parcel is None or not fits(parcel):
        return None
    sender, recipients, body = source.take()
    try:
        head = envelope(client, sender, recipients, body) + "DATA\r\n"
        text = b"".join(stuffed(body.chunks()))
    except DataPallasError as problem:
        return _Open(problem=problem)
    except Exception as problem:  # noqa: BLE001 - raised again when what is in flight is told
        source.fail(problem)
        return None
    said = (command.MAIL, *[command.RCPT] * len(recipients), command.DATA)
    if client.state is not State.READY:  # what a refusal, or the text that goes before, leaves behind
        head, said = "RSET\r\n" + head, (command.RSET, *said)
    client.tell(head)
    return _Open(head.encode(), said, text)


def _answered(client: Client, current: _Open, replies: Sequence[Reply]) -> _Answer:
    """Read the replies to an envelope."""
    said = current.said
    if current.problem is not None:
        return _Answer(b"", current.problem)
    try:
        hear(client, said, replies)
        recipients = recipients_of(client, said[:-1], replies)
        if len(replies) < len(said):
            raise client.broken(command.DATA)
    except DataPallasError as error:
        return _Answer(_NOTHING if client.state is State.TEXT else b"", error)
    if client.state is not State.TEXT:
        return _Answer(b"", Sent(recipients, replies[-1] if anybody(recipients) else None))
    if not anybody(recipients):  # RFC 2920 section 3.1: an empty text, which the server must refuse
        return _Answer(_NOTHING, Sent(recipients, None))
    client.tell("", len(current.text))
    return _Answer(current.text, Sent(recipients, replies[-1]))
