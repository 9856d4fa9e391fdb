"""The courier of one process: looks for work, runs sessions in threads, keeps their leases alive.

Must stay true: there is one poller, and it costs next to nothing while nothing happens; ending gives every lease back
in time; a thread that fails takes nothing with it but its own session.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from datapallas.errors import DataPallasError, StorageError
from datapallas.outbox import claims, looking, recovery, results
from datapallas.outbox.claims import LEASE
from datapallas.outbox.session import LINGER, NO_CONNECTION, Session, Wakes, nobody
from datapallas.outbox.tables import leases, mailboxes
from datapallas.outbox.verdict import Pause
from datapallas.outbox.watch import watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datapallas.outbox.database import Database
    from datapallas.outbox.session import Mailroom

THREADS = 32
"""Sessions of one process."""
_POLL = 1.0  # seconds between two looks for what has become due
_RAMP = 0.25  # seconds between two sessions of one mailbox: the first may be enough
_BREATH = 0.05  # seconds between two looks while sessions run
_AGAIN = 2.0  # seconds to leave a database alone that did not answer
_HOUSEKEEPING = 30.0
_END_SECONDS = 30.0


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
    thread: threading.Thread
    owner: str
    wakes: Wakes
    code: str


class Courier:
    """Drains an outbox. `drain` in a thread that has nothing else to do; `stop` from any other.

    Args:
        database: the outbox.
        room: what knows connections.
        threads: sessions at most.
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
        self._threads = threads
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

    def stop(self) -> None:
        """Ask it to end: what is being handed over is finished, everything else goes back."""
        self._end.set()

    def drain(self, *, forever: bool = False) -> None:
        """Send what there is. Returns when nothing is left that could be sent now or later, or after `stop`.

        Paused mailboxes and jobs, and messages for later, do not count as left. With `forever` it goes on, also when
        the database is out of reach for a while. Raises StorageError, ConfigurationError.
        """
        if not self._only.job:  # a look at every page: not for one message
            self._database.check()
        self._linger = (self._only.linger if self._only.job else LINGER) if forever else 0.0
        while not self._end.is_set():
            try:
                self._watch(forever=forever)
            except StorageError:
                if not forever:
                    raise
                self._end.wait(_AGAIN)
            else:
                return

    def _watch(self, *, forever: bool) -> None:
        try:
            with watcher(self._database) as watch:
                while not self._end.is_set():
                    self._reap()
                    self._keep()
                    if (
                        not self._start()
                        and not self._running
                        and not forever
                        and not looking.left(self._database, self._only.job)
                    ):
                        return
                    if watch.wait(_BREATH if self._starting() else min(_POLL, self._lease / 4), self._end):
                        for one in self._running:
                            one.wakes.work.set()
                        if self._running:  # their own commits wake us too
                            self._end.wait(_BREATH)
        finally:
            self._finish()

    def _starting(self) -> bool:
        return any(time.monotonic() - at < 2 * _RAMP for at in self._begun.values())

    def _reap(self) -> None:
        self._running = [one for one in self._running if one.thread.is_alive()]
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
        if row.pause in {Pause.SIGN_IN, Pause.CONFIGURATION} and row.pause_mark:
            with contextlib.suppress(DataPallasError):
                return bool(self._room.mark(row.code) != row.pause_mark)
        return False

    def _start(self) -> bool:
        """Start sessions where there is work; True when one was started."""
        started = False
        for code, urgent in looking.work(self._database, self._only.job):
            if len(self._running) >= self._threads or self._end.is_set():
                break
            if not self._wanted(code, more=urgent):
                continue
            started |= self._session(code)
        return started

    def _wanted(self, code: str, *, more: bool) -> bool:
        mine = sum(1 for one in self._running if one.code == code)
        if time.monotonic() < self._full.get(code, 0.0):
            return False
        return not mine or (more and time.monotonic() - self._begun.get(code, 0.0) > _RAMP)

    def _session(self, code: str) -> bool:
        owner = uuid.uuid4().hex
        try:
            base = self._room.limits(code)
        except DataPallasError as error:
            results.stop_for(self._database, code, error, Pause.CONFIGURATION, self._mark(code))
            return False
        wanted = claims.Lease(code, owner, seconds=self._lease, job=self._only.job)
        lease = self._database.together(
            lambda tx: claims.take_lease(tx, wanted, base, self._database.now(tx))
        )
        if lease is None:
            self._full[code] = time.monotonic() + _POLL
            return False
        self._begun[code] = time.monotonic()
        wakes = Wakes(threading.Event(), threading.Event(), self._linger, self._only.noted)
        session = Session(self._database, self._room, lease, wakes)
        thread = threading.Thread(target=self._run, args=(session, code), name=f"outbox-{code}", daemon=True)
        self._running.append(_Running(thread, owner, wakes, code))
        thread.start()
        return True

    def _run(self, session: Session, code: str) -> None:
        try:
            session.run()
        except DataPallasError as error:  # the whole outbox's trouble
            self._failure = error
        except Exception as error:  # noqa: BLE001 - its message is in doubt, counted, and parked the third time
            told = DataPallasError(f"A session ended unexpectedly: {type(error).__name__}.", raw=str(error))
            with contextlib.suppress(DataPallasError):
                results.trouble(self._database, code, told)

    def _mark(self, code: str) -> str:
        with contextlib.suppress(DataPallasError):
            return self._room.mark(code)
        return NO_CONNECTION

    def _finish(self) -> None:
        for one in self._running:
            one.wakes.end.set()
            one.wakes.work.set()
        until = time.monotonic() + _END_SECONDS
        for one in self._running:
            one.thread.join(max(0.0, until - time.monotonic()))
        self._running = []


@contextlib.contextmanager
def draining(courier: Courier) -> Iterator[None]:
    """Run a courier in the background for as long as the block lasts."""
    failure: list[BaseException] = []

    def work() -> None:
        try:
            courier.drain(forever=True)
        except BaseException as error:  # noqa: BLE001 - told by whoever ends the block
            failure.append(error)

    thread = threading.Thread(target=work, name="outbox", daemon=True)
    thread.start()
    try:
        yield
    finally:
        courier.stop()
        thread.join(_END_SECONDS)
    if failure:
        raise failure[0]
