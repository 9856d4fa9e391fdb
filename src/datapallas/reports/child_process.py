"""One child process as its parent sees it: started, given recipients, and ended when it does not answer.

Must stay true: no wait is longer than its limit; nothing secret of the parent's environment is in the child's; the
child gets no signal of the parent's terminal, and no open file but its own three.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

from datapallas.errors import ConfigurationError, DataPallasError
from datapallas.reports import frames

if TYPE_CHECKING:
    from pathlib import Path

_START_SECONDS = 60.0
_GRACE = 2.0  # after the child's own alarm: Python code that hears it can say the line
_CHUNK = 1024 * 1024
# What a program needs to start and to find its fonts; no names of secrets.
_PASSED = (
    "PATH",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
    "TZ",
    "SYSTEMROOT",
    "FONTCONFIG_PATH",
)
_NOWHERE = (
    "http://127.0.0.1:9"  # the discard port: where the platform lets a child connect, it connects to nothing
)


class Ended(Exception):
    """The child is gone, or had to go; `text` says why, in words.

    `step` is what it was making, `limit` whether it was a limit that ended it.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Child:
    """A running child.

    Args:
        order: what it does: `("report", report, today, envelope_only)` or `("marks", path, by, share, shares)`.
        scratch: a folder for its temporary files.
        seconds: for one answer.
        most: octets of one answer.
    """

    def __init__(self, order: Any, scratch: Path, seconds: float, most: int) -> None:
        self._seconds = seconds
        self._most = most
        self.killed = False
        self._told = tempfile.TemporaryFile("a+b", dir=scratch)  # noqa: SIM115 - closed with the child
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "datapallas.reports.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._told,
            env=_environment(scratch),
            cwd=scratch,
            start_new_session=True,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise DataPallasError("A child process has no pipes.")
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        try:
            self._start(order)
        except BaseException:
            self.end()
            raise

    def _start(self, order: Any) -> None:
        try:
            self.send(order)
            head, _ = self.receive(_START_SECONDS)
        except Ended as problem:
            raise ConfigurationError(
                f"The process that fills templates in did not start: {problem.text}.", code="report-child"
            ) from None
        self.raise_if_broken(head)

    @staticmethod
    def raise_if_broken(head: dict[str, Any]) -> None:
        """Raise the ConfigurationError that an answer tells of."""
        if head.get("kind") == "broken":
            code, facts = str(head["code"]), {str(k): str(v) for k, v in dict(head["facts"]).items()}
            raise ConfigurationError(str(head["message"]), code=code, raw=str(head["raw"]), **facts)

    def send(self, value: Any) -> None:
        """Give it something; it must be waiting for that. Raises Ended."""
        left = memoryview(frames.down(value))
        until = time.monotonic() + _START_SECONDS
        while left:
            self._wait(self._in, select.POLLOUT, until)
            try:
                left = left[os.write(self._in, left[:_CHUNK]) :]
            except BlockingIOError:
                continue
            except OSError:
                raise Ended(self._cause()) from None

    def receive(self, seconds: float | None = None) -> tuple[dict[str, Any], list[bytes]]:
        """Its next answer. Raises Ended: it took too long, it is gone, or what it says is no answer."""
        until = time.monotonic() + (self._seconds + _GRACE if seconds is None else seconds)
        length, head = frames.LENGTH.unpack(self._read(frames.LENGTH.size, until))
        if not 4 <= length <= self._most or head > length - 4:  # noqa: PLR2004 - the octets of the head's own length
            raise Ended("it answered with more than a message may have")
        body = self._read(length - 4, until)
        try:
            return frames.read_up(head, memoryview(body))
        except frames.Torn:
            raise Ended("it answered with something else") from None

    def kill(self) -> None:
        """End it at once; who waits for its answer is told so. Any thread may."""
        self.killed = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def end(self) -> None:
        """End it and let go of what belongs to it."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._process.wait()
        self._told.close()

    def _read(self, size: int, until: float) -> bytearray:
        body = bytearray(size)
        view, at = memoryview(body), 0
        while at < size:
            self._wait(self._out, select.POLLIN, until)
            try:
                got = os.readv(self._out, [view[at : at + _CHUNK]])
            except BlockingIOError:
                continue
            if not got:
                raise Ended(self._cause())
            at += got
        return body

    def _wait(self, fd: int, what: int, until: float) -> None:
        poll = select.poll()
        poll.register(fd, what)
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            step, _ = self._note()
            raise Ended(f"{step}: it takes longer than {self._seconds:g} seconds (limits.render_seconds)")

    def _note(self) -> tuple[str, str]:
        """What it was making, and its last words."""
        self._told.seek(0)
        text = self._told.read(20_000).decode("utf-8", "replace").lstrip("\0")
        first, _, rest = text.partition("\n")
        return first or "the email", rest

    def _cause(self) -> str:
        """Why it is gone."""
        try:
            code = self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:  # it closed its pipes and lives on
            self._process.kill()
            code = self._process.wait()
        step, words = self._note()
        if "memory allocation of" in words or "MemoryError" in words or "bad_alloc" in words:
            return f"{step}: it takes more memory than limits.render_megabytes allows"
        if code == -signal.SIGXCPU:
            return f"{step}: it takes longer than {self._seconds:g} seconds (limits.render_seconds)"
        last = " ".join(words.split())[-300:]
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        return f"{step}: its process ended {how}" + (f" ({last})" if last else "")


def _environment(scratch: Path) -> dict[str, str]:
    given = {name: os.environ[name] for name in _PASSED if name in os.environ}
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - `~` may name nobody
    return given | {
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "XDG_CACHE_HOME": cache,  # where the list of the machine's fonts is kept
        "LC_ALL": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "MALLOC_ARENA_MAX": "2",  # each arena reserves 64 MB of the address space that is limited
        # Every document takes and gives back some MB; keeping them saves a twelfth of Typst's time.
        "MALLOC_TRIM_THRESHOLD_": str(128 * 1024 * 1024),
        "MALLOC_MMAP_THRESHOLD_": str(32 * 1024 * 1024),
        "MALLOC_TOP_PAD_": str(16 * 1024 * 1024),
        "RAYON_NUM_THREADS": "1",  # one process a core is parallel enough
        "http_proxy": _NOWHERE,
        "https_proxy": _NOWHERE,
        "HTTPS_PROXY": _NOWHERE,
    }


def cores() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
