"""The files of a home's connections: found, read safely, named when they are broken.

Must stay true:
- one file that cannot be read never hides the others;
- a file is read only when it is a plain file inside the folder, after links; a pipe or a link out of it is refused;
- two files with one code are an error that names both: nothing here picks one.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from typing import TYPE_CHECKING

from datapallas.connection import xml_codec
from datapallas.connection.codes import PREFIX
from datapallas.connection.xml_scan import MAX_BYTES, broken
from datapallas.errors import BrokenConnection, ConfigurationError, UnknownConnection

if TYPE_CHECKING:
    from pathlib import Path

    from datapallas.connection.model import Connection


@dataclasses.dataclass(frozen=True, slots=True)
class Broken:
    """A file that holds no connection: where, in which line (empty when in none), and why."""

    path: Path
    line: str
    reason: str

    @property
    def error(self) -> BrokenConnection:
        """The same, to be raised."""
        where = f"{self.path}, line {self.line}" if self.line else str(self.path)
        return BrokenConnection(
            f"{where}: {self.reason}.",
            path=self.path,
            line=self.line,
            reason=self.reason,
            connection=self.path.stem,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One file of the folder.

    Attributes:
        path: the file.
        data: its bytes; empty when it could not be read.
        connection: what it says; a Broken when it says nothing.
        plain: the elements whose secret stands in clear.
    """

    path: Path
    data: bytes = dataclasses.field(repr=False)
    connection: Connection | Broken
    plain: tuple[str, ...] = ()

    @property
    def good(self) -> Connection:
        """The connection; BrokenConnection (facts `path`, `line`, `reason`) when there is none."""
        if isinstance(self.connection, Broken):
            raise self.connection.error
        return self.connection


class Store:
    """The places of a home's files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.connections = root / "config" / "connections"
        self.records = root / "data" / "connections"
        self.locks = root / "data" / "locks"

    def record_path(self, code: str) -> Path:
        """Where the record of a connection is."""
        return self.records / f"{code}.json"

    def paths(self) -> list[Path]:
        """Every `eml-*.xml` of the folder, sorted; none when there is no folder."""
        try:
            names = sorted(
                e.name for e in os.scandir(self.connections) if not e.is_dir(follow_symlinks=False)
            )
        except FileNotFoundError:
            return []
        return [self.connections / n for n in names if n.startswith(PREFIX) and n.endswith(".xml")]

    def entries(self) -> list[Entry]:
        """Every file of the folder, broken ones among them."""
        return [self.entry(path) for path in self.paths()]

    def entry(self, path: Path) -> Entry:
        """One file; never raises for what is in it."""
        data = b""
        try:
            data = self.read(path)
            return Entry(path, data, xml_codec.decode(data), xml_codec.plain_secrets(data))
        except BrokenConnection as problem:
            return Entry(path, data, Broken(path, problem.facts["line"], problem.facts["reason"]))

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
        usual = self.connections / f"{code}.xml"
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
        raise self._unknown(code)

    def _entry_if_about(self, path: Path, code: str) -> Entry | None:
        """The file, unless its bytes cannot hold this code: so that one of a thousand is found without reading XML."""
        if path.stem == code:
            return self.entry(path)
        try:
            data = self.read(path)
        except BrokenConnection:
            return None
        return self.entry(path) if code.encode() in data or b"&#" in data else None

    def _unknown(self, code: str) -> UnknownConnection:
        entries = self.entries()
        known = [e.connection.code for e in entries if not isinstance(e.connection, Broken)]
        unread = [e.path.name for e in entries if isinstance(e.connection, Broken)]
        words = f"Known: {', '.join(sorted(known))}." if known else f"There is none in {self.connections}."
        if unread:
            words += f" Not readable: {', '.join(unread)}."
        return UnknownConnection(
            f"There is no connection {code!r}. {words}",
            connection=code,
            known=", ".join(sorted(known)),
            folder=self.connections,
        )
