"""One message, from MAIL to the reply that says who has it now (RFC 5321 section 3.3, 2920, 3030).

Three ways, the best the server can do: MAIL, RCPT, BDAT LAST and the message in one write; MAIL, RCPT and DATA in one
write; one command at a time. The outcome is the same.

Must stay true: a group of commands fits into a socket's buffer, so that writing it cannot block while the server
waits for us to read (RFC 2920 section 3.1); `Sent` tells each recipient's own reply; where the connection ends while
the server may have the message, the error says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.errors import MessageError, SmtpUnsupported
from datapallas.smtp import command
from datapallas.smtp.address import wire
from datapallas.smtp.body import CHUNK, joined, pieces, stuffed
from datapallas.smtp.client import LAST, MESSAGE, Client, Conversation, Exchange, State
from datapallas.smtp.judging import anybody, concluded, hear, recipients_of, unless_no_bdat
from datapallas.smtp.target import Sent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from datapallas.smtp.body import Body, Octets
    from datapallas.smtp.reply import Reply

GROUP = 16 * 1024
"""Octets of commands in flight at once. Every socket's send buffer takes them, however slow the other side reads."""
OPTIMISTIC = CHUNK
"""Octets of a message that is sent without waiting whether its recipients are taken; beyond it, a refusal is cheaper."""
FEW = 100
"""Recipients of such a message at most: their replies must fit into buffers while we write it."""
_WINDOW = 7  # chunks that are not answered when the next goes out
_DOT = 16  # octets; the final dot goes out with what is before it
_USUAL = (command.MAIL, command.RCPT, LAST)


def transaction(client: Client, sender: str, recipients: Sequence[str], body: Body) -> Conversation[Sent]:
    """Send one message; `recipients` are not empty, an empty `sender` is the null path.

    Raises, before anything is sent: AddressError, SmtpUnsupported, MessageError (no recipient; longer than the server
    takes). Raises SmtpRefused when the server refuses the sender or leaves (421), Unreachable or ProtocolError, with
    fact `after_body`, when the connection ends; ChunkingRefused.
    """
    head = envelope(client, sender, recipients, body)
    features, count = client.features, len(recipients)
    if client.state is not State.READY:  # what a refusal left behind; RSET costs nothing ahead of the rest
        head = "RSET\r\n" + head
    if features.chunking:
        if features.pipelining and body.size <= OPTIMISTIC and count <= FEW:
            return _at_once(client, head, count, body)
        return _by_chunks(client, head, count, body)
    return _by_data(client, head, count, body)


def envelope(client: Client, sender: str, recipients: Sequence[str], body: Body) -> str:
    """Give MAIL and all RCPT as they go over the wire."""
    features = client.features
    if not recipients:
        raise MessageError("The message has no recipient.", code="no-recipient")
    path = wire(sender) if sender else ""
    rcpts = "RCPT TO:<" + ">\r\nRCPT TO:<".join([wire(recipient) for recipient in recipients]) + ">\r\n"
    params = f" SIZE={body.size}" if features.states_size else ""
    if body.size > features.size > 0:
        raise MessageError(
            f"The message has {body.size} octets; {client.target.host} takes {features.size}.",
            code="message-too-large",
            size=body.size,
            limit=features.size,
            **client.where,
        )
    if body.eightbit:
        if not features.eightbit:
            raise _unsupported(client, "8BITMIME", "octets above 127 in its text")
        params += " BODY=8BITMIME"
    if body.smtputf8 or not (path.isascii() and rcpts.isascii()):
        if not features.smtputf8:
            raise _unsupported(client, "SMTPUTF8", "an address or header beyond ASCII")
        params += " SMTPUTF8"
    return f"MAIL FROM:<{path}>{params}\r\n{rcpts}"


def _unsupported(client: Client, extension: str, what: str) -> SmtpUnsupported:
    return SmtpUnsupported(
        f"The message has {what}, and {client.target.host} does not offer {extension}; nothing was sent.",
        extension=extension,
        **client.where,
    )


def _at_once(client: Client, head: str, count: int, body: Body) -> Conversation[Sent]:
    """MAIL, RCPT, BDAT LAST and the message in one write, all replies in one read."""
    text = b"".join(body.chunks())
    line = f"{head}BDAT {len(text)} LAST\r\n"
    if client.watch is not None:
        client.tell(line, len(text))
    said = _said(client, count, LAST)
    due = len(said)
    replies = yield Exchange(joined(line.encode(), [text]), due, due, "final")
    hear(client, said, replies, final=True)
    return concluded(client, said, replies, final=True)


def _by_chunks(client: Client, head: str, count: int, body: Body) -> Conversation[Sent]:
    """The envelope first, and the message in chunks only when somebody is to get it."""
    named = _said(client, count)
    recipients = recipients_of(client, named, (yield from _agree(client, head, named)))
    if not anybody(recipients):
        return Sent(recipients, None)
    client.midway = True
    said: list[str] = []
    answers: list[Reply] = []
    for octets, last in _with_last(body):
        said.append(LAST if last else command.BDAT)
        due = len(said) - len(answers)
        wanted = due if last or not client.features.pipelining else max(due - _WINDOW, 0)
        line = command.bdat(size := sum(map(len, octets)), last=last)
        client.tell(line.decode(), size)
        replies = yield Exchange(joined(line, octets), 1, wanted, "final" if last else "body")
        hear(client, said[len(answers) :], replies, final=last)
        answers += replies
        if client.lost is not None or not all(reply.positive for reply in replies):
            break
    unheard = len(said) - len(answers)
    if unheard and not client.closed:  # the first refusal is the answer; the rest follows from it
        replies = yield Exchange((), 0, unheard, "body")
        hear(client, said[len(answers) :], replies, final=last)
        answers += replies
    final = next((reply for reply in answers if not reply.positive), None)
    if final is None and len(answers) < len(said):
        raise client.broken(said[len(answers)], final=last)
    client.midway = False
    if final is answers[0]:
        unless_no_bdat(client, final)
    return Sent(recipients, final or answers[-1])


def _by_data(client: Client, head: str, count: int, body: Body) -> Conversation[Sent]:
    """For servers without CHUNKING: the envelope and DATA, then the message with its dots stuffed."""
    said = _said(client, count, command.DATA)
    replies = yield from _agree(client, head + "DATA\r\n", said)
    if client.state is State.TEXT and not anybody(replies[said.index(command.RCPT) : -1]):
        # RFC 2920 section 3.1: 354 although nobody is to get it. An empty text, which the server must refuse.
        yield from client.say(b".\r\n", MESSAGE, "final")
    recipients = recipients_of(client, said[:-1], replies)
    if not anybody(recipients):
        return Sent(recipients, None)
    if len(replies) < len(said):
        raise client.broken(command.DATA)
    if client.state is not State.TEXT:
        return Sent(recipients, replies[-1])
    return Sent(recipients, (yield from _text(client, body)))


def _text(client: Client, body: Body) -> Conversation[Reply]:
    client.midway = True
    client.tell("", body.size)
    held, asks = b"", 1  # from the first octet on a reply may come: some servers refuse before the final dot
    for data in stuffed(body.chunks()):
        if held and len(held) + len(data) > CHUNK + _DOT:
            yield Exchange((held,), asks, 0, "body")
            held, asks = b"", 0
            if client.lost is not None:
                break
        held += data
    replies = yield Exchange((held,), asks, 1, "final")
    hear(client, (MESSAGE,), replies, final=True)
    if not replies:
        raise client.broken(MESSAGE, final=True)
    client.midway = False
    return replies[0]


def _agree(client: Client, head: str, said: Sequence[str]) -> Conversation[list[Reply]]:
    """Say the commands of `head`, which `said` names, in groups; stop when what follows would be in vain."""
    replies: list[Reply] = []
    for group, number in _groups(head.encode(), GROUP if client.features.pipelining else 1):
        if said[len(replies)] is command.DATA and not anybody(replies[1:]):
            break
        client.tell(group.decode())
        got = yield Exchange((group,), number, number)
        hear(client, said[len(replies) :], got)
        replies += got
        in_vain = any(not reply.positive for reply in replies[: said.index(command.RCPT)])
        if in_vain or client.closed or len(got) < number:
            break
    return replies


def _groups(data: bytes, limit: int) -> Iterator[tuple[bytes, int]]:
    """Cut lines into groups of about `limit` octets, at least one line each; give each with its number of lines."""
    start = 0
    while start < len(data):
        end = data.rfind(b"\r\n", start, start + limit)
        if end < 0:
            end = data.index(b"\r\n", start)
        yield data[start : end + 2], data.count(b"\r\n", start, end + 2)
        start = end + 2


def _with_last(body: Body) -> Iterator[tuple[list[Octets], bool]]:
    """Give the chunks of a body, each with whether it is the last; of an empty body one empty chunk."""
    held: list[Octets] | None = None
    for group in pieces(body.chunks()):
        if held is not None:
            yield held, False
        held = group
    yield held or [], True


def _said(client: Client, count: int, then: str = "") -> Sequence[str]:
    """Name the commands of a transaction; `then` is the one that follows the recipients."""
    if count == 1 and then is LAST and client.state is State.READY:
        return _USUAL
    start = (command.MAIL,) if client.state is State.READY else (command.RSET, command.MAIL)
    return (*start, *[command.RCPT] * count, *([then] if then else ()))
