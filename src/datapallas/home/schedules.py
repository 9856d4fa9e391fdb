"""What runs by itself in a home: its reports, as their files say now, and our own chores.

Must stay true: a report that was edited, added or deleted is noticed without a restart; a broken one stops no other,
and is told once, also over restarts and machines.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
import zlib
from typing import TYPE_CHECKING

from datapallas.errors import DataPallasError, UsageError
from datapallas.home.keep_alive import Keeper
from datapallas.home.reporting import WORK, run_place
from datapallas.home.reporting.steps import tell_all
from datapallas.home.settings import outbox_settings
from datapallas.home.warnings import Notice
from datapallas.oauth.clock import iso
from datapallas.oauth.endings import DAY
from datapallas.outbox.runs import routines
from datapallas.outbox.runs.routines import Missed, Routine
from datapallas.outbox.runs.tables import State
from datapallas.reports.folder import Reports

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from datapallas.home import Home
    from datapallas.home.outbox import Outbox
    from datapallas.outbox.runs.engine import Engine, Step
    from datapallas.outbox.runs.records import Records, Task

_CHORES_KEPT = 2 * DAY  # seconds for which the runs of chores are remembered
_UNBEGUN_KEPT = DAY


class Schedules:
    """Asked every few seconds."""

    def __init__(self, home: Home, records: Records, log: Callable[[str], None]) -> None:
        self._home, self._records, self._log = home, records, log
        self._reports = Reports(home.root)
        self._known: dict[str, tuple[tuple[int, int], Routine]] = {}

    def routines(self, place: str) -> Sequence[Routine]:
        """Read anew what has changed."""
        codes = self._reports.codes()
        found = [one for code in codes if (one := self._routine(code)) is not None]
        found += chores(place)
        if self._records.is_sqlite:  # in a fleet another machine may have other reports
            names = [*codes, *[_told(code) for code in codes], *[one.name for one in found]]
            routines.forget(self._records, names)
        return found

    def _routine(self, code: str) -> Routine | None:
        try:
            about = (self._reports.folder(code) / "report.toml").stat()
            mark = (about.st_mtime_ns, about.st_size)
            known = self._known.get(code)
            if known is not None and known[0] == mark:
                return known[1]
            found = self._read(code)
        except (OSError, DataPallasError) as problem:
            self._known.pop(code, None)
            said = problem.message if isinstance(problem, DataPallasError) else str(problem)
            if routines.first_time(self._records, _told(code), said):
                self._tell(code, said)
            return None
        self._known[code] = (mark, found)
        routines.first_time(self._records, _told(code), "")  # broken in the same way again, it is told again
        return found

    def _read(self, code: str) -> Routine:
        schedule = self._reports.load(code).schedule
        if schedule is None:
            return Routine(name=code, work=WORK, subject=code)
        missed = Missed(schedule.missed.value)
        return Routine(
            name=code,
            work=WORK,
            subject=code,
            cron=schedule.cron,
            zone=schedule.time_zone,
            missed=missed,
        )

    def _tell(self, code: str, said: str) -> None:
        sentence = f"The report {code} cannot run: {said} See `datapallas report check {code}`."
        notice = Notice(connection=code, what="report", at=iso(time.time()), days=0, sentence=sentence)
        tell_all(self._home, self._log, notice)


def chores(place: str) -> list[Routine]:
    """What runs in every home: hourly a look at the sign-ins (each is refreshed weekly), daily a clean-up."""
    minute = zlib.crc32(place.encode()) % 60  # not everybody at the same minute
    return [
        Routine(name=f"_keep-alive-{place}", work="keep-alive", cron=f"{minute} * * * *", place=place),
        Routine(name="_clean", work="clean", cron=f"{minute} 3 * * *"),
    ]


class Chores:
    """What the chores do; `engine` is set while one runs, and `ended` when this process is to end."""

    def __init__(self, home: Home, kept: tuple[Records, Outbox], log: Callable[[str], None]) -> None:
        self._home = home
        self._records, self._outbox = kept
        self.ended = threading.Event()
        self._keeper = Keeper(home, log)
        self.engine: Engine | None = None

    def steps(self) -> dict[str, Mapping[str, Step]]:
        """By the name of the work."""
        return {
            "keep-alive": {"look": self._look},
            "clean": {"outbox": self._clean_outbox, "runs": self._clean},
        }

    def _look(self, task: Task) -> None:
        self._keeper.look(task.ending)

    def _clean_outbox(self, _: Task) -> None:
        self._outbox.clean(end=self.ended)

    def _clean(self, _: Task) -> None:
        now = time.time()
        kept = {True: outbox_settings(self._home.root).rows_days * DAY, False: _CHORES_KEPT}
        ended = self._records.find(State.DONE, State.CANCELLED)
        old = [one for one in ended if one.ended and now - one.ended > kept[one.work == WORK]]
        if self.engine is not None and old:
            self.engine.forget(old)
        tidy(self._home, self._records)


def tidy(home: Home, records: Records) -> None:
    """Delete the rows of runs that ended, and what was prepared and never begun: a killed process may leave both."""
    try:
        folders = [one for one in (home.root / run_place.FOLDERS).iterdir() if one.is_dir()]
    except FileNotFoundError:
        return
    now = time.time()
    for folder in folders:
        with contextlib.suppress(OSError, UsageError):
            old = now - folder.stat().st_mtime > _UNBEGUN_KEPT
            try:
                record = records.load(folder.name)
            except UsageError:  # it is being prepared
                if old:
                    shutil.rmtree(folder, ignore_errors=True)
                continue
            if record.state is State.PREPARED and old:
                records.move(record.id, [State.PREPARED], State.CANCELLED)
                record = records.load(record.id)
            if record.state in {State.DONE, State.CANCELLED}:
                shutil.rmtree(folder, ignore_errors=True)


def _told(code: str) -> str:
    return f"told {code}"
