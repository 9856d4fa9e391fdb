"""An engine as a process of its own, to be killed: `python engine_worker.py PLACE FOLDER LEASE`.

Its work appends numbers to a file, one step counting to 200 with its cursor in the record, then one that says "end".
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from datapallas.outbox.runs.engine import Engine, Work
from datapallas.outbox.runs.records import Ended, Records, Task
from datapallas.outbox.runs.tables import State


class Counting:
    def __init__(self, folder: Path, records: Records) -> None:
        self.folder, self.records = folder, records

    def write(self, task: Task, word: str) -> None:
        with (self.folder / task.record.id).open("ab", buffering=0) as file:
            file.write(f"{word} {os.getpid()}\n".encode())

    def count(self, task: Task) -> None:
        for number in range(int(task.record.facts.get("at", 0)), 200):
            if task.ending():
                raise Ended
            self.write(task, str(number))
            task.save({"at": number + 1, "done": number}, {f"key {number}": {"n": number}})
            time.sleep(0.005)

    def end(self, task: Task) -> None:
        self.write(task, "end")


def main() -> None:
    place, folder, lease = sys.argv[1:]
    url = place if "://" in place else Path(place)
    records = Records(url)
    counting = Counting(Path(folder), records)
    work = Work(steps={"count": {"count": counting.count, "end": counting.end}})
    with Engine(records, url, "here", work, float(lease)) as engine:
        print("ready", engine.id, flush=True)  # noqa: T201 - the test waits for it
        while records.find(State.QUEUED, State.HANDED, State.RUNNING):
            time.sleep(0.1)


if __name__ == "__main__":
    main()
