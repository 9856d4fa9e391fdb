"""The engine of a server or a worker: report runs, their schedules, keep-alive and clean-up, in the background.

Must stay true: what cannot be used ends no page, and is told once; one process does it for a home (for an installation
of a fleet), and another takes its place when it ends; a broken report stops no other and is told once.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
import time
from typing import TYPE_CHECKING

from datapallas.errors import DataPallasError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from datapallas.home import Home
    from datapallas.outbox.runs.engine import Engine

LEASE = 15.0
"""Seconds after which a machine of a fleet that said nothing is dead."""
FIRST_LOOK = 60.0
"""Seconds after which it begins in a home that has no reports: sign-ins want to be kept alive."""
_LOOK = 1.0  # seconds between two looks whether there is something to do, or whether our turn has come
_AGAIN = 60.0
_END = 30.0


class Running:
    """Used with `with`. `tell` is told once about each failure that stops the engine, `log` a line of what happens.

    With `schedules` off it only does what was asked for: for a command that waits for its own run.
    """

    def __init__(
        self,
        home: Home,
        tell: Callable[[BaseException], None],
        log: Callable[[str], None],
        *,
        schedules: bool = True,
        lease: float = LEASE,
    ) -> None:
        self._home, self._tell, self._log = home, tell, log
        self._schedules, self._lease = schedules, lease
        self._ended = threading.Event()
        self._engine: Engine | None = None
        self._begun = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="runs-home", daemon=True)

    def __enter__(self) -> Self:
        # DBOS imports it in our thread; while it is being imported, SQL of any other thread would fail.
        importlib.import_module("sqlalchemy.orm")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join(_END)

    def stop(self) -> None:
        """Ask it to end; returns at once."""
        self._ended.set()
        engine = self._engine
        if engine is not None:
            engine.stop()

    def _work(self) -> None:
        told = ""
        while not self._ended.is_set():
            if not self._there():
                self._ended.wait(_LOOK)
                continue
            try:
                self._run()
            except Exception as error:  # noqa: BLE001 - told, and tried again: what was promised must not wait for ever
                name = error.code if isinstance(error, DataPallasError) else type(error).__name__
                if name == "lock-busy":  # another process does it
                    self._ended.wait(_LOOK)
                    continue
                if name != told:
                    told = name
                    self._tell(error)
                self._ended.wait(_AGAIN)

    def _there(self) -> bool:
        """Something to do; nothing is imported before."""
        root = self._home.root
        if self._home.environ.get("DATAPALLAS_DATABASE") or os.path.lexists(root / "data" / "runs.db"):
            return True
        late = self._schedules and time.monotonic() - self._begun > FIRST_LOOK
        return late or (self._schedules and (root / "config" / "reports").is_dir())

    def _run(self) -> None:
        from datapallas.home import run_place
        from datapallas.home.outbox import open_outbox
        from datapallas.home.report_steps import WORK, ReportSteps
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
                self._engine = chores.engine = engine
                tidy(home, records)
                try:
                    while not self._ended.wait(_LOOK):
                        if engine.failure is not None:
                            raise engine.failure
                    chores.ended.set()
                finally:
                    self._engine = chores.engine = None
