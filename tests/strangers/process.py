"""Starting, watching and ending the strangers' processes.

Must stay true: a stranger is ended by the id it was started with; one whose tests were killed ends too;
nothing waits without a deadline.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

HOST = "127.0.0.1"
_STOP_SECONDS = 5.0
# Waits for the server, and ends it when our end of standard input closes: also when we are killed.
_KEEPER = """
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{ cat <&3 >/dev/null; kill -TERM $server; } &
wait $server
status=$?
kill $! 2>/dev/null
exit $status
"""


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Return as soon as `condition` holds; AssertionError naming `what` when it does not in time."""
    until = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < until, f"waited {seconds:.0f} s in vain: {what}"
        pause.wait(0.01)


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, from below the range clients are given, so that none takes one before we do."""
    found: list[int] = []
    for port in random.sample(range(20000, 30000), 2000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports")


def listens(port: int) -> bool:
    """Whether something answers on the port."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@contextlib.contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server in the foreground, its output in `log`; ended with the block, or with this process, however that ends."""
    with log.open("ab") as output:
        keeper = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER, "keeper", *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield keeper
    finally:
        stop(keeper)


def stop(keeper: subprocess.Popen[bytes]) -> None:
    """End a server that `running` gave, and what it started: politely, then not."""
    assert keeper.stdin is not None
    keeper.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        keeper.wait(_STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):  # whoever outlived it
        os.killpg(keeper.pid, signal.SIGKILL)
    keeper.wait()
