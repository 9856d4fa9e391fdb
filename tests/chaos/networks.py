"""Machines with networks of their own: namespaces, each with one cable to this one, which can be pulled out.

Linux and root only; everything is gone when the block ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from strangers.needs import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

NETWORK = "10.213.0.0/16"
_NUMBERS = itertools.cycle(
    range(63)
)  # of the networks of this process: none is made again while an old one ends


@dataclasses.dataclass(frozen=True)
class Machine:
    """One namespace.

    Attributes:
        here: the address of this machine, as that one sees it.
        there: its own.
        prefix: what stands before a command that runs there.
    """

    name: str
    here: str
    there: str

    @property
    def prefix(self) -> list[str]:
        return ["ip", "netns", "exec", self.name]

    def cut(self) -> None:
        """Pull the cable out: nothing is said to anybody."""
        _ip("link", "set", f"{self.name}a", "down")

    def join(self) -> None:
        """Put it back."""
        _ip("link", "set", f"{self.name}a", "up")


@contextlib.contextmanager
def machines(count: int) -> Iterator[list[Machine]]:
    """So many machines. Skips, or fails in CI, where they cannot be made."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        missing("network namespaces need root and iproute2 (apt-get install iproute2)")
    own = os.getpid()
    made = [
        Machine(f"dp{own:x}n{n}", f"10.213.{own % 250}.{4 * n + 1}", f"10.213.{own % 250}.{4 * n + 2}")
        for n in itertools.islice(_NUMBERS, count)
    ]
    try:
        for machine in made:
            _make(machine)
        yield made
    finally:
        for machine in made:
            # The cable by itself: with its namespace it would go some time later, and its address with it.
            for words in (["link", "del", f"{machine.name}a"], ["netns", "del", machine.name]):
                subprocess.run(["ip", *words], capture_output=True, check=False)


def _make(machine: Machine) -> None:
    outside, inside = f"{machine.name}a", f"{machine.name}b"
    try:
        _ip("netns", "add", machine.name)
        _ip("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", machine.name)
    except subprocess.CalledProcessError as problem:
        missing(f"network namespaces cannot be made here: {problem.stderr.strip()}")
    _ip("addr", "add", f"{machine.here}/30", "dev", outside)
    _ip("link", "set", outside, "up")
    _ip("-n", machine.name, "addr", "add", f"{machine.there}/30", "dev", inside)
    for device in (inside, "lo"):
        _ip("-n", machine.name, "link", "set", device, "up")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
