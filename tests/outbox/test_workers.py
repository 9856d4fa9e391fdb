"""Who drains an outbox is listed, and so is who died over it."""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import TYPE_CHECKING

from datapallas.outbox import workers
from datapallas.outbox.workers import beating, listed

if TYPE_CHECKING:
    import pytest

    from datapallas.outbox.database import Database


def until(database: Database, count: int) -> list[workers.WorkerLine]:
    """The list, when it has so many lines."""
    wait, end = threading.Event(), time.monotonic() + 60
    while True:
        lines = listed(database)
        if len(lines) == count:
            return lines
        assert time.monotonic() < end, lines
        wait.wait(0.02)


def test_a_worker_is_listed_until_it_ends(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Host, process, what it sends through; then that it has ended; two that start at once are two."""
    assert listed(database) == []
    monkeypatch.setattr(workers, "BEAT", 0.05)
    busy: dict[str, int] = {}
    with beating(database, "worker", lambda: busy), beating(database, "serve", dict):
        assert {line.kind for line in until(database, 2)} == {"worker", "serve"}
        (line,) = [line for line in listed(database) if line.kind == "worker"]
        assert (line.host, line.pid, line.state) == (socket.gethostname(), os.getpid(), "running")
        busy["eml-a"] = 2
        wait = threading.Event()
        while not any(line.doing == "eml-a (2)" for line in listed(database)):
            wait.wait(0.02)
    assert [line.state for line in listed(database)] == ["ended", "ended"]


def test_one_that_is_not_heard_of_is_lost(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was killed, or its machine was."""
    with beating(database, "worker", dict):
        until(database, 1)
        monkeypatch.setattr(workers, "LOST", -1.0)
        assert [line.state for line in listed(database)] == ["lost"]
