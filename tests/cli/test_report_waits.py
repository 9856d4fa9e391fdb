"""What a run waits for, and who got nothing of it: said, counted, and never waited for without an end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from datapallas.cli.report import watch as report_watch
from datapallas.errors import ConfigurationError, Unreachable
from datapallas.home import Home
from datapallas.home.reporting import run_place
from datapallas.home.reporting.waits import waiting
from datapallas.outbox import problems
from datapallas.outbox.background import draining
from datapallas.outbox.runs.records import Record
from datapallas.outbox.runs.tables import State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli.shell import Shell
    from datapallas.outbox.runs.records import Records
    from datapallas.sandbox import Sandbox

HOLD = """
import sys, time
from pathlib import Path
from datapallas import files
with files.locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def held(root: Path) -> Iterator[int]:
    """A process that has the runs of the home in hand."""
    words = [sys.executable, "-c", HOLD, str(root / "data" / "runs.lock")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        try:
            yield process.pid
        finally:
            process.kill()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path, {})


@pytest.fixture
def records(home: Home) -> Iterator[Records]:
    found = run_place.open_records(home)
    yield found
    found.close()


def test_a_run_that_nobody_does_says_whom_it_waits_for(
    shell: Shell, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a suspended process has the runs of a home in hand, `report run` names it and ends; nothing is lost."""
    monkeypatch.setattr(report_watch, "_NOBODY", 1.0)
    shell.signed_in()
    assert shell.call("report", "new", "letters").code == 0
    with held(shell.root) as pid:
        os.kill(pid, signal.SIGSTOP)
        done = shell.call("report", "run", "letters", "--yes")
        assert done.code == 75, done.err
        assert f"process {pid} does the runs of this home and is suspended" in done.out
        assert "nothing is promised yet" in done.out and "report resume letters-" in done.out
    run = shell.call("report", "history", "--json").json["runs"][0]["run"]
    assert shell.call("report", "resume", run).code == 0
    assert sandbox.messages


def test_what_a_run_waits_for(home: Home, records: Records) -> None:
    """A later try, other runs, another machine, a process that does not answer: each is named."""
    here = run_place.place(home)
    records.add(Record(id="a", work="report", place=here))
    assert waiting(home, records, records.load("a")).nobody
    with held(home.root) as pid:
        assert (
            f"process {pid} does the runs of this home and does not"
            in waiting(home, records, records.load("a")).why
        )
    records.beat("worker", here, 600.0)
    assert waiting(home, records, records.load("a")).why == ""
    for other in ("b", "c"):
        records.add(Record(id=other, work="report", place=here, state=State.RUNNING))
    found = waiting(home, records, records.load("a"))
    assert found.why in {"first comes b and c", "first comes c and b"} and not found.nobody
    problem = Unreachable("The database is away.", code="rows-unreachable")
    with records.read() as tx:
        due = records.now(tx) + 300
    records.move("a", [State.QUEUED], State.QUEUED, due=due, problem=problems.dump(problem))
    assert waiting(home, records, records.load("a")).why.endswith(": The database is away.")
    records.move("a", [State.QUEUED], State.HANDED, place="elsewhere")
    found = waiting(home, records, records.load("a"))
    assert "another machine" in found.why and found.nobody


def test_a_courier_that_failed_is_seen_before_the_block_ends() -> None:
    """Who waits for mail to leave learns at once that the courier is gone."""

    class Broken:
        def drain(self, *, forever: bool) -> None:
            raise ConfigurationError(f"Damaged ({forever}).", code="outbox-broken")

        def stop(self) -> None:
            pass

    def watched() -> None:
        with draining(Broken()) as failed:  # type: ignore[arg-type]
            end = time.monotonic() + 20
            while not failed():
                assert time.monotonic() < end
                time.sleep(0.01)

    with pytest.raises(ConfigurationError):
        watched()


def test_rows_and_parts_that_belong_to_nobody_are_counted(shell: Shell) -> None:
    """Of a PDF that is cut, a row without a part and a part without a row are in the summary, and end with 65."""
    shell.signed_in()
    assert shell.call("report", "new", "st", "--sample", "statements").code == 0
    rows = shell.root / "config" / "reports" / "st" / "customers.csv"
    rows.write_text(rows.read_text("utf-8").replace("10023;", "10099;") + "10052;broken\n", "utf-8")
    checked = shell.call("report", "check", "st", "--json")
    assert (checked.code, checked.json["errors"]) == (65, 3)
    done = shell.call("report", "run", "st", "--yes")
    assert done.code == 65, done.err
    assert "5 accepted, 2 rows and 1 part of the PDF left out" in done.out
    assert done.out.count("none is called '10099'") == done.out.count("nobody gets this part") == 1
    assert "2 rows and 1 part of the PDF left out" in shell.call("report", "history", "st").out
    shown = shell.call("report", "history", "st", "--json").json["runs"][0]
    assert shown["left_out"] == {"rows": 2, "parts": 1} and shown["recipients"] == 5


def test_of_chosen_recipients_the_others_do_not_matter(shell: Shell) -> None:
    """`--only` sends to who was chosen, whatever is wrong with others; who was chosen and has no part is told why."""
    shell.signed_in()
    assert shell.call("report", "new", "st", "--sample", "statements").code == 0
    folder = shell.root / "config" / "reports" / "st"
    rows, report = folder / "customers.csv", folder / "report.toml"
    rows.write_text(rows.read_text("utf-8").replace("10023;", "10099;"), "utf-8")
    report.write_text(
        report.read_text("utf-8").replace('on_problem = "skip"', 'on_problem = "stop"'), "utf-8"
    )
    good = shell.call("report", "run", "st", "--only", "1", "--yes", "--json")
    assert (good.code, good.json["left_out"], good.json["problems"]) == (0, {"rows": 0, "parts": 0}, [])
    bad = shell.call("report", "run", "st", "--only", "3", "--yes")
    assert bad.code == 65 and "none is called '10099'" in bad.out
    assert shell.call("report", "run", "st", "--only", "77", "--yes").code == 64


def test_a_mailbox_that_waits_for_a_persons_word_says_the_word(shell: Shell, sandbox: Sandbox) -> None:
    """Where a provider does not let a sender send, run, job and outbox each name the command that ends the pause."""
    shell.signed_in()
    assert shell.call("report", "new", "letters").code == 0
    refusal = "550 5.7.60 SMTP; Client does not have permissions to send as this sender"
    sandbox.faults.next("mail", refusal, times=0)
    done = shell.call("report", "run", "letters", "--yes")
    command = "datapallas outbox resume eml-sandbox"
    assert done.code and command in done.err and "SendAs" in done.err
    run = shell.call("report", "history", "--json").json["runs"][0]["run"]
    assert f"`{command}`: nothing tries again before that" in shell.call("job", "show", run).err
    assert command in shell.call("outbox", "status").err
    sandbox.faults.clear()
    assert shell.call("outbox", "resume", "eml-sandbox").code == 0
    assert shell.call("report", "resume", run).code == 0
    assert "outbox resume" not in shell.call("job", "show", run).err
