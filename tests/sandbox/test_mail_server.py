"""The sandbox's mail server, met by mail programs that are not ours."""

from __future__ import annotations

import base64
import shutil
import smtplib
import ssl
import subprocess
from typing import TYPE_CHECKING, Any

import aiosmtplib
import pytest

from datapallas.connection.model import OAuth2Client, Provider, Security
from datapallas.errors import DataPallasError, SmtpRefused, Unreachable, UsageError
from datapallas.sandbox import Sandbox
from datapallas.sandbox.clients import MAIL_SCOPES
from datapallas.sandbox.settings import Settings
from datapallas.secret import Secret
from datapallas.smtp.body import BytesBody
from datapallas.smtp.reply import Reply
from datapallas.smtp.sasl import BearerLogin
from datapallas.smtp.stream import Session
from datapallas.smtp.target import Target
from datapallas.smtp.tls import tls_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALICE = "alice@sandbox.example"
MAIL = b"From: alice@sandbox.example\r\nTo: r@any.example\r\nSubject: Hello\r\n\r\n.dot\r\nend\r\n"


def context(sandbox: Sandbox) -> ssl.SSLContext:
    """Trust the sandbox's authority and nothing else, as strictly as Python can."""
    found = ssl.create_default_context(cafile=str(sandbox.ca_file))
    found.verify_flags |= ssl.VERIFY_X509_STRICT
    return found


class Client(smtplib.SMTP):
    """smtplib inside TLS."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__("127.0.0.1", sandbox.smtp_port, timeout=60)
        self.sandbox = sandbox
        self.starttls(context=context(sandbox))
        self.ehlo()

    def bearer(self, mechanism: str, user: str, token: str) -> tuple[int, bytes]:
        """AUTH in two steps; a challenge is answered as the mechanism asks."""
        text = {
            "XOAUTH2": f"user={user}\1auth=Bearer {token}\1\1",
            "OAUTHBEARER": f"n,a={user},\1host=x\1port=1\1auth=Bearer {token}\1\1",
        }[mechanism]
        code, said = self.docmd("AUTH", mechanism)
        assert (code, said) == (334, b"")
        code, said = self.docmd(base64.b64encode(text.encode()).decode())
        if code == 334:
            self.challenge = base64.b64decode(said)
            return self.docmd("" if mechanism == "XOAUTH2" else "AQ==")
        return code, said


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Client]:
    """smtplib, connected and in TLS, nobody signed in."""
    with Client(sandbox) as found:
        yield found


@pytest.fixture
def signed_in(client: Client) -> Client:
    """And signed in."""
    assert client.bearer("XOAUTH2", ALICE, client.sandbox.access_token().reveal())[0] == 235
    return client


def login(sandbox: Sandbox, user: str = ALICE) -> BearerLogin:
    """A good login for our own client."""
    return BearerLogin(user, sandbox.access_token(user))


def target(sandbox: Sandbox, **more: Any) -> Target:
    """The sandbox for our own client."""
    return Target("127.0.0.1", sandbox.smtp_port, tls=tls_context(str(sandbox.ca_file)), **more)


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_a_token_of_the_provider_signs_in(client: Client, mechanism: str) -> None:
    """A long token in two steps, then a mail that is kept octet for octet, in memory and as a file."""
    token = client.sandbox.access_token().reveal()
    assert client.bearer(mechanism, ALICE, token)[0] == 235
    client.sendmail(ALICE, ["r@any.example", "s@any.example"], MAIL)
    (mail,) = client.sandbox.messages
    assert (mail.sender, mail.recipients, mail.user) == (ALICE, ("r@any.example", "s@any.example"), ALICE)
    assert mail.data == MAIL == mail.path.read_bytes()
    assert (mail.subject, mail.text) == ("Hello", ".dot\nend\n")
    assert mail.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
@pytest.mark.parametrize(
    "case", ["unknown", "expired", "revoked", "other mailbox", "no mail scope", "switched"]
)
def test_a_bad_token_gets_its_reason_and_then_535(client: Client, mechanism: str, case: str) -> None:
    """The reason comes as JSON in a 334, the refusal after the client has answered it."""
    sandbox, user = client.sandbox, ALICE
    token = sandbox.access_token().reveal()
    if case == "unknown":
        token = "x" * 40
    elif case == "expired":
        sandbox.provider.ledger.expire_access()
    elif case == "revoked":
        sandbox.provider.ledger.revoke(token, sandbox.client_id)
    elif case == "other mailbox":
        user = "bob@sandbox.example"
    elif case == "no mail scope":
        token = sandbox.access_token(scope="openid email").reveal()
    else:
        sandbox.faults.next("auth", "expired")
    code, said = client.bearer(mechanism, user, token)
    assert (code, said) == (535, b"5.7.8 Username and Password not accepted")
    assert client.challenge == b'{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}'


def test_exchange_refuses_at_once(client: Client) -> None:
    """Without a challenge the 535 comes directly."""
    client.sandbox.settings.challenge = False
    client.docmd("AUTH", "XOAUTH2")
    text = base64.b64encode(f"user={ALICE}\1auth=Bearer nothing\1\1".encode()).decode()
    assert client.docmd(text) == (535, b"5.7.3 Authentication unsuccessful")


def test_a_provider_that_is_down_is_temporary(client: Client) -> None:
    """The mail server cannot check the token: 454, try later."""
    client.sandbox.faults.next("introspect", "503")
    assert client.bearer("XOAUTH2", ALICE, client.sandbox.access_token().reveal())[0] == 454


def test_passwords_work_for_those_who_have_none_but_that(client: Client) -> None:
    """The one password of the sandbox signs in with PLAIN and LOGIN; any other does not."""
    with pytest.raises(smtplib.SMTPAuthenticationError):
        client.login(ALICE, "wrong")
    client.login(ALICE, client.sandbox.password.reveal())


def test_the_sender_must_be_the_signed_in_user(signed_in: Client) -> None:
    """Another sender, and the null sender, are refused as Exchange refuses them."""
    assert signed_in.mail("bob@sandbox.example") == (
        554,
        b"5.2.252 SendAsDenied; alice@sandbox.example not allowed to send as bob@sandbox.example",
    )
    assert signed_in.docmd("MAIL", "FROM:<>")[0] == 554
    assert signed_in.mail("Alice@sandbox.example")[0] == 250


@pytest.mark.parametrize(
    ("code", "status"), [("452", "4.5.3"), ("550", "5.1.1"), ("499", "4.0.0"), ("571", "5.0.0")]
)
def test_a_recipient_can_ask_to_be_refused(signed_in: Client, code: str, status: str) -> None:
    """The others of the same mail are accepted."""
    wanted = f"{code}-anything@any.example"
    refused = signed_in.sendmail(ALICE, ["r@any.example", wanted], MAIL)
    assert refused == {wanted: (int(code), f"{status} <{wanted}>: refused as asked".encode())}
    assert signed_in.sandbox.messages[0].recipients == ("r@any.example",)


def send(sandbox: Sandbox) -> Reply:
    """Sign in and send with our own client; the reply that decided."""
    try:
        with Session.open(target(sandbox), login=login(sandbox)) as session:
            sent = session.send(ALICE, ["r@any.example"], BytesBody(MAIL))
    except SmtpRefused as refused:
        return Reply(refused.reply_code, (refused.text,), refused.enhanced)
    return sent.final or sent.recipients[0]


@pytest.mark.parametrize("where", ["connect", "starttls", "auth", "mail", "rcpt", "message"])
def test_every_step_can_be_refused_once(sandbox: Sandbox, where: str) -> None:
    """Any reply at any place; the next time it works."""
    sandbox.faults.next(where, "451 4.3.2 Not now")
    refused = send(sandbox)
    assert (refused.code, refused.enhanced) == (451, "4.3.2")
    assert sandbox.messages == []
    assert send(sandbox).code == 250
    assert len(sandbox.messages) == 1


@pytest.mark.parametrize("where", ["connect", "starttls", "auth", "mail", "rcpt", "message"])
def test_the_server_can_die_at_any_step(sandbox: Sandbox, where: str) -> None:
    """The connection ends without a word, and nothing is kept."""
    sandbox.faults.next(where, "die")
    with pytest.raises(DataPallasError) as lost:
        send(sandbox)
    assert isinstance(lost.value, Unreachable)
    assert sandbox.messages == []


def test_the_server_can_die_after_keeping_the_mail(signed_in: Client) -> None:
    """The case no client can know: the mail is there, the reply is not."""
    signed_in.sandbox.faults.next("message", "die-after")
    with pytest.raises((smtplib.SMTPServerDisconnected, smtplib.SMTPDataError, OSError)):
        signed_in.sendmail(ALICE, ["r@any.example"], MAIL)
    assert len(signed_in.sandbox.wait(1)) == 1


@pytest.mark.parametrize("word", ["starttls", "auth", "chunking"])
def test_an_extension_can_be_missing_in_one_session(sandbox: Sandbox, word: str) -> None:
    """A fault takes the word out of EHLO once."""
    sandbox.faults.next("ehlo", f"strip-{word}")
    for there in (False, True):
        with smtplib.SMTP("127.0.0.1", sandbox.smtp_port) as client:
            if word == "auth":
                client.starttls(context=context(sandbox))
            client.ehlo()
            assert client.has_extn(word) is there


def test_extensions_can_be_missing_for_all(sandbox: Sandbox) -> None:
    """With nothing but TLS and AUTH a mail still goes, by lockstep and DATA."""
    sandbox.settings.extensions = ("STARTTLS", "AUTH")
    with Client(sandbox) as client:
        assert set(client.esmtp_features) == {"auth"}
    assert send(sandbox) == Reply(250, ("OK, kept as 00001.eml",))
    assert sandbox.messages[0].data == MAIL


def test_a_stripped_starttls_is_not_taken(sandbox: Sandbox) -> None:
    """A program that uses STARTTLS although it was not offered is refused."""
    sandbox.faults.next("ehlo", "strip-starttls")
    with smtplib.SMTP("127.0.0.1", sandbox.smtp_port) as client:
        client.ehlo()
        assert client.docmd("STARTTLS") == (502, b"5.5.1 Not offered here")
        assert client.docmd("AUTH", "PLAIN AGEAYg==")[0] == 538


def test_concurrent_sessions_of_a_mailbox_can_be_limited(sandbox: Sandbox) -> None:
    """As at Exchange: one more than the limit gets 432 4.3.2, and may come in when another has left."""
    sandbox.settings.sessions_per_mailbox = 1
    first = Session.open(target(sandbox), login=login(sandbox))
    with pytest.raises(SmtpRefused) as refused:
        Session.open(target(sandbox), login=login(sandbox))
    assert (refused.value.reply_code, refused.value.enhanced) == (432, "4.3.2")
    with Session.open(target(sandbox), login=login(sandbox, "bob@sandbox.example")) as other:
        assert other.alive
    first.quit()
    with Session.open(target(sandbox), login=login(sandbox)) as second:
        assert second.alive


def test_size_is_announced_and_kept(sandbox: Sandbox) -> None:
    """Too much is refused at MAIL when it is announced, and at the end when it is not."""
    sandbox.settings.message_size = 1000
    with Client(sandbox) as client:
        client.bearer("XOAUTH2", ALICE, sandbox.access_token().reveal())
        assert client.esmtp_features["size"] == "1000"
        assert client.mail(ALICE, ["SIZE=1001"])[0] == 552
        client.mail(ALICE)
        client.rcpt("r@any.example")
        assert client.data(b"x" * 900 + b"\r\n" + b"y" * 900)[0] == 552
        assert client.noop()[0] == 250
    assert sandbox.messages == []
    assert not list((sandbox.folder / "mail").iterdir())


def test_implicit_tls(sandbox: Sandbox) -> None:
    """The second port speaks TLS from the first octet and offers no STARTTLS."""
    with smtplib.SMTP_SSL("127.0.0.1", sandbox.smtps_port, context=context(sandbox)) as client:
        client.ehlo()
        assert not client.has_extn("starttls") and client.has_extn("auth")
        client.login(ALICE, sandbox.password.reveal())
        client.sendmail(ALICE, ["r@any.example"], MAIL)
    assert sandbox.messages[0].data == MAIL


def test_a_wrong_certificate_name_is_noticed(tmp_path: Path) -> None:
    """A sandbox made for another name is refused by whoever checks names."""
    with (
        Sandbox(tmp_path, names=("elsewhere.example",)) as sandbox,
        smtplib.SMTP("127.0.0.1", sandbox.smtp_port) as client,
        pytest.raises(ssl.SSLCertVerificationError, match="mismatch"),
    ):
        client.starttls(context=context(sandbox))


async def send_with_aiosmtplib(sandbox: Sandbox) -> None:
    """One mail by aiosmtplib, with its own XOAUTH2."""
    client = aiosmtplib.SMTP(
        hostname="127.0.0.1", port=sandbox.smtp_port, start_tls=True, tls_context=context(sandbox)
    )
    async with client:
        await client.auth_xoauth2(ALICE, sandbox.access_token().reveal())
        await client.sendmail(ALICE, ["r@any.example"], MAIL)


def test_aiosmtplib_sends(tmp_path: Path) -> None:
    """A stranger with a short token, since it knows the one-step form only."""
    import asyncio

    with Sandbox(tmp_path, settings=Settings(token_length=200)) as sandbox:
        asyncio.run(send_with_aiosmtplib(sandbox))
        assert sandbox.messages[0].data == MAIL


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_sends(tmp_path: Path) -> None:
    """curl signs in with a token it reads from a file, and sends."""
    with Sandbox(tmp_path / "box", settings=Settings(token_length=200)) as sandbox:
        (tmp_path / "mail").write_bytes(MAIL)
        token = sandbox.access_token().reveal()
        (tmp_path / "curlrc").write_text(f'oauth2-bearer = "{token}"\nuser = "{ALICE}:"\n')
        arguments = ["--ssl-reqd", "--cacert", str(sandbox.ca_file), "--mail-from", ALICE]
        arguments += ["--mail-rcpt", "r@any.example", "--upload-file", str(tmp_path / "mail")]
        done = subprocess.run(
            [
                "curl",
                "-sS",
                "-K",
                str(tmp_path / "curlrc"),
                *arguments,
                f"smtp://127.0.0.1:{sandbox.smtp_port}",
            ],
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert sandbox.messages[0].data == MAIL


def test_our_own_client_sends_by_chunks_and_by_data(sandbox: Sandbox) -> None:
    """Both ways give the same mail; a mail too large for memory is read from its file."""
    big = MAIL + b"x" * 70 + b"\r\n" + b"line\r\n" * 400_000
    for chunking in (True, False):
        with Session.open(target(sandbox, chunking=chunking), login=login(sandbox)) as session:
            for body in (MAIL, big):
                sent = session.send(ALICE, ["r@any.example"], BytesBody(body))
                assert sent.final is not None and sent.final.code == 250
    assert [mail.data for mail in sandbox.messages] == [MAIL, big, MAIL, big]


def test_connections_are_ready_to_use(sandbox: Sandbox) -> None:
    """Each provider's connection names the sandbox; a signed-in one holds a refresh token that works."""
    for provider in (Provider.GENERIC, Provider.MICROSOFT, Provider.GOOGLE):
        connection = sandbox.connection(provider=provider, signed_in=True)
        assert connection.server.root_certificate == str(sandbox.ca_file)
        credential = connection.credential
        assert isinstance(credential, OAuth2Client)
        assert isinstance(credential.refresh_token, Secret)
        assert credential.user_email == ALICE == connection.mailbox
        assert MAIL_SCOPES.intersection(credential.granted_scope.split())
    assert sandbox.server(Security.TLS).port_number == sandbox.smtps_port
    assert sandbox.service_connection().mailbox == "service@sandbox.example"
    with pytest.raises(UsageError):
        sandbox.server(Security.NONE)


def test_nothing_secret_is_logged(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """A whole sign-in and sending at DEBUG leaves no token in the log."""
    caplog.set_level("DEBUG")
    token = sandbox.access_token()
    with Session.open(target(sandbox), login=BearerLogin(ALICE, token)) as session:
        session.send(ALICE, ["r@any.example"], BytesBody(MAIL))
    assert token.reveal() not in caplog.text
