"""One session of the courier: claims messages under its lease, sends each at its moment, notes the result.

Must stay true: a message is handed over only while the lease is certainly ours; one that is late is given back, never
hurried after; whatever ends the session, what it had claimed goes back.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import time
from typing import TYPE_CHECKING, Any, Protocol

from datapallas.errors import DataPallasError
from datapallas.mail.envelope import Envelope
from datapallas.outbox import claims, pacing, results, verdict
from datapallas.outbox.claims import Fenced
from datapallas.outbox.letters import Contents, StoredLetter
from datapallas.outbox.tables import Doubt, jobs

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from datapallas.mail.transport import MailTransport
    from datapallas.outbox.claims import Claimed, Lease
    from datapallas.outbox.database import Database
    from datapallas.outbox.limits import Limits

LINGER = 5.0
"""Seconds an idle session is kept open for the next message."""
NO_CONNECTION = "none"
"""The mark of a connection that is gone or cannot be read: any other one ends the pause."""
QUANTUM = 300.0
"""Seconds after which a busy session ends, so that others get their turn and a changed connection is noticed."""


class Mailroom(Protocol):
    """What the courier asks about connections; the home knows."""

    def limits(self, code: str) -> Limits:
        """What the provider allows. Raises ConfigurationError."""

    def transport(self, code: str) -> MailTransport:
        """A way out with one session of its own. Raises DataPallasError."""

    def sender(self, code: str) -> str:
        """The address the connection sends as."""

    def mark(self, code: str) -> str:
        """Something that changes when the connection or its sign-in does."""


def nobody(key: str) -> None:
    """Nobody asked."""


@dataclasses.dataclass(slots=True)
class Wakes:
    """How a session is told: `work` that there is something new, `end` that it must stop soon, and when it is idle.

    `noted` is called with the key of each message whose result is in the ledger.
    """

    work: threading.Event
    end: threading.Event
    linger: float = LINGER
    noted: Callable[[str], None] = nobody
    chance: Callable[[], float] = random.random


class Session:
    """One session, in a thread of its own. `run` returns when nothing is due any more, or it must stop."""

    def __init__(self, database: Database, room: Mailroom, lease: Lease, wakes: Wakes) -> None:
        self._database = database
        self._room = room
        self._lease = lease
        self._wakes = wakes
        self._contents = Contents(database)
        self._transport: MailTransport | None = None
        self._sender = ""
        self._seconds = 0.0  # what a message takes here, a moving mean
        self._calm = 0
        self._renewed = time.monotonic()
        self.sent = 0

    def run(self) -> None:
        """Drain. Raises what the database raises; the lease is given back in any case, unless it was lost."""
        lost = False
        try:
            limits = self._room.limits(self._lease.mailbox)
            self._sender = self._room.sender(self._lease.mailbox)
            idle = begun = time.monotonic()
            while not self._wakes.end.is_set() and time.monotonic() - begun < QUANTUM:
                self._wakes.work.clear()
                found = self._claim(limits)
                if found.messages:
                    self._send_all(found.messages, found.now, limits)
                    idle = time.monotonic()
                elif found.stop or self._over(found.wait, time.monotonic() - idle):
                    return
                else:
                    self._rest(found.wait)
        except Fenced:
            lost = True  # whoever has it now looks after what was claimed
        except DataPallasError as error:  # the connection's file, found broken between two messages
            results.stop_for(
                self._database, self._lease.mailbox, error, verdict.Pause.CONFIGURATION, self._mark()
            )
        finally:
            self._drop()
            if not lost:
                self._database.together(lambda tx: claims.release(tx, self._lease))

    def _over(self, wait: float | None, idle: float) -> bool:
        """Nothing is due, or not for so long that somebody else may have this thread."""
        return idle >= self._wakes.linger if wait is None else wait > LINGER

    def _rest(self, wait: float | None) -> None:
        """Wait for a moment that is known, or for something that is due. Looking writes nothing and wakes nobody."""
        if wait is not None:
            self._wakes.end.wait(min(LINGER, max(0.005, wait)))
            return
        until = time.monotonic() + 1.0
        while (left := until - time.monotonic()) > 0 and not self._wakes.end.is_set():
            if self._wakes.work.wait(left):
                self._wakes.work.clear()
                with self._database.read() as tx:
                    if claims.anything_due(tx, self._lease, self._database.now(tx)):
                        return

    def _claim(self, limits: Limits) -> claims.Claim:
        found = self._database.together(
            lambda tx: claims.claim(tx, self._lease, limits, self._seconds, self._database.now(tx))
        )
        self._renewed = time.monotonic()
        return found

    def _send_all(self, claimed: Sequence[Claimed], now: float, limits: Limits) -> None:
        here = time.monotonic() - now  # from the database's clock to ours
        with self._database.read() as tx:
            people = results.open_recipients(tx, [one.row.id for one in claimed])
            query = jobs.select().where(jobs.c.id.in_({one.row.job for one in claimed}))
            doubts = {row.id: Doubt(row.doubt) for row in tx.execute(query)}
        marked = claimed[0].at - now < pacing.LATE  # as the claim noted
        for place, one in enumerate(claimed):
            if not self._in_time(one.at + here):
                self._hand_back(claimed[place:], limits)
                return
            if not marked or time.monotonic() - self._renewed > self._lease.seconds / 2:
                results.handing(self._database, self._lease, one.row.id)
                self._renewed = time.monotonic()
            case = verdict.Case(
                recipients=people[one.row.id],
                doubt=doubts[one.row.job],
                doubts=one.row.doubts,
                own_sender=one.row.sender.lower() == self._sender.lower(),
            )
            following = claimed[place + 1] if place + 1 < len(claimed) else None
            at_once = following is not None and following.at + here - time.monotonic() < pacing.LATE
            judged = self._send(one.row, case)
            marked = at_once and not (judged.throttled or judged.pause) and not self._wakes.end.is_set()
            self._note(one.row, judged, following.row if marked and following else None)
            if judged.throttled or judged.pause is not None:
                self._hand_back(claimed[place + 1 :], limits)
                return

    def _in_time(self, moment: float) -> bool:
        """Wait for a reserved moment; False when it has passed, or the session must end."""
        wait = moment - time.monotonic()
        if wait > 0:
            return not self._wakes.end.wait(wait)
        return wait > -pacing.LATE and not self._wakes.end.is_set()

    def _send(self, row: Any, case: verdict.Case) -> verdict.Verdict:
        started = time.monotonic()
        letter = StoredLetter(
            job=row.job,
            message_id=row.message_id,
            size=row.size,
            smtputf8=row.smtputf8,
            eightbit=row.eightbit,
            own=row.own,
            layout=row.layout,
            contents=self._contents,
        )
        try:
            if self._transport is None:
                self._transport = self._room.transport(self._lease.mailbox)
            envelope = Envelope(row.sender, tuple([address for _, address in case.recipients]))
            judged = verdict.of_receipt(case, self._transport.send(envelope, letter))
        except DataPallasError as error:
            judged = verdict.of_error(case, error)
            if judged.throttled or judged.pause:
                self._drop()
        took = time.monotonic() - started
        self._seconds = took if not self._seconds else 0.8 * self._seconds + 0.2 * took
        self._calm = 0 if judged.throttled or judged.pause else self._calm + 1
        return judged

    def _note(self, row: Any, judged: verdict.Verdict, following: Any) -> None:
        result = results.Result(
            row=row,
            verdict=judged,
            chance=self._wakes.chance(),
            next=following,
            mark=self._mark() if judged.pause else "",
            calm=self._calm,
        )
        results.record(self._database, self._lease, result)
        self._wakes.noted(row.key)
        self._renewed = time.monotonic()
        self.sent += 1
        if self._calm >= results.CALM:
            self._calm = 1

    def _hand_back(self, rest: Sequence[Claimed], limits: Limits) -> None:
        if rest:
            self._database.together(
                lambda tx: claims.hand_back(tx, self._lease, rest, limits, self._database.now(tx))
            )

    def _mark(self) -> str:
        with contextlib.suppress(DataPallasError):
            return self._room.mark(self._lease.mailbox)
        return NO_CONNECTION

    def _drop(self) -> None:
        if self._transport is not None:
            transport, self._transport = self._transport, None
            transport.close()
