"""A run survives whatever kills its worker: nobody is forgotten, nobody is promised an email twice."""

from __future__ import annotations

import collections
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from datapallas.connection.model import Connection, Security, Server
from datapallas.home import Home
from datapallas.home.reporting.runs import ReportRuns, open_runs
from datapallas.home.schedules import tidy
from datapallas.outbox import overview, tables
from datapallas.outbox.runs.tables import State
from datapallas.reports.checking import Checking
from datapallas.reports.run import WHOLE, Wanted
from mail.conftest import stage  # noqa: F401 - the fixture
from reports.given import folder
from strangers.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mail.conftest import Stage

WORKER = Path(__file__).with_name("run_worker.py")
MANY = int(os.environ.get("DATAPALLAS_MANY_RECIPIENTS", "400"))
TOML = """\
name = "Letters"
connection = "eml-stage"

[rows]
file = "people.csv"

[email]
to = "{{ email }}"
subject = "Hello {{ name }}"
text = "mail.txt"

[limits]
on_problem = "skip"
"""


@pytest.fixture(params=["sqlite", "postgres"])
def home(request: pytest.FixtureRequest, tmp_path: Path, stage: Stage) -> Home:  # noqa: F811
    """A home with a mailbox at a server that takes everything."""
    environ = dict(os.environ)
    if request.param == "postgres":
        environ["DATAPALLAS_DATABASE"] = request.getfixturevalue("server").new()
    home = Home(tmp_path, environ)
    where = Server(host="127.0.0.1", port=str(stage.port), security=Security.NONE)
    home.folder.create(Connection(code="eml-stage", server=where, from_address="reports@contoso.example"))
    return home


@pytest.fixture
def runs(home: Home) -> Iterator[ReportRuns]:
    with open_runs(home) as found:
        yield found


def people(count: int, bad: int = 0) -> str:
    """Rows; each `bad`-th has no address."""
    lines = [f"N{n},{'nobody' if bad and n % bad == 0 else f'p{n}@x.example'}" for n in range(1, count + 1)]
    return "\n".join(["name,email", *lines, ""])


def work(home: Home, run: str, point: str = "none", count: int = 1) -> subprocess.Popen[str]:
    words = [sys.executable, str(WORKER), str(home.root), run, point, str(count)]
    return subprocess.Popen(
        words, env=dict(home.environ), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def ended(worker: subprocess.Popen[str]) -> int:
    said, _ = worker.communicate(timeout=280)
    assert "Traceback" not in said, said
    return worker.returncode


def promised(runs: ReportRuns, run: str) -> list[str]:
    with runs.outbox.database.read() as tx:
        return list(
            tx.execute(sa.select(tables.messages.c.key).where(tables.messages.c.job == run)).scalars()
        )


def check(runs: ReportRuns, run: str, stage: Stage, count: int) -> None:  # noqa: F811
    """Everybody was promised and sent one email; what may be double is listed."""
    assert runs.records.load(run).state is State.DONE
    tidy(runs.home, runs.records)  # an engine does so when it begins
    assert sorted(promised(runs, run), key=int) == [str(n) for n in range(1, count + 1)]
    (line,) = overview.job_lines(runs.outbox.database, run)
    assert line.fates["accepted"] == count
    seen = collections.Counter(mail.recipients[0] for mail in stage.taken)
    assert set(seen) == {f"p{n}@x.example" for n in range(1, count + 1)}
    assert sum(times > 1 for times in seen.values()) <= line.doubted
    assert runs.records.load(run).facts["outcomes"]["accepted"] == count
    assert not (runs.home.root / "data" / "runs" / run).exists()


def test_killed_at_random(home: Home, runs: ReportRuns, stage: Stage) -> None:  # noqa: F811
    """Many recipients, the worker killed at random moments again and again: each gets an email, once."""
    folder(home.root, report_toml=TOML, people_csv=people(MANY))
    chance = random.Random(11)
    prepared = runs.prepare("letters", Wanted())
    runs.start(prepared.run)
    # By what has arrived, not by the clock: the middle is the middle on every machine.
    for taken in sorted(chance.randrange(MANY // 2) for _ in range(4)):
        worker = work(home, prepared.run)
        try:
            wait_for(lambda: len(stage.taken) > taken, f"{taken} emails to arrive", 240)  # noqa: B023 - called at once
        finally:
            worker.kill()
            worker.communicate()
        assert worker.returncode == -9
    assert ended(work(home, prepared.run)) == 0
    check(runs, prepared.run, stage, MANY)


@pytest.mark.parametrize(
    ("point", "count"),
    [
        ("copied", 1),
        ("frozen", 1),
        ("promised", 3),
        ("saved", 2),
        ("accepted", 1),
        ("told", 1),
        ("done", 1),
    ],
)
@pytest.mark.parametrize("home", ["sqlite"], indirect=True)
def test_killed_at(home: Home, runs: ReportRuns, stage: Stage, point: str, count: int) -> None:  # noqa: F811
    """Killed at any step, the next worker goes on there; the report may be edited and the rows be gone meanwhile."""
    place = folder(home.root, report_toml=TOML, people_csv=people(250))
    run = runs.begin("letters", Wanted())
    assert ended(work(home, run, point, count)) == -9
    if point != "copied":  # it works with its own copy from then on
        (place / "people.csv").unlink()
        (place / "mail.txt").write_text("Nonsense {{")
    assert ended(work(home, run)) == 0
    check(runs, run, stage, 250)


@pytest.mark.parametrize("home", ["sqlite"], indirect=True)
def test_problems_are_kept_once(home: Home, runs: ReportRuns, stage: Stage) -> None:  # noqa: F811
    """Recipients with a problem are listed once and counted once, whatever was done again; the others get theirs."""
    folder(home.root, report_toml=TOML, people_csv=people(250, bad=50))
    run = runs.begin("letters", Wanted())
    assert ended(work(home, run, "promised", 2)) == -9
    assert ended(work(home, run)) == 0
    progress = runs.progress(run)
    assert progress.record.state is State.DONE and progress.total == progress.done == 250
    assert progress.failed == 5 and progress.outcomes["accepted"] == 245
    assert [one["key"] for one in runs.problems(run)] == ["50", "100", "150", "200", "250"]


@pytest.mark.parametrize("home", ["sqlite"], indirect=True)
def test_cancelled(home: Home, runs: ReportRuns, stage: Stage) -> None:  # noqa: F811
    """A cancelled run promises nothing more, and its rows are deleted."""
    folder(home.root, report_toml=TOML, people_csv=people(250))
    run = runs.begin("letters", Wanted())
    assert ended(work(home, run, "saved", 1)) == -9
    runs.cancel(run)
    assert ended(work(home, run)) == 0
    assert runs.records.load(run).state is State.CANCELLED
    assert len(promised(runs, run)) == 100 and not (home.root / "data" / "runs" / run).exists()


@pytest.mark.parametrize("home", ["sqlite"], indirect=True)
def test_a_file_that_was_left_and_has_changed_stops_the_run(
    home: Home, runs: ReportRuns, tmp_path: Path
) -> None:
    """A file outside the report's folder is not copied; when it is another one, nothing more is promised."""
    given = tmp_path / "elsewhere" / "terms.txt"
    given.parent.mkdir()
    given.write_text("Terms")
    toml = TOML + f'\n[[attachments]]\nfile = "{given}"\n'
    folder(home.root, report_toml=toml, people_csv=people(3))
    prepared = runs.prepare("letters", Wanted())
    given.write_text("Other terms")
    runs.start(prepared.run)
    assert ended(work(home, prepared.run)) == 0
    record = runs.records.load(prepared.run)
    assert record.state is State.STOPPED and record.problem is not None
    assert record.problem.code == "run-file-changed" and promised(runs, prepared.run) == []


@pytest.mark.parametrize("home", ["sqlite"], indirect=True)
def test_a_stopped_run_is_resumed(home: Home, runs: ReportRuns, stage: Stage) -> None:  # noqa: F811
    """A run that stopped for its list reads the corrected list; one that stopped in the middle goes on behind it."""
    toml = TOML.replace('"skip"', '"stop"')
    place = folder(
        home.root,
        report_toml=toml,
        people_csv=people(30, bad=7),
        mail_txt="{% if name == 'N120' %}{{ 1 // 0 }}{% endif %}",
    )
    run = runs.begin("letters", Wanted())
    assert ended(work(home, run)) == 0
    record = runs.records.load(run)
    assert record.state is State.STOPPED and record.problem is not None
    assert record.problem.code == "report-problems" and len(list(runs.problems(run))) == 4
    (place / "people.csv").write_text(people(WHOLE + 10))
    runs.resume(run)
    assert ended(work(home, run)) == 0
    record = runs.records.load(run)
    assert record.state is State.STOPPED and record.problem is not None
    assert record.problem.code == "report-stopped-midway"
    assert record.problem.facts["command"] == "datapallas report run letters --only 120"
    assert [one["key"] for one in runs.problems(run)] == ["120"]
    before = len(promised(runs, run))
    assert 119 <= before < WHOLE + 9
    runs.resume(run)
    assert ended(work(home, run)) == 0
    progress = runs.progress(run)
    assert progress.record.state is State.DONE and progress.failed == 1
    assert progress.outcomes["accepted"] == WHOLE + 9 == len(set(promised(runs, run)))


@pytest.mark.parametrize("home", ["sqlite"], indirect=True)
def test_a_short_list_is_made_whole_before_anything_is_sent(home: Home, runs: ReportRuns) -> None:
    """What only shows when an email is made is found before the first one leaves, when the list is short."""
    toml = TOML.replace('"skip"', '"stop"')
    text = "{% if name == 'N20' %}{{ name | money }}{% endif %}"
    folder(home.root, report_toml=toml, people_csv=people(30), mail_txt=text)
    prepared = runs.prepare("letters", Wanted())
    assert prepared.stops is not None and prepared.stops.code == "report-problems"
    assert [one.key for one in prepared.problems] == ["20"]
    assert "not a number" in prepared.problems[0].text
    with Checking(prepared.report) as quick, Checking(prepared.report, full=True) as full:
        assert [one.key for one in quick] == []
        assert [one.key for one in full] == ["20"]
    prepared.frozen.remove()
