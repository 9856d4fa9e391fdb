"""Couriers that die, and couriers that share: nothing is lost, what may be double is listed, limits hold."""

from __future__ import annotations

import collections
import itertools
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from datapallas.outbox import courier as couriers
from datapallas.outbox import pacing, tables
from datapallas.outbox.accept import Job, accept
from datapallas.outbox.courier import Courier
from datapallas.outbox.limits import Limits
from outbox import look
from outbox.office import CODE, items

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from datapallas.outbox.database import Database
    from mail.conftest import Stage
    from outbox.office import Office
    from outbox.postgres import Postgres

WORKER = Path(__file__).with_name("worker.py")


def start(place: str | Path, stage: Stage, lease: float, limits: Limits) -> subprocess.Popen[bytes]:
    words = [str(place), str(stage.port), str(lease), str(limits.per_minute), str(limits.sessions)]
    return subprocess.Popen([sys.executable, str(WORKER), *words])


def test_kill_9_loses_nothing(place: str | Path, database: Database, stage: Stage) -> None:
    """1,000 messages, a courier killed at random moments: each recipient has an outcome, doubles are few and listed."""
    chance = random.Random(5)
    accept(database, Job(connection=CODE), items(1000))
    limits = Limits(sessions=3)
    kills = 0
    for _ in range(40):
        goal = len(stage.taken) + chance.randrange(50, 500)
        worker = start(place, stage, 1.0, limits)
        until = time.monotonic() + 180
        while worker.poll() is None and (goal > 900 or len(stage.taken) < goal):
            assert time.monotonic() < until
            time.sleep(0.005)
        if worker.poll() == 0:
            break
        worker.kill()
        worker.wait()
        kills += 1
    assert look.all_accepted(database, 1000) and look.states(database) == {"done": 1000}
    assert kills
    seen = collections.Counter(mail.recipients[0] for mail in stage.taken)
    twice = {who for who, times in seen.items() if times > 1}
    doubted = {row.id for row in look.rows(database, tables.messages) if row.doubts}
    listed = {row.address for row in look.rows(database, tables.recipients) if row.message in doubted}
    assert len(seen) == 1000 and twice <= listed
    in_hand = 3 * pacing.WINDOW * kills
    assert sum(seen.values()) - 1000 <= in_hand and len(listed) <= in_hand


def test_two_processes_share_the_limits(place: str | Path, database: Database, stage: Stage) -> None:
    """Two couriers together send no more in any window than one mailbox may, and use what it may."""
    limits = Limits(sessions=2, per_minute=60 * 20)  # 20 a second
    at: list[float] = []

    class Noting(list):  # type: ignore[type-arg]
        def append(self, mail: object) -> None:
            at.append(time.monotonic())
            super().append(mail)

    stage.taken = Noting()
    accept(database, Job(connection=CODE), items(80))
    workers = [start(place, stage, 10.0, limits) for _ in range(2)]
    assert [worker.wait(180) for worker in workers] == [0, 0]
    assert look.all_accepted(database, 80) and len(stage.taken) == 80
    assert stage.most_open <= 2
    most = max(sum(1 for later in at[place_:] if later - begin < 2.0) for place_, begin in enumerate(at))
    assert most <= 2.0 * 20 + 4  # the edge of the window, and the two messages that are as late as is allowed
    assert at[-1] - at[0] > 79 / 20 - 0.2
    assert all(later >= earlier for earlier, later in itertools.pairwise(at))


def test_postgresql_restarts_under_a_courier(
    server: Postgres, opened: Callable[..., Database], office: Office, stage: Stage
) -> None:
    """The database ends in the middle of a run and comes back: the courier waits for it and loses nothing."""
    database = opened(server.new())
    accept(database, Job(connection=CODE), items(300))
    courier = Courier(database, office, lease=1.0)
    ended = threading.Event()

    def work() -> None:
        try:
            courier.drain(forever=True)
        finally:
            ended.set()

    threading.Thread(target=work, daemon=True).start()
    while len(stage.taken) < 20:
        assert not ended.wait(0.01)
    server.stop()
    server.start()
    until = time.monotonic() + 120
    while not look.all_accepted(database, 300):
        assert not ended.wait(0.2) and time.monotonic() < until
    courier.stop()
    assert ended.wait(60)
    seen = collections.Counter(mail.recipients[0] for mail in stage.taken)
    doubted = sum(1 for row in look.rows(database, tables.messages) if row.doubts)
    assert len(seen) == 300 and len(stage.taken) - 300 <= doubted <= 3 * pacing.WINDOW


def test_a_session_that_hangs_keeps_no_other_waiting(
    server: Postgres,
    opened: Callable[..., Database],
    office: Office,
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The database was away, and one mail server owes its answer still: the courier goes on with everything else."""
    monkeypatch.setattr(
        couriers, "END_SECONDS", 600.0
    )  # whoever waits for that session first, waits for long
    database = opened(server.new())
    office.limit = Limits(sessions=2)
    stage.gate = threading.Event()
    accept(database, Job(connection=CODE), items(1))
    courier = Courier(database, office)
    thread = threading.Thread(target=courier.drain, kwargs={"forever": True}, daemon=True)
    thread.start()
    assert stage.waiting.wait(60)
    gate, stage.gate = stage.gate, None
    server.stop()
    server.start()
    accept(database, Job(connection=CODE), items(20, first=1))
    until = time.monotonic() + 120
    while look.counts(database).get("accepted") != 20:
        assert thread.is_alive() and time.monotonic() < until, look.counts(database)
        time.sleep(0.05)
    gate.set()
    while not look.all_accepted(database, 21):
        assert thread.is_alive() and time.monotonic() < until + 60, look.counts(database)
        time.sleep(0.05)
    courier.stop()
    thread.join(60)
    assert not thread.is_alive() and len(stage.taken) == 21  # it was not sent twice
