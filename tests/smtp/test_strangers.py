"""A server that is not ours: aiosmtpd, with STARTTLS and sign-in, over real sockets."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from datapallas.connection.model import Security
from datapallas.errors import SmtpRefused
from datapallas.secret import Secret
from datapallas.smtp.body import BytesBody
from datapallas.smtp.sasl import BearerLogin, Login, PasswordLogin
from datapallas.smtp.target import Target
from smtp.harness import MESSAGE, Driver

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

TOKEN = "t0ken" * 120  # too long for the AUTH line, and aiosmtpd reads no line over 1,001 octets


class Handler:
    """Keeps what comes; knows one password and one token."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if address.startswith("no@"):
            return "550 5.1.1 nobody"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.got.append(envelope)
        return "250 2.0.0 kept"

    async def auth_XOAUTH2(self, server: Any, args: list[str]) -> AuthResult:  # noqa: N802
        payload = await server.challenge_auth("") if len(args) == 1 else None
        if payload == f"user=u@x.example\1auth=Bearer {TOKEN}\1\1".encode():
            return AuthResult(success=True, auth_data="u@x.example")
        await server.challenge_auth('{"status":"401"}')
        return AuthResult(success=False, handled=False)


def check(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    good = data.login == b"u@x.example" and data.password == b"secret"
    return AuthResult(success=good, handled=good)


@pytest.fixture
def stranger(server_tls: ssl.SSLContext) -> Iterator[tuple[Handler, int]]:
    handler = Handler()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    controller = Controller(
        handler,
        hostname="127.0.0.1",
        port=port,
        tls_context=server_tls,
        require_starttls=True,
        auth_required=True,
        authenticator=check,
        ready_timeout=60,
    )
    controller.start()
    yield handler, port
    controller.stop()


@pytest.mark.parametrize(
    "login",
    [PasswordLogin("u@x.example", Secret("secret")), BearerLogin("u@x.example", Secret(TOKEN))],
    ids=["password", "token"],
)
def test_sign_in_and_send(
    driver: Driver, stranger: tuple[Handler, int], trust: ssl.SSLContext, login: Login
) -> None:
    """A server without PIPELINING and CHUNKING gets the same message, dots and all, after STARTTLS and AUTH."""
    handler, port = stranger
    with driver.open(Target("localhost", port, Security.STARTTLS, trust), login=login) as session:
        assert not session.features.pipelining
        for _ in range(2):
            sent = session.send("me@sender.example", ["no@x.example", "a@x.example"], BytesBody(MESSAGE))
            assert [reply.code for reply in sent.recipients] == [550, 250]
            assert sent.final is not None and sent.final.text == "2.0.0 kept"
    assert [envelope.content for envelope in handler.got] == [MESSAGE] * 2
    assert handler.got[0].rcpt_tos == ["a@x.example"]


@pytest.mark.parametrize(
    ("login", "code"),
    [
        (PasswordLogin("u@x.example", Secret("wrong")), 535),
        (BearerLogin("u@x.example", Secret("wrong" * 100)), 535),
    ],
)
def test_a_wrong_secret(
    driver: Driver, stranger: tuple[Handler, int], trust: ssl.SSLContext, login: Login, code: int
) -> None:
    """A wrong password or token is refused once, and its reason is known."""
    with pytest.raises(SmtpRefused) as caught:
        driver.open(Target("localhost", stranger[1], Security.STARTTLS, trust), login=login)
    assert (caught.value.step, caught.value.reply_code) == ("AUTH", code)
    if isinstance(login, BearerLogin):
        assert caught.value.challenge == '{"status":"401"}'


def test_without_a_login(driver: Driver, stranger: tuple[Handler, int], trust: ssl.SSLContext) -> None:
    """A server that wants a sign-in says so at the sender."""
    with (
        driver.open(Target("localhost", stranger[1], Security.STARTTLS, trust)) as session,
        pytest.raises(SmtpRefused) as caught,
    ):
        session.send("me@sender.example", ["a@x.example"], BytesBody(MESSAGE))
    assert (caught.value.step, caught.value.reply_code) == ("MAIL", 530)


def test_utf8_addresses(driver: Driver, stranger: tuple[Handler, int], trust: ssl.SSLContext) -> None:
    """An address beyond ASCII is announced and arrives."""
    handler, port = stranger
    login = PasswordLogin("u@x.example", Secret("secret"))
    with driver.open(Target("localhost", port, Security.STARTTLS, trust), login=login) as session:
        session.send("mé@sender.example", ["ä@müller.example"], BytesBody("Grüße\r\n".encode()))
    (envelope,) = handler.got
    assert (envelope.mail_from, envelope.rcpt_tos) == ("mé@sender.example", ["ä@xn--mller-kva.example"])
    assert envelope.mail_options == ["SIZE=9", "BODY=8BITMIME", "SMTPUTF8"]
