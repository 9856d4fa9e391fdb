"""One session of the courier: claims messages under its lease, sends each at its moment, notes the result.

Must stay true: a message is handed over only while the lease is certainly ours; one that is late is given back, never
hurried after; whatever ends the session, what it had claimed goes back.
"""

from __future__ import annotations

import dataclasses
import random
import time
from typing import TYPE_CHECKING, Protocol

from datapallas.errors import DataPallasError
from datapallas.outbox import claims, pacing, results, statements, verdict, windows
from datapallas.outbox.claims import Fenced
from datapallas.outbox.handing import Hands
from datapallas.outbox.tables import Doubt

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    import sqlalchemy as sa

    from datapallas.mail.transport import MailTransport
    from datapallas.outbox.claims import Claimed, Lease
    from datapallas.outbox.database import Database
    from datapallas.outbox.limits import Limits

LINGER = 5.0
"""Seconds an idle session is kept open for the next message."""
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
    """One session; `steps` is its life."""

    def __init__(self, database: Database, room: Mailroom, lease: Lease, wakes: Wakes) -> None:
        self._database = database
        self._room = room
        self._lease = lease
        self._wakes = wakes
        self._hands = Hands(database, room, lease, wakes)
        self._sender = ""
        self._cases: dict[int, verdict.Case] = {}  # of what is claimed
        self._hold: frozenset[str] = frozenset()  # jobs whose doubts are left to a person
        self._claimed = time.monotonic()  # when it last did
        self.idle = False  # it waits for something new
        self.free = True  # it has nothing in its hands: what is due is for it to take
        self.sent = 0

    def steps(self) -> Iterator[float]:
        """Drain until nothing is due any more, or it must stop; gives the seconds there is nothing to do for.

        Raises what the database raises; the lease is given back in any case, unless it was lost.
        """
        lost = False
        try:
            limits = self._room.limits(self._lease.mailbox)
            self._sender = self._room.sender(self._lease.mailbox)
            idle = begun = time.monotonic()
            while not self._wakes.end.is_set() and time.monotonic() - begun < QUANTUM:
                self._wakes.work.clear()
                found = self._claim(limits)
                if found.messages:
                    yield from self._send_all(found, limits)
                    idle = time.monotonic()
                    yield from self._next_moment(found)
                elif found.stop or self._over(found.wait, time.monotonic() - idle):
                    return
                else:
                    yield from self._rest(found.wait)
        except Fenced:
            lost = True  # whoever has it now looks after what was claimed
        except DataPallasError as error:
            if error.transient:  # the database: whoever runs sessions waits for it
                raise
            # The connection's file, found broken between two messages.
            results.stop_for(
                self._database, self._lease.mailbox, error, verdict.Pause.CONFIGURATION, self._hands.mark()
            )
        finally:
            self._hands.drop()
            if not lost:
                self._database.together(lambda tx: claims.release(tx, self._lease))

    def _next_moment(self, done: claims.Claim) -> Iterator[float]:
        """Where the pace is limited and more is due, claim just before it may leave: then the claim notes its handing over."""
        last = done.messages[-1]
        ahead = last.at + done.interval * claims.weight(last.row.recipients) - done.now
        moment = self._claimed + ahead - pacing.LATE / 2
        if done.interval and done.more and moment - time.monotonic() <= LINGER:
            yield from self._until(moment)
        yield 0.0  # others have waited

    def _over(self, wait: float | None, idle: float) -> bool:
        """Nothing is due, or not for so long that somebody else may have this thread."""
        return idle >= self._wakes.linger if wait is None else wait > LINGER

    def _rest(self, wait: float | None) -> Iterator[float]:
        """Wait for a moment that is known, or for something that is due. Looking writes nothing and wakes nobody."""
        if wait is not None:
            yield min(LINGER, max(0.005, wait))
            return
        until = time.monotonic() + 1.0
        while (left := until - time.monotonic()) > 0 and not self._wakes.end.is_set():
            self.idle = True  # first: whoever says that there is something new sees it, or is seen
            if not self._wakes.work.is_set():
                yield left
            self.idle = False
            if self._wakes.work.is_set():
                self._wakes.work.clear()
                with self._database.read() as tx:
                    if claims.anything_due(tx, self._lease, self._database.now(tx)):
                        return

    def _claim(self, limits: Limits) -> claims.Claim:
        def work(tx: sa.Connection) -> claims.Claim:
            now = self._database.now(tx)
            found = claims.claim(tx, self._lease, limits, self._hands.speed, now)
            # read here: without WAL, a reader of its own would keep the next commit waiting
            self._cases = self._read(tx, found.messages) if found.messages else {}
            return found

        found = self._database.together(work)
        self._claimed = time.monotonic()
        self.free = not found.messages
        return found

    def _send_all(self, claim: claims.Claim, limits: Limits) -> Iterator[float]:
        here = time.monotonic() - claim.now  # from the database's clock to ours
        claimed = claim.messages
        marked = claim.marked
        place = 0
        left: list[Claimed] = []  # handed over to nobody
        while place < len(claimed):
            if claim.interval:
                yield from self._until(claimed[place].at + here)
            behind = time.monotonic() - claimed[place].at - here
            if self._wakes.end.is_set() or (claim.interval and behind >= pacing.late(claim.interval)):
                break
            if not marked:
                results.handing(self._database, self._lease, claimed[place].row.id)
                marked = 1
            window = claimed[place : place + marked]
            sent = self._hands.send(window, self._cases)
            place += len(window)
            whole = len(sent) == len(window) and not self._wakes.end.is_set()
            calm = whole and not any(one.verdict.throttled or one.verdict.pause for one in sent)
            marked = self._next(claim, place, here) if calm else 0
            self.free = place >= len(claimed)  # before anybody hears of the result, and promises the next one
            stop = self._note(sent, [one.row.id for one in claimed[place : place + marked]])
            if stop or not calm:
                done = {one.row.id for one in sent}
                left = [one for one in window if one.row.id not in done]
                break
        self._hand_back((*left, *claimed[place:]), limits)
        self.free = True

    def _read(self, tx: sa.Connection, claimed: Sequence[Claimed]) -> dict[int, verdict.Case]:
        people = results.open_recipients(tx, [one.row.id for one in claimed])
        whose = {"ids": list({one.row.job for one in claimed})}
        doubts = {row.id: Doubt(row.doubt) for row in tx.execute(statements.DOUBTS, whose)}
        self._hold = frozenset(job for job, doubt in doubts.items() if doubt is Doubt.HOLD)
        return {
            one.row.id: verdict.Case(
                recipients=people[one.row.id],
                doubt=doubts[one.row.job],
                doubts=one.row.doubts,
                own_sender=one.row.sender.lower() == self._sender.lower(),
            )
            for one in claimed
        }

    def _next(self, claim: claims.Claim, place: int, here: float) -> int:
        """How many messages from `place` on are handed over at once after the next commit."""
        rest = claim.messages[place:]
        if not rest or (claim.interval and rest[0].at + here - time.monotonic() >= pacing.LATE):
            return 0
        most = 1 if claim.interval else pacing.window(0.0, self._hands.speed)
        return claims.alike([one.row for one in rest[:most]], most, self._hold)

    def _until(self, moment: float) -> Iterator[float]:
        """Wait for a reserved moment, or the end."""
        while (wait := moment - time.monotonic()) > 0 and not self._wakes.end.is_set():
            yield wait

    def _note(self, sent: Sequence[results.Result], following: Sequence[int]) -> bool:
        """Write results; True when the mailbox is to stop."""
        started = time.monotonic()
        stop = windows.record_all(self._database, self._lease, sent, following)
        for one in sent:
            self._wakes.noted(one.row.key)
        speed = self._hands.speed
        self._hands.speed = speed._replace(commit=pacing.mean(speed.commit, time.monotonic() - started))
        self.sent += len(sent)
        return stop

    def _hand_back(self, rest: Sequence[Claimed], limits: Limits) -> None:
        if rest:
            self._database.together(
                lambda tx: claims.hand_back(tx, self._lease, rest, limits, self._database.now(tx))
            )
