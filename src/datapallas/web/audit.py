"""The audit: one line of JSON for each change, only ever added to `<home>/data/audit.log`.

    {"at": "2026-11-24T08:00:00Z", "who": "local", "from": "127.0.0.1", "what": "connection-saved",
     "facts": {"connection": "eml-reports"}, "before": "<sha256 of the line before>"}

Must stay true: no secret is given to it; a line is on the disk before `write` returns; each line names the hash of the
one before it, so that a line that was changed or taken out in the middle is found by `verify`. Whoever may write the
file can cut its end off, or write it all anew: keep a copy elsewhere where that matters.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any, Protocol

from datapallas import files
from datapallas.errors import StorageError
from datapallas.oauth.clock import SystemClock, iso
from datapallas.web.limits import Limit

if TYPE_CHECKING:
    from pathlib import Path

    from datapallas.oauth.clock import Clock

FIRST = "0" * 64
TORN = "audit-torn"
LONGEST = 65_536
"""Bytes of a line; facts are cut so that no line comes near it."""
LONGEST_FACT = 500
REFUSED_A_MINUTE = 20


class Author(Protocol):
    """Whose change it is: `web.who.Who` is one, and so is `Person`."""

    @property
    def name(self) -> str:
        """Who."""

    @property
    def address(self) -> str:
        """From where."""


@dataclasses.dataclass(frozen=True, slots=True)
class Person:
    """An author that no session or token stands for: somebody at the command line, or nobody known."""

    name: str
    address: str = ""


class Audit:
    """The audit of one home. Threads and processes may share it."""

    def __init__(self, root: Path, clock: Clock | None = None) -> None:
        self.path = root / "data" / "audit.log"
        self._lock = root / "data" / "web" / "audit.lock"
        self._clock = clock or SystemClock()
        self._refused = Limit(REFUSED_A_MINUTE, self._clock)

    def write(self, who: Author, what: str, **facts: object) -> None:
        """Add one line. Raises StorageError when it cannot be written: then the change must not be made."""
        line = {
            "at": iso(self._clock.wall()),
            "who": who.name[:LONGEST_FACT],
            "from": who.address[:LONGEST_FACT],
            "what": what,
            "facts": {name: _plain(value) for name, value in facts.items()},
        }
        with files.locked(self._lock):
            try:
                self._append(line)
            except OSError as problem:
                reason = problem.strerror or "unknown reason"
                raise StorageError(
                    f"Cannot write the audit {self.path}: {reason}.", path=self.path, reason=reason
                ) from problem

    def refused(self, who: Author, why: str, **facts: object) -> None:
        """Add a line about a request that was refused; not more than a few a minute, so that nobody fills the disk."""
        if not self._refused.take("refused"):
            self.write(who, "request-refused", why=why, **facts)

    def _append(self, line: dict[str, Any]) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self.path, flags, files.PRIVATE_FILE)
        try:
            last, torn = _last_line(fd)
            before = _hash(last) if last else FIRST
            data = b""
            if torn:  # a crash in the middle of a line: it stays, and the next line says so
                note = {**line, "who": "audit", "from": "", "what": TORN, "facts": {"bytes": len(last)}}
                data, sealed = b"\n", _line(note, before)
                data += sealed + b"\n"
                before = _hash(sealed)
            data += _line(line, before) + b"\n"
            while data:
                data = data[os.write(fd, data) :]
            os.fsync(fd)
        finally:
            os.close(fd)


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found: `lines` read, and the first thing wrong, or empty."""

    lines: int
    problem: str = ""


def verify(path: Path) -> Verdict:
    """Whether every line of the audit is the one that was written. Raises FileNotFoundError."""
    before, number, torn = FIRST, 0, False
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            line = _read(raw.removesuffix(b"\n")) if raw.endswith(b"\n") else None
            if line is None:
                if torn:
                    return Verdict(number, f"line {number} is not a line of the audit")
                torn = True
            else:
                if torn and line.get("what") != TORN:
                    return Verdict(number, f"line {number - 1} is not a line of the audit")
                if line.get("before") != before:
                    return Verdict(number, f"line {number} does not follow the line before it")
                torn = False
            before = _hash(raw.removesuffix(b"\n"))
    return Verdict(number)


def _read(raw: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(raw)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def _line(line: dict[str, Any], before: str) -> bytes:
    return json.dumps({**line, "before": before}, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, bool | int | float) or value is None:
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in list(value)[:50]]
    return str(value)[:LONGEST_FACT]


def _last_line(fd: int) -> tuple[bytes, bool]:
    """The last line without its line feed, and whether it had none; empty when there is no line."""
    size = os.fstat(fd).st_size
    length = min(size, 2 * LONGEST)
    tail = os.pread(fd, length, size - length)
    torn = bool(tail) and not tail.endswith(b"\n")
    return tail.removesuffix(b"\n").rsplit(b"\n", 1)[-1], torn
