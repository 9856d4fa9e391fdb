"""Many sessions share commits: who returned is on the disk, who failed took nobody along."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import sqlalchemy as sa

from datapallas.errors import StorageError
from datapallas.outbox import tables
from datapallas.outbox.database import Database

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def _names(database: Database) -> set[str]:
    with database.read() as tx:
        return set(tx.execute(sa.select(tables.meta.c.name)).scalars()) - {"version"}


def test_one_that_fails_takes_nobody_along(tmp_path: Path) -> None:
    """Of forty threads each third fails: exactly the others are stored, and each knows its own result."""
    database = Database(tmp_path / "outbox.db")
    ended: dict[int, object] = {}

    def work(number: int) -> None:
        def write(tx: sa.Connection) -> int:
            tx.execute(tables.meta.insert().values(name=str(number), value=""))
            if number % 3 == 0:
                raise KeyError(number)
            return number

        try:
            ended[number] = database.together(write)
            assert str(number) in _names(database)
        except KeyError as problem:
            ended[number] = problem.args[0] * -1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 41)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == {number: -number if number % 3 == 0 else number for number in range(1, 41)}
    assert _names(database) == {str(number) for number in range(1, 41) if number % 3}
    database.close()


def test_when_the_disk_is_full_everybody_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that fails fails for all who are in it, as a failure of the storage; nothing of them is stored."""
    database = Database(tmp_path / "outbox.db")
    begun, told = threading.Barrier(3), list[str]()

    def full(connection: sa.Connection) -> None:
        raise sa.exc.OperationalError("commit", {}, OSError("database or disk is full"))

    def work(number: int) -> None:
        begun.wait(60)
        try:
            database.together(lambda tx: tx.execute(tables.meta.insert().values(name=str(number), value="")))
        except StorageError as problem:
            told.append(problem.code)

    sa.event.listen(database.engine, "commit", full)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sa.event.remove(database.engine, "commit", full)
    assert told == ["outbox-storage"] * 3 and not _names(database)
    database.close()
