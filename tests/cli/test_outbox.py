"""The outbox from the command line: promise, send, look, pause, retry, export."""

from __future__ import annotations

import contextlib
import csv
import io
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from cli.shell import CODE
from datapallas.outbox import tables
from datapallas.outbox.database import Database

if TYPE_CHECKING:
    from cli.shell import Shell
    from datapallas.sandbox import Sandbox

TO = ("--to", "bob@sandbox.example")


@pytest.fixture(autouse=True)
def _signed_in(shell: Shell) -> None:
    shell.signed_in()


def queue(shell: Shell, *words: str) -> str:
    done = shell.call("send", "--queue", *TO, *words, "--json")
    assert done.code == 0, done.err
    return str(done.json["job"])


def test_promised_then_sent(shell: Shell, sandbox: Sandbox) -> None:
    """`send --queue` returns at once with a job; `outbox run` sends it; `job show` tells."""
    job = queue(shell, "--subject", "Figures")
    assert not sandbox.messages
    status = shell.call("outbox", "status", "--json").json["mailboxes"]
    assert status[0]["code"] == CODE and status[0]["waiting"] == 1
    done = shell.call("outbox", "run", "--json")
    assert done.code == 0 and done.json["waiting"] == 0
    assert sandbox.wait(1)[0].message["Subject"] == "Figures"
    shown = shell.call("job", "show", job, "--json").json
    assert shown["fates"]["accepted"] == 1 and shown["name"] == "Figures" and not shown["open"]
    assert "1 accepted" in shell.call("job", "list").out
    assert oct((shell.root / "data" / "outbox.db").stat().st_mode)[-3:] == "600"


def test_the_same_key_is_sent_once(shell: Shell, sandbox: Sandbox) -> None:
    """A script that runs again with the same job and key sends nothing twice."""
    for expected in (True, False):
        done = shell.call("send", "--queue", *TO, "--job", "invoices", "--key", "4711", "--json")
        assert done.code == 0 and done.json["new"] is expected
        assert shell.call("outbox", "run").code == 0
    assert len(sandbox.messages) == 1


def test_a_key_is_never_another_message(shell: Shell, sandbox: Sandbox) -> None:
    """The same job and key with another message is refused; the honest repeat is told as one; a key needs its job."""
    same = ("--job", "j1", "--key", "k1", "--subject", "Figures")
    assert shell.call("send", *TO, *same).code == 0
    for words in (("--to", "eve@x.example", *same), (*TO, *same, "--text", "other")):
        for way in ((), ("--queue",)):
            done = shell.call("send", *words, *way, "--json")
            assert done.code == 64 and done.json["error"]["id"] == "key-reused"
    again = shell.call("send", *TO, *same)
    assert again.code == 0 and "nothing was sent again" in again.err and "accepted  bob" in again.out
    assert shell.call("send", *TO, *same, "--json").json["new"] is False
    assert len(sandbox.messages) == 1
    assert "--job" in shell.call("send", *TO, "--key", "k1").err
    assert shell.call("send", *TO, "--key", "k1").code == 64


def test_a_refused_recipient_is_told_with_its_cause(shell: Shell) -> None:
    """`job show` names who was not accepted, with the reply, the cause and what to do; `job export` has all."""
    job = queue(shell, "--to", "550-x@x.example")
    assert shell.call("outbox", "run").code == 0
    shown = shell.call("job", "show", job)
    assert "refused   550-x@x.example  550" in shown.out and "Do this:" in shown.err
    rows = list(csv.DictReader(io.StringIO(shell.call("job", "export", job).out)))
    assert [(row["address"], row["outcome"]) for row in rows] == [
        ("bob@sandbox.example", "accepted"),
        ("550-x@x.example", "refused"),
    ]
    assert shell.call("job", "retry", job, "--json").json["count"] == 0
    assert shell.call("job", "retry", job, "--refused", "--json").json["count"] == 1


def test_pause_resume_cancel_retry(shell: Shell, sandbox: Sandbox) -> None:
    """A paused job waits, a resumed one goes, a cancelled one is parked until it is retried."""
    job = queue(shell)
    assert shell.call("job", "pause", job, "--json").json["count"] == 1
    assert shell.call("outbox", "run").code == 0 and not sandbox.messages
    assert shell.call("job", "resume", job).code == 0
    assert shell.call("outbox", "run").code == 0 and len(sandbox.messages) == 1
    other = queue(shell)
    assert shell.call("job", "cancel", other, "--json").json["count"] == 1
    assert shell.call("outbox", "run").code == 0 and len(sandbox.messages) == 1
    assert "parked" in shell.call("job", "show", other).out
    assert shell.call("job", "resume", other).code == 64
    assert shell.call("job", "retry", other).code == 0
    assert shell.call("outbox", "run").code == 0 and len(sandbox.messages) == 2
    assert shell.call("job", "show", "nonsense").code == 64


def test_a_mailbox_that_cannot_sign_in(shell: Shell, sandbox: Sandbox) -> None:
    """Mail waits for a sign-in; `outbox run` ends with 77 and says so; after the sign-in it goes by itself."""
    queue(shell)
    sandbox.faults.next("token", "AADSTS50173", times=0)
    done = shell.call("outbox", "run")
    assert done.code == 77 and "paused (sign-in)" in done.out and "Do this:" in done.err
    status = shell.call("outbox", "status")
    assert "tries again in 5 min" in status.err and f"datapallas outbox resume {CODE}" in status.err
    sandbox.faults.clear()
    assert shell.call("oauth2", "sign-in").code == 0
    assert shell.call("outbox", "run").code == 0 and len(sandbox.messages) == 1
    assert shell.call("outbox", "status", "--json").json["mailboxes"][0]["problem"] is None


def test_outbox_run_tries_what_could_not_sign_in(shell: Shell, sandbox: Sandbox) -> None:
    """Somebody mended it elsewhere: `outbox run` tries it once more; later pauses are not explained by it."""
    queue(shell)
    sandbox.faults.next("token", "AADSTS50173", times=0)
    for _ in range(2):
        assert shell.call("outbox", "run").code == 77
    sandbox.faults.clear()
    shell.call("oauth2", "sign-in")
    assert shell.call("outbox", "pause", CODE).code == 0
    waiting = shell.call("send", *TO, "--wait", "0", "--json").json
    assert waiting["state"] == "waiting" and waiting["errors"] == []
    assert shell.call("outbox", "run", "--json").code == 75


def test_a_connection_can_be_paused_and_limited(shell: Shell, sandbox: Sandbox) -> None:
    """`outbox pause` holds a mailbox, `outbox limits` sets its pace, `outbox estimate` says how long a job takes."""
    queue(shell)
    assert shell.call("outbox", "pause", CODE).code == 0
    assert shell.call("outbox", "run").code == 75 and not sandbox.messages
    assert shell.call("outbox", "resume", CODE).code == 0
    assert shell.call("outbox", "run").code == 0 and len(sandbox.messages) == 1
    done = shell.call("outbox", "limits", CODE, "--per-minute", "30", "--per-day", "10000", "--json")
    assert done.json["per_minute"] == 30 and done.json["sessions"] == 3
    assert "2 h 47 min" in shell.call("outbox", "estimate", CODE, "5000").out
    assert "10 days" in shell.call("outbox", "estimate", CODE, "100000").out
    assert shell.call("outbox", "limits", CODE, "--preset", "--json").json["per_minute"] == 0
    assert shell.call("outbox", "limits", CODE, "--sessions", "0").code == 64
    assert shell.call("outbox", "pause", "eml-nobody").code == 78


def test_it_runs_until_it_is_stopped(shell: Shell, sandbox: Sandbox) -> None:
    """`outbox run --forever` sends what comes and ends cleanly on SIGTERM."""
    with shell.start("outbox", "run", "--forever") as running:
        queue(shell)
        sandbox.wait(1, 60)
        queue(shell)
        sandbox.wait(2, 60)
        running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 0 and "Nothing waits" in out and "Traceback" not in err


@pytest.mark.parametrize(
    "words", [["--queue", "--now"], ["--queue", "--show-dialogue"], ["--queue", "--on-doubt", "x"]]
)
def test_what_does_not_go_together(shell: Shell, words: list[str]) -> None:
    """64 when options contradict each other; nothing is promised."""
    assert shell.call("send", *TO, *words).code == 64
    assert not (shell.root / "data" / "outbox.db").exists()


def test_a_connection_that_is_gone(shell: Shell, sandbox: Sandbox) -> None:
    """Its mail waits; back again, it is sent without anybody resuming anything."""
    queue(shell)
    data = shell.file.read_bytes()
    shell.file.unlink()
    done = shell.call("outbox", "run")
    assert done.code == 78 and "paused (configuration)" in done.out
    shell.file.write_bytes(data)
    assert shell.call("outbox", "run").code == 0 and len(sandbox.messages) == 1


def test_what_does_not_need_the_ledger_does_not_wait_for_it() -> None:
    """The help of `send` and the start of `serve` do not import the database's library, which takes a fifth of a second."""
    program = (
        "import sys, datapallas.cli.send, datapallas.home.home, datapallas.home.sending, datapallas.mail.mailbox\n"
        "sys.exit('sqlalchemy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_damaged_outbox_is_refused(shell: Shell) -> None:
    """A file that is no database, or a newer one, is left as it is: 78, with what to do."""
    path = shell.root / "data" / "outbox.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"this is not a database, whatever its name says" * 100)
    done = shell.call("send", "--queue", *TO)
    assert done.code == 78 and "damaged" in done.err and "Do this:" in done.err
    assert path.read_bytes().startswith(b"this is not")


def test_a_running_server_sends_what_is_promised(shell: Shell, sandbox: Sandbox) -> None:
    """`serve` has a courier: what is promised while it runs goes out, and it ends within its time."""
    with shell.start("serve", "--no-browser", "--port", "0") as running:
        assert running.stdout and running.stdout.readline()
        queue(shell)
        assert sandbox.wait(1, 60)
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)
    assert running.returncode == 0
    assert shell.call("outbox", "status", "--json").json["mailboxes"][0]["waiting"] == 0


def test_what_a_killed_process_holds(shell: Shell, sandbox: Sandbox) -> None:
    """It is said that another process had it; it is taken over when its lease ends, and sent."""
    words = ("--job", "j", "--key", "k")
    queue(shell, *words)
    with contextlib.closing(Database(shell.root / "data" / "outbox.db")) as database, database.write() as tx:
        tx.execute(sa.update(tables.messages).values(state="claimed", owner="dead"))
        lease = {"mailbox": CODE, "slot": 0, "owner": "dead", "until": database.now(tx) + 6}
        tx.execute(tables.leases.insert(), lease)
    told = "may have been killed; it is taken over within a minute"
    assert told in shell.call("outbox", "status").err
    assert told in shell.call("send", *TO, *words, "--wait", "0").err
    done = shell.call("outbox", "run")
    assert done.code == 0 and told in done.err and len(sandbox.messages) == 1


def test_what_the_server_puts_off(shell: Shell) -> None:
    """`send` asks for nothing; `outbox run` says what it waits for; the status, that nobody works."""
    done = shell.call("send", "--to", "451-x@x.example", "--wait", "1")
    assert done.code == 0 and "Try again" not in done.err and "do not run this again" in done.err
    status = shell.call("outbox", "status")
    assert "1 recipient waits;" in status.out and "No worker is running" in status.err
    with shell.start("outbox", "run") as running:
        assert running.stderr and "1 message was put off; the next try is in" in running.stderr.readline()
        assert "Ctrl-C" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)


def test_what_was_taken_back_is_told_so(shell: Shell, sandbox: Sandbox) -> None:
    """After an end with 77, `job show` says that it was taken back and will not be sent unless it is retried."""
    sandbox.faults.next("token", "AADSTS50173", times=0)
    assert shell.call("send", *TO, "--job", "j").code == 77
    shown = shell.call("job", "show", "j")
    assert "parked" in shown.out and "taken back" in shown.err and "job retry" in shown.err
    assert "sign-in" not in shown.err and "1 message:" in shown.out
    sandbox.faults.clear()


def test_the_refused_of_a_cancelled_job(shell: Shell, sandbox: Sandbox) -> None:
    """`job retry --refused` leaves what was cancelled alone; a job in which all is done is said to be done."""
    assert shell.call("send", "--to", "550-x@x.example", "--job", "j").code == 69
    assert "  done  " in shell.call("job", "show", "j").out and " done " in shell.call("job", "list").out
    queue(shell, "--job", "j")
    cancelled = shell.call("job", "cancel", "j", "--json").json
    assert (cancelled["count"], cancelled["under_way"]) == (1, 0)
    assert shell.call("job", "retry", "j", "--refused", "--json").json["count"] == 1
    assert shell.call("outbox", "run").code == 0 and not sandbox.messages
    assert "1 recipient is tried again." in shell.call("job", "retry", "j").out


def test_what_a_cancel_does_not_reach(shell: Shell) -> None:
    """What a worker has in its hands still goes out, and is counted."""
    queue(shell, "--job", "j")
    with contextlib.closing(Database(shell.root / "data" / "outbox.db")) as database, database.write() as tx:
        tx.execute(sa.update(tables.messages).values(state="claimed", owner="worker"))
    done = shell.call("job", "cancel", "j")
    assert "0 messages will not be sent" in done.out and "1 message is on the way" in done.err
