"""Test emails: each step while it happens, of a saved connection or a draft, and the one that fails."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from datapallas.connection.form import draft
from datapallas.connection.model import Connection, Provider, Security
from datapallas.errors import AddressError, UsageError
from datapallas.home import Home
from datapallas.home.live import Live
from datapallas.home.test_board import Board
from datapallas.home.test_emails import Mark, Step, TestEmails, TestState, TestWork
from datapallas.home.test_state import MOST_LINES
from datapallas.oauth.clock import SystemClock
from datapallas.sandbox import Sandbox
from datapallas.sandbox.settings import Rotation
from datapallas.secret import Secret
from datapallas.smtp.target import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALICE, BOB = "alice@sandbox.example", "bob@sandbox.example"
CODE = "eml-sandbox"
DONE = [Mark.DONE] * 5


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, sandbox: Sandbox) -> Home:
    """A home with the sandbox's connection, signed in."""
    home = Home(tmp_path, {})
    home.folder.create(sandbox.connection(signed_in=True))
    return home


@pytest.fixture
def emails(home: Home) -> Iterator[TestEmails]:
    emails = TestEmails(home)
    yield emails
    emails.close()


def ended(work: TestWork, seconds: float = 60) -> TestState:
    """The last state."""
    version, state = work.now()
    while not state.finished:
        before = version
        version, state = work.wait(version, seconds)
        assert version > before, f"nothing changes any more: {state}"
    return state


def running(work: TestWork, step: Step) -> None:
    """Wait until a step is under way."""
    version, state = work.now()
    while state.step(step).mark is not Mark.RUNNING:
        assert not state.finished
        version, state = work.wait(version, 60)


def marks(state: TestState) -> list[Mark]:
    return [one.mark for one in state.steps]


def secrets(sandbox: Sandbox) -> set[str]:
    """All there are: tokens, client secrets, passwords."""
    ledger = sandbox.provider.ledger
    made = {name for table in (ledger.accesses, ledger.refreshes, ledger.codes) for name in table}
    return made | {sandbox.client_secret.reveal(), sandbox.password.reveal()}


def snapshot(home: Home) -> dict[str, bytes]:
    """Every file of the home but locks."""
    return {
        str(path.relative_to(home.root)): path.read_bytes()
        for path in home.root.rglob("*")
        if path.is_file() and "locks" not in path.parts
    }


def test_every_step_ticks_off(emails: TestEmails, home: Home, sandbox: Sandbox) -> None:
    """Token, connection, TLS, sign-in, sent: each with its time and what was found, in their order."""
    work = emails.start(home.folder.load(CODE), owner="me")
    state = ended(work)
    assert marks(state) == DONE and state.outcome == "accepted" and state.problem is None
    assert all(one.seconds is not None and 0 <= one.seconds < 60 for one in state.steps)
    for step, words in (
        (Step.TOKEN, f"A new token for {ALICE}, good for 60 minutes."),
        (Step.CONNECT, f"{state.server} answered: "),
        (Step.TLS, "TLS 1.3, certificate for "),
        (Step.SIGN_IN, f"XOAUTH2 as {ALICE}: "),
        (Step.SEND, f"Accepted for {ALICE}: 250 "),
    ):
        assert state.step(step).detail.startswith(words)
    assert state.reply.startswith("250 ") and state.to == state.sender == ALICE
    mail = sandbox.wait(1)[0]
    assert mail.recipients == (ALICE,) and mail.message["Message-ID"] == state.message_id
    assert "C: AUTH XOAUTH2" in state.dialogue and "S: 221 2.0.0 Bye" in state.dialogue
    assert "AUTH XOAUTH2 OAUTHBEARER PLAIN LOGIN" in str(state.dialogue)
    assert emails.find(work.id, "me") is work and emails.find(work.id, "you") is None


def test_a_watcher_sees_each_state(emails: TestEmails, home: Home, sandbox: Sandbox) -> None:
    """While the server thinks about the sign-in, that step is running and the ones before are done."""
    sandbox.faults.next("auth", "slow", seconds=1)
    work = emails.start(home.folder.load(CODE), owner="me")
    seen: list[list[Mark]] = []
    with work.woken(lambda: seen.append(marks(work.now()[1]))):
        assert marks(ended(work)) == DONE
    assert [Mark.DONE, Mark.DONE, Mark.DONE, Mark.RUNNING, Mark.WAITING] in seen


def test_the_token_is_always_a_new_one(emails: TestEmails, home: Home, sandbox: Sandbox) -> None:
    """Each test asks the provider, stores the rotated sign-in, and changes no other file; then it works again."""
    before = snapshot(home)
    for _ in range(2):
        made = len(sandbox.provider.ledger.accesses)
        assert ended(emails.start(home.folder.load(CODE), owner="me", to=BOB)).outcome == "accepted"
        assert len(sandbox.provider.ledger.accesses) == made + 1
    after = snapshot(home)
    assert {name for name in {*before, *after} if before.get(name) != after.get(name)} == {
        f"config/connections/{CODE}.xml",
        f"data/connections/{CODE}.json",
    }
    sandbox.settings.rotation = Rotation.NONE
    home.tokens(CODE).refresh()  # the sign-in that was stored last works


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
def test_a_draft_with_a_typed_password(
    emails: TestEmails, home: Home, sandbox: Sandbox, security: Security
) -> None:
    """A connection that was never saved is tested with the password as it was typed; nothing is written."""
    before = snapshot(home)
    new = dataclasses.replace(
        sandbox.connection(provider=Provider.NONE), code="eml-new", server=sandbox.server(security)
    )
    state = ended(emails.start(new, owner="me", to=BOB))
    assert marks(state) == [Mark.SKIPPED, *[Mark.DONE] * 4]
    assert "password" in state.step(Step.TOKEN).detail and "PLAIN as" in state.step(Step.SIGN_IN).detail
    assert snapshot(home) == before and sandbox.wait(1)[0].recipients == (BOB,)


def test_a_draft_tries_the_client_secret_that_was_typed(
    emails: TestEmails, home: Home, sandbox: Sandbox
) -> None:
    """A new client secret is tried with the stored sign-in before it is saved."""
    home.folder.create(
        dataclasses.replace(sandbox.connection(provider=Provider.GOOGLE, signed_in=True), code="eml-google")
    )
    stored = home.folder.load("eml-google")
    assert ended(emails.start(stored, owner="me")).outcome == "accepted"
    wrong = draft(stored, {}, {"client-secret": Secret("canary-wrong-secret")}).connection
    state = ended(emails.start(wrong, owner="me"))
    assert marks(state) == [Mark.FAILED, *[Mark.WAITING] * 4]
    assert state.problem is not None and "client" in state.problem.title.lower() + state.problem.cause
    assert "canary-wrong-secret" not in repr(state)
    assert ended(emails.start(stored, owner="me")).outcome == "accepted"  # and it was not parked for that


def test_a_stored_secret_is_not_tried_elsewhere(emails: TestEmails, home: Home, sandbox: Sandbox) -> None:
    """A draft with another mail server, client or token address does not get the stored sign-in or password."""
    stored = home.folder.load(CODE)
    asked = len(sandbox.provider.ledger.accesses)
    for change, words in (
        ({"port": str(sandbox.smtps_port), "security": "TLS"}, "the mail server"),
        ({"client-id": "other"}, "the client id"),
        ({"token-url": f"{sandbox.issuer}/elsewhere"}, "the token address"),
    ):
        state = ended(emails.start(draft(stored, change, {}).connection, owner="me"))
        assert marks(state) == [Mark.FAILED, *[Mark.WAITING] * 4] and not state.dialogue
        assert state.problem is not None and state.problem.id == "draft-differs"
        assert words in state.problem.cause and "sign in again" in state.problem.fix
    assert len(sandbox.provider.ledger.accesses) == asked
    home.folder.create(dataclasses.replace(sandbox.connection(provider=Provider.NONE), code="eml-p"))
    wanted = draft(home.folder.load("eml-p"), {"port": str(sandbox.smtps_port), "security": "TLS"}, {})
    state = ended(emails.start(wanted.connection, owner="me"))
    assert marks(state) == [Mark.SKIPPED, Mark.WAITING, Mark.WAITING, Mark.FAILED, Mark.WAITING]
    assert state.problem is not None and state.problem.id == "draft-differs"
    again = draft(wanted.connection, {}, {"password": sandbox.password}).connection
    assert ended(emails.start(again, owner="me")).outcome == "accepted"


def test_nobody_has_signed_in(emails: TestEmails, home: Home, sandbox: Sandbox) -> None:
    """A draft nobody signed in to fails at the token, and is told to sign in; saved or not."""
    for connection in (
        dataclasses.replace(sandbox.connection(), code="eml-new"),
        dataclasses.replace(sandbox.connection(signed_in=True), code="eml-new"),
        sandbox.connection(),
    ):
        state = ended(emails.start(connection, owner="me"))
        assert marks(state) == [Mark.FAILED, *[Mark.WAITING] * 4]
        assert state.problem is not None and state.problem.id == "sign-in" and state.outcome == "failed"


@pytest.mark.parametrize(
    ("where", "what", "step", "words"),
    [
        ("token", "AADSTS700016", Step.TOKEN, "700016"),
        ("token", "503", Step.TOKEN, "temporarily_unavailable"),
        ("connect", "554 5.7.1 go away", Step.CONNECT, "554"),
        ("connect", "die", Step.CONNECT, ""),
        ("ehlo", "strip-starttls", Step.TLS, ""),
        ("ehlo", "strip-auth", Step.SIGN_IN, ""),
        ("auth", "535 5.7.3 no", Step.SIGN_IN, "535"),
        ("mail", "550 5.7.60 SendAsDenied", Step.SEND, "5.7.60"),
        ("rcpt", "550 5.1.1 nobody here", Step.SEND, "5.1.1"),
        ("message", "554 5.6.0 spam", Step.SEND, "5.6.0"),
        ("message", "die-after", Step.SEND, ""),
    ],
)
def test_the_step_that_fails(  # noqa: PLR0917 - one row of a table
    emails: TestEmails, home: Home, sandbox: Sandbox, where: str, what: str, step: Step, words: str
) -> None:
    """It is marked, the ones before are done, the later ones wait; the cause and one thing to do are told."""
    sandbox.faults.next(where, what, times=1 if what == "die-after" else 0)
    state = ended(emails.start(home.folder.load(CODE), owner="me"))
    at = list(Step).index(step)
    assert marks(state) == [*[Mark.DONE] * at, Mark.FAILED, *[Mark.WAITING] * (4 - at)]
    problem = state.problem
    assert problem is not None and problem.cause and problem.fix and words in problem.raw
    assert state.step(step).detail and state.step(step).seconds is not None
    assert state.outcome in {"failed", "refused", "unknown"}
    assert state.dialogue or step is Step.TOKEN or what == "die"


def test_the_greeting_inside_tls_is_no_fault_of_tls(emails: TestEmails, home: Home, sandbox: Sandbox) -> None:
    """With implicit TLS a server that sends us away fails at connect, and TLS stays done."""
    sandbox.faults.next("connect", "554 5.7.1 go away")
    plain = sandbox.connection(provider=Provider.NONE)
    state = ended(emails.start(dataclasses.replace(plain, server=sandbox.server(Security.TLS)), owner="me"))
    assert marks(state)[1:3] == [Mark.FAILED, Mark.DONE]


def test_a_wrong_certificate(tmp_path: Path) -> None:
    """A server whose certificate is for somebody else fails at TLS; no token is sent to it."""
    with Sandbox(names=("elsewhere.example",)) as sandbox:
        home = Home(tmp_path, {})
        home.folder.create(sandbox.connection(signed_in=True))
        emails = TestEmails(home)
        state = ended(emails.start(home.folder.load(CODE), owner="me"))
        emails.close()
    assert marks(state) == [Mark.DONE, Mark.DONE, Mark.FAILED, Mark.WAITING, Mark.WAITING]
    assert state.problem is not None and "certificate" in state.problem.title
    assert "AUTH" not in str(state.dialogue[-1])


def test_nobody_listens(emails: TestEmails, sandbox: Sandbox) -> None:
    """A port where nobody listens fails at connect, with the port named."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
        plain = sandbox.connection(provider=Provider.NONE)
        state = ended(emails.start(draft(plain, {"port": port}, {}).connection, owner="me"))
    assert marks(state)[:3] == [Mark.SKIPPED, Mark.FAILED, Mark.WAITING]
    assert port in state.step(Step.CONNECT).detail


@pytest.mark.parametrize(
    ("change", "step", "id_"),
    [
        ({"host": ""}, Step.CONNECT, "no-mail-server"),
        ({"transport": "GRAPH"}, Step.CONNECT, "transport"),
        ({"from": "ab@c"}, Step.SEND, "bad-from-address"),
    ],
)
def test_what_is_wrong_before_anything_is_done(  # noqa: PLR0917 - one row of a table
    emails: TestEmails, home: Home, sandbox: Sandbox, change: dict[str, str], step: Step, id_: str
) -> None:
    """What can be seen to be wrong is told at its step, and the provider is not asked."""
    if "from" in change:
        change = {"from": '"a b"@[x'}
    wanted = dataclasses.replace(home.folder.load(CODE))
    wanted = draft(wanted, {k: v for k, v in change.items() if k != "from"}, {}).connection
    if "from" in change:
        wanted = dataclasses.replace(wanted, from_address=change["from"])
    asked = len(sandbox.provider.ledger.accesses)
    state = ended(emails.start(wanted, owner="me", to=BOB))
    assert state.step(step).mark is Mark.FAILED and len(sandbox.provider.ledger.accesses) == asked
    assert state.problem is not None and state.problem.id == id_


def test_a_bad_address_is_told_before_anything_starts(emails: TestEmails, sandbox: Sandbox) -> None:
    """No address, or one that is none, starts nothing."""
    connection = sandbox.connection(provider=Provider.NONE)
    for to in ("nobody", "a@x.example, b@x.example", "a@x.example\r\nBcc: b@x.example"):
        with pytest.raises(AddressError):
            emails.start(connection, owner="me", to=to)
    with pytest.raises(UsageError, match="no address"):
        emails.start(Connection(code="eml-x"), owner="me")
    assert not sandbox.messages


def test_cancelled_while_the_server_thinks(emails: TestEmails, home: Home, sandbox: Sandbox) -> None:
    """Whoever cancels at the sign-in has sent nothing, and does not wait for the server."""
    sandbox.faults.next("auth", "slow", seconds=30)
    work = emails.start(home.folder.load(CODE), owner="me")
    running(work, Step.SIGN_IN)
    work.cancel()
    work.join(60)
    state = work.now()[1]
    assert state.finished and state.outcome == "cancelled" and state.problem is None
    assert state.step(Step.SIGN_IN).mark is Mark.SKIPPED and state.step(Step.SEND).mark is Mark.WAITING
    assert not [one for one in threading.enumerate() if one.name == f"test-email-{CODE}"]
    work.cancel()
    assert work.now()[1] == state and not sandbox.messages


def test_cancelled_just_before_the_message(sandbox: Sandbox) -> None:
    """Cancelled between two steps, the next one does not begin, and nothing changes any more."""
    live = Live(TestState(connection=CODE, to=BOB, sender=ALICE, server="h:1"))
    board = Board(live, SystemClock())
    board.began(Stage.SIGN_IN)
    board.cancel()
    before = live.now()
    with pytest.raises(asyncio.CancelledError):
        board.began(Stage.READY)
    board.ended(Stage.SIGN_IN, {})
    board.line("S", "235 ok")
    board.finish()
    assert live.now() == before and before[1].outcome == "cancelled"


def test_cancelled_while_the_message_goes_out(emails: TestEmails, home: Home, sandbox: Sandbox) -> None:
    """Cancelled too late, it says that the server may have the message."""
    sandbox.faults.next("message", "slow", seconds=30)
    work = emails.start(home.folder.load(CODE), owner="me")
    running(work, Step.SEND)
    work.cancel()
    assert "may have the message" in ended(work).step(Step.SEND).detail


def test_the_report_can_be_shown_to_anybody(emails: TestEmails, home: Home, sandbox: Sandbox) -> None:
    """Steps, cause, dialogue and versions in one text; no secret is in it, nor in any state."""
    for fault in ("", "535 5.7.3 no"):
        if fault:
            sandbox.faults.next("auth", fault, times=0)
        work = emails.start(home.folder.load(CODE), owner="me")
        state = ended(work)
        report = work.report()
        assert "DataPallas " in report and "S: 220 " in report and "sign-in" in report
        assert ("Do this:" in report) is bool(fault)
        for secret in secrets(sandbox):
            assert secret not in report and secret not in repr(state)


def test_an_endless_dialogue_is_cut(emails: TestEmails) -> None:
    """However much a server says, what is kept is bounded."""
    state = TestState(connection="c", to="t", sender="s", server="h:1")
    for number in range(10 * MOST_LINES):
        state = state.with_line(f"S: 250-{number} " + "x " * 5000)
    assert len(state.dialogue) == MOST_LINES + 1 and len("".join(state.dialogue)) < 600 * MOST_LINES


def test_nobody_piles_them_up(emails: TestEmails, home: Home, sandbox: Sandbox) -> None:
    """Of one owner five are under way at once; the sixth waits for one to end."""
    sandbox.faults.next("auth", "slow", times=0, seconds=30)
    plain = sandbox.connection(provider=Provider.NONE)
    works = [emails.start(plain, owner="me") for _ in range(5)]
    with pytest.raises(UsageError, match="under way"):
        emails.start(plain, owner="me")
    works.append(emails.start(plain, owner="you"))
    for work in works:
        running(work, Step.SIGN_IN)
    emails.close()
    assert {ended(work).outcome for work in works} == {"cancelled"}
