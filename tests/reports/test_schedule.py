"""Reports that run by themselves: noticed when edited, once over all processes, told once when broken."""

from __future__ import annotations

import os
import time
import tomllib
from typing import TYPE_CHECKING

import pytest

from datapallas.connection.model import Connection, Security, Server
from datapallas.errors import UsageError
from datapallas.home import Home, runs
from datapallas.home.reporting import lines as report_lines
from datapallas.home.reporting import run_place
from datapallas.home.reporting.past import Past
from datapallas.home.reporting.runs import ReportRuns, open_runs
from datapallas.home.runs import Running
from datapallas.home.schedules import Schedules, chores
from datapallas.outbox.background import draining
from datapallas.outbox.runs import routines
from datapallas.outbox.runs.records import Record
from datapallas.outbox.runs.routines import Routine, make_due
from datapallas.outbox.runs.tables import State
from datapallas.reports.folder import Reports
from datapallas.reports.model import Missed, Schedule
from datapallas.reports.scheduling import with_schedule
from mail.conftest import stage  # noqa: F401 - the fixture
from reports.given import MINIMAL, folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mail.conftest import Stage

PEOPLE = "name,email\nAnna,anna@x.example\nBob,bob@x.example\n"
DAILY = '\n[schedule]\ncron = "0 7 * * *"\n'


@pytest.fixture(params=["sqlite", "postgres"])
def home(request: pytest.FixtureRequest, tmp_path: Path, stage: Stage) -> Home:  # noqa: F811
    environ = dict(os.environ)
    if request.param == "postgres":
        environ["DATAPALLAS_DATABASE"] = request.getfixturevalue("server").new()
    home = Home(tmp_path, environ)
    where = Server(host="127.0.0.1", port=str(stage.port), security=Security.NONE)
    home.folder.create(
        Connection(code="eml-stage", server=where, from_address="reports@contoso.example", default=True)
    )
    return home


@pytest.fixture
def opened(home: Home) -> Iterator[ReportRuns]:
    with open_runs(home) as found:
        yield found


def until(what: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def passed(opened: ReportRuns, name: str, days: float) -> None:
    """As if the schedule had been looked at so many days ago."""
    from datapallas.outbox.runs.tables import marks

    with opened.records.write() as tx:
        tx.execute(marks.update().where(marks.c.name == name).values(at=time.time() - days * 86_400))


def test_a_scheduled_report_is_sent(
    home: Home,
    opened: ReportRuns,
    stage: Stage,  # noqa: F811
) -> None:
    """When its time has come, a server reads the rows, sends, says how it went, and knows it has been done."""
    folder(home.root, report_toml=MINIMAL + DAILY, people_csv=PEOPLE)
    said: list[str] = []
    schedules = Schedules(home, opened.records, said.append)
    make_due(opened.records, schedules.routines("here"))
    passed(opened, "letters", 3)
    with (
        Running(home, lambda problem: said.append(repr(problem)), said.append, lease=2.0),
        draining(opened.outbox.courier()),
    ):
        until(lambda: opened.records.find(State.DONE, work="report"))
    (record,) = opened.history("letters")
    assert record.facts["scheduled"] and record.facts["outcomes"]["accepted"] == 2
    assert record.id == routines.record_id("letters", record.facts["scheduled"])
    assert sorted(mail.recipients[0] for mail in stage.taken) == ["anna@x.example", "bob@x.example"]
    assert any("The report Letters is done: 2 accepted." in line for line in said), said
    assert not make_due(opened.records, schedules.routines("here"))
    line = report_lines.line(home, "letters", Past([record]), time.time())
    assert line.past.scheduled == [record] and line.past.trouble is None
    assert line.flaw is None and line.next_at > time.time()


def test_changes_are_noticed(home: Home, opened: ReportRuns) -> None:
    """Edited, switched off, deleted, made anew: each takes effect without a restart, and nothing was missed by it."""
    place = folder(home.root, report_toml=MINIMAL + DAILY, people_csv=PEOPLE)
    records, schedules = opened.records, Schedules(home, opened.records, print)

    def due() -> list[str]:
        return [one for one in make_due(records, schedules.routines("here")) if one.startswith("letters")]

    assert due() == []
    passed(opened, "letters", 2)
    (place / "report.toml").write_text(MINIMAL + DAILY.replace("0 7", "30 8"))
    assert due() == []
    passed(opened, "letters", 2)
    assert len(due()) == 1
    passed(opened, "letters", 2)
    (place / "report.toml").write_text(MINIMAL)
    assert due() == []
    passed(opened, "letters", 2)
    (place / "report.toml").write_text(MINIMAL + DAILY)
    assert due() == []
    if not records.is_sqlite:  # in a fleet another machine may have the report
        return
    for path in place.iterdir():
        path.unlink()
    place.rmdir()
    assert due() == []
    folder(home.root, report_toml=MINIMAL + DAILY, people_csv=PEOPLE)
    assert due() == []


def test_a_broken_report_is_told_once(home: Home, opened: ReportRuns) -> None:
    """It is told once, over restarts and machines; the others run; when it is well again, it runs by its schedule."""
    place = folder(home.root, report_toml=MINIMAL + DAILY, people_csv=PEOPLE)
    folder(home.root, "other", report_toml=MINIMAL + DAILY, people_csv=PEOPLE)
    said: list[str] = []
    schedules = Schedules(home, opened.records, said.append)
    make_due(opened.records, schedules.routines("here"))
    (place / "report.toml").write_text(MINIMAL + DAILY + "nonsense\n")
    for _ in range(3):
        found = schedules.routines("here")
        assert [one.name for one in found if one.work == "report"] == ["other"]
        schedules = Schedules(home, opened.records, said.append)
    assert len(said) == 1 and "The report letters cannot run" in said[0]
    passed(opened, "letters", 1)
    (place / "report.toml").write_text(MINIMAL + DAILY)
    made = make_due(opened.records, schedules.routines("here"))
    assert len([one for one in made if one.startswith("letters")]) == 1
    (place / "report.toml").write_text(MINIMAL + DAILY + "nonsense\n")
    schedules.routines("here")
    assert len(said) == 2


def test_a_scheduled_run_that_stops_is_told(home: Home, opened: ReportRuns) -> None:
    """Rows that are not there stop the run, and the log says which report, why, and where to look."""
    folder(home.root, report_toml=MINIMAL + DAILY)
    said: list[str] = []
    opened.records.add(
        Record(id="letters-20261128-070000", work="report", subject="letters", facts={"scheduled": 1.0})
    )
    with Running(home, lambda problem: said.append(repr(problem)), said.append, lease=2.0):
        until(lambda: opened.records.find(State.STOPPED))
    assert any("The report letters stopped" in line and "report history" in line for line in said), said


def test_chores_run_in_every_home(home: Home, opened: ReportRuns) -> None:
    """Sign-ins are looked at hourly and the outbox is cleaned daily; a restart soon after does neither again."""
    place = run_place.place(home)
    assert place == run_place.place(home)
    names = [one.name for one in chores(place)]
    make_due(opened.records, chores(place))
    for name in names:
        passed(opened, name, 2)
    said: list[str] = []
    with Running(home, lambda problem: said.append(repr(problem)), said.append, lease=2.0):
        until(lambda: len(opened.records.find(State.DONE)) == len(names))
    assert {one.work for one in opened.records.find()} == {"keep-alive", "clean"}
    assert opened.history() == [] and said == []
    assert make_due(opened.records, chores(place)) == []


def test_nothing_is_made_where_there_is_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home without reports has no database of runs in the first minute of a served page."""
    home = Home(tmp_path, {})
    with Running(home, print, print):
        time.sleep(0.1)
    assert not (tmp_path / "data").exists()
    monkeypatch.setattr(runs, "FIRST_LOOK", 0.0)
    with Running(home, print, print) as running:
        until(lambda: running._worker is not None)
    assert (tmp_path / "data" / "runs.db").exists()


@pytest.mark.parametrize(
    "text",
    [
        MINIMAL,
        MINIMAL + "# the end",
        MINIMAL
        + '\n[schedule]  # when\n# mornings\ncron = "0 6 * * *"  # early\n\n[limits]\nrecipients = 5 # few\n',
        "# first\n" + MINIMAL + "\n[ schedule ]\ntime_zone = 'UTC'\ncron='1 1 * * *'\n",
    ],
)
def test_only_the_schedule_changes(text: str) -> None:
    """Comments and everything else in report.toml stay; on and off again leaves the rest as it was."""
    wanted = Schedule(cron="15 7 * * 1-5", time_zone="Europe/Berlin", missed=Missed.ALL)
    on = with_schedule(text, wanted)
    assert tomllib.loads(on)["schedule"] == {
        "cron": "15 7 * * 1-5",
        "time_zone": "Europe/Berlin",
        "missed": "all",
    }
    assert [line for line in text.splitlines() if "#" in line and "0 6" not in line and line not in on] == []
    off = with_schedule(on, None)
    before = tomllib.loads(text)
    before.pop("schedule", None)
    assert tomllib.loads(off) == before
    assert with_schedule(on, wanted) == on


def test_texts_over_several_lines_hide_no_schedule_and_are_none() -> None:
    """A section's name within a text is no section, and a value over several lines is changed like any other."""
    inner = MINIMAL + '\n[values]\nx = """\n[schedule]\ncron = "0 6 * * *"\n"""\n'
    long = MINIMAL + '\n[schedule]\ncron = """0 6 * * *"""\n'
    for text in (inner, long):
        found = tomllib.loads(with_schedule(text, Schedule(cron="0 7 * * *")))
        assert found["schedule"]["cron"] == "0 7 * * *"
        assert found.get("values") == tomllib.loads(text).get("values")


@pytest.mark.parametrize(
    "text",
    [
        'schedule = { cron = "0 6 * * *" }\n' + MINIMAL,
        'schedule.cron = "0 6 * * *"\n' + MINIMAL,
    ],
)
def test_what_cannot_be_changed_is_left_to_the_person(text: str) -> None:
    """A schedule that is written in another way is not touched."""
    with pytest.raises(UsageError) as problem:
        with_schedule(text, Schedule(cron="0 7 * * *"))
    assert problem.value.code == "report-edit"


def test_a_saved_schedule_is_read_back(home: Home) -> None:
    """What was written is a report that can be loaded."""
    folder(home.root, report_toml=MINIMAL, people_csv=PEOPLE)
    reports = Reports(home.root)
    reports.save("letters", with_schedule(reports.text("letters"), Schedule(cron="0 7 * * *")))
    assert reports.load("letters").schedule == Schedule(cron="0 7 * * *")
    assert Routine(name="x", work="report").spec == ""
