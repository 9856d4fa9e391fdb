"""The engine of a server or a worker: report runs, their schedules, keep-alive and clean-up, in the background.

Must stay true: what cannot be used ends no page, and is told once; one process does it for a home (for an installation
of a fleet), and another takes its place when it ends; a broken report stops no other and is told once.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import time
from typing import TYPE_CHECKING

from datapallas.home.background import LOOK, Background

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from datapallas.home import Home

LEASE = 15.0
"""Seconds after which a machine of a fleet that said nothing is dead."""
FIRST_LOOK = 60.0
"""Seconds after which it begins in a home that has no reports: sign-ins want to be kept alive."""


class Running(Background):
    """Used with `with`. `tell` is told once about each failure that stops the engine, `log` a line of what happens.

    With `schedules` off it only does what was asked for: for a command that waits for its own run.
    """

    busy = "lock-busy"

    def __init__(
        self,
        home: Home,
        tell: Callable[[BaseException], None],
        log: Callable[[str], None],
        *,
        schedules: bool = True,
        lease: float = LEASE,
    ) -> None:
        super().__init__("runs-home", tell)
        self._home, self._log = home, log
        self._schedules, self._lease = schedules, lease
        self._begun = time.monotonic()

    def __enter__(self) -> Self:
        # DBOS imports it in our thread; while it is being imported, SQL of any other thread would fail.
        importlib.import_module("sqlalchemy.orm")
        return super().__enter__()

    def _there(self) -> bool:
        """Something to do; nothing is imported before."""
        root = self._home.root
        if self._home.environ.get("DATAPALLAS_DATABASE") or os.path.lexists(root / "data" / "runs.db"):
            return True
        late = self._schedules and time.monotonic() - self._begun > FIRST_LOOK
        return late or (self._schedules and (root / "config" / "reports").is_dir())

    def _run(self) -> None:
        from datapallas.home.outbox import open_outbox
        from datapallas.home.reporting import WORK, run_place
        from datapallas.home.reporting.steps import ReportSteps
        from datapallas.home.schedules import Chores, Schedules, tidy
        from datapallas.outbox.runs.engine import Engine, Work

        home, place = self._home, run_place.place(self._home)
        with (
            contextlib.closing(open_outbox(home)) as outbox,
            contextlib.closing(run_place.open_records(home)) as records,
        ):
            reports = ReportSteps(home, records, outbox, self._log)
            schedules = Schedules(home, records, self._log)
            chores = Chores(home, (records, outbox), self._log)
            work = Work(
                steps={WORK: reports.steps(), **chores.steps()},
                routines=lambda: schedules.routines(place) if self._schedules else None,
                looks=reports.look,
                tell=reports.stopped,
            )
            with Engine(records, run_place.url(home), place, work, self._lease) as engine:
                self._worker = chores.engine = engine
                tidy(home, records)
                try:
                    while not self._ended.wait(LOOK):
                        if engine.failure is not None:
                            raise engine.failure
                    chores.ended.set()
                finally:
                    self._worker = chores.engine = None
