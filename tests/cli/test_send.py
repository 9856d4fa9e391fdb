"""`send` and `system test-email`: what arrives, what happened to each recipient, and what a script sees."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.shell import CODE

if TYPE_CHECKING:
    from cli.shell import Shell
    from datapallas.sandbox import Sandbox

TO = ("--to", "bob@sandbox.example")


@pytest.fixture(autouse=True)
def _signed_in(shell: Shell) -> None:
    shell.signed_in()


def test_a_message_with_everything(shell: Shell, sandbox: Sandbox, tmp_path: Path) -> None:
    """Text, HTML, an image in it, attachments, names, Reply-To, headers of one's own: all arrive; Bcc is not shown."""
    (tmp_path / "body.html").write_text("<p>Grüße <img src='cid:logo'></p>", encoding="utf-8-sig")
    (tmp_path / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "Übersicht.csv").write_text("a,b\n")
    words = ["--to", 'Bob <bob@sandbox.example>, "Miller, Ann" <ann@x.example>', "--to", "c@x.example"]
    words += ["--cc", "d@x.example", "--bcc", "e@x.example", "--subject", "Größe", "--text-file", "-"]
    words += ["--html-file", "body.html", "--inline", "logo=logo.png", "--attach", "Übersicht.csv"]
    words += ["--reply-to", "Desk <desk@x.example>", "--header", "X-A: one", "--header", "X-A: two: 2"]
    done = shell.call("send", *words, stdin="Grüße\n".encode())
    assert done.code == 0, done.err
    mail = sandbox.wait(1)[0]
    assert mail.recipients == tuple(f"{who}.example" for who in ("bob@sandbox", "ann@x", "c@x", "d@x", "e@x"))
    message = mail.message
    assert str(message["Subject"]) == "Größe" and message.get_all("X-A") == ["one", "two: 2"]
    assert '"Miller, Ann" <ann@x.example>' in str(message["To"]) and "e@x.example" not in message.as_string()
    parts = {part.get_filename() or part.get_content_type(): part for part in message.walk()}
    assert parts["text/plain"].get_content().strip() == "Grüße"
    assert parts["text/html"].get_content().startswith("<p>Grüße")
    assert parts["logo.png"]["Content-ID"] == "<logo>" and "Übersicht.csv" in parts
    assert [line.split()[:2] for line in done.out.splitlines()[:2]] == [
        ["accepted", "bob@sandbox.example"],
        ["accepted", "ann@x.example"],
    ]


def test_mail_needs_no_body_and_no_subject(shell: Shell, sandbox: Sandbox) -> None:
    """An empty message is a message: a script may say everything in the subject, or in an attachment."""
    assert shell.call("send", *TO).code == 0
    assert sandbox.wait(1)[0].message.get_content().strip() == ""


def test_the_whole_dialogue_is_shown_and_no_secret(shell: Shell) -> None:
    """`test-email` shows every line said, with the token masked, on stderr; stdout has the receipt."""
    done = shell.call("system", "test-email", "--json")
    assert done.code == 0 and done.json["ok"]
    for line in (
        "S: 220 ",
        "C: STARTTLS",
        "C: AUTH XOAUTH2",
        "C: ******",
        "S: 235 ",
        "C: MAIL FROM:",
        "S: 221 ",
    ):
        assert line in done.err
    assert done.json["recipients"][0]["address"] == "alice@sandbox.example"
    assert done.json["recipients"][0]["outcome"] == "accepted"
    assert [step["mark"] for step in done.json["steps"]] == ["done"] * 5
    for step in ("token", "connect", "tls", "sign-in", "send"):
        assert re.search(rf"^  \S+ +{step} +\d+\.\d\d s  .", done.err, re.MULTILINE), done.err
    assert "C: AUTH" in shell.call("send", *TO, "--show-dialogue").err
    assert "C: AUTH" not in shell.call("send", *TO).err


def test_a_test_email_that_fails_shows_the_step(shell: Shell, sandbox: Sandbox) -> None:
    """The step that failed is marked, the dialogue stands below it, and the cause last; the exit code is the cause's."""
    sandbox.faults.next("rcpt", "550 5.1.1 nobody here", times=0)
    done = shell.call("system", "test-email", *TO)
    assert done.code == 69 and not done.out
    marks = re.search(r"^  (\S+) +send +\d", done.err, re.MULTILINE)
    assert marks and marks[1] in {"\N{BALLOT X}", "FAILED"}
    assert done.err.index("send  ") < done.err.index("C: RCPT") < done.err.index("Do this:")
    told = shell.call("system", "test-email", *TO, "--json").json
    assert told["exit_code"] == 69 and told["recipients"][0]["outcome"] == "refused" and told["error"]["fix"]
    assert shell.call("system", "test-email", "--to", "nobody").code == 65


def test_the_arguments_of_a_running_command_hold_no_secret(shell: Shell, sandbox: Sandbox) -> None:
    """While mail is being sent, what `ps` shows is what was typed."""
    arguments = Path("/proc/self/cmdline")
    if not arguments.exists():
        pytest.skip("this system has no /proc")
    sandbox.faults.next("message", "slow", seconds=4)
    with shell.start("send", *TO, "--show-dialogue") as running:
        assert running.stderr
        assert any("BDAT" in line for line in iter(running.stderr.readline, ""))
        typed = Path(f"/proc/{running.pid}/cmdline").read_bytes().decode()
        out, _ = running.communicate(timeout=60)
    assert running.returncode == 0 and "accepted" in out
    assert typed.split("\0")[3:-1] == ["send", *TO, "--show-dialogue"]
    assert not [secret for secret in shell.known_secrets() if secret in typed]


def test_mixed_recipients(shell: Shell, sandbox: Sandbox) -> None:
    """One accepted, one refused for now, one for good: each with its reply and why; never "run it again" (75)."""
    words = ["--to", "bob@sandbox.example", "--to", "451-x@x.example", "--to", "550-x@x.example"]
    done = shell.call("send", *words)
    assert done.code == 69
    lines = [line.split()[:3] for line in done.out.splitlines()[:3]]
    assert lines == [
        ["accepted", "bob@sandbox.example", "250"],
        ["deferred", "451-x@x.example", "451"],
        ["refused", "550-x@x.example", "550"],
    ]
    assert done.err.count("Do this:") == 2
    document = shell.call("send", *words, "--json")
    assert (document.code, document.json["ok"], document.json["exit_code"]) == (69, False, 69)
    told = {one["address"]: (one["outcome"], one["transient"]) for one in document.json["recipients"]}
    assert told["451-x@x.example"] == ("deferred", True) and told["550-x@x.example"] == ("refused", False)
    assert len(document.json["errors"]) == 2 and all(error["fix"] for error in document.json["errors"])
    assert len(sandbox.messages) == 2


@pytest.mark.parametrize(("who", "code"), [("451-x@x.example", 0), ("550-x@x.example", 69)])
def test_a_single_recipient_refused(shell: Shell, who: str, code: int) -> None:
    """Nobody got it: for now, the outbox goes on (0); for good is 69; the document has the receipt as well."""
    done = shell.call("send", "--to", who, "--json")
    assert (done.code, done.json["exit_code"]) == (code, code)
    error = done.json["error"] if code else done.json["errors"][0]
    assert done.json["recipients"][0]["address"] == who and error["raw"].startswith(who[:3])
    told = shell.call("send", "--to", who)
    assert told.code == code and ("do not run this again" in told.err) is not bool(code)


def test_nobody_of_several(shell: Shell) -> None:
    """Refused for all, each in another way: every reply is shown, and 69, since one is refused for good."""
    done = shell.call("send", "--to", "451-x@x.example", "--to", "550-x@x.example")
    assert done.code == 69
    assert [line.split()[:3] for line in done.out.splitlines()[:2]] == [
        ["deferred", "451-x@x.example", "451"],
        ["refused", "550-x@x.example", "550"],
    ]
    assert shell.call("send", "--to", "451-x@x.example", "--to", "450-x@x.example").code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "recipient"),
        (["--to", ""], "empty"),
        (["--to", "not-an-address"], "not-an-address"),
        (["--to", "a@x.example\r\nBcc: b@x.example"], "\\r\\n"),
        (["--to", "a b@x.example"], "a b@x.example"),
        (["--cc", "Miller, Ann <a@x.example>"], "Miller"),
        ([*TO, "--subject", "a\r\nBcc: b@x.example"], "line"),
        ([*TO, "--header", "X-A: a\r\nBcc: b@x.example"], "line"),
        ([*TO, "--header", "X-A: a\r\n"], "line"),
        ([*TO, "--header", "X-A\r\n: a"], "name of a header"),
        ([*TO, "--header", "Bcc: b@x.example"], "bcc"),
        ([*TO, "--reply-to", "a@x.example\nb"], "\\n"),
        ([*TO, "--from", "a@x.example\nb"], "\\n"),
        ([*TO, "--attach", "missing.pdf"], "missing.pdf"),
        ([*TO, "--attach", "."], "folder"),
        ([*TO, "--text-file", "missing.txt"], "missing.txt"),
        ([*TO, "--html-file", "latin.html"], "UTF-8"),
        ([*TO, "--inline", "logo=missing.png", "--html-file", "ok.html"], "missing.png"),
        ([*TO, "--inline", "logo=logo.png"], "html"),
    ],
)
def test_a_message_nobody_could_send(shell: Shell, sandbox: Sandbox, words: list[str], said: str) -> None:
    """65, with what is wrong; the mail server and the provider are not even asked; with --json one document."""
    Path("latin.html").write_bytes(b"caf\xe9")
    Path("ok.html").write_text("<p>")
    Path("logo.png").write_bytes(b"\x89PNG\r\n")
    sandbox.faults.next("connect", "die", times=0)
    done = shell.call("send", *words)
    assert done.code == 65 and done.out == "" and said.lower() in done.err.lower()
    document = shell.call("send", *words, "--json")
    assert document.code == 65 and document.json["error"]["fix"]
    assert document.json["exit_code"] == 65
    assert not sandbox.provider.ledger.accesses


@pytest.mark.parametrize(
    "words",
    [
        ["--text", "a", "--text-file", "b"],
        ["--text-file", "-", "--html-file", "-"],
        ["--header", "nonsense"],
        ["--header", ": empty"],
        ["--inline", "logo.png"],
        ["--colour", "red"],
        ["argument"],
    ],
)
def test_a_command_that_makes_no_sense(shell: Shell, words: list[str]) -> None:
    """64, with where the help is; with --json one document."""
    done = shell.call("send", *TO, *words)
    assert done.code == 64 and "datapallas send --help" in done.err and done.out == ""
    document = shell.call("send", "--json", *TO, *words)
    assert document.code == 64 and document.json["error"]["id"] == "usage"


@pytest.mark.parametrize(
    ("where", "what", "times", "code"),
    [
        ("connect", "die", 0, 0),
        ("connect", "554 5.7.1 go away", 0, 69),
        ("connect", "421 4.3.2 later", 0, 0),
        ("ehlo", "strip-starttls", 0, 78),
        ("ehlo", "strip-auth", 0, 69),
        ("auth", "535 5.7.3 no", 0, 77),
        ("auth", "454 4.7.0 later", 0, 0),
        ("mail", "452 4.3.1 full", 0, 0),
        ("mail", "550 5.7.60 SendAsDenied", 0, 69),
        ("message", "451 4.3.0 later", 0, 0),
        ("message", "554 5.6.0 spam", 0, 69),
        ("message", "die-after", 1, 69),
        ("token", "503", 0, 0),
        ("token", "drop", 0, 0),
        ("token", "AADSTS700016", 0, 78),
        ("token", "html", 0, 0),
    ],
)
def test_faults_of_the_other_side(  # noqa: PLR0917 - one row of a table
    shell: Shell, sandbox: Sandbox, where: str, what: str, times: int, code: int
) -> None:
    """Each has the exit code a script can rely on, a cause, one thing to do, who can do it, and the raw words.

    What passes is tried again by the outbox (0, `waiting`); after any other end nothing more is sent by itself.
    """
    sandbox.faults.next(where, what, times=times)
    done = shell.call("send", *TO, "--json", "--wait", "3")
    told = done.json["error"] if code else done.json["errors"][0]
    assert (done.code, done.json["exit_code"]) == (code, code), told
    if not code:
        assert done.json["state"] == "waiting"
        assert done.json["recipients"][0]["outcome"] in {"queued", "deferred"}
    waiting = shell.call("outbox", "status", "--json").json["mailboxes"][0]["waiting"]
    assert waiting == (0 if code else 1)
    assert told["title"] and told["cause"] and told["fix"]
    assert told["who"] in {"you", "mailbox owner", "tenant administrator", "provider", "us"}
    assert len(sandbox.messages) == (1 if what == "die-after" else 0)


def test_nobody_there(shell: Shell, sandbox: Sandbox) -> None:
    """A mail server that is not running is named with its port; the outbox goes on trying."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
        assert shell.call("connection", "set", CODE, f"port={port}", "--drop-sign-in").code == 0
        assert shell.call("oauth2", "sign-in").code == 0
        done = shell.call("send", *TO, "--wait", "1")
    assert done.code == 0 and port in done.err and "do not run this again" in done.err


def test_a_server_that_is_somebody_else(shell: Shell, tmp_path: Path) -> None:
    """A certificate of an authority that is not trusted is refused: 78, and nothing secret is sent."""
    assert shell.call("connection", "set", CODE, "root-certificate=").code == 0
    done = shell.call("send", *TO, "--show-dialogue")
    assert done.code == 78 and "AUTH" not in done.err.split("STARTTLS")[-1].split("Why:")[0]
    assert shell.call("connection", "set", CODE, "root-certificate=/nowhere.pem").code == 0
    assert shell.call("send", *TO).code == 78


def test_too_large_is_refused_before_it_is_sent(shell: Shell, sandbox: Sandbox, tmp_path: Path) -> None:
    """A message over the server's limit (SIZE) is not sent at all."""
    sandbox.settings.message_size = 1000
    (tmp_path / "big.bin").write_bytes(b"x" * 2000)
    done = shell.call("send", *TO, "--attach", "big.bin")
    assert done.code in {65, 69} and not sandbox.messages


def test_ten_thousand_recipients(shell: Shell, sandbox: Sandbox) -> None:
    """10,000 recipients in one command: each is told, in their order."""
    who = [f"p{number}@x.example" for number in range(10_000)]
    done = shell.call("send", "--bcc", ", ".join(who), "--json")
    assert done.code == 0
    assert [one["address"] for one in done.json["recipients"]] == who
    assert sum(len(mail.recipients) for mail in sandbox.messages) == 10_000


def test_a_result_that_cannot_be_shown_is_not_sent_twice(shell: Shell, sandbox: Sandbox) -> None:
    """Standard output full: the mail is out, so the command does not say "try later". Its reader gone: fine."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with full.open("w") as out, shell.start("send", *TO, stdout=out) as running:
        _, err = running.communicate(timeout=60)
    assert running.returncode == 74 and "could not be written" in err and "Traceback" not in err

    reading, writing = os.pipe()
    os.close(reading)
    with (
        os.fdopen(writing, "w") as out,
        shell.start("send", *TO, "--to", "550-x@x.example", stdout=out) as running,
    ):
        _, err = running.communicate(timeout=60)
    assert running.returncode == 69 and "Traceback" not in err and "Broken pipe" not in err
    assert len(sandbox.messages) == 2


def test_notices_of_failure_go_where_they_are_sent(shell: Shell, sandbox: Sandbox) -> None:
    """From, account and envelope sender are three values: --envelope-from changes the last alone, '' is nowhere."""
    alice = "alice@sandbox.example"
    for given in ((), ("--envelope-from", alice)):
        done = shell.call("send", "--to", "bob@sandbox.example", "--subject", "x", *given)
        assert done.code == 0, done.err
        mail = sandbox.messages[-1]
        assert (mail.user, mail.sender, mail.message["From"]) == (alice, alice, alice)
    for other, said in (("boss@sandbox.example", "boss@sandbox.example"), ("", "<>")):  # as Exchange does
        refused = shell.call("send", "--to", "bob@sandbox.example", "--envelope-from", other)
        assert refused.code == 69 and f"not allowed to send as {said}" in refused.err
    assert len(sandbox.messages) == 2
    assert shell.call("send", "--to", "bob@sandbox.example", "--envelope-from", "not an address").code == 65
