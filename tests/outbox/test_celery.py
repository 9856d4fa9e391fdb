"""Messages promised inside a Celery task, in the task's own transaction: the recipe of docs/outbox.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

celery = pytest.importorskip("celery")
from celery.contrib.testing.worker import start_worker  # type: ignore[import-untyped] # noqa: E402 - only where it is

from datapallas.outbox import tables  # noqa: E402
from datapallas.outbox.accept import Job, accept  # noqa: E402
from outbox import look  # noqa: E402
from outbox.office import CODE, drain, items  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    from datapallas.outbox.database import Database
    from mail.conftest import Stage
    from outbox.office import Office

own = sa.Table(
    "invoices",
    sa.MetaData(),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("billed", sa.Boolean, nullable=False),
)


class Killed(Exception):
    """The task ends here, as if its process had been killed before it could commit."""


def engine_of(database: Database, place: str | Path) -> sa.Engine:
    """The task's own engine; on SQLite the outbox's, which knows how the file is locked."""
    if database.is_sqlite:
        return database.engine
    return sa.create_engine(sa.make_url(str(place)).set(drivername="postgresql+psycopg"))


def test_a_task_that_is_run_again_sends_once(
    database: Database, place: str | Path, office: Office, stage: Stage
) -> None:
    """The task fails after it promised and is retried; it is delivered twice; its invoice is billed and mailed once."""
    engine = engine_of(database, place)
    own.create(engine)
    with engine.begin() as tx:
        tx.execute(own.insert(), [{"number": number, "billed": False} for number in range(5)])
    app = celery.Celery("bills", broker="memory://", backend="cache+memory://")
    app.conf.worker_hijack_root_logger = False
    app.conf.broker_transport_options = {"polling_interval": 0.02}
    failed: set[int] = set()

    @app.task(
        name="bill",
        shared=False,
        acks_late=True,
        autoretry_for=(Killed,),
        retry_backoff=False,
        default_retry_delay=0,
    )  # type: ignore[untyped-decorator]
    def bill(number: int) -> int:
        with engine.begin() as tx:
            tx.execute(sa.update(own).where(own.c.number == number).values(billed=True))
            job = Job(connection=CODE, id="november")
            new = accept(database, job, items(1, first=number), within=tx).new
            if number == 3 and number not in failed:
                failed.add(number)
                raise Killed
        return new

    with start_worker(app, pool="solo", perform_ping_check=False, loglevel="ERROR"):
        first = [bill.delay(number) for number in range(5)]
        assert [one.get(timeout=120) for one in first] == [1] * 5
        again = [bill.delay(number) for number in range(5)]
        assert [one.get(timeout=120) for one in again] == [0] * 5
    assert failed == {3}
    drain(database, office, lambda: look.all_accepted(database, 5))
    assert sorted(mail.recipients[0] for mail in stage.taken) == [
        f"p{number}@x.example" for number in range(5)
    ]
    rows: list[Any] = look.rows(database, tables.jobs)
    assert len(rows) == 1
    with engine.begin() as tx:
        assert set(tx.execute(sa.select(own.c.billed)).scalars()) == {True}
    if not database.is_sqlite:
        engine.dispose()
