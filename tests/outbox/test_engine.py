"""The engine under runs: steps are done once, in order; who dies is replaced; what is promised is done."""

from __future__ import annotations

import contextlib
import json
import logging
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from datapallas.errors import ConfigurationError, DataPallasError, StorageError, UsageError
from datapallas.outbox.runs import routines
from datapallas.outbox.runs.engine import Engine, Work
from datapallas.outbox.runs.records import Ended, Gone, Record, Records, Task
from datapallas.outbox.runs.routines import Missed, Routine
from datapallas.outbox.runs.tables import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORKER = Path(__file__).with_name("engine_worker.py")


ON_POSTGRES = pytest.mark.parametrize(
    "place", ["postgres"], indirect=True
)  # a file has one engine and one place


@pytest.fixture
def records(place: str | Path) -> Iterator[Records]:
    found = Records(place)
    yield found
    found.close()


def until(what: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def state(records: Records, id_: str) -> State:
    return records.load(id_).state


def start(place: str | Path, folder: Path, lease: float = 2.0) -> subprocess.Popen[str]:
    words = [sys.executable, str(WORKER), str(place), str(folder), str(lease)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_steps_in_order_and_once(
    place: str | Path, records: Records, capfd: pytest.CaptureFixture[str]
) -> None:
    """A run goes through its steps in their order, quietly; a step that stops it is the last, and is told."""
    did: list[str] = []
    told: list[tuple[str, str]] = []

    def stop(task: Task) -> None:
        raise ConfigurationError("No such thing.", code="nothing")

    def fault(task: Task) -> None:
        raise ValueError(task.record.id)

    steps: dict[str, dict[str, Any]] = {
        "good": {"one": lambda task: did.append("one"), "two": lambda task: did.append("two")},
        "bad": {"stop": stop, "never": lambda task: did.append("never")},
        "worse": {"fault": fault},
        "longer": {"begin": lambda task: task.become(State.WAITING)},
    }
    for work in steps:
        assert records.add(Record(id=f"r-{work}", work=work))
    assert not records.add(Record(id="r-good", work="bad"))
    doing = Work(steps=steps, tell=lambda record, problem: told.append((record.id, problem.code)))
    with Engine(records, place, "here", doing):
        until(lambda: len(records.find(State.DONE, State.STOPPED, State.WAITING)) == 4)
    assert did == ["one", "two"]
    assert sorted(told) == [("r-bad", "nothing"), ("r-worse", "run-fault")]
    bad = records.load("r-bad")
    assert (
        bad.state is State.STOPPED and bad.problem is not None and bad.problem.code == "nothing" and bad.ended
    )
    assert state(records, "r-longer") is State.WAITING
    said = capfd.readouterr()
    assert said.out == said.err == ""


def test_what_passes_by_itself_is_tried_again_later(place: str | Path, records: Records) -> None:
    """A full disk stops no run: it is promised anew for later, and no slot sleeps meanwhile."""
    tries: list[int] = []

    def step(task: Task) -> None:
        tries.append(task.record.tries)
        if len(tries) < 3:
            raise StorageError("Full.", code="disk-full")

    records.add(Record(id="full", work="w"))
    with Engine(records, place, "here", Work(steps={"w": {"step": step}})):
        until(lambda: state(records, "full") is State.DONE)
    done = records.load("full")
    assert tries == [0, 1, 2] and done.attempt == 3
    assert done.due > done.created  # it was promised anew, for later


def test_an_end_hands_back_and_the_next_goes_on(place: str | Path, records: Records) -> None:
    """An engine that ends in the middle of a step leaves the run to the next one, which begins at the saved place."""
    began = threading.Event()
    seen: list[int] = []

    def step(task: Task) -> None:
        at = int(task.record.facts.get("at", 0))
        seen.append(at)
        if not at:
            task.save({"at": 7})
            began.set()
            while not task.ending():
                time.sleep(0.01)
            raise Ended

    records.add(Record(id="long", work="w"))
    with Engine(records, place, "here", Work(steps={"w": {"step": step}})):
        assert began.wait(60)
    assert state(records, "long") is State.RUNNING
    with Engine(records, place, "here", Work(steps={"w": {"step": step}})):
        until(lambda: state(records, "long") is State.DONE)
    assert seen == [0, 7] and records.load("long").crashes == 0


def test_only_one_engine_for_a_file(tmp_path: Path) -> None:
    """On SQLite the second process only promises; when the first has ended it may work."""
    file = tmp_path / "runs.db"
    with contextlib.closing(Records(file)) as records:
        worker = start(file, tmp_path)
        assert worker.stdout is not None
        worker.communicate(timeout=60)  # nothing to do: it makes the tables and ends
        records.add(Record(id="a", work="count"))
        worker = start(file, tmp_path)
        assert worker.stdout is not None and worker.stdout.readline().startswith("ready")
        with pytest.raises(StorageError) as problem, Engine(records, file, "here", Work(steps={})):
            pass
        assert problem.value.code == "lock-busy"
        worker.kill()
        worker.communicate()
        with Engine(records, file, "here", Work(steps={"count": {"c": lambda _: None}})):
            until(lambda: state(records, "a") is State.DONE)


def test_kill_9_anywhere(place: str | Path, records: Records, tmp_path: Path) -> None:
    """Workers killed at random moments: every run ends, each number was noted once, in order."""
    chance = random.Random(7)
    names = ["a", "b", "c"]
    for name in names:
        records.add(Record(id=name, work="count"))
    kills = 0
    for _ in range(30):
        worker = start(place, tmp_path)
        assert worker.stdout is not None
        worker.stdout.readline()
        try:
            worker.wait(60 if kills > 4 else chance.uniform(0.3, 1.5))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.communicate()
            kills += 1
            continue
        assert worker.returncode == 0 and worker.communicate()[1] == ""
        break
    assert kills
    for name in names:
        assert state(records, name) is State.DONE
        assert [note["n"] for note in records.noted(name)] == list(range(200))
        words = [line.split()[0] for line in (tmp_path / name).read_text().splitlines()]
        assert sorted(set(words[:-1]), key=int) == [str(n) for n in range(200)] and words[-1] == "end"
        assert len(words) - 201 <= kills  # only what was in hand


@ON_POSTGRES
def test_a_peer_takes_over(place: str | Path, records: Records, tmp_path: Path) -> None:
    """On PostgreSQL a worker that dies is replaced by another that runs already, after its heartbeat has stopped."""
    records.add(Record(id="a", work="count"))
    first = start(place, tmp_path)
    assert first.stdout is not None
    first.stdout.readline()
    until(lambda: records.load("a").facts.get("at", 0) > 5)
    first.send_signal(signal.SIGSTOP)  # it is not to end before the other one runs
    second = start(place, tmp_path)
    assert second.stdout is not None
    second.stdout.readline()
    first.kill()
    first.communicate()
    said, problems = second.communicate(timeout=180)
    assert second.returncode == 0 and problems == "", (said, problems)
    assert state(records, "a") is State.DONE
    pids = {line.split()[1] for line in (tmp_path / "a").read_text().splitlines()}
    assert pids == {str(first.pid), str(second.pid)}


def test_who_was_replaced_changes_nothing(records: Records) -> None:
    """A worker that slept through its replacement meets Gone at its next save; so does one whose run was cancelled."""
    records.add(Record(id="a", work="w"))
    old = Task.take(records, ("a", 1), "old", lambda: False)
    new = Task.take(records, ("a", 1), "new", lambda: False)
    assert new.record.crashes == 1
    with pytest.raises(Gone):
        old.save({"at": 1}, {"k": {"n": 1}})
    new.save({"at": 2}, {"k": {"n": 2}})
    assert records.load("a").facts == {"at": 2} and list(records.noted("a")) == [{"n": 2}]
    assert records.move("a", [State.RUNNING], State.CANCELLED, owner="")
    with pytest.raises(Gone):
        new.save({"at": 3})
    with pytest.raises(Gone):
        Task.take(records, ("a", 1), "third", lambda: False)
    with pytest.raises(UsageError):
        records.load("b")


def test_a_run_that_ends_its_workers_is_stopped(place: str | Path, records: Records) -> None:
    """After five workers in a row that ended over it, it is left to a person."""
    records.add(Record(id="poison", work="w"))
    for number in range(5):
        Task.take(records, ("poison", 1), str(number), lambda: False)
    records.move("poison", [State.RUNNING], State.QUEUED)
    told: list[DataPallasError] = []
    work = Work(steps={"w": {"step": lambda _: None}}, tell=lambda _, problem: told.append(problem))
    with Engine(records, place, "here", work):
        until(lambda: state(records, "poison") is State.STOPPED)
    assert [problem.code for problem in told] == ["run-crashed"]
    assert records.again("poison", [State.STOPPED], crashes=0)
    with Engine(records, place, "here", work):
        until(lambda: state(records, "poison") is State.DONE)


def test_what_fails_holds_up_nothing_else(place: str | Path, records: Records) -> None:
    """A look that fails each time keeps no run from being done; what nobody foresaw is told to whoever runs the engine."""
    looked: list[Exception] = [ConfigurationError("Broken.", code="nothing"), RuntimeError("unforeseen")]

    def look() -> None:
        raise looked[0]

    records.add(Record(id="a", work="w"))
    with Engine(records, place, "here", Work(steps={"w": {"step": lambda _: None}}, looks=look)) as engine:
        until(lambda: state(records, "a") is State.DONE)
        assert engine.failure is None
        looked.pop(0)
        until(lambda: engine.failure is looked[0])


def test_what_was_lost_is_done_after_all(place: str | Path, records: Records) -> None:
    """A run whose execution broke off in the machinery, or of which DBOS knows nothing, does not stand there for ever."""
    failing = ["broken"]

    class Flaky(Records):
        def load(self, id_: str) -> Record:
            if id_ in failing:
                failing.remove(id_)
                raise StorageError("Away for a moment.")
            return super().load(id_)

    records.add(Record(id="unknown", work="w", place="here", state=State.HANDED))
    records.add(Record(id="broken", work="w"))
    work = Work(steps={"w": {"step": lambda _: None}})
    with contextlib.closing(Flaky(place)) as flaky, Engine(flaky, place, "here", work, lease=1.5):
        until(lambda: len(records.find(State.DONE)) == 2)
    assert [records.load(one).attempt for one in ("unknown", "broken")] == [2, 2] and not failing


@ON_POSTGRES
def test_dead_places(records: Records, place: str | Path) -> None:
    """What another installation took and had not begun is free again; what it has files for waits for it."""
    records.add(Record(id="begun", work="w", place="there", bound=True, state=State.HANDED))
    records.add(Record(id="free", work="w", place="there", state=State.HANDED))
    with Engine(records, place, "here", Work(steps={"w": {"step": lambda _: None}})):
        until(lambda: state(records, "free") is State.DONE)
    assert state(records, "begun") is State.HANDED


def test_the_tables_hold_json(place: str | Path, records: Records) -> None:
    """Nothing that is unpickled is read from the database, and the version that resumes is fixed."""
    records.add(Record(id="a", work="w"))
    with Engine(records, place, "here", Work(steps={"w": {"step": lambda _: None}})):
        until(lambda: state(records, "a") is State.DONE)
    schema = "" if records.is_sqlite else "datapallas_runs."
    tables = f"{schema}workflow_status join {schema}workflow_input using (workflow_uuid)"
    query = f"select workflow_input.inputs, serialization, application_version from {tables}"
    with records.read() as tx:
        row = tx.execute(sa.text(query)).one()
    assert json.loads(row.inputs)["positionalArgs"] == ["a", 1]
    assert row.serialization == "portable_json" and row.application_version == "1"
    assert not [
        handler for handler in logging.getLogger("dbos").handlers if type(handler) is logging.StreamHandler
    ]


# What is scheduled


def test_each_time_makes_one_run(place: str | Path) -> None:
    """Two machines that look at the same clock make one run of each time; a changed schedule has missed nothing."""
    now = [1_000_000.0]
    one, two = Records(place, lambda: now[0]), Records(place, lambda: now[0])
    hourly = Routine(name="r", work="w", cron="0 * * * *", missed=Missed.ALL)
    assert routines.make_due(one, [hourly]) == [] == routines.make_due(two, [hourly])
    now[0] += 3 * 3600
    made = [*routines.make_due(one, [hourly]), *routines.make_due(two, [hourly])]
    assert len(made) == 3 == len(set(made)) == len(one.find())
    assert made[0] == "r-19700112-140000"
    now[0] += 7200
    changed = Routine(name="r", work="w", cron="30 * * * *")
    assert (
        routines.make_due(two, [changed]) == []
        and routines.make_due(one, [Routine(name="r", work="w")]) == []
    )
    now[0] += 7200
    assert routines.make_due(two, [changed]) == []
    one.close()
    two.close()


@pytest.mark.parametrize(("missed", "count"), [(Missed.SKIP, 0), (Missed.ONCE, 1), (Missed.ALL, 24)])
def test_what_was_missed(tmp_path: Path, missed: Missed, count: int) -> None:
    """After a day without anybody: nothing, one run, or all of them; the next one comes in time."""
    now = [1_000_000.0]
    records = Records(tmp_path / "runs.db", lambda: now[0])
    hourly = Routine(name="r", work="w", cron="40 * * * *", missed=missed)
    routines.make_due(records, [hourly])
    now[0] += 86_400
    assert len(routines.make_due(records, [hourly])) == count
    assert routines.make_due(records, [hourly]) == []
    now[0] += 3600 - (now[0] - 2400) % 3600 + 2
    assert len(routines.make_due(records, [hourly])) == 1
    records.close()


def test_threads_that_race_for_a_time(tmp_path: Path) -> None:
    """Eight at once: one run."""
    now = [1_000_000.0]
    records = Records(tmp_path / "runs.db", lambda: now[0])
    daily = Routine(name="r", work="w", cron="0 7 * * *")
    routines.make_due(records, [daily])
    now[0] += 86_400
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda: made.extend(routines.make_due(records, [daily]))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 == len(records.find())
    records.close()
