"""Nobody signs in: an app with a key or a secret of its own sends, is refused, and says so."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from datapallas.connection import record as records
from datapallas.connection.advice import Before, findings, lacking
from datapallas.connection.file_store import FileStore
from datapallas.connection.model import Connection, Flow, OAuth2Client, Provider
from datapallas.diagnosis.explain import explain
from datapallas.errors import ConfigurationError, DataPallasError, TokenRefused
from datapallas.home.next_step import Doing, Progress, next_step
from datapallas.home.overview import Health
from datapallas.home.sign_ins import SignInRequest, SignIns, Way
from datapallas.home.test_emails import Mark, Step, TestEmails
from datapallas.mail.message import Message
from datapallas.oauth.app_key import read_app_key
from datapallas.oauth.endpoint import Endpoint
from datapallas.oauth.source import ConnectionTokenSource
from datapallas.secret import Secret
from oauth.conftest import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

    from datapallas.home import Home
    from datapallas.sandbox import Sandbox

CODE, MAILBOX = "eml-sandbox-service", "service@sandbox.example"
WAYS = [
    (Provider.GENERIC, Flow.APPONLY, False),
    (Provider.GENERIC, Flow.APPONLY, True),
    (Provider.MICROSOFT, Flow.APPONLY, False),
    (Provider.MICROSOFT, Flow.APPONLY, True),
    (Provider.GOOGLE, Flow.SERVICEACCOUNT, True),
    (Provider.GENERIC, Flow.SERVICEACCOUNT, True),
]


def made(
    home: Home, sandbox: Sandbox, way: tuple[Provider, Flow, bool] = WAYS[3], **change: Any
) -> Connection:
    """The service's connection, stored; `change` is of its client."""
    found = sandbox.service_connection(way[0], way[1], certificate=way[2])
    client = dataclasses.replace(found.credential, **change)
    return home.folder.create(dataclasses.replace(found, credential=client, default=True))


def source(home: Home, clock: FakeClock) -> ConnectionTokenSource:
    return ConnectionTokenSource(home.folder, CODE, Endpoint(clock=clock), clock, chance=lambda: 0.5)


def record(home: Home) -> records.Record:
    return records.load(FileStore(home.folder.store.root).record_path(CODE))


def given(sandbox: Sandbox) -> int:
    return len(sandbox.provider.ledger.accesses)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0]}-{way[1]}-{'key' if way[2] else 'secret'}")
def test_mail_is_sent_without_anybody_signing_in(
    home: Home, sandbox: Sandbox, way: tuple[Provider, Flow, bool]
) -> None:
    """Secret, certificate or service account: one token, the mailbox's own address, and the mail is there."""
    made(home, sandbox, way)
    before = home.folder.path_of(CODE).read_bytes()
    with home.mailbox(CODE) as mailbox:
        for number in range(3):
            assert mailbox.send(Message(to="bob@sandbox.example", subject=str(number), text="x")).accepted
    assert [mail.user for mail in sandbox.wait(3)] == [MAILBOX] * 3
    assert given(sandbox) == 1
    assert home.folder.path_of(CODE).read_bytes() == before
    assert home.row(CODE).state == f"app-only as {MAILBOX}" and home.row(CODE).app_only


def test_a_token_is_used_until_five_minutes_before_its_end(home: Home, sandbox: Sandbox) -> None:
    """A run costs one request, and the next one is a new assertion, which the provider takes only once."""
    made(home, sandbox)
    clock = FakeClock()
    clock.now = sandbox.provider.now()
    tokens = source(home, clock)
    first = tokens.token()
    clock.ran += 3299
    assert tokens.token() is first
    clock.ran += 2
    assert tokens.token().value != first.value
    assert given(sandbox) == 2


def test_a_refusal_is_shown_since_when_and_parks_nothing(home: Home, sandbox: Sandbox) -> None:
    """What a person could not help is noted, the provider is not flooded, and the next success ends it."""
    made(home, sandbox)
    clock = FakeClock()
    clock.now = sandbox.provider.now()
    tokens = source(home, clock)
    sandbox.faults.next("token", "AADSTS700027", times=2)
    with pytest.raises(TokenRefused) as refused:
        tokens.token()
    assert explain(refused.value).id == "microsoft-assertion"
    since = record(home).refused
    assert since is not None and since.error == "invalid_client" and record(home).parked is None
    row = home.row(CODE)
    assert row.health is Health.REFUSED and not row.ok
    assert row.state == f"app-only as {MAILBOX}, but refused since {since.at[:10]}: invalid_client"
    with pytest.raises(TokenRefused):
        tokens.token()
    assert len(sandbox.faults.waiting) == 1, "asked again within the minute"
    clock.ran += 61
    with pytest.raises(TokenRefused):
        tokens.token()
    assert record(home).refused == since
    clock.ran += 181
    assert tokens.token().value
    assert record(home).refused is None and record(home).refreshed_at
    assert home.row(CODE).health is Health.CONNECTED


@pytest.mark.parametrize("what", ["google:bad-request", "google:delegation", "google:user-unknown"])
def test_words_that_park_a_person_park_no_app(home: Home, sandbox: Sandbox, what: str) -> None:
    """Even invalid_grant, which ends a person's sign-in, is only noted for a service account."""
    made(home, sandbox, WAYS[4])
    sandbox.faults.next("token", what)
    with pytest.raises(TokenRefused) as refused:
        home.tokens(CODE).refresh()
    advice = explain(refused.value, home.facts(CODE))
    assert "sign-in --connection" not in advice.fix
    assert record(home).parked is None and record(home).refused is not None
    assert home.tokens(CODE).refresh().value


def test_who_may_not_be_acted_for_is_told_by_the_provider(home: Home, sandbox: Sandbox) -> None:
    """A mailbox outside the domain is refused with its own diagnosis; the login hint names another mailbox."""
    made(home, sandbox, WAYS[4], login_hint="nobody@elsewhere.example")
    with pytest.raises(TokenRefused) as refused:
        home.tokens(CODE).token()
    assert explain(refused.value).id == "google-delegated-user"
    home.folder.delete(CODE, force=True)
    made(home, sandbox, WAYS[4], login_hint="bob@sandbox.example")
    assert home.tokens(CODE).token().value
    assert home.row(CODE).state == "app-only as bob@sandbox.example"


def exposed(file: Path) -> None:
    file.chmod(0o640)


def gone(file: Path) -> None:
    file.unlink()


def locked(file: Path) -> None:
    private = read_app_key(file).private
    lock = serialization.BestAvailableEncryption(b"passphrase")
    form = serialization.PrivateFormat.PKCS8
    file.write_bytes(private.private_bytes(serialization.Encoding.PEM, form, lock))


def nonsense(file: Path) -> None:
    file.write_text(
        "{}" if file.suffix == ".json" else "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    )


def another_key(file: Path) -> None:
    text = file.read_text()
    fresh = ec.generate_private_key(ec.SECP256R1())
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = fresh.private_bytes(serialization.Encoding.PEM, form, plain).decode()
    file.write_text(pem + text[: text.index("-----BEGIN PRIVATE")])


def bare_key(file: Path) -> None:
    file.write_text(file.read_text()[file.read_text().index("-----BEGIN PRIVATE") :])


@pytest.mark.parametrize(
    ("spoil", "case", "row"),
    [
        (exposed, "exposed", "app-key-exposed"),
        (gone, "missing", "app-key-missing"),
        (locked, "encrypted", "app-key-locked"),
        (nonsense, "no-key", "app-key-wrong"),
        (another_key, "not-its-certificate", "app-key-wrong"),
        (bare_key, "no-certificate", "app-key-wrong"),
    ],
)
def test_a_key_that_cannot_be_used_is_named_and_nothing_is_asked(
    home: Home, sandbox: Sandbox, spoil: Any, case: str, row: str
) -> None:
    """Readable by others, gone, locked, of another certificate: what to do is said, and no byte of the key."""
    connection = made(home, sandbox)
    assert isinstance(connection.credential, OAuth2Client)
    file = sandbox.folder / "service.pem"
    key = file.read_text()
    spoil(file)
    with pytest.raises(ConfigurationError) as refused:
        home.tokens(CODE).token()
    assert (refused.value.code, refused.value.facts["case"]) == ("app-key", case)
    told = explain(refused.value, home.facts(CODE))
    assert told.id == row
    assert given(sandbox) == 0
    body = [line for line in key.splitlines() if "-----" not in line]
    assert not any(line in told.render() for line in body)
    if case != "no-certificate":
        shown = home.row(CODE)
        assert shown.health is Health.UNREADABLE and shown.state.startswith(
            "app-only, but it cannot be used: "
        )


def test_a_linked_key_below_the_home_is_found(home: Home, sandbox: Sandbox, tmp_path: Path) -> None:
    """Certificates that renew themselves and mounted secrets are links; a relative path starts at the home."""
    made(home, sandbox, certificate="keys/app.pem")
    (home.root / "keys").mkdir()
    (home.root / "keys" / "app.pem").symlink_to(sandbox.folder / "service.pem")
    assert home.tokens(CODE).token().value


def test_no_secret_and_no_certificate_is_said(home: Home, sandbox: Sandbox) -> None:
    """An app with nothing to prove itself with is not asked to sign in."""
    made(home, sandbox, WAYS[0], client_secret=None)
    with pytest.raises(ConfigurationError) as refused:
        home.tokens(CODE).token()
    assert explain(refused.value).id == "app-key-none"
    assert home.row(CODE).health is Health.UNREADABLE


def test_the_days_of_a_certificate_are_counted(home: Home, sandbox: Sandbox) -> None:
    """`days_left` is read from the certificate itself."""
    made(home, sandbox)
    sandbox.service_key(days=20)
    status = home.tokens(CODE).status()
    assert (status.state, status.flow, status.account) == ("app-only", "APPONLY", MAILBOX)
    assert status.days_left is not None and 19.9 < status.days_left < 20
    assert status.scopes == ("https://outlook.office365.com/.default",)


def test_an_app_only_draft_can_be_tried_before_it_is_saved(home: Home, sandbox: Sandbox) -> None:
    """A test email works with typed values; nothing is stored, and a refusal of a draft is not noted."""
    draft = sandbox.service_connection(certificate=True)
    emails = TestEmails(home)
    try:
        work = emails.start(draft, owner="me", to="bob@sandbox.example")
        version, state = work.now()
        while not state.finished:
            version, state = work.wait(version, 60)
    finally:
        emails.close()
    assert state.problem is None and state.step(Step.SEND).mark is Mark.DONE
    assert not home.folder.list() and not FileStore(home.folder.store.root).record_path(CODE).exists()


def test_a_refused_draft_says_nothing_about_what_is_stored(home: Home, sandbox: Sandbox) -> None:
    """A wrong secret typed into the form is refused; the stored connection goes on being good."""
    stored = made(home, sandbox, WAYS[0])
    assert isinstance(stored.credential, OAuth2Client)
    typed = dataclasses.replace(stored.credential, client_secret=Secret("not the one"))
    emails = TestEmails(home)
    try:
        work = emails.start(dataclasses.replace(stored, credential=typed), owner="me")
        version, state = work.now()
        while not state.finished:
            version, state = work.wait(version, 60)
    finally:
        emails.close()
    assert state.step(Step.TOKEN).mark is Mark.FAILED
    assert record(home).refused is None and home.row(CODE).health is Health.CONNECTED


def test_nobody_signs_in_to_it(home: Home, sandbox: Sandbox, sign_ins: SignIns) -> None:
    """A sign-in says that none is needed, and changes nothing."""
    connection = made(home, sandbox)
    work = sign_ins.start(SignInRequest(wanted=connection, new=False, way=Way.PASTE, owner="me"))
    version, state = work.now()
    while not state.finished:
        version, state = work.wait(version, 60)
    assert state.problem is not None and state.problem.id == "app-only"
    assert home.row(CODE).health is Health.CONNECTED


def test_the_next_step_is_never_a_sign_in(home: Home, sandbox: Sandbox) -> None:
    """Filled in, then saved, then tried out."""
    progress = Progress(provider=Provider.MICROSOFT, saved=False, health=None, app_only=True)
    assert next_step((), progress).doing is Doing.SAVE
    assert next_step((), dataclasses.replace(progress, saved=True)).doing is Doing.TEST


@pytest.mark.parametrize(
    ("client", "field", "words"),
    [
        (OAuth2Client(provider=Provider.MICROSOFT, tenant_id="common"), "tenant-id", "one tenant"),
        (OAuth2Client(provider=Provider.MICROSOFT, tenant_id="consumers"), "tenant-id", "Personal mailboxes"),
        (OAuth2Client(provider=Provider.MICROSOFT), "tenant-id", "needs the tenant id"),
        (
            OAuth2Client(
                provider=Provider.MICROSOFT,
                tenant_id="a.example",
                scope="https://outlook.office.com/SMTP.Send",
            ),
            "scope",
            "/.default",
        ),
        (OAuth2Client(provider=Provider.GOOGLE), "flow", "SERVICEACCOUNT"),
        (OAuth2Client(provider=Provider.GENERIC), "certificate", "certificate"),
    ],
)
def test_what_app_only_lacks_is_seen_before_anybody_is_asked(
    client: OAuth2Client, field: str, words: str
) -> None:
    """Values that cannot work app-only are told with the field, and nothing is missing before a sign-in."""
    asked = dataclasses.replace(client, flow=Flow.APPONLY)
    connection = Connection(code="eml-x", from_address="reports@a.example", credential=asked)
    assert any(one.field == field and words in one.sentence for one in findings(connection))
    assert not lacking(connection, Before.SIGN_IN)


def test_an_error_of_an_app_is_ours(home: Home, sandbox: Sandbox) -> None:
    """Whatever goes wrong has a class of its own, also where the file's folder may not be read."""
    made(home, sandbox, certificate="/proc/1/mem")
    with pytest.raises(DataPallasError) as refused:
        home.tokens(CODE).token()
    assert refused.value.code == "app-key"
