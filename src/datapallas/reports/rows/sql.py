"""Rows of a database, through SQLAlchemy, as the server sends them.

Must stay true:
- nothing is changed: the transaction reads only where the database knows that, and is rolled back in any case;
- rows come through a cursor of the server where there is one, so a million cost no more than a thousand;
- no error holds the password.
"""

from __future__ import annotations

import contextlib
import decimal
import re
import uuid
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import exc

from datapallas.errors import ConfigurationError, Unreachable
from datapallas.reports.model import Row
from datapallas.reports.passwords import password_of
from datapallas.reports.rows.base import Rows, columns_of
from datapallas.reports.rows.databases import connect_arguments, dialect_url, read_only

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from datapallas.reports.model import Source

_AT_A_TIME = 1000


class SqlRows(Rows):
    """Rows of a query."""

    def __init__(self, result: sa.CursorResult[Any], told: _Telling, after: int) -> None:
        super().__init__(after)
        self._result, self._told = result, told
        self.about = {"database": told.place}
        self.columns = columns_of(tuple(result.keys()), "row 0", "the query")

    def __iter__(self) -> Iterator[Row]:
        columns = self.columns
        for values in self._values():
            self.total += 1
            if self.total > self._after:
                row = dict(zip(columns, map(_value, values), strict=True))
                yield Row(self.total, row, f"row {self.total}")

    def _values(self) -> Iterator[sa.Row[Any]]:
        try:
            yield from self._result
        except exc.DBAPIError as problem:
            raise self._told.refused(problem.orig or problem) from None


@contextlib.contextmanager
def sql_rows(source: Source, folder: Path, after: int) -> Iterator[SqlRows]:
    """Ask the database of `source`. Raises ConfigurationError (`rows-driver`, `rows-query`), Unreachable."""
    url = dialect_url(source.url, folder)
    secret = password_of(source, folder)
    told = _Telling(url, secret.reveal() if secret else "")
    full = url.set(password=secret.reveal()) if secret else url
    try:
        engine = sa.create_engine(full, poolclass=sa.NullPool, connect_args=connect_arguments(url))
    except (exc.NoSuchModuleError, ImportError) as problem:
        raise _no_driver(url, problem) from problem
    except exc.ArgumentError as problem:
        raise told.refused(problem) from None
    try:
        with _connected(engine, told) as connection, _asked(connection, source.query, told) as result:
            yield SqlRows(result, told, after)
    finally:
        engine.dispose()


@contextlib.contextmanager
def _connected(engine: sa.Engine, told: _Telling) -> Iterator[sa.Connection]:
    try:
        connection = engine.connect()
    except exc.DBAPIError as problem:
        raise told.unreachable(problem.orig or problem) from None
    with contextlib.closing(connection):
        yield connection


@contextlib.contextmanager
def _asked(connection: sa.Connection, query: str, told: _Telling) -> Iterator[sa.CursorResult[Any]]:
    """The answer to a query, in a transaction that is rolled back."""
    try:
        read_only(connection)
        how = {"stream_results": True, "max_row_buffer": _AT_A_TIME, "no_parameters": True}
        result = connection.execution_options(**how).exec_driver_sql(query)
        if not result.returns_rows:
            raise told.refused(ValueError("it gives no rows: it is no SELECT"))
    except exc.DBAPIError as problem:
        raise told.refused(problem.orig or problem) from None
    try:
        yield result
    finally:
        with contextlib.suppress(exc.DBAPIError):
            result.close()
            connection.rollback()


class _Telling:
    """What a database said, without the password."""

    def __init__(self, url: sa.URL, password: str) -> None:
        self._url, self._password = url, password

    @property
    def place(self) -> str:
        """The database, without its password."""
        return self._url.render_as_string(hide_password=True)

    def _said(self, problem: BaseException) -> str:
        last = problem.args[-1] if problem.args else problem  # MySQL's and SQL Server's begin with a number
        text = " ".join((last.decode("utf-8", "replace") if isinstance(last, bytes) else str(last)).split())
        return text.replace(self._password, "******") if self._password else text

    def refused(self, problem: BaseException) -> ConfigurationError:
        """The query or the address is wrong."""
        said = self._said(problem)
        return ConfigurationError(
            f"The database refuses the query: {said.rstrip('.')}.", code="rows-query", raw=said, reason=said
        )

    def unreachable(self, problem: BaseException) -> Unreachable | ConfigurationError:
        """No connection: the login is wrong, or nobody answers."""
        said = self._said(problem)
        where = f"{self._url.host or self._url.database}" + (f":{self._url.port}" if self._url.port else "")
        if self._url.host and not _LOGIN.search(said):
            return Unreachable(
                f"The database at {where} does not answer.", code="rows-database", raw=said,
                host=self._url.host, port=self._url.port or "", phase="connect",
            )  # fmt: skip
        return ConfigurationError(
            f"The database {where} cannot be opened: {said.rstrip('.')}.",
            code="rows-query",
            raw=said,
            reason=said,
        )


_LOGIN = re.compile(
    r"(?i)password|authentication|access denied|login failed|unknown database|\" does not exist"
)


def _no_driver(url: sa.URL, problem: Exception) -> ConfigurationError:
    family = url.drivername.partition("+")[0]
    extra = {"mysql": "mysql", "mariadb": "mysql", "mssql": "mssql", "duckdb": "duckdb"}.get(family)
    words = (
        f"install it with: pip install 'datapallas[{extra}]'"
        if extra
        else "install its driver for SQLAlchemy"
    )
    return ConfigurationError(
        f"The driver for {family} is not installed; {words}.",
        code="rows-driver",
        raw=str(problem),
        driver=family,
        extra=extra or "",
    )


def _value(value: Any) -> Any:
    """A value as templates expect it: nothing for NULL, text for an id, a whole number without decimals of its own."""
    if value is None:
        return ""
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, decimal.Decimal) and not value.is_finite():
        return str(value)
    return value
