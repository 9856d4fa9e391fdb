"""A small table of JSON records in one private file, shared by a running server and the command line.

Must stay true: the file is 0600 and whole (files.replace); a change happens under the lock, on what is in the file
then, so that two processes lose nothing of each other; a reader sees a change of another process at its next look.
"""

from __future__ import annotations

import contextlib
import json
import threading
from typing import TYPE_CHECKING, Any

from datapallas import files
from datapallas.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGEST = 16 * 1024 * 1024
"""Bytes of such a file that are read; it holds a few hundred bytes for each record."""

Table = dict[str, dict[str, Any]]


class Records:
    """Records by key. Threads and processes may share the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._table: Table = {}

    def all(self) -> Table:
        """Every record as it is now. The table is the reader's to look at, not to change."""
        with self._lock:
            self._look()
            return self._table

    def get(self, key: str) -> dict[str, Any] | None:
        """The record called `key`, or None."""
        return self.all().get(key)

    @contextlib.contextmanager
    def changing(self) -> Iterator[Table]:
        """A copy of the table to change; it is saved when the block ends without an exception, if it differs."""
        with files.locked(self.path.with_suffix(".lock")), self._lock:
            self._look()
            before = json.dumps(self._table, sort_keys=True)
            table: Table = json.loads(before)
            yield table
            after = json.dumps(table, sort_keys=True)
            if after != before:
                files.replace(self.path, after.encode())
                self._seen = None

    def _look(self) -> None:
        """Read the file again when it is another one than at the last look: each change makes a new inode."""
        try:
            about = self.path.stat()
        except FileNotFoundError:
            self._seen, self._table = None, {}
            return
        seen = (about.st_ino, about.st_mtime_ns, about.st_size)
        if seen != self._seen:
            self._table = self._read()
            self._seen = seen

    def _read(self) -> Table:
        try:
            return _parsed(files.read(self.path, limit=LARGEST))
        except FileNotFoundError:  # it went between the look and this
            return {}
        except ValueError as problem:
            raise ConfigurationError(
                f"{self.path} cannot be read: {problem}.", code="web-file", path=self.path, reason=problem
            ) from problem


def _parsed(data: bytes) -> Table:
    table = json.loads(data)
    if isinstance(table, dict) and all(isinstance(one, dict) for one in table.values()):
        return table
    raise ValueError("it is not a table of records")
