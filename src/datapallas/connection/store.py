"""Where connections are kept: what the folder asks of its files, and of a database when a fleet shares them.

Must stay true:
- one connection that cannot be read never hides the others;
- a change is whole or not there, and is made only by whoever holds the connection's lock;
- what is read here is sealed: no store ever sees a secret that is not.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

from datapallas.connection import xml_codec
from datapallas.errors import BrokenConnection, StorageError, UnknownConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from datapallas.connection.model import Connection
    from datapallas.connection.record import Record

_MOST_NAMED = 12
"""Names in one sentence."""


@dataclasses.dataclass(frozen=True, slots=True)
class Broken:
    """What holds no connection: where, in which line (empty when in none), and why."""

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
    """One connection as it is kept.

    Attributes:
        path: its file; in a database, the name it has there.
        data: its bytes; empty when it could not be read.
        connection: what it says; a Broken when it says nothing.
        plain: the elements whose secret stands in clear.
        version: counts up with each change, where the store counts.
    """

    path: Path
    data: bytes = dataclasses.field(repr=False)
    connection: Connection | Broken
    plain: tuple[str, ...] = ()
    version: int = 0

    @property
    def good(self) -> Connection:
        """The connection; BrokenConnection (facts `path`, `line`, `reason`) when there is none."""
        if isinstance(self.connection, Broken):
            raise self.connection.error
        return self.connection


@dataclasses.dataclass(frozen=True, slots=True)
class Lent:
    """An access token, sealed, that others may use for as long as it lasts: seconds to its end, and to its last loan."""

    sealed: str = dataclasses.field(repr=False)
    ends: float
    reusable: float


class Fenced(StorageError):
    """Somebody else has this connection's lock by now: what was to be written is not. Read again."""

    code = "connection-fenced"


class Place(Protocol):
    """Room for the next version of a connection, proven before it is known."""

    def put(self, data: bytes, record: Record | None, lent: Lent | None) -> int:
        """Put it in place, durably, and give its version; `record` None is as stored.

        After StorageError the same may be put again. Raises Fenced.
        """
        ...


class Store(Protocol):
    """The connections of one home. What writes is called by the thread that holds the connection's lock.

    Attributes:
        root: the home.
        place: what a sentence calls it.
        lends: whether processes lend each other access tokens here.
    """

    root: Path
    place: str
    lends: bool

    def entries(self) -> list[Entry]:
        """Every connection, broken ones among them, by name."""
        ...

    def find(self, code: str) -> Entry:
        """The one connection whose `<code>` is `code`.

        Raises UnknownConnection naming the known codes, BrokenConnection when the one called so cannot be read,
        ConfigurationError (fact `case` is `duplicate-code`) when there are several.
        """
        ...

    def locate(self, code: str) -> Entry:
        """The same, or the broken one called so."""
        ...

    def vacant(self, code: str) -> None:
        """Raise ConfigurationError (fact `case` is `exists`) when there is a connection of this code."""
        ...

    def record(self, code: str) -> Record:
        """What is remembered about one; an empty record when nothing is."""
        ...

    def records(self) -> Iterable[Record]:
        """All records."""
        ...

    def sealed_texts(self) -> Sequence[tuple[Path, bytes | None]]:
        """The name and bytes of whatever may hold sealed values; None when it cannot be read."""
        ...

    def own_paths(self) -> Sequence[Path]:
        """Files and folders on this machine that this user must be able to read and write."""
        ...

    def lock(self, code: str) -> AbstractContextManager[None]:
        """Hold the lock of one connection. Raises StorageError (code ``lock-busy``)."""
        ...

    def recover(self, code: str, follows: Callable[[object, bytes], bool]) -> None:
        """Finish what a killed process left; `follows` says whether bytes hold the next token of a connection."""
        ...

    def room(self, code: str, size: int) -> AbstractContextManager[None]:
        """Prove that a new connection of so many bytes can be kept."""
        ...

    def add(self, code: str, data: bytes, record: Record) -> None:
        """Keep a new connection. Raises ConfigurationError when it is taken."""
        ...

    def reserve(self, entry: Entry, size: int) -> AbstractContextManager[Place]:
        """Prove that a next version of so many bytes can be kept, before it is asked for. Raises StorageError."""
        ...

    def put(self, entry: Entry, data: bytes, record: Record | None) -> int:
        """Keep a changed connection, and give its version; `record` None is as stored. Raises Fenced, StorageError."""
        ...

    def save_record(self, code: str, record: Record) -> None:
        """Keep a changed record. Raises Fenced, StorageError."""
        ...

    def remove(self, entry: Entry, code: str) -> None:
        """Take a connection away, and its record."""
        ...

    def borrow(self, code: str) -> tuple[Entry, Lent] | None:
        """An access token that somebody else keeps for all, and the connection it is for; None when there is none."""
        ...


def entry_of(path: Path, data: bytes, version: int = 0) -> Entry:
    """What these bytes say; never raises for what is in them."""
    try:
        return Entry(path, data, xml_codec.decode(data), xml_codec.plain_secrets(data), version)
    except BrokenConnection as problem:
        return Entry(path, data, Broken(path, problem.facts["line"], problem.facts["reason"]), (), version)


def _some(names: Sequence[str]) -> str:
    """The names, or the first of many: a sentence, no list."""
    shown = ", ".join(names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED} more"


def unknown(code: str, entries: Sequence[Entry], place: str) -> UnknownConnection:
    """The error for a code that is not there, naming those that are."""
    known = sorted(e.connection.code for e in entries if not isinstance(e.connection, Broken))
    unread = [e.path.name for e in entries if isinstance(e.connection, Broken)]
    words = f"Known: {_some(known)}." if known else f"There is none in {place}."
    if unread:
        words += f" Not readable: {_some(unread)}."
    return UnknownConnection(
        f"There is no connection {code!r}. {words}", connection=code, known=", ".join(known), folder=place
    )
