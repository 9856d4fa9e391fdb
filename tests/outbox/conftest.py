"""The outbox on both databases, and a mail server that does what a test tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datapallas.outbox.database import Database
from mail.conftest import stage  # noqa: F401 - the fixture
from outbox.office import Office

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mail.conftest import Stage
    from outbox.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str | Path:
    """Where the outbox is kept: a fresh one."""
    if request.param == "sqlite":
        return tmp_path / "outbox.db"
    found: Postgres = request.getfixturevalue("server")
    return found.new()


@pytest.fixture
def opened() -> Iterator[Callable[..., Database]]:
    """Open databases; they are closed at the end."""
    made: list[Database] = []

    def open_(place: str | Path, clock: Callable[[], float] | None = None) -> Database:
        made.append(Database(place, clock))
        return made[-1]

    yield open_
    for one in made:
        one.close()


@pytest.fixture
def database(place: str | Path, opened: Callable[..., Database]) -> Database:
    """An empty outbox."""
    return opened(place)


@pytest.fixture
def office(stage: Stage) -> Office:  # noqa: F811
    """A mailroom that knows the one server."""
    return Office(stage.port)
