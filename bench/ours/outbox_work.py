"""The outbox's own figures, each in a process of its own: started with the name of one and its job as JSON.

Must stay true: what is counted is what a user's own process does; nothing of DataPallas is replaced but how long an idle
session keeps its connection (`idle`), so that it is not waited for.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from bench.meter import RECIPIENT, SENDER, Job, memory
from bench.ours import wiring

from datapallas.mail.compose import Composer
from datapallas.mail.mailbox import sender_of
from datapallas.mail.message import Message
from datapallas.mail.transport import Options, choose
from datapallas.outbox import courier
from datapallas.outbox.accept import Item, accept
from datapallas.outbox.accept import Job as Batch
from datapallas.outbox.courier import Courier
from datapallas.outbox.database import Database
from datapallas.outbox.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datapallas.mail.transport import MailTransport

CODE = "eml-bench"
LETTER = "Dear {name},\n\nyour total is {amount} \u20ac. Thank you for your order.\n"
_SHORT_LINGER, _BETWEEN = 0.2, 1.8


class Room:
    """Any number of mailboxes with the same limits, all at the sink."""

    def __init__(self, job: Job, limits: Limits) -> None:
        self._job, self._limits = job, limits
        self._connection = wiring.connection(job)

    def limits(self, code: str) -> Limits:  # noqa: ARG002 - the same for all
        return self._limits

    def transport(self, code: str) -> MailTransport:  # noqa: ARG002 - the same for all
        return choose(self._connection, wiring.source(self._job), Options(sessions=1))

    def sender(self, code: str) -> str:  # noqa: ARG002 - the same for all
        return SENDER

    def mark(self, code: str) -> str:  # noqa: ARG002 - never changes
        return "1"


def items(job: Job, count: int, start: int = 0) -> Iterator[Item]:
    """A short letter for each person."""
    skeleton = Composer(sender_of(wiring.connection(job))).skeleton(Message(to=RECIPIENT, text="-"))
    for index in range(start, start + count):
        text = LETTER.format(name=f"Person {index}", amount=index * 7 % 1000)
        to, subject = f"person{index}@bench.example", f"Order {index}"
        yield Item.of(skeleton.compose(to=to, subject=subject, text=text), str(index))


def accepting(job: Job, database: Database) -> dict[str, Any]:
    """Promise all in one call."""
    clock, cpu = time.perf_counter(), time.process_time()
    accept(database, Batch(connection=CODE), items(job, job.messages))
    return {"seconds": time.perf_counter() - clock, "cpu": time.process_time() - cpu}


def whole(job: Job, database: Database) -> dict[str, Any]:
    """Promise and send all."""
    clock = time.perf_counter()
    accept(database, Batch(connection=CODE), items(job, job.messages))
    Courier(database, Room(job, Limits(sessions=3))).drain()
    return {"seconds": time.perf_counter() - clock}


def commits(job: Job, database: Database) -> dict[str, Any]:
    """Count the commits of sending: as fast as it can (`free`), and one by one at a rate (`paced`)."""
    said = {}
    for name, count, limits in (
        ("free", job.messages, Limits(sessions=3)),
        ("paced", 200, Limits(sessions=1, per_minute=3000)),
    ):
        accept(database, Batch(connection=f"eml-{name}"), items(job, count))
        made: list[None] = []

        def count_one(_: object, made: list[None] = made) -> None:
            made.append(None)

        sa.event.listen(database.engine, "commit", count_one)
        Courier(database, Room(job, limits)).drain()
        sa.event.remove(database.engine, "commit", count_one)
        said[name] = len(made) / count
    return said


def idle(job: Job, database: Database) -> dict[str, Any]:
    """Send what another process promises, until its last line; say what being idle cost before that."""
    vars(courier)["LINGER"] = _SHORT_LINGER
    one = Courier(database, Room(job, Limits(sessions=3)))
    thread = threading.Thread(target=one.drain, kwargs={"forever": True})
    thread.start()
    time.sleep(2)
    cpu, clock = time.process_time(), time.perf_counter()
    time.sleep(5)
    share = (time.process_time() - cpu) / (time.perf_counter() - clock)
    print("ready", flush=True)
    sys.stdin.readline()
    one.stop()
    thread.join()
    return {"share": share}


def promising(job: Job, database: Database) -> dict[str, Any]:
    """Promise one message now and then; say when each promise was kept on the disk."""
    moments = []
    for index in range(job.messages):
        time.sleep(_BETWEEN)
        accept(database, Batch(connection=CODE), items(job, 1, index))
        moments.append(time.clock_gettime(time.CLOCK_MONOTONIC))
    return {"moments": moments}


def many(job: Job, database: Database) -> dict[str, Any]:
    """A thousand mailboxes at their rate: what the process costs once all of them send."""
    boxes, seconds = job.connections, 30
    for box in range(boxes):
        accept(database, Batch(connection=f"eml-{box}"), items(job, 60))
    one = Courier(database, Room(job, Limits(sessions=1, per_minute=30)))
    thread = threading.Thread(target=one.drain, kwargs={"forever": True})
    thread.start()
    time.sleep(20)
    cpu, clock, before = time.process_time(), time.perf_counter(), _done(database)
    time.sleep(seconds)
    took = time.perf_counter() - clock
    said = {"rate": (_done(database) - before) / took, "share": (time.process_time() - cpu) / took}
    one.stop()
    thread.join()
    return said


def _done(database: Database) -> int:
    with database.read() as tx:
        return int(tx.execute(sa.text("select count(*) from messages where state = 'done'")).scalar_one())


WORKS = {
    "accepting": accepting,
    "whole": whole,
    "commits": commits,
    "idle": idle,
    "promising": promising,
    "many": many,
}


def main(work: str, job: Job) -> None:
    """Do one, and print what was measured; `peak` is the most memory this process ever had, in octets."""
    if job.people:  # a folder shared with another process
        said = WORKS[work](job, Database(Path(job.people) / "outbox.db"))
    else:
        with tempfile.TemporaryDirectory(dir=Path(__file__).resolve().parents[1] / ".build") as folder:
            said = WORKS[work](job, Database(Path(folder) / "outbox.db"))
    print(json.dumps({**said, "peak": memory("VmHWM")}))


if __name__ == "__main__":
    main(sys.argv[1], Job.given())
