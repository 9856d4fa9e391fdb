"""AUTH only inside verified TLS: the ways in which somebody on the way, or a careless server, tries otherwise."""

from __future__ import annotations

import datetime as dt
import os
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import trustme

from datapallas.connection.model import Security
from datapallas.errors import ConfigurationError, DataPallasError, TlsRefused
from datapallas.secret import Secret
from datapallas.smtp.body import BytesBody
from datapallas.smtp.client import Client, Exchange
from datapallas.smtp.opening import opening
from datapallas.smtp.reply import Reply
from datapallas.smtp.sasl import BearerLogin, PasswordLogin
from datapallas.smtp.server.listener import Background
from datapallas.smtp.server.policy import Offer
from datapallas.smtp.target import Deadlines, Target
from datapallas.smtp.tls import ClientContext, tls_context
from smtp.harness import MESSAGE, Driver, Peer, Script
from smtp.post import Post

if TYPE_CHECKING:
    from pathlib import Path

LOGIN = BearerLogin("u@x.example", Secret("t0ken"))
BOTH = pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
Start = Callable[..., Script]


def serve(security: Security, context: ssl.SSLContext) -> Callable[[Peer], None]:
    """Make a server that does TLS and takes any token."""

    def play(peer: Peer) -> None:
        if security is Security.STARTTLS:
            peer.greet("STARTTLS", "AUTH XOAUTH2")
            assert peer.line() == "STARTTLS"
            peer.say("220 go")
            peer.tls(context)
        else:
            peer.tls(context)
            peer.say("220 mail.example")
        peer.introduce("AUTH XOAUTH2", "CHUNKING", "PIPELINING")
        assert peer.line().startswith("AUTH")
        peer.say("235 in")
        peer.wait_for_the_end()

    return play


def refused(driver: Driver, server: Script, security: Security, trust: ssl.SSLContext) -> TlsRefused:
    target = Target("localhost", server.port, security, trust)
    with pytest.raises(TlsRefused) as caught:
        driver.open(target, login=LOGIN)
    server.join()
    assert all(b"AUTH" not in peer.heard for peer in server.peers)
    assert not caught.value.transient
    return caught.value


@BOTH
def test_the_right_certificate(
    driver: Driver, script: Start, security: Security, trust: ssl.SSLContext, server_tls: ssl.SSLContext
) -> None:
    """A server with a certificate for its name, by an authority we trust, is signed in to."""
    server = script(serve(security, server_tls))
    driver.open(Target("localhost", server.port, security, trust), login=LOGIN).close()
    server.join()
    assert b"AUTH XOAUTH2" in server.peers[0].heard


@BOTH
@pytest.mark.parametrize(
    ("names", "expires", "reason"),
    [
        (["other.example"], None, "name"),
        (["localhost"], dt.datetime(2020, 1, 1, tzinfo=dt.UTC), "expired"),
    ],
)
def test_the_wrong_certificate(  # noqa: PLR0917 - fixtures
    driver: Driver,
    script: Start,
    security: Security,
    authority: trustme.CA,
    trust: ssl.SSLContext,
    names: list[str],
    expires: dt.datetime | None,
    reason: str,
) -> None:
    """A certificate for another name, or of last year, is refused with the reason, before anything secret is said."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, not_after=expires).configure_cert(context)
    server = script(serve(security, context))
    assert refused(driver, server, security, trust).facts["reason"] == reason


@BOTH
def test_an_unknown_authority(
    driver: Driver, script: Start, security: Security, server_tls: ssl.SSLContext, tmp_path: Path
) -> None:
    """A certificate by an authority we do not know is refused, as that of an inspecting proxy would be."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    server = script(serve(security, server_tls))
    error = refused(driver, server, security, tls_context(str(other)))
    assert error.facts["reason"] == "unknown-authority"


@BOTH
def test_the_system_authorities_do_not_know_us(
    driver: Driver, script: Start, security: Security, server_tls: ssl.SSLContext
) -> None:
    """Without a certificate of our own to trust, the system's authorities decide, and refuse a made-up one."""
    server = script(serve(security, server_tls))
    error = refused(driver, server, security, tls_context())
    assert error.facts["reason"] in {"unknown-authority", "self-signed"}


@BOTH
def test_old_tls(
    driver: Driver, script: Start, security: Security, authority: trustme.CA, trust: ssl.SSLContext
) -> None:
    """A server that does only TLS 1.1 is refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    context.set_ciphers("ALL:@SECLEVEL=0")
    for name, version in (("minimum", ssl.TLSVersion.TLSv1), ("maximum", ssl.TLSVersion.TLSv1_1)):
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            setattr(context, f"{name}_version", version)
    server = script(serve(security, context))
    assert refused(driver, server, security, trust).facts["reason"] == "version"


def test_no_tls_at_all(driver: Driver, script: Start, trust: ssl.SSLContext) -> None:
    """A port that speaks without TLS where TLS is due is named as such."""
    server = script(lambda peer: (peer.say("220 mail.example"), peer.wait_for_the_end()))
    assert refused(driver, server, Security.TLS, trust).facts["reason"] == "not-tls"


def test_stripped(driver: Driver, script: Start, trust: ssl.SSLContext) -> None:
    """Somebody who takes the offer of STARTTLS out gets nothing."""

    def play(peer: Peer) -> None:
        peer.greet("AUTH XOAUTH2 PLAIN LOGIN")
        peer.wait_for_the_end()

    assert refused(driver, script(play), Security.STARTTLS, trust).facts["reason"] == "stripped"


@pytest.mark.parametrize("injected", [b"250-mail.example\r\n250 AUTH PLAIN\r\n", b"235 in\r\n" * 50, b"250"])
def test_what_came_before_the_handshake_is_dropped(
    driver: Driver, script: Start, trust: ssl.SSLContext, server_tls: ssl.SSLContext, injected: bytes
) -> None:
    """Replies that somebody put behind the 220 in clear are not taken for those of the server inside TLS."""

    def play(peer: Peer) -> None:
        peer.greet("STARTTLS")
        assert peer.line() == "STARTTLS"
        peer.send(b"220 go\r\n" + injected)
        peer.tls(server_tls)
        peer.introduce("AUTH XOAUTH2", "SIZE 4711")
        assert peer.line().startswith("AUTH XOAUTH2")
        peer.say("235 in")
        peer.line()
        peer.say("221 bye")

    server = script(play)
    target = Target("localhost", server.port, Security.STARTTLS, trust)
    session = driver.open(target, login=LOGIN)
    assert session.features.size == 4711
    assert session.features.auth == {"XOAUTH2"}
    session.quit()


@pytest.mark.parametrize("login", [LOGIN, PasswordLogin("u", Secret("p"))])
def test_nothing_is_signed_in_to_without_tls(login: BearerLogin | PasswordLogin) -> None:
    """Where a connection says NONE, a token or password goes to this machine only, and nowhere else in clear."""
    said = []
    for loopback in (True, False):
        client = Client(Target("mail.example", 25, Security.NONE))
        client.loopback = loopback
        conversation = opening(client, "client.example", login)
        next(conversation)
        conversation.send([Reply(220)])
        try:
            step = conversation.send([Reply(250, ("mail.example", "AUTH XOAUTH2 PLAIN"))])
            assert isinstance(step, Exchange)
            said.append(bytes(step.out[0])[:5])
        except TlsRefused as error:
            said.append(error.facts["reason"].encode())
    assert said == [b"AUTH ", b"plain"]


@BOTH
def test_sessions_are_resumed(
    driver: Driver,
    security: Security,
    authority: trustme.CA,
    root_certificate: Path,
    server_tls: ssl.SSLContext,
) -> None:
    """A second connection to the same server resumes the TLS session, and reads the authorities only once."""
    context = ClientContext()
    authority.configure_trust(context)
    offer = Offer(host="mail.example")
    with (
        Background() as background,
        Post(offer).running(background, server_tls, implicit_tls=security is Security.TLS) as post,
    ):
        target = Target("localhost", post.port, security, context)
        assert context.recall(target) is None
        for _ in range(3):
            with driver.open(target, login=LOGIN) as session:
                sent = session.send("me@sender.example", ["a@x.example"], BytesBody(MESSAGE))
                assert sent.final is not None and sent.final.positive
        assert server_tls.session_stats()["hits"] >= 2
        assert context.recall(target) is not None
        assert context.recall(Target("other.example", post.port, security)) is None
    assert post.logins == ["XOAUTH2"] * 3


def test_a_refused_token_leaves_the_reason(
    driver: Driver, server_tls: ssl.SSLContext, trust: ssl.SSLContext
) -> None:
    """The JSON inside a 334 refusal is in the error."""
    with Background() as background, Post(Offer(host="mail.example")).running(background, server_tls) as post:
        target = Target("localhost", post.port, Security.STARTTLS, trust)
        with pytest.raises(DataPallasError) as caught:
            driver.open(target, login=BearerLogin("u", Secret("wrong")))
    assert '{"status":"401"}' in caught.value.raw
    assert caught.value.facts["mechanism"] == "XOAUTH2"


class TestWhatIsTrusted:
    """Where the authorities come from."""

    def test_one_context_for_all(self, root_certificate: Path) -> None:
        """The same authority is read once in a process, a file that was replaced again."""
        assert tls_context(str(root_certificate)) is tls_context(str(root_certificate))
        assert tls_context() is tls_context()
        before = tls_context(str(root_certificate))
        os.utime(root_certificate, (1, 1))
        assert tls_context(str(root_certificate)) is not before

    def test_never_less_than_verified(self, root_certificate: Path) -> None:
        """Every context asks for TLS 1.2, a certificate and the right name."""
        for context in (tls_context(), tls_context(str(root_certificate))):
            assert context.minimum_version is ssl.TLSVersion.TLSv1_2
            assert context.check_hostname
            assert context.verify_mode is ssl.CERT_REQUIRED

    def test_the_environment_names_them(
        self, root_certificate: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """SSL_CERT_FILE and SSL_CERT_DIR replace the system's authorities; one given for a connection goes first."""
        monkeypatch.setenv("SSL_CERT_FILE", str(root_certificate))
        assert tls_context().cert_store_stats()["x509_ca"] == 1
        other = tmp_path / "other.pem"
        trustme.CA().cert_pem.write_to_path(str(other))
        assert tls_context(str(other)).get_ca_certs() != tls_context().get_ca_certs()
        monkeypatch.delenv("SSL_CERT_FILE")
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
        assert isinstance(tls_context(), ClientContext)

    @pytest.mark.parametrize("content", [None, "no certificate"])
    def test_a_file_that_is_none(self, tmp_path: Path, content: str | None) -> None:
        """A root certificate that is missing or none is named, with the reason."""
        path = tmp_path / "root.pem"
        if content is not None:
            path.write_text(content)
        with pytest.raises(ConfigurationError) as caught:
            tls_context(str(path))
        assert caught.value.facts["path"] == str(path)

    def test_deadlines_have_defaults(self) -> None:
        """The final reply has the longest deadline: who gives up on it early sends twice."""
        deadlines = Deadlines()
        assert deadlines.final == max(getattr(deadlines, name) for name in deadlines.__slots__)
