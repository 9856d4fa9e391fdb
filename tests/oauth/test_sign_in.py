"""From `sign-in` to a stored refresh token, with a scripted browser and a real provider on loopback."""

from __future__ import annotations

import base64
import dataclasses
import errno
import functools
import json
import logging
import os
import socket
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from datapallas.connection.model import Connection, OAuth2Client, Password, Provider
from datapallas.errors import (
    ConfigurationError,
    DataPallasError,
    ProtocolError,
    SignInAborted,
    SignInRejected,
    StorageError,
    TokenRefused,
    Unreachable,
    UsageError,
)
from datapallas.oauth.browser import has_desktop, open_address
from datapallas.oauth.clock import SystemClock
from datapallas.oauth.endpoint import Endpoint
from datapallas.oauth.sign_in import SignIn
from datapallas.secret import Secret
from oauth.conftest import CODE
from oauth.scripted import CANARY, Idp, Person, Raw, visit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from datapallas.connection.folder import Folder
    from datapallas.connection.provider_help import ProviderHelp
    from datapallas.oauth.device import DeviceCode
    from datapallas.oauth.source import ConnectionTokenSource


class Told:
    """A guide that keeps what it was told."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.registered = self.url = ""
        self.opened = False
        self.notices: list[str] = []

    def register(self, redirect_uri: str, help_: ProviderHelp) -> None:
        self.order.append("register")
        self.registered = redirect_uri
        assert help_.steps

    def visit(self, url: str, *, opened: bool) -> None:
        self.order.append("visit")
        self.url, self.opened = url, opened

    def type_code(self, code: DeviceCode) -> None:
        self.order.append("type_code")

    def waiting(self, seconds: float) -> None:
        self.order.append("waiting")

    def notice(self, sentence: str) -> None:
        self.notices.append(sentence)


@pytest.fixture
def guide() -> Told:
    return Told()


@pytest.fixture
def person(idp: Idp) -> Iterator[Person]:
    yield (one := Person(idp))
    if one._thread is not None:
        one._thread.join(60)


@pytest.fixture
def sign_in(guide: Told, person: Person) -> SignIn:
    return SignIn(endpoint=Endpoint(clock=SystemClock()), guide=guide, open_browser=person, seconds=15)


def stored(folder: Folder) -> OAuth2Client:
    client = folder.load(CODE).credential
    assert isinstance(client, OAuth2Client)
    return client


def test_a_person_signs_in_and_it_is_stored(
    *,
    sign_in: SignIn,
    guide: Told,
    person: Person,
    folder: Folder,
    idp: Idp,
    connection: Connection,
    new_source: Callable[[], ConnectionTokenSource],
) -> None:
    """The whole way: told what to register, browser, code, account, sealed token, closing page; then it sends."""
    done = sign_in.connect(folder, CODE)
    assert (done.account, done.account_known) == ("reports@contoso.example", True)
    assert guide.order == ["register", "visit", "waiting"]
    assert guide.registered == "http://127.0.0.1/callback" and guide.opened
    (tokens,) = idp.families.values()
    assert folder.reveal(folder.load(CODE), "refresh_token").reveal() == tokens[0]
    opened = folder.opened(folder.load(CODE), "refresh_token")
    assert (opened.grant.subject, opened.generation, done.generation) == ("subject-1", 1, 1)
    assert stored(folder).user_email == "reports@contoso.example"
    assert stored(folder).granted_scope == "mail openid offline_access"
    assert stored(folder).issued_at.endswith("Z")
    status, _, page = person.join()
    assert status == 200 and "Signed in" in page and "reports@" not in page
    assert CANARY not in folder.path_of(CODE).read_text()
    assert new_source().token().value


def test_without_a_connection_the_result_is_only_given_back(
    sign_in: SignIn, idp: Idp, tmp_path: Path
) -> None:
    """`sign-in` without a file prints account and token, and stores nothing."""
    done = sign_in.run(idp.client())
    assert done.account == "reports@contoso.example"
    assert idp.families and done.refresh_token.reveal() in next(iter(idp.families.values()))
    assert list(tmp_path.rglob("*.xml")) == []


def test_another_account_is_refused_and_nothing_is_stored(
    sign_in: SignIn, person: Person, folder: Folder, idp: Idp, connection: Connection
) -> None:
    """Signed in as somebody else by mistake: said at once, with both names; the browser says so too."""
    idp.account = "Boss@contoso.example"
    before = folder.path_of(CODE).read_bytes()
    with pytest.raises(SignInRejected) as caught:
        sign_in.connect(folder, CODE)
    assert caught.value.code == "wrong-account"
    assert caught.value.facts["account"] == "Boss@contoso.example"
    assert caught.value.facts["mailbox"] == "reports@contoso.example"
    assert folder.path_of(CODE).read_bytes() == before
    assert "Not signed in" in person.join()[2]


def test_another_account_is_taken_when_that_is_agreed_to(
    sign_in: SignIn, folder: Folder, idp: Idp, connection: Connection
) -> None:
    """--accept-account: a shared mailbox is signed in to by a person."""
    idp.account = "boss@contoso.example"
    done = dataclasses.replace(sign_in, accept_account=True).connect(folder, CODE)
    assert done.account == stored(folder).user_email == "boss@contoso.example"


def test_capitals_in_an_address_do_not_make_another_account(
    sign_in: SignIn, folder: Folder, idp: Idp, connection: Connection
) -> None:
    """Reports@Contoso.example is reports@contoso.example."""
    idp.account = "Reports@Contoso.Example"
    assert sign_in.connect(folder, CODE).account == "Reports@Contoso.Example"


def test_the_same_address_with_another_number_is_another_account(
    sign_in: SignIn, folder: Folder, idp: Idp, connection: Connection, guide: Told
) -> None:
    """An address that was given to somebody else, or claimed by another tenant, is noticed."""
    sign_in.connect(folder, CODE)
    idp.subject = "subject-2"
    with pytest.raises(SignInRejected, match="another account signed in under the address"):
        dataclasses.replace(sign_in, open_browser=Person(idp)).connect(folder, CODE)


@pytest.mark.parametrize(
    ("change", "code", "fact"),
    [
        ({"refresh_token": None}, "no-refresh-token", "offline_access"),
        ({"scope": "openid offline_access"}, "narrow-scope", "scope"),
    ],
)
def test_a_sign_in_that_would_not_last_or_not_send_is_refused_at_once(
    *,
    sign_in: SignIn,
    folder: Folder,
    idp: Idp,
    connection: Connection,
    change: dict[str, Any],
    code: str,
    fact: str,
) -> None:
    """No refresh token, or too few rights: said now with the fix, not tomorrow by a failing report."""
    idp.extra = change
    before = folder.path_of(CODE).read_bytes()
    with pytest.raises(SignInRejected) as caught:
        sign_in.connect(folder, CODE)
    assert caught.value.code == code
    assert fact in caught.value.facts["fix"]
    assert folder.path_of(CODE).read_bytes() == before


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"aud": "another"}, "another application"),
        ({"aud": ["client", "b"], "azp": "b"}, "another application"),
        ({"exp": 1}, "has ended"),
        ({"nonce": "wrong"}, "another sign-in"),
        ({"iss": ""}, "another provider"),
    ],
)
def test_a_proof_that_is_not_for_us_is_refused(
    *, sign_in: SignIn, folder: Folder, idp: Idp, connection: Connection, claims: dict[str, Any], reason: str
) -> None:
    """The id_token must be from this provider, for this application, for this sign-in, and not ended."""
    idp.claims = claims
    with pytest.raises(SignInRejected, match=reason) as caught:
        sign_in.connect(folder, CODE)
    assert caught.value.code == "id-token"
    assert stored(folder).refresh_token is None


def test_a_clock_that_is_off_does_not_refuse_a_good_proof_and_is_told(
    sign_in: SignIn, guide: Told, folder: Folder, idp: Idp, connection: Connection
) -> None:
    """This machine is two hours ahead: the sign-in works, by the provider's own time, and the person is told."""
    idp.date = time.time() - 7200
    sign_in.connect(folder, CODE)
    assert guide.notices == ["This machine's clock is 120 minutes ahead of the provider's."]


def test_a_provider_that_does_not_say_who_signed_in(
    sign_in: SignIn, guide: Told, folder: Folder, idp: Idp, connection: Connection
) -> None:
    """Plain OAuth 2 has no account: the sender is assumed, and that is said."""
    idp.extra = {"id_token": None}
    done = sign_in.connect(folder, CODE)
    assert (done.account, done.account_known) == ("reports@contoso.example", False)
    assert guide.notices == ["The provider did not say who signed in; reports@contoso.example is assumed."]


@pytest.mark.parametrize(("account", "good"), [("reports@contoso.example", True), ("x@y.example", False)])
def test_userinfo_is_asked_where_metadata_names_it(
    sign_in: SignIn, folder: Folder, idp: Idp, connection: Connection, account: str, *, good: bool
) -> None:
    """With --issuer, a provider without id_token is asked who it was."""
    idp.extra = {"id_token": None}
    idp.userinfo = {"sub": "7", "email": account}
    idp.metadata = {
        "issuer": idp.url,
        "authorization_endpoint": f"{idp.url}/authorize",
        "token_endpoint": f"{idp.url}/token",
        "userinfo_endpoint": f"{idp.url}/userinfo",
    }
    attempt = dataclasses.replace(sign_in, issuer=idp.url)
    if good:
        assert attempt.connect(folder, CODE).account_known
    else:
        with pytest.raises(SignInRejected):
            attempt.connect(folder, CODE)


def test_a_code_of_another_provider_is_not_redeemed(
    sign_in: SignIn, folder: Folder, idp: Idp, connection: Connection
) -> None:
    """`iss` names somebody else: the code goes nowhere."""
    idp.iss = "https://evil.example"
    with pytest.raises(SignInAborted) as caught:
        sign_in.connect(folder, CODE)
    assert caught.value.code == "wrong-issuer"
    assert idp.token_requests() == []


def test_the_person_says_no(sign_in: SignIn, person: Person, folder: Folder, connection: Connection) -> None:
    """Consent refused: the wait ends at once, nothing is stored, the page says so."""
    person.change = {"error": "access_denied", "error_description": "The user said no"}
    with pytest.raises(SignInAborted, match="declined") as caught:
        sign_in.connect(folder, CODE)
    assert caught.value.facts["error"] == "access_denied"
    assert caught.value.raw == "access_denied: The user said no"
    assert "Not signed in" in person.join()[2]


def test_junk_before_the_real_answer_is_of_no_consequence(
    sign_in: SignIn, folder: Folder, idp: Idp, connection: Connection
) -> None:
    """Another page knows the port and sends answers of its own; the person's still counts."""

    class Pestered(Person):
        def before(self, redirect: str) -> None:
            for query in ("code=evil&state=guess", "error=access_denied", "", "code=evil"):
                assert visit(f"{redirect}?{query}")[0] == 400

    assert dataclasses.replace(sign_in, open_browser=Pestered(idp)).connect(folder, CODE).account


def test_a_browser_that_is_closed_ends_in_a_time_out_that_names_the_redirect(
    sign_in: SignIn, folder: Folder, connection: Connection, guide: Told
) -> None:
    """A wrong redirect shows only in the browser: the advice needs to know which one was used."""
    attempt = dataclasses.replace(sign_in, seconds=0.1, open_browser=lambda _: False)
    with pytest.raises(SignInAborted) as caught:
        attempt.connect(folder, CODE)
    assert caught.value.code == "sign-in-timeout"
    assert caught.value.facts["redirect_uri"].endswith("/callback")
    assert guide.url and not guide.opened


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (
            Raw(400, body=b'{"error":"invalid_grant","error_description":"AADSTS54005: code used"}'),
            TokenRefused,
        ),
        (Raw(500, body=b"oops"), TokenRefused),
        (Raw(200, body=b"<html>"), ProtocolError),
        (Raw(302, {"Location": "/x"}), ProtocolError),
        (Raw(hang_up=True), Unreachable),
    ],
)
def test_a_token_endpoint_that_fails_stores_nothing(
    *,
    sign_in: SignIn,
    person: Person,
    folder: Folder,
    idp: Idp,
    connection: Connection,
    answer: Raw,
    kind: type[DataPallasError],
) -> None:
    """Whatever the provider answers to the code, the file stays as it was and a code is sent once."""
    idp.script = [answer]
    before = folder.path_of(CODE).read_bytes()
    with pytest.raises(kind):
        sign_in.connect(folder, CODE)
    assert folder.path_of(CODE).read_bytes() == before
    assert len(idp.token_requests()) == 1
    assert "Not signed in" in person.join()[2]


def test_no_browser_opens_where_the_result_could_not_be_kept(
    sign_in: SignIn, person: Person, folder: Folder, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is said before the person goes through the sign-in, not after."""

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StorageError):
        sign_in.connect(folder, CODE)
    assert person.url == ""


@pytest.mark.parametrize(
    ("credential", "kind"),
    [
        (Password(user="a"), UsageError),
        (OAuth2Client(provider=Provider.GENERIC, client_id="c", scope="s"), ConfigurationError),
        (
            OAuth2Client(provider=Provider.MICROSOFT, client_id="c", redirect_uri="https://a.example/"),
            ConfigurationError,
        ),
        (OAuth2Client(provider=Provider.MICROSOFT), ConfigurationError),
    ],
)
def test_no_browser_opens_for_a_connection_that_cannot_sign_in(
    *,
    sign_in: SignIn,
    person: Person,
    folder: Folder,
    connection: Connection,
    credential: Password | OAuth2Client,
    kind: type[DataPallasError],
) -> None:
    """A password, no addresses, no client id, a redirect nobody can listen on: said first."""
    folder.save(dataclasses.replace(connection, credential=credential))
    with pytest.raises(kind):
        sign_in.connect(folder, CODE)
    assert person.url == ""


def test_a_port_that_is_taken_is_said_before_the_browser_opens(
    sign_in: SignIn, person: Person, folder: Folder, connection: Connection
) -> None:
    """--redirect-uri with a fixed port somebody else holds."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        uri = f"http://127.0.0.1:{other.getsockname()[1]}/callback"
        with pytest.raises(ConfigurationError) as caught:
            dataclasses.replace(sign_in, redirect_uri=uri).connect(folder, CODE)
    assert caught.value.code == "port-taken"
    assert person.url == ""


def test_a_connection_that_changed_meanwhile_is_not_overwritten(
    sign_in: SignIn, folder: Folder, idp: Idp, connection: Connection
) -> None:
    """Somebody edits the client while the browser is open: the sign-in was for another application."""

    class Editor(Person):
        def before(self, redirect: str) -> None:
            changed = dataclasses.replace(idp.client(), client_id="another")
            folder.save(dataclasses.replace(folder.load(CODE), credential=changed))

    with pytest.raises(SignInRejected) as caught:
        dataclasses.replace(sign_in, open_browser=Editor(idp)).connect(folder, CODE)
    assert caught.value.code == "changed-meanwhile"
    assert stored(folder).client_id == "another"


def test_a_sign_in_that_ends_during_a_refresh_wins(
    sign_in: SignIn, folder: Folder, idp: Idp, source: ConnectionTokenSource
) -> None:
    """A higher generation wins: the file ends with the new sign-in."""
    came, go = threading.Event(), threading.Event()

    def slow(seen: object) -> None:
        came.set()
        go.wait(60)

    idp.script = [slow]
    refresh = threading.Thread(target=source.token)

    class Later(Person):
        def before(self, redirect: str) -> None:
            refresh.start()  # the sign-in has proven that it can store, and waits for the browser
            came.wait(60)
            go.set()

    person = Later(idp)
    done = dataclasses.replace(sign_in, open_browser=person).connect(folder, CODE)
    refresh.join(60)
    assert folder.reveal(folder.load(CODE), "refresh_token") == done.refresh_token
    assert done.generation == 3


def test_a_client_secret_is_opened_for_the_exchange(
    sign_in: SignIn, folder: Folder, idp: Idp, connection: Connection
) -> None:
    """A sealed client secret reaches the provider, and only there."""
    client = dataclasses.replace(idp.client(), client_secret=Secret(f"{CANARY}-client-secret"))
    folder.save(dataclasses.replace(connection, credential=client))
    sign_in.connect(folder, CODE)
    sent = idp.token_requests()[0].headers["authorization"].partition(" ")[2]
    assert base64.b64decode(sent) == f"client:{CANARY}-client-secret".encode()


def test_no_secret_is_in_any_log_or_error(
    *,
    folder: Folder,
    idp: Idp,
    connection: Connection,
    guide: Told,
    new_source: Callable[[], ConnectionTokenSource],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """At the most talkative level of every library, and with a provider that echoes what it got, nothing shows."""
    caplog.set_level(logging.DEBUG)
    client = dataclasses.replace(idp.client(), client_secret=Secret(f"{CANARY}-client-secret"))
    folder.save(dataclasses.replace(connection, credential=client))
    shown: list[str] = []

    def echo(seen: Any) -> Raw:
        said = {"error": "invalid_request", "error_description": " ".join(seen.form.values())}
        return Raw(400, body=json.dumps(said).encode())

    def attempt(work: Callable[[], object]) -> None:
        try:
            shown.append(repr(work()))
        except DataPallasError as problem:
            shown.extend(traceback.format_exception(problem))
            shown.append(f"{problem} {problem.raw} {problem.facts} {vars(problem)}")

    for script in ([], [echo], [Raw(hang_up=True)], [Raw(400, body=b"no json")]):
        idp.script = list(script)
        person = Person(idp)
        signing_in = SignIn(endpoint=Endpoint(), guide=guide, open_browser=person, seconds=10)
        attempt(functools.partial(signing_in.connect, folder, CODE))
        person.join()
        idp.script = list(script)
        attempt(lambda: new_source().token())
    shown += [repr(folder.load(CODE)), *guide.notices, *capfd.readouterr(), caplog.text]
    assert "httpcore2" in caplog.text  # the loggers that might tell were listened to
    verifier = [seen.form.get("code_verifier") for seen in idp.token_requests()]
    secrets = [CANARY, *filter(None, verifier)]
    assert len(secrets) > 3
    for secret in secrets:
        assert not [text for text in shown if secret in text]
    for path in folder.store.root.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("environ", "platform", "desktop"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({"BROWSER": "x"}, "linux", True),
        ({}, "darwin", True),
    ],
)
def test_a_server_without_a_desktop_only_shows_the_address(
    environ: dict[str, str], platform: str, *, desktop: bool
) -> None:
    """No text browser takes over the terminal of a server."""
    assert has_desktop(environ, platform) is desktop


def test_the_browser_of_the_environment_is_used_and_its_chatter_is_not_heard(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """BROWSER names what to open; what it prints does not mix with our output."""
    script, note = tmp_path / "browser.py", tmp_path / "opened"
    script.write_text(f"import sys; print('noise'); open({str(note)!r}, 'w').write(sys.argv[1])")
    environ = dict(os.environ) | {"BROWSER": f"{sys.executable} {script} %s"}
    assert open_address("https://login.example/?a=1&b=2", environ)
    for thread in threading.enumerate():
        if thread.name == "browser":
            thread.join(60)
    assert note.read_text() == "https://login.example/?a=1&b=2"
    assert capfd.readouterr() == ("", "")


def test_microsoft_comes_back_to_localhost(guide: Told, idp: Idp) -> None:
    """The address that Microsoft's portal accepts is the one that is used and told."""
    client = idp.client(provider=Provider.MICROSOFT, scope="")
    idp.extra = {"scope": "SMTP.Send openid"}
    idp.claims = {"preferred_username": "reports@contoso.example", "oid": "oid-1", "tid": "tid-1"}
    person = Person(idp)
    done = SignIn(endpoint=Endpoint(), guide=guide, open_browser=person, seconds=10).run(client)
    assert guide.registered == "http://localhost"
    redirect = parse_qs(urlsplit(person.url).query)["redirect_uri"][0]
    assert redirect.startswith("http://localhost:") and urlsplit(redirect).path == ""
    assert (done.account, done.tenant, done.subject) == ("reports@contoso.example", "tid-1", "oid-1")
    person.join()
