"""Connections in a PostgreSQL that a fleet shares: a Store whose lock is a lease (`lease`).

Must stay true:
- the database sees the bytes of connection files, in which every secret is sealed, and sealed access tokens;
- data and record change in one transaction, under the fence and the generation they were read at;
- a commit whose answer was lost is looked up before anything else is done: never written, and never asked, twice.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datapallas.connection import record as records
from datapallas.connection.database import Link, LinkLost
from datapallas.connection.file_store import sealed_reports
from datapallas.connection.lease import END, LEASE, Lease, Leases, tell
from datapallas.connection.store import Entry, Lent, entry_of, unknown
from datapallas.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datapallas.connection.record import Record

TABLES = """
create table if not exists connection_store (
    one integer primary key check (one = 1), state text not null, mark text not null, host text not null);
create table if not exists connections (
    code text primary key, name text not null unique, data bytea not null, record text not null,
    gen bigint not null default 1, fence bigint not null default 0, owner text, lease_until timestamptz,
    intent boolean not null default false, origin text not null default '',
    access text, access_ends timestamptz, access_reusable timestamptz);
"""
_PATIENCE = 20.0  # seconds to try to reach a database again that was lost between request and answer
_PAUSE = 0.2
_NOTHING_LENT = "access = null, access_ends = null, access_reusable = null"
_LENT = (
    "access = %s, access_ends = clock_timestamp() + %s * interval '1 second',"
    " access_reusable = clock_timestamp() + %s * interval '1 second'"
)
FOLDER = Path("DATAPALLAS_DATABASE")
"""Stands before the name of a connection where a file's folder would."""


class DatabaseStore:
    """The connections of the database behind `link`, for the home `root`."""

    lends = True

    def __init__(self, root: Path, link: Link, lease: float = LEASE) -> None:
        self.root = root
        self.link = link
        self.place = f"the database {link.place}"
        self._leases = Leases(link, lease)
        self._mine = threading.local()

    # Looking: see Store

    def entries(self) -> list[Entry]:
        """Every row, by name."""
        return [
            _entry(row)
            for row in self.link.ask('select name, data, gen from connections order by name collate "C"')
        ]

    def find(self, code: str) -> Entry:
        """The row of a code."""
        entry = self.locate(code)
        _ = entry.good
        return entry

    def locate(self, code: str) -> Entry:
        """The same, or the broken one."""
        rows = self.link.ask("select name, data, gen from connections where code = %s", (code,))
        if not rows:
            raise unknown(code, self.entries(), self.place)
        return _entry(rows[0])

    def vacant(self, code: str) -> None:
        """Raise ConfigurationError when the code or its name is taken."""
        if self.link.ask("select 1 from connections where code = %s or name = %s", (code, f"{code}.xml")):
            raise self._taken(code)

    def record(self, code: str) -> Record:
        """What is remembered about one."""
        rows = self.link.ask("select record from connections where code = %s", (code,))
        return records.from_text(rows[0][0] if rows else "")

    def records(self) -> Iterator[Record]:
        """All records."""
        for (text,) in self.link.ask('select record from connections order by code collate "C"'):
            yield records.from_text(text)

    def sealed_texts(self) -> list[tuple[Path, bytes | None]]:
        """Rows with sealed values, and the files of reports."""
        rows = self.link.ask(
            "select name, data, coalesce(access, '') from connections order by name collate \"C\""
        )
        texts = [(FOLDER / name, bytes(data) + access.encode()) for name, data, access in rows]
        found: list[tuple[Path, bytes | None]] = [(path, text) for path, text in texts if b"ENC(v" in text]
        return found + sealed_reports(self.root)

    def own_paths(self) -> list[Path]:
        """Only the folder for locks and keys."""
        return [self.root / "data", self.root / "data" / "locks"]

    # Changing

    @contextlib.contextmanager
    def lock(self, code: str) -> Iterator[None]:
        """Hold the lease; it ends by itself when its holder dies. Taking it has proven that writing works."""
        with self._leases.held(code) as lease:
            self._mine.lease = lease
            try:
                yield
            finally:
                self._mine.lease = None

    def recover(self, code: str, follows: Callable[[object, bytes], bool]) -> None:
        """Nothing to do: a transaction is whole or not there."""

    @contextlib.contextmanager
    def room(self, code: str, size: int) -> Iterator[None]:
        """Write as much, and take it back."""
        with contextlib.suppress(_TakenBack), self.link.tx() as cursor:
            row = (code, f"{code}.xml", bytes(size), "")
            cursor.execute("insert into connections (code, name, data, record) values (%s, %s, %s, %s)", row)
            raise _TakenBack
        yield

    def add(self, code: str, data: bytes, record: Record) -> None:
        """Insert it; nobody else can have done so meanwhile."""
        with self.link.tx() as cursor:
            row = (code, f"{code}.xml", data, records.to_text(record))
            cursor.execute(
                "insert into connections (code, name, data, record) select %s, %s, %s, %s"
                " where exists (select from connection_store where state = 'database') on conflict do nothing",
                row,
            )
            made = cursor.rowcount
        if not made and bytes(self._data(code)) != data:
            raise self._taken(code)

    @contextlib.contextmanager
    def reserve(self, entry: Entry, size: int) -> Iterator[_Place]:  # noqa: ARG002 - see Store
        """Renew the lease: so writing works, now."""
        lease = self._lease(entry.good.code)
        with self.link.tx() as cursor:
            cursor.execute(
                f"update connections set {END} where code = %s and fence = %s",  # noqa: S608 - a constant
                (lease.seconds, lease.code, lease.fence),
            )
            lease.check(cursor.rowcount)
        yield _Place(self, entry)

    def put(self, entry: Entry, data: bytes, record: Record | None) -> int:
        """A new generation; the lease goes on."""
        return self.write(entry, data, record, None, last=False)

    def write(
        self, entry: Entry, data: bytes, record: Record | None, lent: Lent | None, *, last: bool
    ) -> int:
        """The next generation, under fence and generation; `last` gives the lease back in the same step.

        The answer of a commit may be lost with the link: then the row says whether it was made (its bytes are ours:
        no two seals are alike), and only then is it made again.
        """
        lease = self._lease(entry.good.code)
        query, values = _write(lease, entry, last=last, lent=lent)
        text = None if record is None else records.to_text(record)
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                with self.link.tx() as cursor:
                    cursor.execute(query, (data, text, *values))
                    made = cursor.rowcount
                    if last:
                        tell(cursor, lease.code)
                if not made and bytes(self._data(lease.code)) == data:
                    made = 1
            except LinkLost:
                if time.monotonic() > until:
                    raise
                threading.Event().wait(_PAUSE)
            else:
                lease.check(made)
                lease.ended = last
                return entry.version + 1

    def save_record(self, code: str, record: Record) -> None:
        """Under the fence; it renews the lease. A parked connection lends nothing."""
        lease = self._lease(code)
        gone = f", {_NOTHING_LENT}" if record.parked else ""
        with self.link.tx() as cursor:
            cursor.execute(
                f"update connections set record = %s, intent = %s, {END}{gone} where code = %s and fence = %s",  # noqa: S608
                (records.to_text(record), record.intent is not None, lease.seconds, code, lease.fence),
            )
            lease.check(cursor.rowcount)

    def remove(self, entry: Entry, code: str) -> None:
        """Delete the row."""
        lease = self._lease(code)
        with self.link.tx() as cursor:
            cursor.execute(
                "delete from connections where code = %s and fence = %s and name = %s",
                (code, lease.fence, entry.path.name),
            )
            lease.check(cursor.rowcount)
            tell(cursor, code)
        lease.ended = True

    def borrow(self, code: str) -> tuple[Entry, Lent] | None:
        """What is lent and has enough life left, by the database's clock."""
        rows = self.link.ask(
            "select name, data, gen, access, extract(epoch from access_ends - clock_timestamp())::float8,"
            " extract(epoch from access_reusable - clock_timestamp())::float8"
            " from connections where code = %s and access is not null and access_reusable > clock_timestamp()",
            (code,),
        )
        return (_entry(rows[0][:3]), Lent(*rows[0][3:])) if rows else None

    def wait_for_leases(self) -> None:
        """Wait until nobody holds a lease. Raises StorageError (code ``lock-busy``) when somebody does for too long."""
        self._leases.wait_for_all()

    def _lease(self, code: str) -> Lease:
        lease: Lease | None = getattr(self._mine, "lease", None)
        if lease is None or lease.code != code:
            raise RuntimeError(f"{code} is changed without its lock")
        return lease

    def _data(self, code: str) -> Any:
        rows = self.link.ask("select data from connections where code = %s", (code,))
        return rows[0][0] if rows else b""

    def _taken(self, code: str) -> ConfigurationError:
        sentence = f"There is a connection {code} already ({self.place})."
        return ConfigurationError(sentence, case="exists", connection=code, path=self.place)


@dataclasses.dataclass(frozen=True, slots=True)
class _Place:
    store: DatabaseStore
    entry: Entry

    def put(self, data: bytes, record: Record | None, lent: Lent | None) -> int:
        """The last write under this lease, which it gives back."""
        return self.store.write(self.entry, data, record, lent, last=True)


class _TakenBack(Exception):
    """Rolls a transaction back."""


def _write(lease: Lease, entry: Entry, *, last: bool, lent: Lent | None) -> tuple[str, tuple[Any, ...]]:
    kept = "owner = null, lease_until = null" if last else END
    loan = _LENT if lent else _NOTHING_LENT
    query = (
        f"update connections set data = %s, record = coalesce(%s, record), gen = gen + 1, intent = false,"  # noqa: S608
        f" {loan}, {kept} where code = %s and fence = %s and gen = %s"
    )
    values: tuple[Any, ...] = (lent.sealed, lent.ends, lent.reusable) if lent else ()
    values += () if last else (lease.seconds,)
    return query, (*values, lease.code, lease.fence, entry.version)


def _entry(row: tuple[Any, ...]) -> Entry:
    name, data, version = row
    return entry_of(FOLDER / name, bytes(data), version)
