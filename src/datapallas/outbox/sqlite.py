"""SQLite under the ledger and the runs: which library, and how a file is opened.

Must stay true: a commit that returned survives a power cut (WAL and FULL, or TRUNCATE and EXTRA); WAL only where the
library has no corruption bug in it; all of a process opens a file with the same library (two in one process would
drop each other's locks).
"""

from __future__ import annotations

import functools
import sqlite3
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event

if TYPE_CHECKING:
    from pathlib import Path

SAFE_WAL = (3, 51, 3)
"""From this version on SQLite's WAL mode is free of the WAL-reset corruption bug."""
BUSY_SECONDS = 30.0


@functools.cache
def library() -> Any:
    """The standard library's module; where that has the bug, one that brings a newer SQLite, if it is installed.

    A commit in WAL mode waits for the disk once, in a rollback journal three or four times.
    """
    if sqlite3.sqlite_version_info < SAFE_WAL:
        try:
            from pysqlite3 import dbapi2
        except ImportError:
            return sqlite3
        if dbapi2.sqlite_version_info > sqlite3.sqlite_version_info:
            return dbapi2
    return sqlite3


def create_engine(path: Path, pool: int) -> sa.Engine:
    """An engine for a file, with `pool` connections that are kept and as many more."""
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        module=library(),
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        pool_size=pool,
        max_overflow=pool,
        pool_use_lifo=True,  # the connection that wrote last knows the pages: a third less is read (measured)
    )
    event.listen(engine, "connect", _durable)
    return engine


def reading_engine(path: Path) -> sa.Engine:
    """An engine for a file nobody may write to from here: it looks, and refuses to write.

    Without a journal beside it the file is as it is (immutable): WAL needs a place for its index otherwise.
    """
    waiting = path.with_name(path.name + "-wal")
    bare = not (waiting.exists() and waiting.stat().st_size)
    address = f"file:{quote(str(path))}?mode=ro" + ("&immutable=1" if bare else "")
    made = functools.partial(
        library().connect, address, uri=True, timeout=BUSY_SECONDS, check_same_thread=False
    )
    return sa.create_engine("sqlite://", module=library(), creator=made, poolclass=sa.pool.NullPool)


def _durable(connection: sqlite3.Connection, _: object) -> None:
    wal = library().sqlite_version_info >= SAFE_WAL
    modes = (
        ("journal_mode=WAL", "synchronous=FULL") if wal else ("journal_mode=TRUNCATE", "synchronous=EXTRA")
    )
    for words in modes:
        connection.execute(f"PRAGMA {words}").fetchall()
