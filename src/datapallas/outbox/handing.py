"""Handing a window of messages to the transport, and judging how each ended.

Must stay true: whatever was begun has a result; what was not begun has none, and is given back; nothing is begun after
a message that says that something is wrong with the mailbox, or when time is up.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from datapallas.errors import DataPallasError
from datapallas.mail.envelope import Envelope
from datapallas.outbox import pacing, results, verdict
from datapallas.outbox.letters import Contents, StoredLetter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from datapallas.mail.envelope import Receipt
    from datapallas.mail.transport import Mail, MailTransport
    from datapallas.outbox.claims import Claimed, Lease
    from datapallas.outbox.database import Database
    from datapallas.outbox.session import Mailroom, Wakes

    Cases = Mapping[int, verdict.Case]

NO_CONNECTION = "none"
"""The mark of a connection that is gone or cannot be read: any other one ends the pause."""


class Hands:
    """One session's way out.

    Attributes:
        speed: what was measured, moving means.
    """

    def __init__(self, database: Database, room: Mailroom, lease: Lease, wakes: Wakes) -> None:
        self._room, self._lease, self._wakes = room, lease, wakes
        self._contents = Contents(database)
        self._transport: MailTransport | None = None
        self._calm = 0
        self.speed = pacing.Speed()

    def send(self, window: Sequence[Claimed], cases: Cases) -> list[results.Result]:
        """Send what is noted as being handed over; fewer results when something is wrong with the mailbox, or time is up."""
        begun = time.monotonic()
        made = _Window(self, cases).send(window)
        took = (time.monotonic() - begun) / max(1, len(made))
        depth = self._transport.depth if self._transport is not None else 1
        self.speed = self.speed._replace(message=pacing.mean(self.speed.message, took), depth=depth)
        if any(one.verdict.throttled or one.verdict.pause for one in made):
            self.drop()
        return made

    def transport(self) -> MailTransport:
        """The way out, opened when it is needed. Raises DataPallasError."""
        if self._transport is None:
            self._transport = self._room.transport(self._lease.mailbox)
        return self._transport

    def letter(self, row: Any) -> StoredLetter:
        """A message as it goes out."""
        return StoredLetter(
            job=row.job,
            message_id=row.message_id,
            size=row.size,
            smtputf8=row.smtputf8,
            eightbit=row.eightbit,
            own=row.own,
            layout=row.layout,
            contents=self._contents,
        )

    def over(self, begun: float) -> bool:
        """No more of a window is to be begun."""
        return self._wakes.end.is_set() or time.monotonic() - begun > self._lease.seconds / 4

    def result(self, row: Any, judged: verdict.Verdict) -> results.Result:
        """What is noted about one message."""
        bad = judged.throttled or judged.pause is not None
        self._calm = 0 if bad else self._calm + 1
        mark = self.mark() if judged.pause else ""
        calm, chance = self._calm, self._wakes.chance()
        if calm >= results.CALM:
            self._calm = 1
        return results.Result(row=row, verdict=judged, chance=chance, mark=mark, calm=calm)

    def mark(self) -> str:
        """What changes with the connection."""
        with contextlib.suppress(DataPallasError):
            return self._room.mark(self._lease.mailbox)
        return NO_CONNECTION

    def drop(self) -> None:
        """Close the way out."""
        if self._transport is not None:
            transport, self._transport = self._transport, None
            transport.close()


class _Window:
    """The messages that are handed over before the next commit."""

    def __init__(self, hands: Hands, cases: Cases) -> None:
        self._hands, self._cases = hands, cases
        self._made: list[results.Result] = []
        self._begun = time.monotonic()
        self._given: list[Any] = []

    def send(self, window: Sequence[Claimed]) -> list[results.Result]:
        """Send them: one alone as ever, several together."""
        first = window[0].row
        try:
            transport = self._hands.transport()
            if len(window) > 1:
                transport.send_all(self._mail(window), self._told)
            else:
                self._judge(first, transport.send(self._envelope(first), self._hands.letter(first)))
        except DataPallasError as error:
            if self._given or self._made:  # what was begun is in doubt
                raise
            self._judge(first, error)
        return self._made

    def _envelope(self, row: Any) -> Envelope:
        return Envelope(row.sender, tuple([address for _, address in self._cases[row.id].recipients]))

    def _mail(self, window: Sequence[Claimed]) -> Iterator[Mail]:
        for at, one in enumerate(window):
            if at and self._hands.over(self._begun):
                return
            try:
                envelope = self._envelope(one.row)
            except DataPallasError as error:
                if not self._judge(one.row, error):
                    return
                continue
            self._given.append(one.row)
            yield envelope, self._hands.letter(one.row)

    def _told(self, number: int, said: Receipt | DataPallasError | None) -> bool:
        return said is None or self._judge(self._given[number], said)

    def _judge(self, row: Any, said: Receipt | DataPallasError) -> bool:
        """Note what follows; False when nothing more is to be begun."""
        case = self._cases[row.id]
        if isinstance(said, DataPallasError):
            judged = verdict.of_error(case, said)
        else:
            judged = verdict.of_receipt(case, said)
        self._made.append(self._hands.result(row, judged))
        return not (judged.throttled or judged.pause)
