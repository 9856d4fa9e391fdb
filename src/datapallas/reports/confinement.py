"""What the process that fills templates in may not do: grow, run on, talk to the network, leave a core dump.

Must stay true: each limit is set before the first template is touched, and a limit the platform does not know is the
only one left out.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import platform
import resource
import signal
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from datapallas.reports.filling import OutOfTime

if TYPE_CHECKING:
    from types import FrameType

_FILES = 256
_FILE_OCTETS = 2 * 1024**3  # sheets of many rows pass through a temporary file

# Numbers of system calls (Linux, arch/*/entry/syscalls): of seccomp, and of what opens a way out or starts a program:
# socket, socketpair, execve, execveat, io_uring_setup, ptrace, process_vm_writev.
_CALLS = {
    "x86_64": (0xC000003E, 317, (41, 53, 59, 322, 425, 101, 311)),
    "aarch64": (0xC00000B7, 277, (198, 199, 221, 281, 425, 117, 271)),
}
_X32 = 0x40000000
_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_ALLOW, _EACCES = 0x7FFF0000, 0x00050000 | 13
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06


def confine(megabytes: int) -> None:
    """Limit this process, for good. `megabytes` of memory come on top of what it has mapped now."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _FILES)
    _limit(resource.RLIMIT_FSIZE, _FILE_OCTETS)
    if mapped := _mapped():
        _limit(resource.RLIMIT_AS, mapped + megabytes * 1024 * 1024)
    without_network()


class Clock:
    """Seconds for one recipient: an alarm for Python code, and CPU time for what an alarm does not reach."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        signal.signal(signal.SIGALRM, self._ring)

    def start(self) -> None:
        """Begin anew."""
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        soft = math.ceil(used + self._seconds) + 2
        with contextlib.suppress(ValueError, OSError):  # an operator's own, lower limit stands
            resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
        signal.setitimer(signal.ITIMER_REAL, self._seconds)

    @staticmethod
    def stop() -> None:
        """No alarm while waiting."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _ring(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - signal's
        raise OutOfTime(f"it takes longer than {self._seconds:g} seconds (limits.render_seconds)")


def without_network() -> bool:
    """Have the kernel refuse sockets and new programs to this process (seccomp); False where it cannot."""
    about = _CALLS.get(platform.machine())
    if sys.platform != "linux" or about is None:
        return False
    arch, seccomp, refused = about
    program = [
        (_LOAD, 0, 0, 4),  # the architecture
        (_EQUAL, 1, 0, arch),
        (_RETURN, 0, 0, _EACCES),  # a call by another table of numbers
        (_LOAD, 0, 0, 0),  # the number
        (_AT_LEAST, len(refused) + 1, 0, _X32),
        *[(_EQUAL, len(refused) - at, 0, number) for at, number in enumerate(refused)],
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _EACCES),
    ]
    code = b"".join([struct.pack("HBBI", *step) for step in program])
    steps = ctypes.create_string_buffer(code, len(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))

    given = Program(len(program), ctypes.addressof(steps))
    return bool(libc.syscall(seccomp, _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(given)) == 0)


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    with contextlib.suppress(ValueError, OSError):  # macOS knows RLIMIT_AS by name only
        resource.setrlimit(what, (most, most))


def _mapped() -> int:
    """Octets of address space in use; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 0
