"""The files of a home's connections: found, read safely, named when they are broken; replaced whole.

Must stay true:
- one file that cannot be read never hides the others;
- a file is read only when it is a plain file inside the folder, after links; a pipe or a link out of it is refused;
- two files with one code are an error that names both: nothing here picks one.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from typing import TYPE_CHECKING

from datapallas import files
from datapallas.connection import record as records
from datapallas.connection.codes import PREFIX, check_code
from datapallas.connection.store import Broken, Entry, Lent, entry_of, unknown
from datapallas.connection.xml_scan import MAX_BYTES, broken
from datapallas.errors import BrokenConnection, ConfigurationError, StorageError, UnknownConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from datapallas.connection.record import Record


MOVED = "moved-to-database.json"
"""Beside the connections when they are in a database; see `migration`."""
_SEALED = re.compile(rb"ENC\(v[0-9]")


class FileStore:
    """The files of a home: a Store. Once they were `moved` to a database it only says so, unless that is known."""

    lends = False

    def __init__(self, root: Path, *, moved: bool = False) -> None:
        self.root = root
        self._moved = moved
        self.connections = root / "config" / "connections"
        self.place = str(self.connections)
        self.locks = root / "data" / "locks"
        self._records = root / "data" / "connections"

    def record_path(self, code: str) -> Path:
        """Where the record of a connection is."""
        return self._records / f"{code}.json"

    def record(self, code: str) -> Record:
        """What is remembered about one."""
        return records.load(self.record_path(code))

    def records(self) -> Iterator[Record]:
        """All records."""
        for path in sorted(self._records.glob("*.json")):
            yield records.load(path)

    def paths(self) -> list[Path]:
        """Every `eml-*.xml` of the folder, sorted; none when there is no folder."""
        try:
            names = sorted(
                e.name for e in os.scandir(self.connections) if not e.is_dir(follow_symlinks=False)
            )
        except FileNotFoundError:
            return []
        if MOVED in names and not self._moved:
            raise _moved(self.connections)
        return [self.connections / n for n in names if n.startswith(PREFIX) and n.endswith(".xml")]

    def entries(self) -> list[Entry]:
        """Every file of the folder, broken ones among them."""
        return [self.entry(path) for path in self.paths()]

    def entry(self, path: Path) -> Entry:
        """One file; never raises for what is in it."""
        try:
            return entry_of(path, self.read(path))
        except BrokenConnection as problem:
            return Entry(path, b"", Broken(path, problem.facts["line"], problem.facts["reason"]))

    def read(self, path: Path) -> bytes:
        """The bytes of a file in the folder, at most one more than are allowed; BrokenConnection says why not."""
        try:
            real = path.resolve(strict=True)
            if not real.is_relative_to(self.connections.resolve()):
                broken("it is a link out of the folder, which is refused")
            fd = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, RuntimeError) as problem:  # RuntimeError: links in a circle, before Python 3.13
            broken(f"the system refuses: {getattr(problem, 'strerror', None) or 'links in a circle'}")
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            broken("it is not a plain file")
        with os.fdopen(fd, "rb") as file:
            try:
                return file.read(MAX_BYTES + 1)
            except OSError as problem:
                broken(f"the system refuses: {problem.strerror}")

    def find(self, code: str) -> Entry:
        """The one file whose `<code>` is `code`.

        Raises UnknownConnection naming the known codes, BrokenConnection when the file called so cannot be read,
        ConfigurationError (fact `case` is `duplicate-code`) naming the files when there are several.
        """
        entry = self.locate(code)
        _ = entry.good
        return entry

    def locate(self, code: str) -> Entry:
        """The one file whose `<code>` is `code`, or the broken one called so; raises as `find` does otherwise."""
        usual = self._usual(code)
        found: list[Entry] = []
        unread: Entry | None = None
        for path in self.paths():
            entry = self._entry_if_about(path, code)
            if entry is None:
                continue
            if isinstance(entry.connection, Broken):
                unread = entry if path == usual else unread
            elif entry.connection.code == code:
                found.append(entry)
        if len(found) > 1:
            names = " and ".join(str(entry.path) for entry in found)
            raise ConfigurationError(
                f"The code {code} stands in more than one file: {names}. Change or remove one.",
                case="duplicate-code",
                connection=code,
                files=names,
            )
        if found:
            return found[0]
        if unread is not None:
            return unread
        raise unknown(code, self.entries(), self.place)

    def _entry_if_about(self, path: Path, code: str) -> Entry | None:
        """The file, unless its bytes cannot hold this code: so that one of a thousand is found without reading XML."""
        if path.stem == code:
            return self.entry(path)
        try:
            data = self.read(path)
        except BrokenConnection:
            return None
        return self.entry(path) if code.encode() in data or b"&#" in data else None

    # Changing: see Store

    def vacant(self, code: str) -> None:
        """Raise ConfigurationError when a new connection could not be called so."""
        path = self._usual(code)
        taken = path if path.exists() else None
        if taken is None:
            with contextlib.suppress(UnknownConnection):
                taken = self.find(code).path
        if taken is not None:
            sentence = f"There is a connection {code} already ({taken})."
            raise ConfigurationError(sentence, case="exists", connection=code, path=taken)

    def sealed_texts(self) -> list[tuple[Path, bytes | None]]:
        """Files with values sealed by this product, read or not; what cannot be read may hold one."""
        return sealed_texts(self.root)

    def own_paths(self) -> list[Path]:
        """Folders and files."""
        return [
            self.connections.parent,
            self.connections,
            self._records.parent,
            self._records,
            self.locks,
            *self.paths(),
        ]

    def lock(self, code: str) -> AbstractContextManager[None]:
        """Hold the lock file; it is freed when its holder dies. Waits 30 s at most."""
        return files.locked(self.locks / f"{check_code(code)}.lock")

    def recover(self, code: str, follows: Callable[[object, bytes], bool]) -> None:
        """Finish or discard what a killed process left beside the file.

        Raises KeyProblem when it cannot be judged without the key; then it is left as it is.
        """
        path = self.find(code).path
        place = files.next_of(path)
        try:
            prepared = self.read(place).rstrip(b"\0")  # killed before the reserved space was cut off
        except BrokenConnection:
            if place.is_symlink() or place.exists():
                files.remove(place)
            return
        if not follows(self.entry(path).connection, prepared):
            files.remove(place)
            return
        fd = os.open(place, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, len(prepared))
            os.fsync(fd)
        finally:
            os.close(fd)
        files.adopt(path)

    @contextlib.contextmanager
    def room(self, code: str, size: int) -> Iterator[None]:
        """Prove it with a file that is taken away again."""
        files.private_directory(self.connections)
        with files.Reserved(self._usual(code), size):
            yield

    def add(self, code: str, data: bytes, record: Record) -> None:
        """Write `<code>.xml`, then the record."""
        files.private_directory(self.connections)
        files.replace(self._usual(code), data)
        with contextlib.suppress(StorageError):  # the record can be lost
            self.save_record(code, record)

    @contextlib.contextmanager
    def reserve(self, entry: Entry, size: int) -> Iterator[_Place]:
        """Space, rights and name."""
        with files.Reserved(entry.path, size) as reserved:
            yield _Place(self, entry, reserved)

    def put(self, entry: Entry, data: bytes, record: Record | None) -> int:
        """Write the file, then the record."""
        if data != entry.data:
            files.replace(entry.path, data)
        self._put_record(entry, record)
        return 0

    def save_record(self, code: str, record: Record) -> None:
        """Write it, whole or not at all."""
        records.save(self.record_path(code), record)

    def remove(self, entry: Entry, code: str) -> None:
        """Delete what was prepared, the record, the file: in this order, so that nothing is left without its file."""
        for path in (files.next_of(entry.path), self.record_path(code), entry.path):
            if path.exists() or path.is_symlink():
                files.remove(path)

    def borrow(self, code: str) -> tuple[Entry, Lent] | None:  # noqa: ARG002 - see Store
        """None: access tokens are not written into files."""
        return None

    def _usual(self, code: str) -> Path:
        return self.connections / f"{code}.xml"

    def _put_record(self, entry: Entry, record: Record | None) -> None:
        if record is not None:
            with contextlib.suppress(StorageError):
                self.save_record(entry.good.code, record)


class _Place:
    def __init__(self, store: FileStore, entry: Entry, reserved: files.Reserved) -> None:
        self._store, self._entry, self._reserved = store, entry, reserved

    def put(self, data: bytes, record: Record | None, lent: Lent | None) -> int:  # noqa: ARG002 - see Store
        """Fill the place, and put it where the file was."""
        self._reserved.commit(data)
        self._store._put_record(self._entry, record)  # noqa: SLF001 - one thing in two classes
        return 0


def sealed_texts(root: Path) -> list[tuple[Path, bytes | None]]:
    """Files of connections and reports with values sealed by this product; None for one that cannot be read."""
    return _sealed_in(root, "connections/*.xml*") + sealed_reports(root)


def sealed_reports(root: Path) -> list[tuple[Path, bytes | None]]:
    """Those of reports, which are files of the home wherever the connections are."""
    return _sealed_in(root, "reports/*/report.toml*")


def _sealed_in(root: Path, pattern: str) -> list[tuple[Path, bytes | None]]:
    found: list[tuple[Path, bytes | None]] = []
    for path in sorted((root / "config").glob(pattern)):
        try:
            data = path.read_bytes() if path.is_file() else b""
        except OSError:  # no new key beside it
            found.append((path, None))
            continue
        if _SEALED.search(data):
            found.append((path, data))
    return found


def _moved(folder: Path) -> ConfigurationError:
    return ConfigurationError(
        f"The connections of this home are not in {folder} any more: they were moved to a database, or a move was cut "
        f"off ({MOVED} says which). Set DATAPALLAS_DATABASE to that database; if it is set, run "
        "`datapallas connection migrate` again.",
        code="connections-moved",
        path=folder,
    )
