"""Keeps sign-ins alive that nobody uses, one after the other, and warns before something ends.

Must stay true:
- idle connections are refreshed through the token source, so no sign-in is lost; the longest idle first, then by code;
- one at a time in a home: a timer and a served page do not do the same work twice;
- a failure of one connection stops no other; a parked one is told and not asked about.
"""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import TYPE_CHECKING

from datapallas import files
from datapallas.errors import EX_CONFIG, EX_NOPERM, EX_TEMPFAIL, DataPallasError, StorageError
from datapallas.home.telling import ways
from datapallas.home.warnings import Notice, not_given, notices, remembered
from datapallas.oauth.clock import from_iso
from datapallas.oauth.endings import DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from datapallas.home.home import Home
    from datapallas.oauth.status import Status

IDLE_DAYS = 7.0
RETRY = DAY  # seconds a keeper waits before it asks a provider again that refused


class Outcome(StrEnum):
    """What became of one connection."""

    REFRESHED = "refreshed"
    RECENT = "recent"  # used within the idle time
    PARKED = "parked"
    FAILED = "failed"
    NOTHING = "nothing"  # nobody is signed in, or nobody needs to
    BROKEN = "broken"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One connection, looked at."""

    connection: str
    outcome: Outcome
    idle_days: float | None = None
    problem: DataPallasError | None = None

    @property
    def exit_code(self) -> int:
        """What a script sees of it."""
        if self.outcome is Outcome.PARKED:
            return EX_NOPERM
        return self.problem.exit_code if self.problem is not None else 0


def exit_code(kept: Sequence[Kept]) -> int:
    """Of several: a person must sign in before something must be changed before try again."""
    codes = {one.exit_code for one in kept} - {0}
    return next(
        (code for code in (EX_NOPERM, EX_CONFIG, EX_TEMPFAIL) if code in codes), max(codes, default=0)
    )


def keep(
    home: Home,
    codes: Sequence[str] = (),
    idle_days: float = IDLE_DAYS,
    skip: Callable[[str], bool] | None = None,
) -> Iterator[Kept]:
    """Look at `codes` (all when empty), refresh what was idle, and tell each as it is done.

    `skip` says of an idle connection that it is not to be asked about now. Raises UnknownConnection.
    """
    wall = home.endpoint.clock.wall()
    wanted = list(codes) or [row.code for row in home.overview()]
    found = [_looked(home, code, named=bool(codes)) for code in wanted]
    for code, status in sorted(found, key=_idlest):
        if isinstance(status, DataPallasError):
            yield Kept(connection=code, outcome=Outcome.BROKEN, problem=status)
        else:
            yield _kept(home, status, (wall, idle_days), skip)


def _looked(home: Home, code: str, *, named: bool) -> tuple[str, Status | DataPallasError]:
    try:
        return code, home.tokens(code).status()
    except DataPallasError as problem:
        if named:
            raise
        return code, problem


def _idlest(item: tuple[str, Status | DataPallasError]) -> tuple[float, str]:
    code, status = item
    return (0.0 if isinstance(status, DataPallasError) else _used(status) or 0.0), code


def _used(status: Status) -> float | None:
    """When the sign-in was last used, wall seconds."""
    times = [at for at in (from_iso(status.issued_at), from_iso(status.refreshed_at)) if at is not None]
    return max(times, default=None)


def _kept(home: Home, status: Status, when: tuple[float, float], skip: Callable[[str], bool] | None) -> Kept:
    wall, idle_days = when
    used = _used(status)
    idle = None if used is None else (wall - used) / DAY
    outcome, problem = Outcome.NOTHING, None
    if status.state == "parked":
        outcome = Outcome.PARKED
    elif status.state == "unreadable":
        outcome, problem = Outcome.FAILED, status.problem
    elif status.state == "signed-in":
        outcome = Outcome.RECENT
        if (idle is None or idle >= idle_days) and not (skip and skip(status.connection)):
            problem = _refreshed(home, status.connection)
            outcome = Outcome.FAILED if problem else Outcome.REFRESHED
    return Kept(connection=status.connection, outcome=outcome, idle_days=idle, problem=problem)


def _refreshed(home: Home, code: str) -> DataPallasError | None:
    try:
        home.tokens(code).token()
    except DataPallasError as problem:
        return problem
    return None


def warn(home: Home, log: Callable[[Notice], None]) -> list[tuple[str, DataPallasError]]:
    """Tell what is to be told, by each way once; the ways that failed, which are tried again the next time.

    Raises ConfigurationError when the settings cannot be read.
    """
    wall = home.endpoint.clock.wall()
    channels = ways(home, log)
    failed: list[tuple[str, DataPallasError]] = []
    for row in home.overview():
        try:
            found = notices(home.tokens(row.code).status(), wall)
        except DataPallasError:  # told by whoever lists it
            continue
        if not found:
            continue
        given = home.folder.store.record(row.code).warned
        told: list[str] = []
        for name, tell in channels.items():
            for notice in not_given(found, given, name):
                try:
                    tell(notice)
                except DataPallasError as problem:
                    failed.append((name, problem))
                else:
                    told.append(notice.key(name))
        if told:
            _remember(home, row.code, told)
    return failed


def _remember(home: Home, code: str, told: list[str]) -> None:
    with home.folder.locked_update(code) as update:
        warned = remembered(update.record.warned, told)
        update.save_record(dataclasses.replace(update.record, warned=warned))


def alone(home: Home) -> AbstractContextManager[None]:
    """Nobody else keeps this home's sign-ins alive meanwhile; StorageError (code ``lock-busy``) when somebody does."""
    return files.locked(home.root / "data" / "keep-alive.lock", seconds=0)


class Keeper:
    """Does it in the background, for the engine of a server or a worker, which asks once an hour."""

    def __init__(self, home: Home, log: Callable[[str], None]) -> None:
        self._home, self._log = home, log
        self._not_before: dict[str, float] = {}  # code to wall seconds
        self._quiet_until: dict[str, float] = {}

    def look(self, ended: Callable[[], bool] = lambda: False) -> None:
        """Once: refresh what is idle, warn, and say what failed; no further when `ended` says so."""
        try:
            with alone(self._home):
                for kept in keep(self._home, skip=self._too_early):
                    self._noted(kept)
                    if ended():
                        return
                for way, problem in warn(self._home, lambda notice: self._log(notice.sentence)):
                    self._log(f"warning not told by {way}: {problem.message}")
        except StorageError as problem:
            if problem.code != "lock-busy":
                raise

    def _too_early(self, code: str) -> bool:
        return self._home.endpoint.clock.wall() < self._not_before.get(code, 0.0)

    def _noted(self, kept: Kept) -> None:
        if kept.outcome is Outcome.REFRESHED:
            self._not_before.pop(kept.connection, None)
            self._quiet_until.pop(kept.connection, None)
            self._log(f"keep-alive: {kept.connection} refreshed")
        elif kept.outcome is Outcome.FAILED and kept.problem is not None:
            now = self._home.endpoint.clock.wall()
            if not kept.problem.transient and not self._too_early(kept.connection):
                self._not_before[kept.connection] = now + RETRY
            if now >= self._quiet_until.get(
                kept.connection, 0.0
            ):  # a provider that is down is told once a day
                self._quiet_until[kept.connection] = now + RETRY
                self._log(f"keep-alive: {kept.connection}: {kept.problem.message}")
