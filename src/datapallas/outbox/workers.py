"""Who drains an outbox: a row for each process, renewed while it lives, so that a machine that died is seen.

Must stay true: nothing depends on these rows: leases decide who sends, and a row that is not renewed stops nobody.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import threading
import uuid
from typing import TYPE_CHECKING

import sqlalchemy as sa

from datapallas import __version__
from datapallas.errors import DataPallasError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from datapallas.outbox.database import Database

BEAT = 10.0
"""Seconds between two heartbeats."""
LOST = 35.0
"""Seconds without one after which a worker counts as lost."""
_KEPT = 7 * 86400.0  # seconds an ended or lost worker is listed

metadata = sa.MetaData()
workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("started", sa.Float, nullable=False),
    sa.Column("seen", sa.Float, nullable=False),
    sa.Column("ended", sa.Float, nullable=False),  # 0: it did not say that it ends
    sa.Column("doing", sa.Text, nullable=False),
)


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerLine:
    """One process.

    Attributes:
        state: ``running``, ``ended``, or ``lost``: it did not say that it ends, and is not heard of any more.
        kind: what was started: ``worker``, ``serve``, ``outbox run``.
        started, seen: when, seconds since 1970 by the database's clock; `seen` is its last sign of life.
        doing: the connections it sends through just now, and with how many sessions each.
    """

    host: str
    pid: int
    version: str
    kind: str
    state: str
    started: float
    seen: float
    doing: str


@contextlib.contextmanager
def beating(database: Database, kind: str, busy: Callable[[], Mapping[str, int]]) -> Iterator[None]:
    """Be listed as a worker for as long as the block lasts. A database that is away for a while is no failure."""
    name, end = uuid.uuid4().hex, threading.Event()

    def work() -> None:
        while True:
            with contextlib.suppress(DataPallasError):
                _beat(database, name, kind, busy())
            if end.wait(BEAT):
                return

    thread = threading.Thread(target=work, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join(BEAT)
        with contextlib.suppress(DataPallasError), database.write() as tx:
            now = database.now(tx)
            tx.execute(sa.update(workers).where(workers.c.id == name).values(ended=now, seen=now, doing=""))


def listed(database: Database) -> list[WorkerLine]:
    """Every worker of the last week: those that run first, then by their last sign of life."""
    with database.read() as tx:
        if not sa.inspect(tx).has_table("workers"):
            return []
        now = database.now(tx)
        rows = tx.execute(sa.select(workers).order_by(workers.c.seen.desc())).all()
    lines = [
        WorkerLine(
            host=row.host,
            pid=row.pid,
            version=row.version,
            kind=row.kind,
            state="ended" if row.ended else "lost" if now - row.seen > LOST else "running",
            started=row.started,
            seen=row.seen,
            doing=row.doing,
        )
        for row in rows
    ]
    return sorted(lines, key=lambda line: line.state != "running")


def _beat(database: Database, name: str, kind: str, busy: Mapping[str, int]) -> None:
    doing = ", ".join(f"{code} ({count})" for code, count in sorted(busy.items()))
    with database.write() as tx:
        now = database.now(tx)
        mine = sa.update(workers).where(workers.c.id == name)
        if _there(tx) and tx.execute(mine.values(seen=now, doing=doing)).rowcount:
            return
        metadata.create_all(tx)
        tx.execute(sa.delete(workers).where(workers.c.seen < now - _KEPT))
        tx.execute(
            workers.insert().values(
                id=name,
                host=socket.gethostname(),
                pid=os.getpid(),
                version=__version__,
                kind=kind,
                started=now,
                seen=now,
                ended=0.0,
                doing=doing,
            )
        )


def _there(tx: sa.Connection) -> bool:
    """Two processes that start at once must not both make the table."""
    if tx.dialect.name == "postgresql":
        tx.execute(sa.text("select pg_advisory_xact_lock(hashtext('datapallas_workers'))"))
    return sa.inspect(tx).has_table("workers")
