"""Moves the connections of a home into the database that a fleet shares, and back.

Must stay true:
- killed anywhere, each connection is whole in one place at least, nobody works on two, and the same command finishes;
- bytes and records are moved as they are: what is sealed stays sealed, and no key is asked for;
- nothing is written over: what is there already and differs stops the move, before anything has changed.

To the database: marker "moving" (from now on the files serve nobody), one transaction with all of them, marker
"moved", files gone. To files: state "leaving" (from now on no lease is given), files written, state "files", marker gone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import secrets
import socket
from typing import TYPE_CHECKING, Any

from datapallas import files
from datapallas.connection import record as records
from datapallas.connection.codes import check_code
from datapallas.connection.database import Link
from datapallas.connection.database_store import TABLES, DatabaseStore
from datapallas.connection.file_store import MOVED, FileStore
from datapallas.connection.lease import leaving
from datapallas.connection.store import Broken
from datapallas.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from datapallas.connection.folder import Folder
    from datapallas.connection.store import Entry

_LIMIT = 4096


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """What the database says: `state` is empty when it never had connections, else database, leaving or files."""

    state: str = ""
    mark: str = ""
    host: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Moved:
    """What a move did, or would do: codes; `resumed` had been moved before it was cut off."""

    place: str
    moved: tuple[str, ...]
    resumed: tuple[str, ...] = ()


def shared_store(root: Path, url: str) -> DatabaseStore | None:
    """The database's connections; None when they are files. Raises ConfigurationError when it is neither."""
    link = Link(url)
    found = state_of(link)
    if found.state == "leaving":
        raise leaving(link.place, found.host)
    if found.state != "database":
        return None
    stray = FileStore(root, moved=True).paths()
    if stray:
        names = ", ".join(path.name for path in stray[:5])
        raise ConfigurationError(
            f"The connections are in the database {link.place}, and there are files in {stray[0].parent} too "
            f"({names}). `datapallas connection migrate` takes in those the database does not have; take the others away.",
            code="connections-both",
            path=stray[0].parent,
        )
    return DatabaseStore(root, link)


def state_of(link: Link) -> State:
    """What the database says about connections."""
    if link.ask("select to_regclass('connection_store')") == [(None,)]:
        return State()
    rows = link.ask("select state, mark, host from connection_store")
    return State(*rows[0]) if rows else State()


def to_database(folder: Folder, url: str, *, dry_run: bool = False) -> Moved:
    """Move every connection of the files of `folder` (a FileStore with `moved`) into the database.

    Raises ConfigurationError naming what is in the way, StorageError; then nothing has changed, or running it again
    goes on.
    """
    store, link = _files_of(folder), Link(url)
    state = state_of(link)
    if state.state == "leaving":
        raise leaving(link.place, state.host)
    with _all_locked(folder):
        entries = _readable(store)
        new, known = _compared(link, entries) if state.state == "database" else (entries, [])
        done = Moved(link.place, _codes(new), _codes(known))
        if dry_run:
            return done
        mark = state.mark or _marker(store).get("mark") or secrets.token_hex(8)
        _mark(store, "moving", mark, link.place)
        with link.tx() as cursor:
            cursor.execute(TABLES)
            cursor.execute(
                "insert into connection_store values (1, 'database', %s, %s)"
                " on conflict (one) do update set state = 'database'",
                (mark, socket.gethostname()),
            )
            for entry in new:
                cursor.execute(
                    "insert into connections (code, name, data, record, origin) values (%s, %s, %s, %s, %s)",
                    _row(store, entry),
                )
        _mark(store, "moved", mark, link.place)
        for entry in entries:
            store.remove(entry, entry.good.code)
    return done


def to_files(folder: Folder, url: str, *, dry_run: bool = False) -> Moved:
    """Move every connection of the database into the files of `folder` (a FileStore with `moved`). Raises as above."""
    store, link = _files_of(folder), Link(url)
    state = state_of(link)
    marker = _marker(store)
    begun = marker.get("state") == "moving" and marker.get("database") == link.place  # and nothing came of it
    if state.state in {"", "files"} and (begun or (state.mark and marker.get("mark") == state.mark)):
        if not dry_run:
            _unmark(store)  # all that was left to do
        return Moved(store.place, (), _codes(store.entries()))
    if state.state not in {"database", "leaving"}:
        raise ConfigurationError(
            f"The database {link.place} has no connections.", code="connections-not-there", path=link.place
        )
    _nothing_in_the_way(store, _rows(link))
    if dry_run:
        return Moved(store.place, tuple(row[0] for row in _rows(link)))
    shared = DatabaseStore(folder.store.root, link)
    _stop_leases(shared)
    rows = _rows(link)
    _mark(store, "returning", state.mark, link.place)
    for code, name, data, record in rows:
        files.private_directory(store.connections)
        if _content(store.connections / name) != data:
            files.replace(store.connections / name, data)
        records.save(store.record_path(code), records.from_text(record))
    with link.tx() as cursor:
        cursor.execute("delete from connections")
        cursor.execute("update connection_store set state = 'files', host = %s", (socket.gethostname(),))
    _unmark(store)
    return Moved(store.place, tuple(row[0] for row in rows))


def _files_of(folder: Folder) -> FileStore:
    if not isinstance(folder.store, FileStore):
        raise TypeError("a migration needs the folder of the files")
    return folder.store


@contextlib.contextmanager
def _all_locked(folder: Folder) -> Iterator[None]:
    """Nobody changes a connection meanwhile; what a killed process left beside one is finished first.

    More than one lock is held here, and nowhere else: in the order of codes, and nobody who holds one waits for more.
    """
    codes = sorted({e.connection.code for e in folder.entries() if not isinstance(e.connection, Broken)})
    for code in codes:
        with folder.lock(code):
            pass
    with contextlib.ExitStack() as stack:
        for code in codes:
            stack.enter_context(folder.store.lock(check_code(code)))
        yield


def _readable(store: FileStore) -> list[Entry]:
    """All files; refused when one holds no connection, two hold the same, or one is half written."""
    entries = store.entries()
    for entry in entries:
        store.find(entry.good.code)
        if files.next_of(entry.path).exists():
            raise _in_the_way(f"{files.next_of(entry.path)} was left there just now; run this again")
    return entries


def _compared(link: Link, entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Those the database does not have, and those that were moved there as they are; others are refused."""
    rows = link.ask("select code, name, origin from connections")
    by_code = {code: origin for code, _, origin in rows}
    by_name = {name: code for code, name, _ in rows}
    known = [entry for entry in entries if by_code.get(entry.good.code) == _origin(entry.data)]
    new = [entry for entry in entries if entry not in known]
    for entry in new:
        other = by_name.get(entry.path.name, "")
        if entry.good.code in by_code or other:
            raise _in_the_way(
                f"the database has a connection {other or entry.good.code} already, and {entry.path} is another version "
                "of it; the one in the database is in use, so take the file away"
            )
    return new, known


def _nothing_in_the_way(store: FileStore, rows: Sequence[tuple[str, str, bytes, str]]) -> None:
    ours = {name: data for _, name, data, _ in rows}
    for path in store.paths():
        if path.name not in ours or _content(path) != ours[path.name]:
            raise _in_the_way(f"{path} is there and is not what the database has; take it away")


def _stop_leases(shared: DatabaseStore) -> None:
    """Give no more leases, wait for those that are held, and fence off whoever was too slow."""
    link = shared.link
    with link.tx() as cursor:
        cursor.execute(
            "update connection_store set state = 'leaving', host = %s where state = 'database'",
            (socket.gethostname(),),
        )
    shared.wait_for_leases()
    with link.tx() as cursor:
        cursor.execute("update connections set fence = fence + 1, owner = null, lease_until = null")


def _rows(link: Link) -> list[tuple[str, str, bytes, str]]:
    rows = link.ask('select code, name, data, record from connections order by code collate "C"')
    return [(code, name, bytes(data), record) for code, name, data, record in rows]


def _row(store: FileStore, entry: Entry) -> tuple[Any, ...]:
    code = entry.good.code
    record = records.to_text(store.record(code))
    return code, entry.path.name, entry.data, record, _origin(entry.data)


def _origin(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _codes(entries: Sequence[Entry]) -> tuple[str, ...]:
    return tuple(entry.good.code for entry in entries)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _marker(store: FileStore) -> dict[str, str]:
    with contextlib.suppress(FileNotFoundError, ValueError):
        found: dict[str, str] = json.loads(files.read(store.connections / MOVED, limit=_LIMIT))
        return found
    return {}


def _mark(store: FileStore, state: str, mark: str, place: str) -> None:
    files.private_directory(store.connections)
    text = json.dumps({"state": state, "mark": mark, "database": place}, indent=1)
    files.replace(store.connections / MOVED, text.encode() + b"\n")


def _unmark(store: FileStore) -> None:
    if (store.connections / MOVED).exists():
        files.remove(store.connections / MOVED)


def _in_the_way(what: str) -> ConfigurationError:
    return ConfigurationError(f"Nothing was moved: {what}.", code="connections-in-the-way")
