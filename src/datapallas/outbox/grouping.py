"""Several sessions' short transactions in one commit: SQLite has one writer, and each commit waits for the disk.

Whoever comes first commits for all who wait by then. Must stay true: everybody returns only after the commit that
holds their work; one that fails takes nothing of the others with it, unless the database itself failed.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sqlalchemy.exc import DBAPIError

from datapallas.errors import DataPallasError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    import sqlalchemy as sa

T = TypeVar("T")


class _Entry:
    def __init__(self, work: Callable[[sa.Connection], Any]) -> None:
        self.work = work
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = False
        self.told = threading.Event()  # it is done, or its thread is the next to commit


class Grouping:
    """Runs pieces of work in shared transactions; threads share it."""

    def __init__(self, write: Callable[[], AbstractContextManager[sa.Connection]]) -> None:
        self._write = write
        self._waiting: list[_Entry] = []
        self._list = threading.Lock()
        self._led = False

    def run(self, work: Callable[[sa.Connection], T]) -> T:
        """Do `work` within a transaction and give what it gives, once it is committed. Raises what it raises."""
        entry = _Entry(work)
        with self._list:
            self._waiting.append(entry)
            follows, self._led = self._led, True
        if follows:
            entry.told.wait()  # each on its own: thirty threads that take turns at one lock wait for each other
        if not entry.done:
            self._lead()
        if entry.error is not None:
            raise entry.error
        return cast("T", entry.result)

    def _lead(self) -> None:
        """Commit for all who wait, and make the first of those who came meanwhile the next one."""
        with self._list:
            batch, self._waiting = self._waiting, []
        try:
            self._commit(batch)
        finally:
            with self._list:
                following = self._waiting[0] if self._waiting else None
                self._led = following is not None
            for entry in batch:
                entry.told.set()
            if following is not None:
                following.told.set()

    def _commit(self, batch: list[_Entry]) -> None:
        try:
            with self._write() as tx:
                if len(batch) == 1:  # there are no others that it could take with it
                    batch[0].result = batch[0].work(tx)
                    return
                for entry in batch:
                    _one(tx, entry)
        except BaseException as problem:
            for entry in batch:
                entry.error = entry.error or problem
            if len(batch) > 1 and not isinstance(problem, DataPallasError):
                raise
        finally:
            for entry in batch:
                entry.done = True


def _one(tx: sa.Connection, entry: _Entry) -> None:
    try:
        with tx.begin_nested():
            entry.result = entry.work(tx)
    except DBAPIError:
        raise  # the transaction is the database's to give up, with all that is in it
    except Exception as problem:  # noqa: BLE001 - raised again in the thread it belongs to
        entry.error = problem
