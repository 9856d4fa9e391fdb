"""What a mailbox did over time, and an outbox of an older version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from datapallas.outbox import tables
from datapallas.outbox.accept import Job, accept
from datapallas.outbox.history import history, per_minute
from outbox.office import CODE, items

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datapallas.outbox.database import Database

NOW = 1_800_000_030.0  # half a minute into one


def test_tries_are_counted_in_equal_spans(place: str | Path, opened: Callable[..., Database]) -> None:
    """No gaps, no other mailbox, nothing older; what is neither accepted nor refused is deferred."""
    database = opened(place, lambda: NOW)
    rows = [
        (-31, "accepted"),
        (-30, "accepted"),
        (0, "mixed"),
        (0, "refused"),
        (0, "held"),
        (-9000, "accepted"),
    ]
    with database.write() as tx:
        for late, outcome in rows:
            note = {"message": 1, "mailbox": CODE, "at": NOW + late, "outcome": outcome}
            tx.execute(tables.attempts.insert(), note)
        tx.execute(tables.attempts.insert(), note | {"mailbox": "eml-other", "at": NOW})
    found = history(database, CODE, seconds=60, spans=3)
    assert [span.at - NOW for span in found.spans] == [-150, -90, -30]
    assert [(one.accepted, one.deferred, one.refused) for one in found.spans] == [
        (0, 0, 0),
        (1, 0, 0),
        (2, 1, 1),
    ]
    assert per_minute(database, CODE) == 3 and found.spans[2].all == 4


def test_an_older_outbox_is_brought_along(place: str | Path, opened: Callable[..., Database]) -> None:
    """Opened by this version, an outbox of version 1 has what it had, and what this version needs."""
    database = opened(place)
    accept(database, Job(connection=CODE, id="old"), items(1))
    with database.write() as tx:
        for index in tables.attempts.indexes:
            index.drop(tx)
        tx.exec_driver_sql("ALTER TABLE attempts DROP COLUMN mailbox")
        tx.exec_driver_sql("ALTER TABLE jobs DROP COLUMN cleaned")
        tx.exec_driver_sql(
            "INSERT INTO attempts (message, at, outcome, server, reply) VALUES (1, 5, 'x', '', '')"
        )
        tx.execute(sa.update(tables.meta).values(value="1"))
    for _ in range(2):
        again = opened(place)
        with again.read() as tx:
            assert tx.execute(sa.select(tables.attempts.c.mailbox)).scalar() == CODE
            assert tx.execute(sa.select(tables.jobs.c.cleaned)).scalar() == 0
