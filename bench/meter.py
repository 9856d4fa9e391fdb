"""What every Python client under measurement shares: the job it is given, and the clock and CPU around its loop.

A client is started with its job as JSON in its last argument, sends, and prints one line of JSON. Imports, connecting
(unless the job is about connecting) and the untimed messages are outside the clock. Nothing but the standard library
is imported here: this runs in the peers' environment, too.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

SENDER = "sender@bench.example"
RECIPIENT = "to@bench.example"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What to send, and where.

    Attributes:
        work: ``raw`` sends the file `message` as it is; ``compose`` makes a message of `text` and, when set, of the
            attachment `file`; ``campaign`` sends a text, an HTML body and the PDF `file` to each of `people`.
        untimed: messages before the clock starts, for all connections together.
        each_new: a new connection for every message.
        window: messages handed to a queueing client at once, per connection.
    """

    work: str
    port: int
    ca: str
    secret: str
    messages: int
    untimed: int = 0
    connections: int = 1
    each_new: bool = False
    window: int = 1
    message: str = ""
    text: str = ""
    file: str = ""
    people: str = ""
    host: str = "127.0.0.1"

    @classmethod
    def given(cls) -> Job:
        """The job this process was started with."""
        return cls(**json.loads(sys.argv[-1]))

    def octets(self) -> bytes:
        """The message that is sent as it is."""
        return Path(self.message).read_bytes()

    def words(self) -> str:
        """The text that messages are made of."""
        return Path(self.text).read_text(encoding="utf-8")

    def campaign(self) -> Campaign:
        """Whom to write to, and what."""
        return Campaign(**json.loads(Path(self.people).read_text(encoding="utf-8")))


@dataclasses.dataclass(frozen=True)
class Campaign:
    """A text and an HTML body with gaps, and what goes into the gaps for each person."""

    subject: str
    text: str
    html: str
    people: list[dict[str, str]]

    def letter(self, index: int) -> tuple[str, str, str, str]:
        """Give address, subject, text and HTML for one person."""
        person = self.people[index % len(self.people)]
        filled = [
            words.replace("{name}", person["name"]).replace("{amount}", person["amount"])
            for words in (self.subject, self.text, self.html)
        ]
        return person["address"], filled[0], filled[1], filled[2]


class Client(Protocol):
    """One connection of a client that blocks."""

    def open(self) -> None: ...
    def send(self, index: int) -> None: ...
    def close(self) -> None: ...


class AsyncClient(Protocol):
    """One connection of a client for asyncio."""

    async def open(self) -> None: ...
    async def send(self, index: int) -> None: ...
    async def close(self) -> None: ...


def memory(field: str) -> int:
    """Octets that VmRSS (now) or VmHWM (the most so far) of this process says; getrusage's would be our parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return 0


class Meter:
    """Clock, CPU and memory between `start` and `finish`."""

    def __init__(self) -> None:
        self.took: list[float] = []

    def start(self) -> None:
        """Begin: whatever the loop needs is ready."""
        Path("/proc/self/clear_refs").write_text("5")  # the most memory is counted from here
        self._idle = memory("VmRSS")
        self._cpu = time.process_time()
        self._clock = time.perf_counter()

    def finish(self) -> None:
        """End, and print what was measured."""
        seconds = time.perf_counter() - self._clock
        result: dict[str, Any] = {
            "messages": len(self.took),
            "seconds": seconds,
            "cpu": time.process_time() - self._cpu,
            "p50": statistics.median(self.took),
            "idle": self._idle,
            "peak": memory("VmHWM") - self._idle,
        }
        print(json.dumps(result))


class _Loop:
    """What one connection of a blocking client does, in its own thread."""

    def __init__(self, job: Job, meter: Meter, barrier: threading.Barrier) -> None:
        self._job, self._meter, self._barrier = job, meter, barrier

    def run(self, client: Client, first: int) -> None:
        job = self._job
        if not job.each_new:
            client.open()
        send = self._in_a_new_connection(client) if job.each_new else client.send
        for index in range(job.untimed // job.connections):
            send(index)
        self._barrier.wait(60)
        for index in range(first, job.messages, job.connections):
            begun = time.perf_counter()
            send(index)
            self._meter.took.append(time.perf_counter() - begun)
        self._barrier.wait(60)
        if not job.each_new:
            client.close()

    def _in_a_new_connection(self, client: Client) -> Callable[[int], None]:
        def send(index: int) -> None:
            client.open()
            client.send(index)
            client.close()

        return send


def measure(job: Job, make: Callable[[], Client]) -> None:
    """Send the job's messages, one thread per connection, and print the result."""
    meter = Meter()
    phases = iter((meter.start, meter.finish))

    def turn() -> None:
        next(phases)()

    loop = _Loop(job, meter, threading.Barrier(job.connections, action=turn))
    threads = [threading.Thread(target=loop.run, args=(make(), first)) for first in range(1, job.connections)]
    for thread in threads:
        thread.start()
    loop.run(make(), 0)
    for thread in threads:
        thread.join()


class _AsyncLoop:
    """What one connection of a client for asyncio does, in its own task."""

    def __init__(self, job: Job, meter: Meter, client: AsyncClient) -> None:
        self._job, self._meter, self._client = job, meter, client

    async def warm(self) -> None:
        if not self._job.each_new:
            await self._client.open()
        for index in range(self._job.untimed // self._job.connections):
            await self._send(index)

    async def run(self, first: int) -> None:
        send = self._send if self._job.each_new else self._client.send
        for index in range(first, self._job.messages, self._job.connections):
            begun = time.perf_counter()
            await send(index)
            self._meter.took.append(time.perf_counter() - begun)

    async def _send(self, index: int) -> None:
        if self._job.each_new:
            await self._client.open()
        await self._client.send(index)
        if self._job.each_new:
            await self._client.close()

    async def close(self) -> None:
        if not self._job.each_new:
            await self._client.close()


def measure_async(job: Job, make: Callable[[], AsyncClient]) -> None:
    """Send the job's messages, one task per connection, and print the result."""
    meter = Meter()

    async def main() -> None:
        loops = [_AsyncLoop(job, meter, make()) for _ in range(job.connections)]
        await asyncio.gather(*(loop.warm() for loop in loops))
        meter.start()
        await asyncio.gather(*(loop.run(first) for first, loop in enumerate(loops)))
        meter.finish()
        await asyncio.gather(*(loop.close() for loop in loops))

    asyncio.run(main())
