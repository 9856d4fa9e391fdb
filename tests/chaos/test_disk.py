"""A disk that is full at each step: nothing half, nothing lost, and what waits goes on when there is room again."""

from __future__ import annotations

import collections
import contextlib
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datapallas.errors import StorageError
from datapallas.outbox import pacing
from datapallas.outbox.accept import Job, accept
from datapallas.outbox.courier import Courier
from datapallas.outbox.database import Database
from mail.conftest import stage  # noqa: F401 - the fixture
from outbox import look, postgres
from outbox.office import CODE, Office, items
from strangers.needs import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mail.conftest import Stage
    from outbox.postgres import Postgres

JOB = Job(connection=CODE, id="november")
MANY = 600  # far more than may be handed over before anything is written: three sessions, WINDOW each


class Disk:
    """A small file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ballast = folder / "ballast"

    def fill(self, *, leave: int = 0) -> None:
        """Take all there is but `leave` bytes; called again, also what was given back meanwhile."""
        with self.ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        if leave:
            os.truncate(self.ballast, max(0, self.ballast.stat().st_size - leave))

    def free(self) -> None:
        """Room again."""
        self.ballast.unlink()


@pytest.fixture
def disk() -> Iterator[Disk]:
    if os.geteuid() != 0:
        missing("a file system of its own needs root")
    folder = Path(tempfile.mkdtemp(prefix="datapallas-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=0755", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        missing(f"tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


@pytest.fixture
def server(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Postgres]:
    """A PostgreSQL on that disk, made larger."""
    programs = postgres.programs()
    if programs is None:
        missing(f"PostgreSQL is not installed: {postgres.ADVICE}")
    subprocess.run(["mount", "-o", "remount,size=120m", str(disk.folder)], check=True)
    monkeypatch.setattr("tempfile.tempdir", str(disk.folder))
    with postgres.running(programs) as found:
        yield found


def test_postgresql_with_a_full_disk(disk: Disk, server: Postgres, stage: Stage) -> None:  # noqa: F811
    """Nothing more is promised, what was is still there, and goes out when there is room: in part or not at all before."""
    place = server.new()
    database = Database(place)
    accept(database, JOB, items(50))
    disk.fill()
    with pytest.raises(StorageError) as told:
        accept(database, JOB, items(40000, first=100, text="x" * 400))
    assert told.value.exit_code == 75
    disk.free()
    until = time.monotonic() + 120
    while True:
        server.revive()
        try:
            assert look.counts(database) == {"queued": 50}
            break
        except StorageError:
            assert time.monotonic() < until
            time.sleep(0.2)
    Courier(database, Office(stage.port)).drain()
    assert look.all_accepted(database, 50) and len(stage.taken) == 50
    database.close()


@pytest.mark.parametrize("leave", [0, 32768])
def test_full_before_anything_is_promised(
    disk: Disk,
    stage: Stage,  # noqa: F811
    leave: int,
) -> None:
    """The call fails as "try later" and has taken nothing; with room, the same call takes all."""
    database = Database(disk.folder / "outbox.db")
    accept(database, JOB, items(5))
    disk.fill(leave=leave)
    with pytest.raises(StorageError) as told:
        accept(database, JOB, items(600, first=100, text="x" * 200))
    assert told.value.exit_code == 75
    assert look.counts(database) == {"queued": 5}
    disk.free()
    assert accept(database, JOB, items(600, first=100, text="x" * 200)).new == 600
    Courier(database, Office(stage.port)).drain()
    assert look.all_accepted(database, 605) and len(stage.taken) == 605
    database.close()


class Gate(threading.Event):
    """Lets so many answers through; the others wait until it is set."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._free = threading.Semaphore(count)
        self.shut = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        if self._free.acquire(blocking=False):
            return True
        self.shut.set()
        return super().wait(timeout)


@pytest.mark.parametrize("after", [1, 30])
def test_full_in_the_middle_of_sending(
    disk: Disk,
    stage: Stage,  # noqa: F811
    after: int,
) -> None:
    """Sending stops, because what is sent could not be noted; with room it goes on, and what is double is listed."""
    database = Database(disk.folder / "outbox.db")
    accept(database, JOB, items(MANY))
    database.close()  # with the last connection goes the WAL: the room it took could be written again without asking
    database = Database(disk.folder / "outbox.db")
    courier = Courier(database, Office(stage.port), lease=1.0)
    thread = threading.Thread(target=courier.drain, kwargs={"forever": True})
    stage.gate = gate = Gate(after)
    thread.start()
    try:
        assert gate.shut.wait(60)
        disk.fill()
        gate.set()
        sent = _still(stage, disk)
        assert after <= sent < MANY
        disk.free()
        until = time.monotonic() + 120
        while not look.all_accepted(database, MANY):
            assert thread.is_alive() and time.monotonic() < until, look.counts(database)
            time.sleep(0.05)
    finally:
        gate.set()
        courier.stop()
        thread.join(60)
    times = collections.Counter(mail.recipients[0] for mail in stage.taken)
    twice = {who for who, count in times.items() if count > 1}
    assert len(twice) <= 3 * pacing.WINDOW and twice <= look.doubted(database)
    database.close()


def _still(stage: Stage, disk: Disk) -> int:  # noqa: F811
    """How many were taken when nothing more comes. What the outbox gives back meanwhile is taken from it again."""
    seen = -1
    while seen != len(stage.taken):
        seen = len(stage.taken)
        disk.fill()
        time.sleep(0.7)
    return seen
