"""Starts the sink, where a row wants it: on one CPU, or in a network namespace whose loopback has an MTU of 1500.

All traffic stays on a loopback interface. The sink ends with its standard input, thus with this process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Self

from bench.rig import BUILD, SECRET, NotPossible

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from bench.rig import Rig


@dataclasses.dataclass(frozen=True)
class Place:
    """Where client and sink run.

    Attributes:
        one_cpu: both on the same CPU: what they then measure is work, not how fast the system wakes the other CPU.
        mtu: of the loopback; 0 leaves it as it is (65,536).
        delay: seconds after which each reply leaves, as a model of distance.
    """

    one_cpu: bool = False
    mtu: int = 0
    delay: float = 0.0


class Sink:
    """A sink that runs, and the prefix of commands that run beside it."""

    def __init__(self, rig: Rig, place: Place) -> None:
        self._place = place
        work = rig.work
        command = [
            str(BUILD / "sink"),
            "-s",
            SECRET,
            "-k",
            str(work / "key.pem"),
            "-c",
            str(work / "cert.pem"),
        ]
        with self.beside():
            self._process = subprocess.Popen(
                [*namespace(place.mtu), *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        said = self._read().split()
        if len(said) != 2:
            raise NotPossible("The sink does not start.")
        self.port = int(said[1])
        self.prefix: list[str] = []
        if place.mtu:
            self.prefix = ["nsenter", "--target", str(self._process.pid), "--net"]
            if os.geteuid() != 0:
                self.prefix += ["--user", "--preserve-credentials"]
        self._tell(f"delay {round(place.delay * 1e6)}")

    @contextlib.contextmanager
    def beside(self) -> Iterator[None]:
        """Processes started in the block run where the sink does."""
        before = os.sched_getaffinity(0)
        if self._place.one_cpu:
            os.sched_setaffinity(0, {max(before)})
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)

    def reset(self) -> None:
        """Count from zero."""
        self._tell("reset")

    def counters(self) -> dict[str, float]:
        """Give what was counted since the reset; `cpu` in seconds."""
        self._tell("counters")
        counted: dict[str, float] = json.loads(self._read())
        return counted

    def settled(self, messages: int) -> dict[str, float]:
        """Give the counters, once the sink has counted what the client says it sent, or a second later."""
        end = time.monotonic() + 1
        while True:
            counted = self.counters()
            if counted["messages"] == messages or time.monotonic() > end:
                return counted

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def namespace(mtu: int) -> list[str]:
    """Give the command prefix that makes a network namespace with such a loopback; nothing for 0."""
    if not mtu:
        return []
    inside = f'ip link set lo mtu {mtu} && ip link set lo up && exec "$0" "$@"'
    own_user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", "--net", *own_user, "sh", "-c", inside]


def why_no_namespace(mtu: int) -> str:
    """Say why a namespace cannot be made here; an empty text when it can."""
    for program, package in (("unshare", "util-linux"), ("nsenter", "util-linux"), ("ip", "iproute2")):
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian: {package})"
    done = subprocess.run([*namespace(mtu), "true"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip() or "unshare failed"
