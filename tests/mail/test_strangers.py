"""Sending to a server that is not ours (aiosmtpd), over verified TLS, with a password, as many programs do."""

from __future__ import annotations

import asyncio
import dataclasses
import email
import email.policy
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from datapallas.connection.model import Connection, Password, Security, Server
from datapallas.errors import SmtpRefused, TlsRefused
from datapallas.mail.attachment import Attachment
from datapallas.mail.mailbox import AsyncMailbox, Mailbox
from datapallas.mail.message import Message, test_message
from datapallas.mail.transport import PasswordSource
from datapallas.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiosmtpd.smtp import Envelope, Session


class Kept:
    """An aiosmtpd handler that keeps what it is handed."""

    def __init__(self) -> None:
        self.envelopes: list[Any] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return "250 OK"


class Starttls(Controller):
    """A submission server: STARTTLS first, then a password."""

    def __init__(self, handler: Kept, context: ssl.SSLContext) -> None:
        self.context = context
        super().__init__(handler, hostname="127.0.0.1", port=0)

    def factory(self) -> SMTP:
        return SMTP(
            self.handler,
            require_starttls=True,
            tls_context=self.context,
            auth_required=True,
            authenticator=self._check,
            enable_SMTPUTF8=True,
            data_size_limit=50_000_000,
        )

    def _check(
        self, server: object, session: object, envelope: object, mechanism: str, data: object
    ) -> AuthResult:
        good = isinstance(data, LoginPassword) and (data.login, data.password) == (
            b"robot",
            "pässword".encode(),
        )
        return AuthResult(success=good, handled=False)

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Kept, Connection]]:
    """A server with a certificate for `localhost`, and the connection to it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    root = tmp_path / "root.pem"
    authority.cert_pem.write_to_path(str(root))
    handler = Kept()
    controller = Starttls(handler, context)
    controller.start()
    yield (
        handler,
        Connection(
            code="eml-local",
            server=Server(
                host="localhost",
                port=str(controller.port),
                security=Security.STARTTLS,
                root_certificate=str(root),
            ),
            from_address="reports@contoso.example",
            credential=Password(user="robot"),
        ),
    )
    controller.stop()


def login(password: str = "pässword") -> PasswordSource:
    return PasswordSource("robot", lambda: Secret(password))


def test_a_stranger_takes_our_mail(place: tuple[Kept, Connection], tmp_path: Path) -> None:
    """A server that offers no PIPELINING and no CHUNKING reads our messages as they were meant, one after the other."""
    kept, connection = place
    file = tmp_path / "figures.bin"
    file.write_bytes(bytes(range(256)) * 12_000)
    messages = [
        test_message(connection, "a@x.example"),
        Message(to="b@x.example", subject="Größe", text=".\n..\n", html="<p>é</p>", attachments=[file]),
        Message(to="Jörg <jörg@bücher.example>", subject="S", text="t", inline={"i": b"x"}, html="h"),
        Message(bcc=["c@x.example", "d@x.example"], attachments=[Attachment("ü.csv", b"1,2\n")]),
    ]
    with Mailbox(connection, login()) as mailbox:
        for message in messages:
            assert not mailbox.send(message).refused
    assert [one.rcpt_tos for one in kept.envelopes] == [list(message.recipients) for message in messages]
    parsed = email.message_from_bytes(kept.envelopes[1].content, policy=email.policy.SMTP)
    assert parsed["Subject"] == "Größe"
    parts = [part for part in parsed.walk() if not part.is_multipart()]
    assert parts[0].get_payload(decode=True) == b".\r\n..\r\n"
    assert parts[2].get_payload(decode=True) == file.read_bytes()


def test_the_same_with_asyncio(place: tuple[Kept, Connection]) -> None:
    """The asyncio mailbox sends to a stranger's server, too."""
    kept, connection = place

    async def work() -> None:
        async with AsyncMailbox(connection, login()) as mailbox:
            receipts = await asyncio.gather(
                *[mailbox.send(Message(to=f"p{number}@x.example", text="t")) for number in range(10)]
            )
            assert all(receipt.accepted for receipt in receipts)

    asyncio.run(work())
    assert len(kept.envelopes) == 10


def test_a_wrong_password_and_a_wrong_certificate(place: tuple[Kept, Connection]) -> None:
    """A wrong password is a refusal; a certificate for another name ends it before any password is sent."""
    kept, connection = place
    with Mailbox(connection, login("wrong")) as mailbox, pytest.raises(SmtpRefused) as caught:
        mailbox.send(Message(to="a@x.example", text="t"))
    assert (caught.value.step, caught.value.exit_code) == ("AUTH", 77)
    elsewhere = dataclasses.replace(
        connection, server=dataclasses.replace(connection.server, host="127.0.0.1")
    )
    asked: list[int] = []

    def reveal() -> Secret:
        asked.append(1)
        return Secret("pässword")

    with Mailbox(elsewhere, PasswordSource("robot", reveal)) as mailbox, pytest.raises(TlsRefused):
        mailbox.send(Message(to="a@x.example", text="t"))
    assert kept.envelopes == []


MEASURE = """
import sys
from datapallas.connection.model import Connection, Security, Server
from datapallas.mail.mailbox import Mailbox
from datapallas.mail.message import Message
from datapallas.mail.transport import PasswordSource
from datapallas.secret import Secret

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

connection = Connection(
    code="eml-a", from_address="a@x.example", server=Server(host="127.0.0.1", port=sys.argv[2], security=Security.NONE)
)
with Mailbox(connection, PasswordSource("", lambda: Secret(""))) as mailbox:
    mailbox.send(Message(to="b@x.example", text="t"))
    before = peak()
    mailbox.send(Message(to="b@x.example", text="t", attachments=[sys.argv[1]]))
    print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize(
    ("megabytes", "limit", "chunking"), [(100, 60, True), (25, 40, True), (25, 40, False)]
)
def test_a_large_attachment_costs_little_memory(
    tmp_path: Path, stage: Any, megabytes: int, limit: int, chunking: bool
) -> None:
    """An attachment of 100 MB from a file is sent with less than 60 MB over the idle process, 25 MB with less than 40."""
    file = tmp_path / "large.bin"
    with file.open("wb") as out:
        out.truncate(megabytes * 1024 * 1024)
    if not chunking:
        stage.extensions.remove("CHUNKING")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(file), str(stage.port)],
        capture_output=True,
        text=True,
        check=True,
        timeout=180,
    )
    assert int(done.stdout) < limit * 1024
    assert len(stage.taken[-1].data) > megabytes * 1024 * 1024 * 4 // 3
