"""What differs from database to database: the driver, where its file is, and how it is told to read only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from datapallas.errors import ConfigurationError
from datapallas.reports.paths import data_file

if TYPE_CHECKING:
    from pathlib import Path

_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "mssql": "mssql+pymssql",
}
_CONNECT_SECONDS = 15
_FILES = ("sqlite", "duckdb")


def dialect_url(text: str, folder: Path) -> sa.URL:
    """The address with the driver that is used here; a database in a file is looked for from the report's folder.

    Raises ConfigurationError (code `rows-query`) when the file is not there: opening it would make an empty one.
    """
    url = sa.make_url(text)
    family, plus, _ = url.drivername.partition("+")
    if not plus:
        url = url.set(drivername=_DRIVERS.get(family, family))
    if family in _FILES:
        path = data_file(folder, url.database or "")
        if not url.database or not path.is_file():
            raise ConfigurationError(
                f"There is no database file {path}.",
                code="rows-query",
                reason="the file is not there",
                path=path,
            )
        if family == "sqlite":  # an address of SQLite's own says "read only" (sqlite.org/uri.html)
            quoted = str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
            return url.set(database=f"file:{quoted}", query={"mode": "ro", "uri": "true"})
        return url.set(database=str(path))
    return url


def connect_arguments(url: sa.URL) -> dict[str, Any]:
    """What the driver is told when it connects."""
    match url.drivername:
        case "postgresql+psycopg":
            return {"connect_timeout": _CONNECT_SECONDS}
        case "mysql+pymysql" | "mariadb+pymysql":
            return {"connect_timeout": _CONNECT_SECONDS, "charset": "utf8mb4"}
        case "mssql+pymssql":
            return {"login_timeout": _CONNECT_SECONDS, "charset": "UTF-8", "read_only": True}
        case "duckdb":
            return {"read_only": True}
        case _:
            return {}


def read_only(connection: sa.Connection) -> None:
    """Have the database refuse changes, where it can; the transaction is rolled back everywhere."""
    match connection.dialect.name:
        case "postgresql":
            connection.execution_options(postgresql_readonly=True)
        case "mysql" | "mariadb":
            connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
            connection.rollback()
        case "sqlite":
            connection.exec_driver_sql("PRAGMA query_only = ON")
