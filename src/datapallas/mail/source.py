"""Where the octets of an attachment come from: memory, a file, or a stream, all read the same way.

Must stay true: a file is never held in memory as a whole unless it is small; its size is known before its first
octet is read, and a file that changes in between is an AttachmentError before the message is complete, never a
shorter attachment. A stream is read once, into memory or a temporary file nobody else can open.
"""

from __future__ import annotations

import dataclasses
import os
import stat
import weakref
from typing import TYPE_CHECKING, Protocol

from datapallas.errors import AttachmentError, StorageError
from datapallas.mail.address import control_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

IN_MEMORY = 2 * 1024 * 1024
"""Octets up to which a file is read and encoded as a whole, and a stream is kept in memory."""


class Source(Protocol):
    """Where the octets of an attachment come from."""

    def size(self) -> int:
        """Give the number of octets, now. Raises AttachmentError when they cannot be had."""

    def version(self) -> object:
        """Give what stays equal as long as the content does; None when that is not known, or not worth keeping."""

    def read(self, size: int, block: int) -> Iterator[bytes | memoryview]:
        """Give exactly `size` octets in blocks of `block`; AttachmentError instead of the last when they changed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Octets:
    """Content in memory. Equal content is one content, however often it was loaded."""

    data: bytes = dataclasses.field(repr=False)

    def size(self) -> int:
        """Give the number of octets."""
        return len(self.data)

    def version(self) -> bytes:
        """Give the content itself: Python computes its hash once and keeps it with it."""
        return self.data

    def read(self, size: int, block: int) -> Iterator[memoryview]:
        """Give it in blocks, without a copy."""
        view = memoryview(self.data)
        for at in range(0, size, block):
            yield view[at : at + block]


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    """Content of a plain file, read when the message is sent."""

    path: str

    def size(self) -> int:
        """Give the number of octets the file has now."""
        return self._about().st_size

    def version(self) -> tuple[int, ...] | None:
        """Give what the file system changes whenever the file does.

        None while the last change is so fresh that another could hide behind the same time stamp.
        """
        import time

        about = self._about()
        changed = max(about.st_mtime_ns, about.st_ctime_ns)
        # Linux stamps in steps of 1 to 10 ms; a stamp of whole seconds may come from a file system that knows no more.
        grain = 50_000_000 if changed % 1_000_000_000 else 2_000_000_000
        if time.time_ns() - changed < grain:
            return None
        return (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)

    def read(self, size: int, block: int) -> Iterator[bytes]:
        """Open, read `size` octets and make sure that these are all, and the same, to the end."""
        fd = self._open()
        try:
            before = os.fstat(fd)
            at = 0
            while at < size and (data := _read_full(fd, min(block, size - at), at)):
                at += len(data)
                if at == size:
                    self._same(before, os.fstat(fd), size)
                yield data
            self._same(before, os.fstat(fd), at and size)
        except OSError as problem:
            raise self._unreadable(problem) from problem
        finally:
            os.close(fd)

    def _same(self, before: os.stat_result, after: os.stat_result, size: int) -> None:
        if not before.st_size == after.st_size == size or before.st_mtime_ns != after.st_mtime_ns:
            raise AttachmentError(
                f"The attachment {shown(self.path)} changed while it was read; the message was not sent.",
                code="attachment-changed",
                path=shown(self.path),
            )

    def _about(self) -> os.stat_result:
        try:
            about = os.stat(self.path)  # noqa: PTH116 - pathlib costs more than the system call
        except (OSError, ValueError) as problem:
            raise self._unreadable(problem) from problem
        if not stat.S_ISREG(about.st_mode):
            what = "a folder" if stat.S_ISDIR(about.st_mode) else "not a plain file"
            raise AttachmentError(f"The attachment {shown(self.path)} is {what}.", path=shown(self.path))
        return about

    def _open(self) -> int:
        try:
            # Not blocking: a pipe that took the file's place must not hang the sending.
            return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as problem:
            raise self._unreadable(problem) from problem

    def _unreadable(self, problem: OSError | ValueError) -> AttachmentError:
        path = shown(self.path)
        if isinstance(problem, FileNotFoundError):
            return AttachmentError(f"The attachment {path} does not exist.", path=path)
        reason = getattr(problem, "strerror", None) or str(problem)
        return AttachmentError(f"Cannot read the attachment {path}: {reason}.", path=path, raw=reason)


class Spooled:
    """What came from a long stream, in a temporary file without a name (mode 0600 while it had one)."""

    def __init__(self, stream: BinaryIO, head: bytes) -> None:
        import tempfile

        self._fd, name = tempfile.mkstemp(prefix="datapallas-")
        weakref.finalize(self, os.close, self._fd)
        os.unlink(name)  # noqa: PTH108 - the content goes when the last user of it goes
        self._size = 0
        data = head
        while data:
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
            self._size += len(data)
            data = _octets(stream.read(IN_MEMORY))

    def size(self) -> int:
        """Give the number of octets the stream had."""
        return self._size

    def version(self) -> None:
        """Give nothing: it is long."""

    def read(self, size: int, block: int) -> Iterator[bytes]:
        """Give the content in blocks; several readers at once do not disturb each other."""
        at = 0
        while at < size:
            data = _read_full(self._fd, min(block, size - at), at)
            if not data:
                raise AttachmentError("The temporary copy of an attachment was cut short.")
            at += len(data)
            yield data


def spool(stream: BinaryIO) -> Octets | Spooled:
    """Read a stream to its end. Raises AttachmentError for one that gives text or is closed."""
    try:
        head = _octets(stream.read(IN_MEMORY))
        while len(head) < IN_MEMORY and (more := _octets(stream.read(IN_MEMORY - len(head)))):
            head += more
        return Octets(head) if len(head) < IN_MEMORY else Spooled(stream, head)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise StorageError(
            f"Cannot read or keep the stream of an attachment: {reason}.", raw=reason
        ) from problem
    except ValueError as problem:  # a closed file
        raise AttachmentError(f"Cannot read the stream of an attachment: {problem}.") from problem


def shown(path: str) -> str:
    """Give a path as it may be shown: one line, harmless for a terminal."""
    return ascii(path) if control_in(path) else path


def _octets(data: object) -> bytes:
    if isinstance(data, bytes):
        return data
    raise AttachmentError("The stream of an attachment gives text: open it for reading octets ('rb').")


def _read_full(fd: int, count: int, at: int) -> bytes:
    """Read `count` octets at `at`; fewer only at the end of the file."""
    data = os.pread(fd, count, at)
    while 0 < len(data) < count and (more := os.pread(fd, count - len(data), at + len(data))):
        data += more
    return data
