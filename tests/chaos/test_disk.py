"""A disk that is full at each step: nothing half, nothing lost, and what waits goes on when there is room again."""

from __future__ import annotations

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


class Disk:
    """A small file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ballast = folder / "ballast"

    def fill(self, *, leave: int = 0) -> None:
        """Take all there is but `leave` bytes."""
        with self.ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
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
    server.revive()
    until = time.monotonic() + 30
    while True:
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


@pytest.mark.parametrize("after", [1, 30])
def test_full_in_the_middle_of_sending(
    disk: Disk,
    stage: Stage,  # noqa: F811
    after: int,
) -> None:
    """Sending stops, because what is sent could not be noted; with room it goes on, and what is double is listed."""
    database = Database(disk.folder / "outbox.db")
    accept(database, JOB, items(100))
    courier = Courier(database, Office(stage.port), lease=1.0)
    thread = threading.Thread(target=courier.drain, kwargs={"forever": True})
    stage.gate = threading.Event()
    thread.start()
    try:
        while len(stage.taken) < after:
            assert stage.waiting.wait(10)
            stage.gate.set()
            time.sleep(0.001)
        disk.fill()
        stage.gate.set()
        stage.gate = None
        sent = _still(stage)
        assert sent < 100
        disk.free()
        until = time.monotonic() + 40
        while not look.all_accepted(database, 100):
            assert thread.is_alive() and time.monotonic() < until, look.counts(database)
            time.sleep(0.05)
    finally:
        courier.stop()
        thread.join(30)
    twice = [who for who in {mail.recipients[0] for mail in stage.taken} if _times(stage, who) > 1]
    assert len(twice) <= 3 * pacing.WINDOW and set(twice) <= look.doubted(database)
    database.close()


def _times(stage: Stage, who: str) -> int:  # noqa: F811
    return sum(mail.recipients[0] == who for mail in stage.taken)


def _still(stage: Stage) -> int:  # noqa: F811
    """How many were taken when nothing more comes."""
    seen = -1
    while seen != len(stage.taken):
        seen = len(stage.taken)
        time.sleep(0.7)
    return seen
