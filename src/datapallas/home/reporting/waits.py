"""Why a run does not move just now, and whether anybody is there who could move it.

Must stay true: it only looks; a process that waits says what it waits for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from datapallas.home.reporting import run_place
from datapallas.outbox.runs.tables import State

if TYPE_CHECKING:
    from datapallas.home import Home
    from datapallas.outbox.runs.records import Record, Records

_SLOTS = 2  # as the engine has them, which costs too much to import where one only looks


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """`why`: a sentence's end after "it waits: ", empty when it moves. `nobody`: no living process could do it."""

    why: str = ""
    nobody: bool = False


def waiting(home: Home, records: Records, record: Record) -> Waiting:
    """What a run waits for before its messages are promised; afterwards it is the outbox that waits."""
    if record.state not in {State.QUEUED, State.HANDED, State.RUNNING}:
        return Waiting()
    here = run_place.place(home)
    alive = set(records.alive().values())
    if record.place not in {"", here} and record.place not in alive:
        return Waiting("it belongs to another machine, where neither `serve` nor `worker` runs", nobody=True)
    if record.place in {"", here} and here not in alive:
        return Waiting(_who_holds(records), nobody=True)
    with records.read() as tx:
        late = record.due - records.now(tx)
    if record.state is State.QUEUED and late > 1.0:
        at = time.strftime("%H:%M:%S", time.localtime(time.time() + late))
        return Waiting(
            f"it is tried again at {at}" + (f": {record.problem.message}" if record.problem else "")
        )
    if record.state is State.RUNNING:
        return Waiting()
    others = [one.id for one in records.find(State.RUNNING) if one.place == (record.place or here)]
    return Waiting(f"first comes {' and '.join(others[:_SLOTS])}" if len(others) >= _SLOTS else "")


def _who_holds(records: Records) -> str:
    """Who has the runs of this home in hand without doing them."""
    pid = _holder(records.path.with_suffix(".lock")) if records.path is not None else 0
    if not pid or pid == os.getpid():
        return "no process does the runs yet"
    if _stopped(pid):
        return f"process {pid} does the runs of this home and is suspended: `kill -CONT {pid}` lets it go on"
    return f"process {pid} does the runs of this home and does not answer: `kill {pid}` ends it"


def _holder(path: Path) -> int:
    """The process that has the lock; 0: none. What stands in the file may be left of an earlier one."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            words = os.pread(fd, 64, 0).decode("ascii", "replace").split()
            return int(words[0]) if words and words[0].isdecimal() else 0
        return 0
    finally:
        os.close(fd)


def _stopped(pid: int) -> bool:
    """Whether it is suspended, by Ctrl-Z or a debugger; only Linux tells."""
    with contextlib.suppress(OSError, IndexError):
        about = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        return about.rpartition(")")[2].split()[0] in {"T", "t"}
    return False
