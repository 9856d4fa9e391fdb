"""Sign-ins in the background: every way, and every way out of one."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from datapallas.connection.model import OAuth2Client, Password, Provider
from datapallas.errors import UsageError
from datapallas.home.overview import Health
from datapallas.home.sign_ins import SignInRequest, SignIns, SignInState, SignInWork, Stage, Way
from datapallas.oauth.endpoint import Endpoint
from datapallas.sandbox.clients import TENANT_ID
from datapallas.sandbox.person import browse
from oauth.conftest import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datapallas.connection.model import Connection
    from datapallas.home import Home
    from datapallas.sandbox import Sandbox

ALICE, BOB = "alice@sandbox.example", "bob@sandbox.example"
CODE = "eml-sandbox"
SECONDS = 60.0
PAGE = "http://127.0.0.1:1/oauth/callback"  # an address of ours; nobody listens in these tests


def until(work: SignInWork, good: Callable[[SignInState], bool]) -> SignInState:
    """The first state that is good; fails when the work ends otherwise or nothing comes."""
    seen, end = 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        seen, state = work.wait(seen, 1.0)
        if good(state):
            return state
        assert not state.finished, state
    raise AssertionError(f"still {work.now()[1]}")


def waiting(work: SignInWork) -> SignInState:
    return until(work, lambda state: state.stage is Stage.WAITING)


def ended(work: SignInWork) -> SignInState:
    return until(work, lambda state: state.finished)


def ask(sign_ins: SignIns, wanted: Connection, way: Way = Way.BROWSER, **more: Any) -> SignInWork:
    fields = {"new": False, "owner": "me", **more}
    return sign_ins.start(SignInRequest(wanted=wanted, way=way, **fields))


def ended_at(state: SignInState, login: str = ALICE, *, deny: bool = False) -> str:
    """The address a browser elsewhere ends at: nobody listens there."""
    redirect = parse_qs(urlsplit(state.url).query)["redirect_uri"][0]
    return browse(state.url, login=login, deny=deny, stop_at=redirect).url


def files(home: Home) -> dict[Path, bytes]:
    """Every file of the home but keys and locks."""
    found = (path for path in home.root.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in found if path.parent.name not in {"locks", "keys"}}


def client(home: Home, code: str = CODE) -> OAuth2Client:
    found = home.folder.load(code).credential
    assert isinstance(found, OAuth2Client)
    return found


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def port_of(state: SignInState) -> int:
    port = urlsplit(parse_qs(urlsplit(state.url).query)["redirect_uri"][0]).port
    assert port
    return port


@pytest.fixture
def saved(home: Home, sandbox: Sandbox) -> Connection:
    """A connection nobody has signed in to yet."""
    return home.folder.create(sandbox.connection())


@pytest.mark.parametrize("way", list(Way))
@pytest.mark.parametrize("new", [False, True], ids=["stored", "new"])
def test_every_way_ends_connected(
    *, sign_ins: SignIns, home: Home, sandbox: Sandbox, way: Way, new: bool
) -> None:
    """Browser, paste, device code and redirect each end with a sealed token that works, also for a new connection."""
    wanted = sandbox.connection()
    if not new:
        home.folder.create(wanted)
    where = {Way.DEVICE: {"issuer": sandbox.issuer}, Way.REDIRECT: {"redirect_uri": PAGE}}.get(way, {})
    work = ask(sign_ins, wanted, way, new=new, **where)
    state = waiting(work)
    assert abs(state.ends_at - time.time() - 300) < 100
    assert sign_ins.current(CODE, "me") is work and sign_ins.find(work.id, "me") is work
    assert sign_ins.current(CODE, "you") is None and sign_ins.find(work.id, "you") is None
    match way:
        case Way.BROWSER:
            assert "Signed in" in browse(state.url, login=ALICE).page
        case Way.PASTE:
            work.offer(ended_at(state))
        case Way.DEVICE:
            assert state.user_code and state.user_code in state.verification_uri_complete
            browse(state.verification_uri_complete, login=ALICE)
        case Way.REDIRECT:
            assert state.redirect_uri == PAGE
            query = urlsplit(ended_at(state)).query
            assert sign_ins.callback(query) is work
            assert sign_ins.callback(query) is work  # the page is reloaded
    done = ended(work)
    assert (done.stage, done.account, done.problem) == (Stage.CONNECTED, ALICE, None)
    assert sign_ins.current(CODE, "me") is None
    assert home.tokens(CODE).token().value
    assert home.overview()[0].health is Health.CONNECTED


def test_the_state_never_holds_a_secret(sign_ins: SignIns, saved: Connection, sandbox: Sandbox) -> None:
    """No code, token or verifier is in anything a page could show."""
    work = ask(sign_ins, saved, Way.PASTE)
    shown = [repr(waiting(work))]
    address = ended_at(work.now()[1])
    work.offer(address)
    shown.append(repr(ended(work)))
    ledger = sandbox.provider.ledger
    secrets = {
        *ledger.codes,
        *ledger.refreshes,
        *ledger.accesses,
        parse_qs(urlsplit(address).query)["code"][0],
    }
    assert len(secrets) > 2
    assert not [secret for secret in secrets if any(secret in text for text in shown)]


@pytest.mark.parametrize("way", [Way.BROWSER, Way.PASTE])
def test_just_the_code_can_be_pasted_while_the_listener_waits(
    sign_ins: SignIns, saved: Connection, home: Home, way: Way
) -> None:
    """The page is open elsewhere after all: a paste completes the same sign-in, and the listener goes away."""
    work = ask(sign_ins, saved, way)
    state = waiting(work)
    code = parse_qs(urlsplit(ended_at(state)).query)["code"][0]
    work.offer(f"  {code}\n")
    assert ended(work).stage is Stage.CONNECTED
    assert not listens(port_of(state))


def test_a_wrong_paste_changes_nothing(sign_ins: SignIns, saved: Connection, home: Home) -> None:
    """An address of an older sign-in is told as such; the right one still counts after it, and counts once."""
    older = ask(sign_ins, saved, Way.PASTE)
    before = ended_at(waiting(older))
    work = ask(sign_ins, saved, Way.PASTE)
    state = waiting(work)
    assert ended(older).stage is Stage.REPLACED
    for text, code in (
        (before, "pasted-other-sign-in"),
        ("hello", "pasted-answer"),
        (state.url, "pasted-answer"),
    ):
        with pytest.raises(UsageError) as caught:
            work.offer(text)
        assert caught.value.code == code
    right = ended_at(state)
    work.offer(right)
    with pytest.raises(UsageError) as caught:
        work.offer(right)
    assert caught.value.facts["case"] == "not-now"
    assert ended(work).stage is Stage.CONNECTED


def test_a_refusal_that_is_pasted_ends_it(sign_ins: SignIns, saved: Connection) -> None:
    """The person pressed Decline and pastes the address with the error: the diagnosis says so."""
    work = ask(sign_ins, saved, Way.PASTE)
    work.offer(ended_at(waiting(work), deny=True))
    done = ended(work)
    assert done.stage is Stage.FAILED and done.problem is not None and done.problem.id == "access-denied"


def test_a_second_sign_in_replaces_the_first(sign_ins: SignIns, saved: Connection, home: Home) -> None:
    """Two tabs: the first ends and says why, its port is free, and its answer comes to nothing."""
    first = ask(sign_ins, saved)
    state = waiting(first)
    second = ask(sign_ins, saved, owner="another tab")
    assert ended(first).stage is Stage.REPLACED
    first.join(SECONDS)
    assert not listens(port_of(state))
    browse(waiting(second).url, login=ALICE)
    assert ended(second).stage is Stage.CONNECTED


@pytest.mark.parametrize("way", list(Way))
def test_cancel_leaves_nothing(sign_ins: SignIns, home: Home, sandbox: Sandbox, way: Way) -> None:
    """Cancelled while waiting: at once nothing listens, no thread is left, and a new connection is not there."""
    work = ask(
        sign_ins,
        sandbox.connection(),
        way,
        new=True,
        issuer=sandbox.issuer,
        redirect_uri=PAGE if way is Way.REDIRECT else "",
    )
    state = waiting(work)
    work.cancel()
    work.join(SECONDS)  # by itself it would end in five minutes
    assert not work._thread.is_alive()
    assert ended(work).stage is Stage.CANCELLED
    if way is Way.BROWSER:
        assert not listens(port_of(state))
    work.cancel()
    assert files(home) == {}
    assert home.folder.list() == []


def test_a_cancel_after_the_code_came_stores_nothing(
    sign_ins: SignIns, saved: Connection, home: Home, sandbox: Sandbox
) -> None:
    """The provider answers slowly and the person gives up: what it answers then is not kept."""
    before = files(home)
    came, go = threading.Event(), threading.Event()
    answer = sandbox.provider.answer

    def slowly(request: Any) -> Any:
        if request.path == "/token":
            came.set()
            go.wait(SECONDS)
        return answer(request)

    sandbox.provider.answer = slowly  # type: ignore[method-assign]
    work = ask(sign_ins, saved, Way.PASTE)
    work.offer(ended_at(waiting(work)))
    assert came.wait(SECONDS)
    assert work.now()[1].stage is Stage.FINISHING
    work.cancel()
    go.set()
    work.join(SECONDS)
    assert ended(work).stage is Stage.CANCELLED
    assert files(home) == before


def test_closing_the_server_ends_all(home: Home, sandbox: Sandbox) -> None:
    """`close` cancels every sign-in that goes on, and nothing listens any more."""
    sign_ins = SignIns(home)
    made = [dataclasses.replace(sandbox.connection(), code=f"eml-{n}") for n in range(3)]
    works = [ask(sign_ins, one, new=True) for one in made]
    ports = [port_of(waiting(work)) for work in works]
    assert all(map(listens, ports))
    sign_ins.close()
    for work in works:
        work.join(SECONDS)
    assert not any(map(listens, ports))
    assert {work.now()[1].stage for work in works} == {Stage.CANCELLED}


@pytest.mark.parametrize("way", [Way.BROWSER, Way.PASTE, Way.REDIRECT, Way.DEVICE])
def test_it_ends_by_itself(home: Home, sandbox: Sandbox, saved: Connection, way: Way) -> None:
    """The page was closed: after five minutes nothing is open, and the state says that nobody came back."""
    clock = FakeClock()
    home.endpoint = Endpoint(clock=clock)
    sign_ins = SignIns(home)
    where = {"issuer": sandbox.issuer} if way is Way.DEVICE else {}
    work = ask(sign_ins, saved, way, redirect_uri=PAGE if way is Way.REDIRECT else "", **where)
    state = waiting(work)
    assert state.ends_at == clock.wall() + 300
    clock.run(301)
    done = ended(work)
    assert done.stage is Stage.FAILED and done.problem is not None
    assert done.problem.id == ("device-code-expired" if way is Way.DEVICE else "sign-in-timeout")
    work.join(SECONDS)
    assert way is not Way.BROWSER or not listens(port_of(state))


def test_the_wrong_account_is_told(sign_ins: SignIns, saved: Connection, home: Home) -> None:
    """Bob signs in to Alice's connection: nothing is stored; with accept_account it is meant."""
    before = files(home)
    work = ask(sign_ins, saved, Way.PASTE)
    work.offer(ended_at(waiting(work), BOB))
    done = ended(work)
    assert done.problem is not None and done.problem.id == "wrong-account"
    assert BOB in done.problem.title and ALICE in done.problem.title
    assert files(home) == before
    again = ask(sign_ins, saved, Way.PASTE, accept_account=True)
    again.offer(ended_at(waiting(again), BOB))
    assert ended(again).account == BOB


def test_ten_people_at_once(sign_ins: SignIns, home: Home, sandbox: Sandbox) -> None:
    """Ten owners sign in to ten connections at the same time, each by a browser of their own."""
    made = [
        home.folder.create(dataclasses.replace(sandbox.connection(), code=f"eml-{n}", name=str(n)))
        for n in range(10)
    ]

    def one(connection: Connection) -> Stage:
        work = ask(sign_ins, connection, owner=connection.code)
        browse(waiting(work).url, login=ALICE)
        return ended(work).stage

    with ThreadPoolExecutor(10) as people:
        assert set(people.map(one, made)) == {Stage.CONNECTED}
    assert {row.health for row in home.overview()} == {Health.CONNECTED}


def test_one_owner_cannot_pile_sign_ins_up(sign_ins: SignIns, sandbox: Sandbox) -> None:
    """A sixth at the same time is refused."""
    made = [dataclasses.replace(sandbox.connection(), code=f"eml-{n}") for n in range(6)]
    for one in made[:5]:
        ask(sign_ins, one, Way.PASTE, new=True)
    with pytest.raises(UsageError) as caught:
        ask(sign_ins, made[5], Way.PASTE, new=True)
    assert caught.value.code == "too-many"


def test_changed_settings_are_stored_with_the_sign_in_and_not_before(
    sign_ins: SignIns, home: Home, sandbox: Sandbox
) -> None:
    """Until the new sign-in has worked, the file and its old sign-in are untouched and go on working."""
    stored = home.folder.create(sandbox.connection(signed_in=True))
    before = files(home)
    credential = dataclasses.replace(client(home), client_id="sandbox-public")
    wanted = dataclasses.replace(stored, from_name="Reports", credential=credential)
    refused = ended(ask(sign_ins, wanted, Way.PASTE))
    assert refused.problem is not None and refused.problem.id == "identity-changed"
    work = ask(sign_ins, wanted, Way.PASTE, drop_sign_in=True)
    address = ended_at(waiting(work))
    assert files(home) == before
    work.cancel()
    work.join(SECONDS)
    assert files(home) == before
    assert home.tokens(CODE).token().value
    work = ask(sign_ins, wanted, Way.PASTE, drop_sign_in=True)
    with pytest.raises(UsageError):
        work.offer(address)
    work.offer(ended_at(waiting(work)))
    assert ended(work).stage is Stage.CONNECTED
    assert (home.folder.load(CODE).from_name, client(home).client_id) == ("Reports", "sandbox-public")
    assert home.tokens(CODE).token().value


def test_what_somebody_else_saved_meanwhile_is_not_overwritten(
    sign_ins: SignIns, home: Home, saved: Connection
) -> None:
    """Two people edit one connection: the sign-in of the first does not undo what the second has saved."""
    work = ask(sign_ins, dataclasses.replace(saved, name="Mine"), Way.PASTE)
    address = ended_at(waiting(work))
    home.folder.save(dataclasses.replace(home.folder.load(CODE), name="Theirs"))
    work.offer(address)
    done = ended(work)
    assert done.problem is not None and done.problem.id == "changed-meanwhile"
    assert home.folder.load(CODE).name == "Theirs"
    plain = ask(sign_ins, home.folder.load(CODE), Way.PASTE)  # without changes of its own it does not mind
    address = ended_at(waiting(plain))
    home.folder.save(dataclasses.replace(home.folder.load(CODE), from_name="New"))
    plain.offer(address)
    assert ended(plain).stage is Stage.CONNECTED
    assert home.folder.load(CODE).from_name == "New" and client(home).refresh_token


def test_a_new_connection_whose_code_is_taken_is_told_first(
    sign_ins: SignIns, saved: Connection, home: Home
) -> None:
    """Before anybody signs in, and nothing of the one that is there is touched."""
    before = files(home)
    done = ended(ask(sign_ins, saved, Way.PASTE, new=True))
    assert done.problem is not None and done.problem.id == "sandbox-connection-exists"
    assert files(home) == before


def test_a_folder_nobody_may_write_to_is_told_first(
    sign_ins: SignIns, home: Home, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place for a new connection is proven before the person is sent to the provider."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    work = ask(sign_ins, sandbox.connection(), Way.PASTE, new=True)
    done = ended(work)
    assert done.stage is Stage.FAILED and done.url == ""
    assert files(home) == {}


def test_a_new_default_connection_becomes_the_only_one(
    sign_ins: SignIns, saved: Connection, home: Home, sandbox: Sandbox
) -> None:
    """A new connection that is meant as the default takes that over when it exists, not before."""
    home.folder.set_default(CODE)
    wanted = dataclasses.replace(sandbox.connection(), code="eml-new", name="New", default=True)
    work = ask(sign_ins, wanted, Way.PASTE, new=True)
    address = ended_at(waiting(work))
    assert home.folder.default().code == CODE
    work.offer(address)
    assert ended(work).stage is Stage.CONNECTED
    assert home.folder.default().code == "eml-new"


def test_a_policy_against_device_codes_is_told_with_the_other_way(
    sign_ins: SignIns, home: Home, sandbox: Sandbox
) -> None:
    """Security defaults forbid device codes: said so at once, and pasting is named."""
    wanted = home.folder.create(sandbox.connection(provider=Provider.MICROSOFT))
    sandbox.faults.next("device", "AADSTS530032")
    done = ended(ask(sign_ins, wanted, Way.DEVICE, issuer=f"{sandbox.issuer}/{TENANT_ID}/v2.0"))
    assert done.problem is not None and done.problem.id == "device-not-allowed"
    assert "--flow paste" in done.problem.fix and "530032" in done.problem.raw


def test_a_device_address_that_is_not_known_is_told(sign_ins: SignIns, saved: Connection) -> None:
    """A connection with addresses of its own and no issuer: what is missing is named."""
    done = ended(ask(sign_ins, saved, Way.DEVICE))
    assert done.problem is not None and done.problem.id == "no-device-address"


def test_a_person_who_says_no_to_the_device(sign_ins: SignIns, saved: Connection, sandbox: Sandbox) -> None:
    """Declined on the telephone: the state says so."""
    work = ask(sign_ins, saved, Way.DEVICE, issuer=sandbox.issuer)
    browse(waiting(work).verification_uri_complete, login=ALICE, deny=True)
    done = ended(work)
    assert done.problem is not None and done.problem.id == "access-denied"


def test_what_makes_no_sense_is_refused_at_once(sign_ins: SignIns, saved: Connection) -> None:
    """A password connection has no sign-in; a redirect needs its address; a callback of nobody finds nobody."""
    with pytest.raises(UsageError, match="password"):
        ask(sign_ins, dataclasses.replace(saved, credential=Password(user="a")))
    with pytest.raises(UsageError, match="address"):
        ask(sign_ins, saved, Way.REDIRECT)
    assert sign_ins.callback("code=x&state=y") is None
    assert sign_ins.callback("") is None
    work = ask(sign_ins, saved, Way.DEVICE)
    with pytest.raises(UsageError):
        work.offer("code=0123456789")


def test_a_callback_in_another_browser_finds_nothing(sign_ins: SignIns, saved: Connection) -> None:
    """The browser that comes back must be the one that began: else anybody could be led to finish for somebody."""
    work = ask(sign_ins, saved, Way.REDIRECT, redirect_uri=PAGE)
    query = urlsplit(ended_at(waiting(work))).query
    assert sign_ins.callback(query, "you") is None
    assert work.now()[1].stage is Stage.WAITING
    assert sign_ins.callback(query, "me") is work
    assert ended(work).stage is Stage.CONNECTED


def test_a_refusal_that_a_sign_in_does_not_help_is_remembered(home: Home, sandbox: Sandbox) -> None:
    """The client secret expired: the list says since when and why, a success ends it, and nothing is parked."""
    home.folder.create(sandbox.connection(provider=Provider.MICROSOFT, signed_in=True))
    for _ in range(2):
        sandbox.faults.next("token", "AADSTS7000222")
        with pytest.raises(Exception, match="7000222"):
            home.tokens(CODE).refresh()
    row = home.overview()[0]
    assert (row.health, row.ok) == (Health.REFUSED, False)
    assert row.state.startswith(f"signed in as {ALICE}, but refused since ") and "invalid_client" in row.state
    assert row.refused_at
    home.tokens(CODE).refresh()
    row = home.overview()[0]
    assert (row.health, row.refused_at) == (Health.CONNECTED, "")
