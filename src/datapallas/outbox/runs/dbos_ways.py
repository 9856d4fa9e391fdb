"""How DBOS is used: quiet, on our database, asking nobody outside.

Must stay true: no Conductor, no telemetry, no server, no line on a terminal; JSON in its tables, never pickles; the
application version is fixed, so that an upgrade goes on with what the older program left.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event

from datapallas.outbox import sqlite
from datapallas.outbox.runs.tables import SCHEMA

if TYPE_CHECKING:
    from pathlib import Path

    from dbos import DBOSConfig

VERSION = "1"
"""Grows only when the steps of a work change so that one that was begun cannot be gone on with."""
_SELDOM = 3600.0  # seconds between two looks for schedules of DBOS's own kind, which we do not use


def config(url: str | Path, executor: str) -> DBOSConfig:
    """The settings for DBOS on `url`, as Records takes it."""
    from dbos import DBOSPortableJSONSerializer

    found: DBOSConfig = {
        "name": "datapallas",
        "application_version": VERSION,
        "executor_id": executor,
        "serializer": DBOSPortableJSONSerializer(),
        "log_level": "CRITICAL",
        "enable_otlp": False,
        "use_listen_notify": False,
        "max_executor_threads": 32,
        "notification_listener_polling_interval_sec": 0.5,  # it sleeps so long before it can end
        "scheduler_polling_interval_sec": _SELDOM,
    }
    if isinstance(url, str):
        real = sa.make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        return found | {"system_database_url": real, "dbos_system_schema": SCHEMA, "sys_db_pool_size": 10}
    address = sa.URL.create("sqlite", database=str(url)).render_as_string()
    return found | {"system_database_url": address, "system_database_engine": _sqlite(url)}


def silence() -> None:
    """Before anything of DBOS: it would make a handler of its own for the terminal."""
    log = logging.getLogger("dbos")
    log.propagate = False
    if not log.handlers:
        log.addHandler(logging.NullHandler())


def _sqlite(path: Path) -> sa.Engine:
    """As DBOS makes it, but synced at each commit, and in WAL mode only where that is safe."""
    engine = sqlite.create_engine(path, pool=20)

    @event.listens_for(engine, "connect")
    def settings(connection: Any, _: Any) -> None:
        connection.isolation_level = "IMMEDIATE"
        connection.execute("PRAGMA foreign_keys=ON").fetchall()

    return engine
