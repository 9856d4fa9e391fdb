"""Rows of real databases: SQLite, PostgreSQL, DuckDB; MySQL and SQL Server as far as their drivers go."""

from __future__ import annotations

import datetime as dt
import decimal
import os
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from datapallas.connection import keys
from datapallas.errors import ConfigurationError, DataPallasError, KeyProblem, RowsError, Unreachable
from datapallas.reports import definition
from datapallas.reports.model import Kind, Source
from datapallas.reports.passwords import password_of, seal
from datapallas.reports.rows import open_rows
from datapallas.secret import Secret
from reports.given import MINIMAL, folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from outbox.postgres import Postgres

PASSWORD = "correct-horse-battery"
_TABLE = "create table people (id integer primary key, name varchar(50), amount decimal(10,2), born date, note text)"
_PEOPLE = (
    "insert into people values (1, 'Jane', 12.50, '1990-05-06', null), (2, '50% :off', 3, '1991-01-01', 'x')"
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder of a report."""
    return folder(tmp_path)


def _sqlite(place: Path) -> str:
    with sqlite3.connect(place / "data.db") as database:
        database.execute(_TABLE)
        database.execute(_PEOPLE)
    database.close()
    return "sqlite:///data.db"


def _duckdb(place: Path) -> str:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(str(place / "data.duckdb")) as database:
        database.execute(_TABLE)
        database.execute(_PEOPLE)
    return "duckdb:///data.duckdb"


def _postgres(server: Postgres) -> str:
    url = server.new()
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)
    with engine.begin() as tx:
        tx.exec_driver_sql(_TABLE)
        tx.exec_driver_sql(_PEOPLE.replace("%", "%%"))
    return url


@pytest.fixture(params=["sqlite", "postgres", "duckdb"])
def url(request: pytest.FixtureRequest, place: Path) -> str:
    """A database with two people in it."""
    if request.param == "postgres":
        return _postgres(request.getfixturevalue("server"))
    made: Callable[[Path], str] = {"sqlite": _sqlite, "duckdb": _duckdb}[request.param]
    return made(place)


def _source(url: str, query: str, **more: Any) -> Source:
    return Source(kind=Kind.SQL, url=url, query=query, **more)


def test_a_query_gives_rows(place: Path, url: str) -> None:
    """A query's columns and values come as they are: empty for NULL; percent signs and colons mean themselves."""
    query = "select name, amount, born, note from people where name not like ':no%' order by id"
    with open_rows(_source(url, query), place) as rows:
        found = list(rows)
    assert rows.columns == ("name", "amount", "born", "note")
    assert [row.place for row in found] == ["row 1", "row 2"]
    jane, other = [dict(row.values) for row in found]
    assert (jane["name"], jane["note"]) == ("Jane", "")
    assert (other["name"], other["note"]) == ("50% :off", "x")
    assert decimal.Decimal(str(jane["amount"])) == decimal.Decimal("12.5")
    assert str(jane["born"]) == "1990-05-06"


def test_a_run_that_goes_on_leaves_out_what_it_had(place: Path, url: str) -> None:
    """Rows before the place where a run was cut off are left out; the others keep their numbers."""
    with open_rows(_source(url, "select name from people order by id"), place, after=1) as rows:
        assert [(row.number, row.values["name"]) for row in rows] == [(2, "50% :off")]


@pytest.mark.parametrize(
    "statement",
    [
        "delete from people",
        "create table more (a integer)",
        "insert into people (id) values (9) returning id",
    ],
)
def test_a_query_changes_nothing(place: Path, url: str, statement: str) -> None:
    """A report can only read: what would change the database is refused, and nothing is changed."""
    with (
        pytest.raises(ConfigurationError, match="The database refuses the query") as caught,
        open_rows(_source(url, statement), place),
    ):
        pass
    assert caught.value.code == "rows-query"
    with open_rows(_source(url, "select count(*) as n from people"), place) as rows:
        assert [row.values["n"] for row in rows] == [2]


def test_not_even_a_counter_is_moved(place: Path, server: Postgres) -> None:
    """What no rollback takes back is refused as well: the transaction reads only."""
    url = _postgres(server)
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)
    with engine.begin() as tx:
        tx.exec_driver_sql("create sequence counter")
    with (
        pytest.raises(ConfigurationError, match="read-only transaction"),
        open_rows(_source(url, "select nextval('counter') as n"), place) as rows,
    ):
        list(rows)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("select nope from people", "nope"),
        ("selekt 1", "(?i)syntax"),
        ("select 1 as a, 2 as a", "both called"),
    ],
)
def test_a_query_that_is_wrong_is_told_in_the_databases_words(
    place: Path, url: str, query: str, words: str
) -> None:
    """A mistake in the query is told as the database tells it, and columns need names of their own."""
    with (
        pytest.raises((ConfigurationError, RowsError), match=words),
        open_rows(_source(url, query), place) as rows,
    ):
        list(rows)


def test_an_error_in_the_middle_is_told(place: Path, server: Postgres) -> None:
    """A database that fails after half of the rows is an error, not a short list."""
    query = "select 100 / (50000 - n) as x from generate_series(1, 60000) n"
    with (
        open_rows(_source(_postgres(server), query), place) as rows,
        pytest.raises(ConfigurationError, match="division by zero"),
    ):
        list(rows)


@pytest.mark.parametrize("family", ["sqlite", "duckdb"])
def test_a_database_file_that_is_not_there_is_not_made(place: Path, family: str) -> None:
    """A misspelt database file is an error, not an empty database."""
    with (
        pytest.raises(ConfigurationError, match=r"There is no database file .*typo\.db"),
        open_rows(_source(f"{family}:///typo.db", "select 1"), place),
    ):
        pass
    assert not (place / "typo.db").exists()


@pytest.mark.parametrize("family", ["postgresql", "mysql", "mariadb", "mssql"])
def test_a_database_that_does_not_answer_is_told(place: Path, family: str) -> None:
    """When nobody answers at the address, that is said, and trying later may help; the password is not shown."""
    source = _source(f"{family}://me@127.0.0.1:1/sales", "select 1", password=Secret(PASSWORD))
    with (
        pytest.raises(Unreachable, match=r"The database at 127\.0\.0\.1:1 does not answer") as caught,
        open_rows(source, place),
    ):
        pass
    assert caught.value.transient
    assert PASSWORD not in repr(caught.value) + caught.value.raw + str(caught.value.facts)


@pytest.mark.parametrize(
    ("family", "driver", "extra"),
    [("mysql", "pymysql", "mysql"), ("mssql", "pymssql", "mssql"), ("duckdb", "duckdb_engine", "duckdb")],
)
def test_a_missing_driver_says_what_to_install(
    place: Path, monkeypatch: pytest.MonkeyPatch, family: str, driver: str, extra: str
) -> None:
    """Without the driver, the error says which extra to install."""
    monkeypatch.setitem(sys.modules, driver, None)
    (place / "x.db").write_bytes(b"")
    with (
        pytest.raises(ConfigurationError, match=rf"pip install 'datapallas\[{extra}\]'") as caught,
        open_rows(_source(f"{family}:///x.db", "select 1"), place),
    ):
        pass
    assert caught.value.code == "rows-driver"


def test_an_unknown_database_is_told(place: Path) -> None:
    """An address of no known database says so."""
    with (
        pytest.raises(ConfigurationError, match="The driver for sqllite is not installed"),
        open_rows(_source("sqllite:///x.db", "select 1"), place),
    ):
        pass


def test_a_sealed_password_opens_for_its_report_only(place: Path, tmp_path: Path) -> None:
    """A sealed password opens for its report, address and query, and for nothing else."""
    url, query = "postgresql://me@db.example/sales", "select * from people"
    sealed = seal(tmp_path, "letters", _source(url, query), Secret(PASSWORD)).text
    text = MINIMAL.replace('file = "people.csv"', f'url = "{url}"\nquery = "{query}"\npassword = "{sealed}"')
    source = definition.read(text, place).rows
    assert source is not None and source.password is None
    assert password_of(source, place) == Secret(PASSWORD)
    for changed in (
        text.replace("db.example", "evil.example"),
        text.replace("from people", "from salaries"),
        text.replace("me@", "you@"),
    ):
        moved = definition.read(changed, place).rows
        assert moved is not None
        with pytest.raises(ConfigurationError, match="datapallas report seal-password letters") as caught:
            password_of(moved, place)
        assert caught.value.code == "report-password"
    other = folder(tmp_path, "other")
    with pytest.raises(DataPallasError, match="does not open"):
        password_of(source, other)


def test_a_lost_key_is_not_replaced_while_a_report_needs_it(place: Path, tmp_path: Path) -> None:
    """A report with a sealed password counts: without its key no new one is made, which could not open it."""
    source = _source("postgresql://db.example/sales", "select 1")
    sealed = seal(tmp_path, "letters", source, Secret(PASSWORD)).text
    (place / "report.toml").write_text(f'password = "{sealed}"')
    (tmp_path / "data" / "keys" / "keyring.json").unlink()
    with pytest.raises(KeyProblem) as caught:
        keys.ensure(tmp_path, {})
    assert caught.value.facts["case"] == "lost"


def test_a_password_from_elsewhere(place: Path) -> None:
    """A variable that is not set and a file others may read are refused, with the reason."""
    source = _source("postgresql://db.example/sales", "select 1", password_from="env:REPORT_DB")
    assert password_of(source, place, {"REPORT_DB": PASSWORD}) == Secret(PASSWORD)
    with pytest.raises(ConfigurationError, match="the variable REPORT_DB, which is not set"):
        password_of(source, place, {})
    (place / "secret").write_text(f"{PASSWORD}\n")
    source = _source("postgresql://db.example/sales", "select 1", password_from="file:secret")
    (place / "secret").chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"others may read or change it \(mode 0644\)"):
        password_of(source, place)
    (place / "secret").chmod(0o600)
    assert password_of(source, place) == Secret(PASSWORD)


def test_dates_stay_dates(place: Path, server: Postgres) -> None:
    """A date of a database is a date in templates, an id is text."""
    query = "select date '2026-11-28' as d, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid as u"
    with open_rows(_source(_postgres(server), query), place) as rows:
        (row,) = rows
    assert dict(row.values) == {"d": dt.date(2026, 11, 28), "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}


_MEASURE = """
import pathlib, resource, sys
from datapallas.reports.model import Kind, Source
from datapallas.reports.rows import open_rows
with open_rows(Source(kind=Kind.SQL, url=sys.argv[1], query=sys.argv[2]), pathlib.Path(sys.argv[3])) as rows:
    assert sum(1 for _ in rows) == int(sys.argv[4])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
_MANY = (
    "with recursive s(n) as (select 1 union all select n + 1 from s where n < {}) select n, '{}' as t from s"
)


def test_memory_does_not_grow_with_the_rows_of_a_query(place: Path, server: Postgres) -> None:
    """A hundred times as many rows of a database take hardly more memory: they come as the server sends them."""
    many = int(os.environ.get("DATAPALLAS_TEST_ROWS", "200000"))
    for url in (_sqlite(place), _postgres(server)):
        taken = []
        for count in (2000, many):
            words = [
                sys.executable,
                "-c",
                _MEASURE,
                url,
                _MANY.format(count, "x" * 200),
                str(place),
                str(count),
            ]
            taken.append(int(subprocess.run(words, check=True, capture_output=True, text=True).stdout))
        assert taken[1] - taken[0] < 24
