"""How the last runs went, where a person looks: the lists of reports and schedules."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

from datapallas.errors import ConfigurationError
from datapallas.home import Home
from datapallas.home.reporting import run_place
from datapallas.home.reporting.past import Past
from datapallas.outbox import problems
from datapallas.outbox.runs.records import Record
from datapallas.outbox.runs.tables import State

if TYPE_CHECKING:
    from cli.shell import Shell

GONE = ConfigurationError("The rows cannot be read: there is no file people.csv.", code="rows-file")
DONE = {"outcomes": {"accepted": 2}, "total": 2}


def ran(shell: Shell, *records: Record) -> None:
    """Runs as they are kept; each a minute after the one before."""
    with contextlib.closing(run_place.open_records(Home(shell.root, {}))) as kept:
        for number, record in enumerate(records):
            kept.add(dataclasses.replace(record, work="report", subject="letters", created=1e9 + 60 * number))
            if record.problem is not None:
                kept.move(record.id, [record.state], record.state, problem=problems.dump(record.problem))


def test_lists_say_how_the_last_run_went(shell: Shell) -> None:
    """Next run, last run and its result; a scheduled run that stopped is told with what to do, and a test hides none."""
    assert shell.call("report", "new", "letters").code == 0
    assert shell.call("report", "new", "others").code == 0
    assert not (shell.root / "data" / "runs.db").exists()
    assert shell.call("report", "schedule", "letters", "--cron", "0 7 * * *").code == 0
    assert "has not run by itself yet" in shell.call("report", "schedule", "letters").out
    assert not (shell.root / "data" / "runs.db").exists()  # looking makes nothing
    ran(
        shell,
        Record(id="first", work="", state=State.DONE, facts=DONE | {"scheduled": 1.0}),
        Record(id="second", work="", state=State.STOPPED, facts={"scheduled": 2.0}, problem=GONE),
        Record(id="test", work="", state=State.DONE, facts=DONE | {"test_to": "me@x.example"}),
        Record(id="prepared", work="", state=State.PREPARED),
    )
    listed = shell.call("report", "list")
    assert "07:00 (UTC)" in listed.out and "a test: 2 accepted" in listed.out
    assert "letters: the last scheduled run" in listed.err and "report history second" in listed.err
    line = shell.call("report", "list", "--json").json["reports"][0]
    assert (line["last_run"]["run"], line["last_scheduled"]["run"], line["in_trouble"]) == (
        "test",
        "second",
        "second",
    )
    one = shell.call("report", "schedule", "letters")
    assert "second  stopped" in one.out and "2 accepted" in one.out
    assert "datapallas report check letters" in one.err
    shown = shell.call("report", "schedule", "letters", "--json").json["runs"]
    assert [(run["run"], run["state"]) for run in shown] == [("second", "stopped"), ("first", "done")]
    assert "stopped 2001-09-09" in shell.call("report", "schedule", "list").out
    everything = shell.call("report", "schedule", "list", "--json").json["reports"]
    assert [one["last"] and one["last"]["run"] for one in everything] == ["second", None]


def test_what_went_well_after_a_failure_ends_it() -> None:
    """A real run that reached everybody after one that failed leaves nothing to look at; one that left some out does."""
    failed = Record(id="a", work="report", state=State.STOPPED, problem=GONE)
    good = Record(id="b", work="report", state=State.DONE, facts=DONE)
    assert Past([good, failed]).trouble is None and Past([failed, good]).trouble is failed
    for more in ({"failed": 1}, {"left_out": {"rows": 0, "parts": 1}}, {"outcomes": {"refused": 1}}):
        some = dataclasses.replace(good, facts=DONE | more)
        assert Past([some, failed]).trouble is some
    assert Past().last is None and Past().trouble is None
