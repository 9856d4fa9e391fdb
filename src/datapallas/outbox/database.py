"""The database under the ledger: opened safely, its transactions, its time.

Must stay true: a commit that returned survives a power cut (see `sqlite`); every write takes the lock first (BEGIN IMMEDIATE), so that what it read is still so;
a database that is damaged, newer or on a network folder is refused, never repaired or rewritten here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite

from datapallas import files
from datapallas.connection.database import LINK, SESSION
from datapallas.errors import EX_CONFIG, ConfigurationError, StorageError
from datapallas.outbox import sqlite as files_of_sqlite
from datapallas.outbox import tables, upgrading
from datapallas.outbox.grouping import Grouping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Inserting = postgresql.Insert | sqlite.Insert

T = TypeVar("T")
CHANNEL = "datapallas_outbox"
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "fuse.sshfs", "ncpfs"})
_NO_RIGHT = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_READ = "datapallas_read"


class Database:
    """One outbox database.

    Args:
        url: an SQLAlchemy URL of PostgreSQL, or the path of an SQLite file, made when it is not there.
        clock: seconds since 1970; None: PostgreSQL's own, or this machine's.

    Raises ConfigurationError (a network folder, damage, a newer version, no driver), StorageError.
    """

    def __init__(self, url: str | Path, clock: Callable[[], float] | None = None) -> None:
        self.place = _shown(url)
        self._clock = clock
        self.path = url if isinstance(url, Path) else None
        self.engine = _sqlite(url) if isinstance(url, Path) else _postgresql(url)
        self.is_sqlite = self.path is not None
        self._grouping = Grouping(self.write) if self.is_sqlite else None
        self._driver_error: type[Exception] = self.engine.dialect.loaded_dbapi.Error
        # SQLite has one writer. Threads of this process take turns here, at once; its own waiting is sleeping.
        self._turn = threading.Lock() if self.is_sqlite else contextlib.nullcontext()
        try:
            self._prepare()
        except BaseException:
            self.engine.dispose()
            raise

    def close(self) -> None:
        """Let go of every connection."""
        self.engine.dispose()

    @property
    def only_looks(self) -> bool:
        """The file is on a disk that cannot be written to: reading works, everything else is refused."""
        return self.is_sqlite and isinstance(self.engine.pool, sa.pool.NullPool)

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that may write; committed and synced when the block ends.

        It may be idle for some seconds only, or PostgreSQL ends it (see SESSION), unless it is `patient`.
        """
        with self._turn, self.told(), self.engine.begin() as tx:
            yield tx

    def together(self, work: Callable[[sa.Connection], T]) -> T:
        """Do `work` in a transaction; on SQLite in one commit with what other threads want to write just now."""
        if self._grouping is not None:
            return self._grouping.run(work)
        with self.write() as tx:
            return work(tx)

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that only reads; holds up nobody."""
        with self.told(), self.engine.connect().execution_options(**{_READ: True}) as tx:
            patient(tx)
            yield tx

    def now(self, tx: sa.Connection) -> float:
        """What time it is: one clock for all workers."""
        if self._clock is not None:
            return self._clock()
        if self.is_sqlite:
            return time.time()
        return float(tx.execute(sa.text("select extract(epoch from clock_timestamp())")).scalar_one())

    def check(self) -> None:
        """Look for damage (SQLite's quick_check). Raises ConfigurationError (code ``outbox-broken``)."""
        if not self.is_sqlite:
            return
        with self.read() as tx:
            found = tx.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        if found != "ok":
            raise _broken(self.place, str(found))

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Turn what the database says into an error of ours."""
        try:
            yield
        except sa.exc.DBAPIError as problem:
            raise _told(self.place, problem.orig or problem) from problem
        except self._driver_error as problem:  # of a connection that is used without SQLAlchemy
            raise _told(self.place, problem) from problem

    def _prepare(self) -> None:
        with self.read() if self.only_looks else self.write() as tx:
            if not sa.inspect(tx).has_table("meta"):
                tables.metadata.create_all(tx)
                tx.execute(tables.meta.insert().values(name="version", value=str(tables.VERSION)))
            found = tx.execute(sa.select(tables.meta.c.value).where(tables.meta.c.name == "version")).scalar()
            if int(found or 0) < tables.VERSION:
                found = upgrading.upgrade(tx)
        if int(found or 0) != tables.VERSION:
            raise ConfigurationError(
                f"The outbox {self.place} is of version {found}; this program knows version {tables.VERSION}.",
                code="outbox-newer",
                path=self.place,
            )


def insert_new(tx: sa.Connection, table: sa.Table) -> Inserting:
    """An INSERT that leaves rows alone that are there already."""
    maker = sqlite.insert if tx.dialect.name == "sqlite" else postgresql.insert
    return maker(table).on_conflict_do_nothing()


def patient(tx: sa.Connection) -> None:
    """This transaction may be idle for as long as it likes: it holds no lock that others wait for."""
    if tx.dialect.name == "postgresql":
        tx.exec_driver_sql("set local idle_in_transaction_session_timeout = 0")


def notify(tx: sa.Connection) -> None:
    """Wake the workers of all machines when this transaction commits (SQLite: they see the file change)."""
    if tx.dialect.name == "postgresql":
        tx.execute(sa.select(sa.func.pg_notify(CHANNEL, "")))


def _sqlite(path: Path) -> sa.Engine:
    _refuse_network(path)
    try:
        files.private_directory(path.parent)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, files.PRIVATE_FILE))
    except OSError as problem:
        if problem.errno in _NO_RIGHT and os.access(path, os.R_OK):
            return _looking(path)
        raise _unopened(path, problem) from problem
    engine = files_of_sqlite.create_engine(path, pool=64)
    event.listen(engine, "connect", _settings)
    event.listen(engine, "begin", _begin)
    return engine


def _looking(path: Path) -> sa.Engine:
    engine = files_of_sqlite.reading_engine(path)
    event.listen(engine, "connect", _settings)
    event.listen(engine, "begin", _begin)
    return engine


def _unopened(path: Path, problem: OSError) -> StorageError:
    told = StorageError(f"Cannot open {path}: {problem.strerror}.", raw=str(problem), path=path)
    if problem.errno in _NO_RIGHT:  # no waiting gives a right
        told.transient, told.exit_code = False, EX_CONFIG
    return told


def _settings(connection: Any, _: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's `begin` says it, below
    connection.execute("PRAGMA cache_size=-2000")


def _begin(connection: sa.Connection) -> None:
    read = connection.get_execution_options().get(_READ)
    connection.exec_driver_sql("BEGIN" if read else "BEGIN IMMEDIATE")


def _postgresql(url: str) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as problem:
        raise ConfigurationError("DATAPALLAS_DATABASE is not a database URL.", code="outbox-url") from problem
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise ConfigurationError(
            f"DATAPALLAS_DATABASE names {parsed.get_backend_name()!r}; the outbox is kept in PostgreSQL or SQLite.",
            code="outbox-url",
        )
    link = {name: value for name, value in LINK.items() if name not in parsed.query}
    try:
        engine = sa.create_engine(
            parsed.set(drivername="postgresql+psycopg"), pool_size=64, pool_pre_ping=True, connect_args=link
        )
    except ImportError as problem:
        raise ConfigurationError(
            "PostgreSQL needs the extra `postgres`, which is not installed.", code="outbox-driver"
        ) from problem
    event.listen(engine, "connect", _session)
    return engine


def _session(connection: Any, _: object) -> None:
    """Durable commits, and an end soon to what a machine holds that has vanished."""
    connection.execute(SESSION)
    connection.commit()


def _refuse_network(path: Path) -> None:
    """SQLite's locks cannot be relied on across machines (its own documentation): two writers would damage the file."""
    try:
        mounts = Path("/proc/self/mounts").read_text("utf-8", "replace").splitlines()
    except OSError:
        return  # not Linux: nothing to look it up in
    folder = path.parent.resolve()
    points = [(line.split()[1].replace("\\040", " "), line.split()[2]) for line in mounts]
    inside = [(len(point), kind) for point, kind in points if folder.is_relative_to(point)]
    if inside and max(inside)[1] in _NETWORK:
        raise ConfigurationError(
            f"The outbox {path} would be on a network folder ({max(inside)[1]}), where SQLite is not safe.",
            code="outbox-network",
            path=path,
        )


def _shown(url: str | Path) -> str:
    if isinstance(url, Path):
        return str(url)
    with contextlib.suppress(sa.exc.ArgumentError):
        return sa.make_url(url).render_as_string(hide_password=True)
    return "DATAPALLAS_DATABASE"


def _broken(place: str, said: str) -> ConfigurationError:
    return ConfigurationError(
        f"The outbox {place} is damaged: {said}.", code="outbox-broken", raw=said, path=place
    )


def _told(place: str, problem: BaseException) -> ConfigurationError | StorageError:
    said = str(problem).strip()
    name: Any = getattr(problem, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return _broken(place, said)
    first = said.splitlines()[0] if said else type(problem).__name__
    code = "lock-busy" if name.startswith("SQLITE_BUSY") else "outbox-storage"
    told = StorageError(f"The outbox {place} cannot be used: {first}.", code=code, raw=said, path=place)
    if name.startswith("SQLITE_READONLY"):  # no waiting gives a right
        told.transient, told.exit_code = False, EX_CONFIG
    return told
