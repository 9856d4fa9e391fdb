"""Several messages in flight on one session (RFC 2920 section 3.1, RFC 3030 section 4.2).

With CHUNKING and PIPELINING the next messages go out before the last ones are answered: one round trip, one write and
one read serve many. With PIPELINING alone `text_pipeline` puts the next envelope behind a text. Any other server, the
first message of a session, and one that is large go alone, as `transaction` says.

Must stay true:
- a message is told exactly its own replies, in the order in which messages were taken; each that was taken is told;
- each begins with RSET: what became of the one before cannot give its recipients, or its sender, this one's text;
- no more is unanswered than the bounds allow, so that the replies to it fit into buffers while we write;
- nothing is begun after a reply or a loss that ends the session; what was not whole on its way then is known not sent.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, NamedTuple

from datapallas.errors import DataPallasError, ProtocolError
from datapallas.smtp import command
from datapallas.smtp.body import packed
from datapallas.smtp.client import LAST, Exchange, State
from datapallas.smtp.inbox import CLOSING, closed
from datapallas.smtp.judging import ChunkingRefused, concluded, hear
from datapallas.smtp.parcels import BOUNDS, Source
from datapallas.smtp.target import Sent
from datapallas.smtp.text_pipeline import texts
from datapallas.smtp.transaction import FEW, OPTIMISTIC, envelope, transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from datapallas.smtp.body import Octets
    from datapallas.smtp.client import Client, Conversation
    from datapallas.smtp.parcels import Bounds, Parcel
    from datapallas.smtp.reply import Reply

    Told = Callable[[Sent | DataPallasError], None]


_CHAIN = (command.RSET, command.MAIL, command.RCPT, LAST)
_TAKEN = [250] * len(_CHAIN)


class _Flight(NamedTuple):
    """A message whose replies are due.

    Attributes:
        said: its commands; empty for one that failed before it was written.
        end: octets of everything written until its last one is out.
        size: its own octets.
        problem: why it was not written.
    """

    said: Sequence[str]
    end: int = 0
    size: int = 0
    problem: DataPallasError | None = None


def pipeline(
    client: Client, parcels: Iterator[Parcel], told: Told, bounds: Bounds = BOUNDS
) -> Conversation[None]:
    """Send what `parcels` gives, taking the next one only when it may go out.

    `told` is called for each that was taken, in order: with what the server said, or with the error `transaction`
    would raise. An error whose fact `after_body` is ``yes``: the server may have that message. When the session is
    over, the conversation ends, and what `parcels` still holds was not begun. Raises what `parcels`, `told` or a body raise
    beside DataPallasError; the others in flight are waited for.
    """
    return Pipeline(client, parcels, told, bounds).run()


class Pipeline:
    """One conversation of many messages."""

    def __init__(self, client: Client, parcels: Iterator[Parcel], told: Told, bounds: Bounds) -> None:
        self._client = client
        self._source = Source(parcels)
        self._told = told
        self._bounds = bounds
        self._flights: collections.deque[_Flight] = collections.deque()
        self._replies: list[Reply] = []  # of the first in flight, as far as they have come
        self._octets = 0  # in flight
        self._out = 0  # octets written in all
        self._last = 0  # code of the last reply

    def run(self) -> Conversation[None]:
        """Send all; see `pipeline`."""
        client = self._client
        while not (client.closed or client.midway):
            if self._flights:
                yield from self._turn()
                continue
            parcel = self._source.peek()
            if parcel is None:
                break
            if self._joins(parcel):
                yield from self._turn()
            elif self._apart(parcel):
                yield from texts(client, self._source, self._told, self._apart)
            else:
                yield from self._alone(self._source.take())
        if client.unsteady:
            client.state = State.CLOSED
        for _ in self._source.left():
            lost = client.gone(client.lost.error if client.lost is not None else closed())
            lost.error.facts.update(client.where, after_body="no")
            self._told(lost.error)
        if self._source.problem is not None:
            raise self._source.problem

    def _joins(self, parcel: Parcel) -> bool:
        """It may go out behind others."""
        return self._client.features.chunking and self._together(parcel)

    def _apart(self, parcel: Parcel) -> bool:
        """Its envelope may go out behind another one's text."""
        return not self._client.features.chunking and self._together(parcel)

    def _together(self, parcel: Parcel) -> bool:
        client = self._client
        usual = client.served and client.features.pipelining and self._bounds.messages > 1
        return usual and parcel.body.size <= OPTIMISTIC and len(parcel.recipients) <= FEW

    def _alone(self, parcel: Parcel) -> Conversation[None]:
        client = self._client
        try:
            sent = yield from transaction(client, *parcel)
        except DataPallasError as error:
            if isinstance(error, ChunkingRefused):
                client.state = State.CLOSED  # it may have taken the message for commands
            self._told(error)
        else:
            client.served = client.served or (sent.final is not None and sent.final.positive)
            self._told(sent)

    def _turn(self) -> Conversation[None]:
        """Write what there is room for, and wait for the oldest message's replies."""
        parts: list[Octets] = []
        asks = self._fill(parts)
        wanted = len(self._flights[0].said) - len(self._replies) if self._flights else 0
        if wanted or parts:
            self._take((yield Exchange(packed(parts), asks, wanted, "final", rest=True)))
        lost = self._client.lost
        self._settle()
        if lost is not None:
            self._lose(self._out if lost.written else self._out - sum(map(len, parts)) + lost.octets)
        elif self._client.lost is not None:  # a reply without a meaning
            self._lose(self._out)
        elif self._last == CLOSING or self._client.closed:
            yield from self._listen()

    def _take(self, replies: list[Reply]) -> None:
        if replies:
            self._replies += replies
            self._last = replies[-1].code

    def _fill(self, parts: list[Octets]) -> int:
        """Take messages while there is room for them; give the number of replies they make due.

        Half the room must be free first: then a write, and a packet, holds several.
        """
        bounds, asks = self._bounds, 0
        if 2 * len(self._flights) > bounds.messages or 2 * self._octets > bounds.octets:
            return 0
        while len(self._flights) < bounds.messages and (parcel := self._source.peek()) is not None:
            full = self._flights and self._octets + parcel.body.size > bounds.octets
            if full or not self._joins(parcel):
                break
            asks += self._begin(self._source.take(), parts)
        return asks

    def _begin(self, parcel: Parcel, parts: list[Octets]) -> int:
        client, count = self._client, len(parcel.recipients)
        try:
            head = envelope(client, *parcel)
            chunks = list(parcel.body.chunks())
        except DataPallasError as problem:
            self._flights.append(_Flight((), problem=problem))
            return 0
        except Exception as problem:  # noqa: BLE001 - raised again when what is in flight is told
            self._source.fail(problem)
            return 0
        size = sum(map(len, chunks))
        line = f"RSET\r\n{head}BDAT {size} LAST\r\n"
        if client.watch is not None:
            client.tell(line, size)
        octets = line.encode()
        parts.append(octets)
        parts += chunks
        said = _CHAIN if count == 1 else (command.RSET, command.MAIL, *[command.RCPT] * count, LAST)
        self._out += len(octets) + size
        self._octets += size
        self._flights.append(_Flight(said, self._out, size))
        return len(said)

    def _settle(self) -> None:
        """Tell every message whose replies are all there, until one of them ends the session."""
        flights, client = self._flights, self._client
        replies, at = self._replies, 0
        while flights and not client.closed:
            due = len(flights[0].said)
            if len(replies) - at < due:
                break
            own = replies[at : at + due]
            at += due
            flight = self._leave()
            if flight.said is _CHAIN and client.watch is None and [reply.code for reply in own] == _TAKEN:
                client.state = State.READY  # what the table says of these, by far the most
                self._told(Sent((own[2],), own[3]))
            else:
                self._tell(flight, own, final=True)
        if at:
            self._replies = replies[at:]

    def _leave(self) -> _Flight:
        flight = self._flights.popleft()
        self._octets -= flight.size
        return flight

    def _tell(self, flight: _Flight, replies: Sequence[Reply], *, final: bool) -> None:
        """Say what became of a message; `replies` are fewer than due when the session ended."""
        client = self._client
        if flight.problem is not None:
            self._told(flight.problem)
            return
        try:
            if client.closed:
                client.overheard(replies)
            else:
                hear(client, flight.said, replies, final=final)
            result: Sent | DataPallasError = concluded(client, flight.said, replies, final=final)
        except ChunkingRefused as error:  # it took BDAT before; the others' replies still are their own
            result, self._source.over, client.unsteady = error, True, True
        except DataPallasError as error:
            result = error
            if client.lost is None and isinstance(error, ProtocolError):
                client.lost, client.unsteady = client.gone(error), True
        self._told(result)

    def _listen(self) -> Conversation[None]:
        """After a 421: a server that leaves has none of what follows; one that goes on answering is heard out."""
        client = self._client
        while self._flights and client.lost is None:
            due = len(self._flights[0].said)
            if due > len(self._replies):
                self._take((yield Exchange((), 0, due - len(self._replies), "quit", rest=True)))
            else:
                own, self._replies = self._replies[:due], self._replies[due:]
                self._tell(self._leave(), own, final=True)
        client.state = State.CLOSED
        if client.lost is not None:
            self._lose(self._out)

    def _lose(self, out: int) -> None:
        """The session is over, and `out` octets of all may have come there: tell the others."""
        client = self._client
        lost = client.lost or client.gone(closed())
        if self._last == CLOSING and lost.error.facts.get("phase") != "timeout":
            out = 0  # it said that it leaves, and then no more: what is behind that was not taken
        elif len(self._flights) > 1:
            client.unsteady = True
        own, self._replies = self._replies, []
        while self._flights:
            flight = self._leave()
            client.lost = client.gone(lost.error)
            self._tell(flight, own, final=flight.end <= out)
            own = []
        client.state = State.CLOSED
