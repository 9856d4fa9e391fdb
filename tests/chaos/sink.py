"""A mail server with faults that can be switched, as a process of its own: `python sink.py LOG [HOST]`.

It prints its port, then reads faults as JSON lines from standard input and ends with it. Each recipient it takes is a
line of LOG before its answer leaves. What an address starts with decides its answer: `550-`, `450-` (the first time).
"""

from __future__ import annotations

import dataclasses
import json
import random
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from mail.conftest import Stage

if TYPE_CHECKING:
    from mail.conftest import Taken


@dataclasses.dataclass
class Faults:
    """Chances from 0 to 1 for each message.

    Attributes:
        lost: the link ends between the last octet and the answer.
        busy: MAIL is answered with 421 or 432.
        policy: the message is answered with 451 4.7.500.
        slow: seconds before the answer to a message.
        mute: 1: no message is answered after it was taken.
    """

    lost: float = 0.0
    busy: float = 0.0
    policy: float = 0.0
    slow: float = 0.0
    mute: float = 0.0


class Recipients(dict[str, bytes]):
    """Answers by what an address starts with."""

    def __init__(self) -> None:
        super().__init__()
        self._met: set[str] = set()

    def get(self, address: str, default: bytes = b"") -> bytes:  # type: ignore[override]  # as Stage asks
        if address.startswith("550-"):
            return b"550 5.1.1 Nobody"
        if address.startswith("450-") and address not in self._met:
            self._met.add(address)
            return b"450 4.2.1 Busy"
        return default


class Log(list["Taken"]):
    """Writes down what is taken instead of keeping it."""

    def __init__(self, file: IO[str]) -> None:
        super().__init__()
        self._file, self._lock = file, threading.Lock()

    def lost(self) -> None:
        """Count an answer that never came."""
        with self._lock:
            self._file.write("! lost\n")
            self._file.flush()

    def append(self, mail: Taken) -> None:
        with self._lock:
            self._file.write("".join(f"{time.time():.3f} {to}\n" for to in mail.recipients))
            self._file.flush()


class Storm(Stage):
    """The stage, in bad weather."""

    def __init__(self, host: str, file: IO[str]) -> None:
        self.faults, self._chance = Faults(), random.Random(7)
        super().__init__(host)
        self.taken = self.log = Log(file)
        self.recipients = Recipients()

    def scripted(self, step: str, default: bytes) -> bytes:
        if step == "MAIL" and self._chance.random() < self.faults.busy:
            return self._chance.choice([b"421 4.3.2 Too many", b"432 4.3.2 Concurrent connections"])
        if step == "message":
            if self.faults.slow:
                time.sleep(self.faults.slow)
            if self._chance.random() < self.faults.policy:
                return b"451 4.7.500 Server busy"
        return default

    @property
    def die_after_body(self) -> int:
        lost = self._chance.random() < self.faults.lost
        if lost:
            self.log.lost()
        return int(lost)

    @die_after_body.setter
    def die_after_body(self, value: int) -> None:
        pass


def main() -> None:
    with Path(sys.argv[1]).open("a", encoding="ascii") as file:
        storm = Storm(sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1", file)
        print(storm.port, flush=True)  # noqa: T201
        for line in sys.stdin:
            storm.faults = Faults(**json.loads(line))
            storm.gate = threading.Event() if storm.faults.mute else None
            print("ok", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
