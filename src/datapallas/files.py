"""Files that are whole or not there: atomic replace, private from the first byte, and a lock that dies with its holder.

Must stay true:
- a reader sees the old bytes or the new ones, never a mixture, also after kill -9 or a power cut;
- a file made here is mode 0600 (a directory 0700) under any umask, before its first byte is written;
- the lock file is never deleted: two processes must lock the same inode.

POSIX only: flock, directory fsync. `NAME.next` beside a file is the copy being prepared.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from typing import TYPE_CHECKING

from datapallas.errors import EX_CONFIG, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700
_HEADROOM = 4096  # bytes reserved beyond the expected size: a new token may be longer than the old one
_LOCK_POLL = 0.02  # seconds between two tries; flock has no time-out of its own


def next_of(path: Path) -> Path:
    """The name under which the next version of `path` is prepared."""
    return path.with_name(path.name + ".next")


def private_directory(path: Path) -> Path:
    """Make `path` (and what is missing above it) readable by its owner only; an existing one keeps its mode."""
    missing = []
    probe = path
    while not probe.exists():
        missing.append(probe)
        probe = probe.parent
    with _told(path, "create the folder"):
        for folder in reversed(missing):
            with contextlib.suppress(FileExistsError):
                folder.mkdir(PRIVATE_DIRECTORY)
                folder.chmod(PRIVATE_DIRECTORY)  # a umask can take the owner's rights away too
    return path


def read(path: Path, *, limit: int) -> bytes:
    """All bytes of a regular file; at most `limit` + 1 of them, so that a caller sees that it is too long.

    Raises FileNotFoundError as it is; every other failure as StorageError.
    """
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except FileNotFoundError:
        raise
    except OSError as problem:
        raise _storage(path, "read", problem) from problem


def replace(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all, synced to disk before this returns."""
    with Reserved(path, len(data)) as place:
        place.commit(data)


class Reserved:
    """Space, rights and a name for the next version of a file, taken before the work that will fill it.

    A refresh token that rotates must be stored; so the place is proven (created, allocated, synced) before the
    request is sent. Leaving the block without `commit` removes the place and leaves the file as it was.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self._next = next_of(path)
        self._size = size + _HEADROOM
        self._fd = -1
        self._renamed = False

    def __enter__(self) -> Self:
        with _told(self.path, "prepare"):
            self._next.unlink(
                missing_ok=True
            )  # what an earlier, killed process left; the caller has looked at it
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._fd = os.open(self._next, flags, PRIVATE_FILE)
            try:
                os.fchmod(self._fd, PRIVATE_FILE)
                _keep_owner(self.path, self._fd)
                _allocate(self._fd, self._size)
                os.fsync(self._fd)
                sync_directory(self.path.parent)
            except BaseException:
                self._discard()
                raise
        return self

    def commit(self, data: bytes) -> None:
        """Fill the place, sync it, and put it where the file was.

        After a failure the old file stands (or the new one, not yet certain to survive a power cut), and the same
        data may be given again.
        """
        with _told(self.path, "save"):
            if (
                not self._renamed
            ):  # tried again after the directory could not be synced: only that is left to do
                os.lseek(self._fd, 0, os.SEEK_SET)
                view = memoryview(data)
                while view:
                    view = view[os.write(self._fd, view) :]
                os.ftruncate(self._fd, len(data))
                os.fsync(self._fd)
                self._next.replace(self.path)
                self._renamed = True
            sync_directory(self.path.parent)
        os.close(self._fd)
        self._fd = -1

    def _discard(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._next.unlink(missing_ok=True)

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._discard()


def adopt(path: Path) -> None:
    """Finish what a killed process had written and synced: put `NAME.next` in place of `path`."""
    with _told(path, "recover"):
        next_of(path).replace(path)
        sync_directory(path.parent)


def remove(path: Path) -> None:
    """Delete `path` and make that durable."""
    with _told(path, "delete"):
        path.unlink()
        sync_directory(path.parent)


@contextlib.contextmanager
def locked(path: Path, *, seconds: float = 30.0, poll: float = _LOCK_POLL) -> Iterator[None]:
    """Hold the lock file `path` against every other thread and process; it is freed when the holder dies.

    Waits at most `seconds`, then raises StorageError naming the holder's process id.
    """
    private_directory(path.parent)
    with _told(path, "lock"):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        _wait_for_lock(fd, path, seconds, poll)
        with contextlib.suppress(OSError):  # the note is for people; a full disk must not stop the work
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()} {time.time():.0f}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


def _wait_for_lock(fd: int, path: Path, seconds: float, poll: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = os.pread(fd, 64, 0).decode("ascii", "replace").split()
                who = f"process {holder[0]}" if holder else "another process"
                raise StorageError(
                    f"{path.stem} is being changed by {who}, which has not finished in {seconds:.0f} seconds.",
                    code="lock-busy",
                    path=path,
                    holder=who,
                ) from None
            time.sleep(poll)
        else:
            return


def exposed(path: Path) -> str:
    """Why a secret file is not private: empty when it is; else the reason in words, for a sentence."""
    about = path.lstat()
    if stat.S_ISLNK(about.st_mode):
        return "it is a symbolic link"
    if not stat.S_ISREG(about.st_mode):
        return "it is not a plain file"
    if about.st_uid not in {os.geteuid(), 0}:
        return f"it belongs to another user (uid {about.st_uid})"
    if about.st_mode & 0o077:
        return f"others may read or change it (mode {stat.S_IMODE(about.st_mode):04o})"
    return ""


def sync_directory(path: Path) -> None:
    """Make a rename or a deletion in `path` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _keep_owner(path: Path, fd: int) -> None:
    """Root saving another user's file leaves it that user's."""
    if os.geteuid() == 0:
        with contextlib.suppress(FileNotFoundError):
            about = path.stat()
            os.fchown(fd, about.st_uid, about.st_gid)


def _allocate(fd: int, size: int) -> None:
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as problem:
        if problem.errno not in {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:
            raise
        os.write(fd, bytes(size))  # a file system without allocation: zeros take the space as well
    except AttributeError:  # macOS
        os.write(fd, bytes(size))


def _storage(path: Path, doing: str, problem: OSError) -> StorageError:
    full = problem.errno in {errno.ENOSPC, errno.EDQUOT}
    reason = problem.strerror or "unknown reason"
    error = StorageError(
        f"Cannot {doing} {path}: {reason}.",
        code="disk-full" if full else "storage",
        raw=f"[errno {problem.errno}] {reason}",
        path=path,
        reason=reason,
    )
    if problem.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:  # no waiting gives a right
        error.transient, error.exit_code = False, EX_CONFIG
    return error


@contextlib.contextmanager
def _told(path: Path, doing: str) -> Iterator[None]:
    """Turn an OSError into the sentence a person can act on."""
    try:
        yield
    except OSError as problem:
        raise _storage(path, doing, problem) from problem
