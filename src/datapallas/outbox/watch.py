"""How a courier learns that there is something new, at next to no cost while there is not.

SQLite: `PRAGMA data_version` changes when another connection has committed; asking costs some 20 microseconds.
PostgreSQL: LISTEN. Must stay true: a change that is missed is found by the next poll; nothing depends on being told.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from datapallas.outbox.database import CHANNEL

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from datapallas.outbox.database import Database

_GLANCE = 0.01  # seconds between two looks at data_version
_LISTEN = 0.25  # seconds of one wait for a notice, between two looks at `end`


class _SqliteWatch:
    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._seen = self._version()

    def _version(self) -> int:
        return int(self._raw.execute("PRAGMA data_version").fetchone()[0])

    def wait(self, seconds: float, end: threading.Event) -> bool:
        """True when something changed within `seconds`."""
        until = time.monotonic() + seconds
        while True:
            version = self._version()
            if version != self._seen:
                self._seen = version
                return True
            left = until - time.monotonic()
            if left <= 0 or end.wait(min(_GLANCE, left)):
                return False


class _PostgresWatch:
    def __init__(self, raw: Any) -> None:
        self._raw = raw
        raw.autocommit = True
        raw.execute(f"LISTEN {CHANNEL}")

    def wait(self, seconds: float, end: threading.Event) -> bool:
        """True when a notice came within `seconds`."""
        until = time.monotonic() + seconds
        while not end.is_set():
            left = until - time.monotonic()
            if left <= 0:
                return False
            if any(True for _ in self._raw.notifies(timeout=min(_LISTEN, left), stop_after=1)):
                return True
        return False


@contextlib.contextmanager
def watcher(database: Database) -> Iterator[_SqliteWatch | _PostgresWatch]:
    """Watch the database, on a connection of its own."""
    with database.told():
        fairy = database.engine.raw_connection()
    raw: Any = fairy.driver_connection
    fairy.detach()
    try:
        with database.told():
            yield _SqliteWatch(raw) if database.is_sqlite else _PostgresWatch(raw)
    finally:
        raw.close()
