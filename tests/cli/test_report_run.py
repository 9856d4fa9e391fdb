"""Reports from the command line: run, test, dry run, resume, history, schedule."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import pty
import signal
import time
import tomllib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from cli.shell import Shell
    from datapallas.sandbox import Sandbox

REPORT = """\
name = "Letters"  # what people call it

[rows]
file = "people.csv"

[email]
to = "{{ email }}"
subject = "Hello {{ name }}"
text = "mail.txt"

[[attachments]]
file = "terms.txt"
"""
PEOPLE = "name,email\nAnna,anna@sandbox.example\nBob,bob@sandbox.example\nCem,cem@sandbox.example\n"


@pytest.fixture
def folder(shell: Shell) -> Path:
    """A report `letters` in a home that is signed in."""
    shell.signed_in()
    place = shell.root / "config" / "reports" / "letters"
    place.mkdir(parents=True)
    (place / "report.toml").write_text(REPORT)
    (place / "mail.txt").write_text("Dear {{ name }}, it is {{ today }}.")
    (place / "terms.txt").write_text("Terms.")
    (place / "people.csv").write_text(PEOPLE)
    return place


def arrived(sandbox: Sandbox) -> list[tuple[str, str]]:
    return sorted((mail.recipients[0], str(mail.message["Subject"])) for mail in sandbox.messages)


def test_run(shell: Shell, sandbox: Sandbox, folder: Path) -> None:
    """Each recipient of the rows gets an email; the run is in the history; its rows are deleted."""
    done = shell.call("report", "run", "letters", "--yes")
    assert done.code == 0, done.err
    assert "3 recipients through this mailbox" in done.err and "3 accepted" in done.out
    assert arrived(sandbox) == [
        ("anna@sandbox.example", "Hello Anna"),
        ("bob@sandbox.example", "Hello Bob"),
        ("cem@sandbox.example", "Hello Cem"),
    ]
    assert dt.datetime.now().astimezone().date().isoformat() in sandbox.messages[0].text
    listed = shell.call("report", "history", "letters", "--json").json["runs"]
    assert [(run["state"], run["recipients"], run["not_sent"]) for run in listed] == [("done", 3, 0)]
    assert "3 accepted" in shell.call("report", "history").out
    run = listed[0]["run"]
    assert "3 accepted" in shell.call("report", "history", run).out
    assert "3 accepted" in shell.call("job", "show", run).out
    assert shell.call("report", "resume", run).code == 64
    assert not (shell.root / "data" / "runs" / run).exists()


def test_a_test_address_that_is_none_is_refused_at_once(shell: Shell, folder: Path) -> None:
    """A wrong --test-to is told before any row is read, as a mistake in the command."""
    (folder / "people.csv").unlink()
    done = shell.call("report", "run", "letters", "--test-to", "notanaddr", "--yes")
    assert done.code == 64 and "--test-to: 'notanaddr' is not an email address" in done.err


def test_a_wrong_schedule_blames_the_option(shell: Shell, folder: Path) -> None:
    """A cron expression that is none is a mistake in the command, told in words for people; the file is unchanged."""
    before = (folder / "report.toml").read_text()
    short = shell.call("report", "schedule", "letters", "--cron", "0 6 1 *")
    assert short.code == 64 and "--cron: '0 6 1 *'" in short.err and "five fields" in short.err
    late = shell.call("report", "schedule", "letters", "--cron", "0 25 * * *")
    assert late.code == 64 and "the hour is 0 to 23" in late.err
    zone = shell.call("report", "schedule", "letters", "--cron", "0 6 * * *", "--time-zone", "Europe/Berln")
    assert zone.code == 64 and "--time-zone" in zone.err and "Europe/Berlin" in zone.err
    assert (folder / "report.toml").read_text() == before


def test_test_mode(shell: Shell, sandbox: Sandbox, folder: Path) -> None:
    """With --test-to all emails go to one address, say for whom they were, and --sample takes a few of them."""
    done = shell.call(
        "report", "run", "letters", "--test-to", "me@sandbox.example", "--sample", "2", "--json"
    )
    assert done.code == 0 and done.json["outcomes"]["accepted"] == 2
    assert {who for who, _ in arrived(sandbox)} == {"me@sandbox.example"} and len(sandbox.messages) == 2
    assert all(subject.startswith("[Test for ") for _, subject in arrived(sandbox))
    assert "test" in shell.call("report", "history", "letters").out


def test_only_and_other_rows(shell: Shell, sandbox: Sandbox, folder: Path) -> None:
    """--only takes single recipients by key; --rows reads another file, or what is piped in."""
    assert shell.call("report", "run", "letters", "--only", "2").code == 0
    assert arrived(sandbox) == [("bob@sandbox.example", "Hello Bob")]
    done = shell.call("report", "run", "letters", "--only", "9")
    assert done.code == 64 and "'9'" in done.err
    piped = b"email;name\ndora@sandbox.example;Dora\n"
    assert shell.call("report", "run", "letters", "--rows", "-", stdin=piped).code == 0
    assert arrived(sandbox)[-1] == ("dora@sandbox.example", "Hello Dora")
    assert shell.call("report", "history", "--json").json["runs"][0]["recipients"] == 1


def test_dry_run(shell: Shell, sandbox: Sandbox, folder: Path) -> None:
    """--dry-run writes what would be sent, and sends and promises nothing."""
    done = shell.call("report", "run", "letters", "--dry-run", "--out", "out", "--json")
    assert done.code == 0 and done.json["written"] == 3
    emails = sorted((shell.root / "out").glob("*.eml"))
    assert len(emails) == 3 and b"Subject: Hello Anna" in emails[0].read_bytes()
    assert (shell.root / "out" / emails[0].stem / "1-terms.txt").read_text() == "Terms."
    assert shell.call("report", "run", "letters", "--dry-run", "--out", "out").code == 64
    assert not sandbox.messages and shell.call("report", "history", "--json").json["runs"] == []
    assert not list((shell.root / "data").glob("runs/letters*"))


def test_problems(shell: Shell, sandbox: Sandbox, folder: Path) -> None:
    """A recipient with a problem stops the run, or is left out and told, as the report says."""
    (folder / "people.csv").write_text(PEOPLE + "Eve,nonsense\n")
    done = shell.call("report", "run", "letters")
    assert done.code == 65 and "line 5" in done.err + done.out and "Do this:" in done.err
    assert not sandbox.messages and shell.call("report", "history", "--json").json["runs"] == []
    (folder / "report.toml").write_text(REPORT + '\n[limits]\non_problem = "skip"\n')
    done = shell.call("report", "run", "letters", "--json")
    assert done.code == 65 and done.json["not_sent"] == 1 and done.json["outcomes"]["accepted"] == 3
    assert [one["place"] for one in done.json["problems"]] == ["line 5"]
    assert len(sandbox.messages) == 3
    (folder / "report.toml").write_text(REPORT + "\n[limits]\nrecipients = 2\n")
    done = shell.call("report", "run", "letters")
    assert done.code == 65 and "allows 2" in done.err and len(sandbox.messages) == 3


def test_refused_and_waiting(shell: Shell, sandbox: Sandbox, folder: Path) -> None:
    """Somebody refused ends with 69 and is named; a mailbox that cannot sign in ends with 77, and resume goes on."""
    (folder / "people.csv").write_text(PEOPLE + "Eve,550-x@x.example\n")
    done = shell.call("report", "run", "letters")
    assert done.code == 69 and "refused   550-x@x.example" in done.out
    (folder / "people.csv").write_text(PEOPLE)
    sandbox.faults.next("token", "AADSTS50173", times=0)
    done = shell.call("report", "run", "letters", "--json")
    assert done.code == 77 and done.json["paused"] == "sign-in" and done.json["open"] == 3
    sandbox.faults.clear()
    assert shell.call("oauth2", "sign-in").code == 0
    done = shell.call("report", "resume", done.json["run"])
    assert done.code == 0 and "3 accepted" in done.out


def test_queue_and_serve(shell: Shell, sandbox: Sandbox, folder: Path) -> None:
    """--queue returns at once; a running serve sends it, though the report was deleted meanwhile."""
    done = shell.call("report", "run", "letters", "--queue", "--json")
    assert done.code == 0 and not sandbox.messages
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    with shell.start("serve", "--no-browser", "--port", "0") as serving:
        sandbox.wait(3, 120)
        serving.send_signal(signal.SIGTERM)
        serving.communicate(timeout=120)


def test_run_beside_serve(shell: Shell, sandbox: Sandbox, folder: Path) -> None:
    """While a server does the runs of this home, `report run` watches it do this one; nobody gets anything twice."""
    with shell.start("serve", "--no-browser", "--port", "0") as serving:
        lock = shell.root / "data" / "runs.lock"
        end = time.monotonic() + 120
        while not (lock.exists() and lock.read_text()):
            assert time.monotonic() < end
            time.sleep(0.05)
        done = shell.call("report", "run", "letters", "--yes")
        serving.send_signal(signal.SIGTERM)
        serving.communicate(timeout=120)
    assert done.code == 0 and "3 accepted" in done.out
    assert len(arrived(sandbox)) == 3 == len(set(arrived(sandbox)))


def test_ctrl_c_and_resume(shell: Shell, sandbox: Sandbox, folder: Path) -> None:
    """Ctrl-C leaves the run as it is and says how to go on; nobody gets anything twice."""
    assert shell.call("outbox", "limits", "eml-sandbox", "--per-minute", "10", "--sessions", "1").code == 0
    with shell.start("report", "run", "letters") as running:
        sandbox.wait(1, 120)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=120)
    assert running.returncode == 130
    command = err.strip().splitlines()[-1].partition("To go on: datapallas ")[2].split()
    assert command[:2] == ["report", "resume"], err
    assert shell.call("outbox", "limits", "eml-sandbox", "--preset").code == 0
    assert shell.call(*command).code == 0
    assert len(arrived(sandbox)) == 3 == len(set(arrived(sandbox)))


def test_the_bar_on_a_terminal(shell: Shell, folder: Path) -> None:
    """On a terminal one line moves, with how many are done; the result stays apart from it."""
    ours, theirs = pty.openpty()
    with shell.start("report", "run", "letters", "--yes", stderr=theirs) as running:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the terminal is gone when the command is
            while piece := os.read(ours, 4096):
                shown += piece
        out, _ = running.communicate(timeout=120)
    os.close(ours)
    assert running.returncode == 0 and "3 accepted" in out
    assert b"\r[" in shown and b"] 3 of 3" in shown.replace(b"#" * 24, b"")


@pytest.mark.parametrize("answer", [b"n\n", b"\x04"])
def test_who_says_no_sends_nothing(shell: Shell, folder: Path, answer: bytes) -> None:
    """Asked at a terminal, a no or Ctrl-D ends it at once: nothing was sent, and no run is left."""
    ours, theirs = pty.openpty()
    pipes = {"stdin": theirs, "stderr": theirs, "start_new_session": True}
    with shell.start("report", "run", "letters", **pipes) as running:
        os.close(theirs)
        shown = b""
        while b"Send it?" not in shown:
            shown += os.read(ours, 4096)
        os.write(ours, answer)
        with contextlib.suppress(OSError):  # the terminal is gone when the command is
            while piece := os.read(ours, 4096):
                shown += piece
        running.communicate(timeout=120)
    os.close(ours)
    assert running.returncode == 130 and b"Nothing was sent." in shown and b"may have been sent" not in shown
    assert shell.call("report", "history", "--json").json["runs"] == []


def test_cancel(shell: Shell, sandbox: Sandbox, folder: Path) -> None:
    """A cancelled run sends nothing more, and cannot be resumed; its copy of the rows is gone."""
    run = shell.call("report", "run", "letters", "--queue", "--json").json["run"]
    assert (shell.root / "data" / "runs" / run).exists()
    assert shell.call("report", "cancel", run).code == 0
    assert not (shell.root / "data" / "runs" / run).exists()
    assert shell.call("report", "resume", run).code == 64
    assert shell.call("report", "cancel", run).code == 64
    assert shell.call("report", "history", "--json").json["runs"][0]["state"] == "cancelled"
    assert shell.call("outbox", "run").code == 0 and not sandbox.messages


def test_schedule(shell: Shell, folder: Path) -> None:
    """`report schedule` changes only its own lines of report.toml, and shows the next times."""
    done = shell.call("report", "schedule", "letters", "--cron", "0 7 * * 1", "--time-zone", "Europe/Berlin")
    assert done.code == 0 and done.out.count("07:00 (Europe/Berlin)") == 5
    text = (folder / "report.toml").read_text()
    assert text.startswith(REPORT.rstrip()) and "# what people call it" in text
    assert tomllib.loads(text)["schedule"] == {
        "cron": "0 7 * * 1",
        "time_zone": "Europe/Berlin",
        "missed": "once",
    }
    assert (
        shell.call("report", "schedule", "letters", "--missed", "all", "--json").json["schedule"]["missed"]
        == "all"
    )
    assert "letters" in shell.call("report", "schedule", "list").out
    bad = shell.call("report", "schedule", "letters", "--cron", "nonsense")
    assert bad.code == 64 and "cron" in bad.err
    assert shell.call("report", "schedule", "letters", "--off").code == 0
    assert (folder / "report.toml").read_text().rstrip() == REPORT.rstrip()
    assert shell.call("report", "schedule", "letters", "--time-zone", "UTC").code == 64
    assert shell.call("report", "schedule", "nobody").code == 78


def test_a_run_whose_job_is_paused_says_so(shell: Shell, sandbox: Sandbox, folder: Path) -> None:
    """A run knows that a person paused its job: history and resume say so, and how it goes on."""
    sandbox.faults.next("token", "AADSTS50173", times=0)
    run = shell.call("report", "run", "letters", "--yes", "--json").json["run"]
    assert shell.call("report", "history", "letters", "--json").json["runs"][0]["held"] is False
    assert shell.call("job", "pause", run).code == 0
    sandbox.faults.clear()
    assert " paused " in shell.call("report", "history", "letters").out
    second = shell.call("report", "run", "letters", "--queue", "--yes")
    assert second.code == 0 and f"is under way already: {run}" in second.err
    again = shell.call("report", "resume", run)
    assert again.code in {75, 77} and f"datapallas job resume {run}" in again.out
