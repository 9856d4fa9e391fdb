"""Does what is promised in a home, and kills itself at a named point: `python run_worker.py HOME RUN POINT COUNT`.

Points: copied (the run's folder is written, not in its place), frozen, promised (messages are in the outbox, the cursor
is not moved), saved (it is), accepted (all are), told (the end was told, the run is not done), done. `none`: it lives.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datapallas.home import Home
from datapallas.home.outbox import Outbox
from datapallas.home.reporting.runs import open_runs, over
from datapallas.home.reporting.steps import ReportSteps
from datapallas.home.runs import Running
from datapallas.outbox.background import draining
from datapallas.outbox.courier import Courier
from datapallas.outbox.runs.records import Task
from datapallas.outbox.runs.tables import State

if TYPE_CHECKING:
    from collections.abc import Callable


def dying(kind: type, name: str, left: list[int], *, before: bool, when: Callable[..., bool]) -> None:
    """Kill this process when `kind.name` is called, or has returned, for the so-manieth time."""
    real = getattr(kind, name)

    def wrapped(*given: Any, **named: Any) -> Any:
        if when(*given, **named):
            left[0] -= 1
        if before and not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        found = real(*given, **named)
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(kind, name, wrapped)


POINTS: dict[str, tuple[type, str, bool, Callable[..., bool]]] = {
    "copied": (Path, "rename", True, lambda path, _: path.name.startswith(".new-")),
    "frozen": (Task, "save", False, lambda _, facts, *__, **___: "frozen" in facts),
    "promised": (Outbox, "accept", False, lambda *_: True),
    "saved": (Task, "save", False, lambda _, facts, *__, **___: "cursor" in facts),
    "accepted": (Task, "save", False, lambda _, facts, *__, **___: "accepted" in facts),
    "told": (ReportSteps, "_tell_end", False, lambda *_: True),
    "done": (Task, "become", False, lambda _, state, *__: state is State.DONE),
}


def main() -> None:
    root, run, point, count = sys.argv[1:]
    home = Home(Path(root), os.environ)
    if point in POINTS:
        kind, name, before, when = POINTS[point]
        dying(kind, name, [int(count)], before=before, when=when)
    with (
        open_runs(home) as runs,
        Running(home, print, print, schedules=False, lease=2.0),
        draining(Courier(runs.outbox.database, runs.outbox.room, lease=2.0)),
    ):
        end = time.monotonic() + 240
        while not over(runs.records.load(run)) and time.monotonic() < end:
            time.sleep(0.1)


if __name__ == "__main__":
    main()
