"""The courier of one process: looks for work, runs sessions in turns, keeps their leases alive.

Must stay true: there is one poller, and it costs next to nothing while nothing happens; ending gives every lease back
in time; a session that fails takes no other with it.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from datapallas.errors import DataPallasError, StorageError
from datapallas.outbox import claims, looking, pacing, recovery, results
from datapallas.outbox.claims import LEASE
from datapallas.outbox.handing import NO_CONNECTION
from datapallas.outbox.session import LINGER, Session, Wakes, nobody
from datapallas.outbox.tables import leases, mailboxes
from datapallas.outbox.turns import Turns
from datapallas.outbox.verdict import PASSING, Pause
from datapallas.outbox.watch import watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datapallas.outbox.database import Database
    from datapallas.outbox.limits import Limits
    from datapallas.outbox.session import Mailroom
    from datapallas.outbox.turns import Turn

THREADS = 32
"""Threads in which the sessions of one process take turns."""
SESSIONS = 4000
"""Sessions of one process; most wait for their moment, with their connection to the server open."""
_POLL = 1.0  # seconds between two looks for what has become due
_RAMP = 0.25  # seconds between two sessions of one mailbox: the first may be enough
_BREATH = 0.05  # seconds between two looks while sessions run
_TOGETHER = 50  # leases taken in one commit
_SHARE = 5  # times as long as a look took: with a thousand mailboxes it takes a while
_AGAIN = 2.0  # seconds to leave a database alone that did not answer
_HOUSEKEEPING = 30.0
END_SECONDS = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Only:
    """The one job a courier is for; empty: all mail.

    Attributes:
        job: its id.
        linger: seconds an idle session is kept open.
        noted: called, in a session's thread, with the key of each message whose result is in the ledger.
    """

    job: str = ""
    linger: float = LINGER
    noted: Callable[[str], None] = nobody


@dataclasses.dataclass(slots=True)
class _Running:
    turn: Turn
    owner: str
    wakes: Wakes
    code: str
    session: Session


class Courier:
    """Drains an outbox. `drain` in a thread that has nothing else to do; `stop` from any other.

    Args:
        database: the outbox.
        room: what knows connections.
        threads: in which its sessions take turns.
        lease: seconds after which what a dead process was doing is taken over.
        only: the one job it is for; None: all mail.
    """

    def __init__(
        self,
        database: Database,
        room: Mailroom,
        threads: int = THREADS,
        lease: float = LEASE,
        only: Only | None = None,
    ) -> None:
        self._database = database
        self._room = room
        self._only = only or Only()
        self._turns = Turns(threads)
        self._lease = lease
        self._end = threading.Event()
        self._running: list[_Running] = []
        self._begun: dict[str, float] = {}
        self._full: dict[str, float] = {}
        self._kept = self._beat = 0.0
        self._linger = LINGER
        self._failure: DataPallasError | None = None

    def nudge(self) -> None:
        """Something new was promised by this very process: sessions need not wait to see it."""
        for one in list(self._running):
            one.wakes.work.set()
            if one.session.idle:
                self._turns.wake(one.turn)

    def stop(self) -> None:
        """Ask it to end: what is being handed over is finished, everything else goes back."""
        self._end.set()

    def busy(self) -> dict[str, int]:
        """The connections it sends through now, and with how many sessions each."""
        return dict(collections.Counter(one.code for one in list(self._running)))

    def drain(self, *, forever: bool = False) -> None:
        """Send what there is. Returns when nothing is left that could be sent now or later, or after `stop`.

        Paused mailboxes and jobs, and messages for later, do not count as left. With `forever` it goes on, also when
        the database is out of reach for a while. Raises StorageError, ConfigurationError.
        """
        if not self._only.job:  # a look at every page: not for one message
            self._database.check()
        self._linger = (self._only.linger if self._only.job else LINGER) if forever else 0.0
        try:
            while not self._end.is_set():
                try:
                    self._watch(forever=forever)
                except StorageError:
                    if not forever:
                        raise
                    # Not the end of its sessions: one may wait for a mail server that vanished along with the database.
                    self._end.wait(_AGAIN)
                else:
                    return
        finally:
            self._finish()

    def _watch(self, *, forever: bool) -> None:
        with watcher(self._database) as watch:
            while not self._end.is_set():
                self._reap()
                self._keep()
                began = time.monotonic()
                started = self._start()
                breath = max(_BREATH, _SHARE * (time.monotonic() - began))
                if not started and not self._running and not forever and not self._left():
                    return
                if watch.wait(_BREATH if self._starting() else min(_POLL, self._lease / 4), self._end):
                    self.nudge()
                    if self._running:  # their own commits wake us too
                        self._end.wait(breath)

    def _left(self) -> bool:
        return looking.left(self._database, self._only.job)

    def _starting(self) -> bool:
        return any(time.monotonic() - at < 2 * _RAMP for at in self._begun.values())

    def _reap(self) -> None:
        self._running = [one for one in self._running if not one.turn.done.is_set()]
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _keep(self) -> None:
        """Heartbeat and housekeeping, each when its time has come."""
        at = time.monotonic()
        owners = [one.owner for one in self._running]
        if at - self._beat > self._lease / 4 and owners:
            with self._database.write() as tx:
                until = self._database.now(tx) + self._lease
                tx.execute(sa.update(leases).where(leases.c.owner.in_(owners)).values(until=until))
            self._beat = at
        if at - self._kept > _HOUSEKEEPING or not self._kept:
            self._house()
            self._kept = at

    def _house(self) -> None:
        with self._database.read() as tx:
            paused = tx.execute(sa.select(mailboxes).where(mailboxes.c.pause != "")).all()
            now = self._database.now(tx)
        over = [row.code for row in paused if self._over(row, now)]
        with self._database.write() as tx:
            recovery.clock_was_set_back(tx, now)
            if over:
                values = {"pause": "", "pause_until": 0.0, "backoff_until": 0.0}
                tx.execute(sa.update(mailboxes).where(mailboxes.c.code.in_(over)).values(**values))

    def _over(self, row: Any, now: float) -> bool:
        """A pause ends by itself after its time, or when what it was about has been changed."""
        if row.pause == Pause.QUOTA:
            return bool(row.pause_until <= now)
        if row.pause not in PASSING:
            return False
        if row.pause_until and not now < row.pause_until <= now + 2 * pacing.LONGEST_PROBE:
            return True
        if row.pause_mark:
            with contextlib.suppress(DataPallasError):
                return bool(self._room.mark(row.code) != row.pause_mark)
        return False

    def _start(self) -> bool:
        """Start sessions where there is work; True when one was started."""
        mine = collections.Counter(one.code for one in self._running)
        free = {
            one.code for one in self._running if one.session.free
        }  # before the look: it sees what they take
        found = [
            (code, more and code not in free) for code, more in looking.work(self._database, self._only.job)
        ]
        codes = sorted(code for code, more in found if self._wanted(code, mine[code], more=more))
        codes = codes[: max(0, SESSIONS - len(self._running))]
        started = False
        for at in range(0, len(codes), _TOGETHER):
            if self._end.is_set():
                break
            started |= self._sessions(codes[at : at + _TOGETHER])
        return started

    def _wanted(self, code: str, mine: int, *, more: bool) -> bool:
        if time.monotonic() < self._full.get(code, 0.0):
            return False
        if not mine:
            return True
        return more and time.monotonic() - self._begun.get(code, 0.0) > _RAMP

    def _sessions(self, codes: Sequence[str]) -> bool:
        """Start a session for each of these mailboxes that has a free slot; their leases are one commit."""
        wanted = [(code, base) for code in codes if (base := self._base(code)) is not None]

        def take(tx: sa.Connection) -> list[claims.Lease | None]:
            now, job = self._database.now(tx), self._only.job
            return [
                claims.take_lease(
                    tx, claims.Lease(code, uuid.uuid4().hex, seconds=self._lease, job=job), base, now
                )
                for code, base in wanted
            ]

        leases = self._database.together(take) if wanted else []
        for (code, _), lease in zip(wanted, leases, strict=True):
            if lease is None:
                self._full[code] = time.monotonic() + _POLL
            else:
                self._session(lease)
        return any(lease is not None for lease in leases)

    def _base(self, code: str) -> Limits | None:
        """What the provider allows; a connection that cannot be read pauses its mailbox."""
        try:
            return self._room.limits(code)
        except DataPallasError as error:
            if error.transient:  # what holds the connections is away: no reason to pause a mailbox
                self._full[code] = time.monotonic() + _AGAIN
            else:
                results.stop_for(self._database, code, error, Pause.CONFIGURATION, self._mark(code))
            return None

    def _session(self, lease: claims.Lease) -> None:
        code = lease.mailbox
        self._begun[code] = time.monotonic()
        wakes = Wakes(threading.Event(), threading.Event(), self._linger, self._only.noted)
        session = Session(self._database, self._room, lease, wakes)
        turn = self._turns.start(session.steps(), lambda problem: self._ended(code, problem))
        self._running.append(_Running(turn, lease.owner, wakes, code, session))

    def _ended(self, code: str, problem: BaseException | None) -> None:
        if isinstance(problem, DataPallasError):  # the whole outbox's trouble
            self._failure = problem
        elif problem is not None:  # its message is in doubt, counted, and parked the third time
            told = DataPallasError(
                f"A session ended unexpectedly: {type(problem).__name__}.", raw=str(problem)
            )
            with contextlib.suppress(DataPallasError):
                results.trouble(self._database, code, told)

    def _mark(self, code: str) -> str:
        with contextlib.suppress(DataPallasError):
            return self._room.mark(code)
        return NO_CONNECTION

    def _finish(self) -> None:
        for one in self._running:
            one.wakes.end.set()
            self._turns.wake(one.turn)
        until = time.monotonic() + END_SECONDS
        for one in self._running:
            one.turn.done.wait(max(0.0, until - time.monotonic()))
        self._running = []
