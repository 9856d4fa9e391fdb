"""Workers and databases that are killed at random: every recipient has an outcome, and what is double is listed.

The small versions run with all tests. DATAPALLAS_CHAOS=100000 makes them large: kills every 5 to 40 seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chaos.fight import LARGE, Fight, Sink, check, promise
from datapallas.outbox.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from outbox.postgres import Postgres


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    running = Sink(tmp_path)
    yield running
    running.close()


@pytest.mark.parametrize(
    "where",
    ["sqlite", "postgres that dies too"] if not LARGE else ["postgres that dies too", "sqlite", "postgres"],
)
def test_everybody_has_an_outcome(
    where: str, tmp_path: Path, sink: Sink, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two workers, kill -9, lost answers and refused recipients; then also the database, in the same way."""
    server: Postgres | None = None if where == "sqlite" else request.getfixturevalue("server")
    place = server.new() if server else tmp_path / "outbox.db"
    database = Database(place)
    count = LARGE or 600
    promise(database, count, deferred=bool(LARGE))
    fight = Fight(
        place,
        database,
        sink,
        server=server if "dies" in where else None,
        lease=10.0 if LARGE else 1.0,
        pause=(5.0, 40.0) if LARGE else (0.7, 1.6),
    )
    sink.faults(
        lost=0.002,
        slow=0.001 if LARGE else 0.004,
        busy=0.00005 if LARGE else 0.0,
        policy=0.00005 if LARGE else 0.0,
    )
    try:
        account = fight.run(3000.0 if LARGE else 300.0)
    finally:
        database.close()
    with capsys.disabled():
        if LARGE:
            print(f"\n{where}: {account}")  # noqa: T201
    check(account, sessions=3)
    undecided = account.fates.get("parked", 0) + account.fates.get(
        "unknown", 0
    )  # in doubt twice: nobody can say
    assert account.fates["refused"] >= len(range(7, count, 50)) - undecided
    assert account.kills + account.restarts
