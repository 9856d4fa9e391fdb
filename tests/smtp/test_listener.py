"""The server over real sockets: strangers as clients, slow ones, many, rude ones, and policies that fail."""

from __future__ import annotations

import asyncio
import contextlib
import io
import smtplib
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from datapallas.smtp.reply import Reply
from datapallas.smtp.server import words
from datapallas.smtp.server.listener import Background, Capacity, Deadlines, Listener
from datapallas.smtp.server.policy import HangUp, Limits, Offer, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Self

    from datapallas.smtp.address import Address
    from datapallas.smtp.sasl import Login
    from datapallas.smtp.server.policy import Peer, Spool, Taken

MAIL = "From: u@x.example\r\nSubject: Hello\r\n\r\n.dot\r\n"
SEND = b"EHLO c\r\nMAIL FROM:<u@x.example>\r\nRCPT TO:<r@y.example>\r\n"


class House:
    """A listener in the background, and a policy that takes everything, or what a test puts in its place."""

    def __init__(self, **more: Any) -> None:
        self.offer = Offer(host="mx.example", starttls="tls" in more, login_needed=False)
        self.mails: list[tuple[Taken, bytes]] = []
        self.peers: list[Peer] = []
        self.ended = threading.Semaphore(0)
        self.taking = threading.Event()
        self.instead: dict[str, Any] = {}
        self.background = Background()
        self.listener: Listener
        self.port = 0
        self._more = more

    def __enter__(self) -> Self:
        self.background.__enter__()
        self.background.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.background.run(self.listener.close(grace=0.5))
        self.background.close()

    async def _start(self) -> None:
        self.listener = Listener(self.policy, **self._more)
        self.port = await self.listener.listen("127.0.0.1")

    def policy(self, peer: Peer) -> House.Desk:
        """The policy of one session."""
        self.peers.append(peer)
        return House.Desk(self)

    def connect(self) -> socket.socket:
        """A bare connection; its greeting is still to be read."""
        return socket.create_connection(("127.0.0.1", self.port), 10)

    class Desk:
        """Takes everything."""

        def __init__(self, house: House) -> None:
            self.house = house
            self.offer = house.offer

        async def _do(self, name: str, otherwise: Any) -> Any:
            instead = self.house.instead.get(name, otherwise)
            if isinstance(instead, BaseException):
                raise instead
            if isinstance(instead, asyncio.Event):
                await instead.wait()
                return otherwise
            return instead

        async def greeting(self) -> Reply:
            return await self._do("greeting", Reply.of(220, "mx.example ESMTP"))  # type: ignore[no-any-return]

        async def starttls(self) -> Reply:
            return await self._do("starttls", words.TLS_READY)  # type: ignore[no-any-return]

        async def login(self, mechanism: str, login: Login) -> Verdict:
            return await self._do("login", Verdict(words.SIGNED_IN))  # type: ignore[no-any-return]

        async def mail(self, sender: Address | None, params: Mapping[str, str]) -> Reply:
            return await self._do("mail", words.SENDER_OK)  # type: ignore[no-any-return]

        async def recipient(self, address: Address, params: Mapping[str, str]) -> Reply:
            return await self._do("recipient", words.RECIPIENT_OK)  # type: ignore[no-any-return]

        async def spool(self) -> Spool | Reply:
            return await self._do("spool", io.BytesIO())  # type: ignore[no-any-return]

        async def message(self, envelope: Taken, spool: Spool) -> Reply:
            assert isinstance(spool, io.BytesIO)
            self.house.mails.append((envelope, spool.getvalue()))
            self.house.taking.set()
            return await self._do("message", words.OK)  # type: ignore[no-any-return]

        def closed(self) -> None:
            self.house.ended.release()


def converse(link: socket.socket, octets: bytes) -> str:
    """Send, close our side, read to the end."""
    with contextlib.suppress(OSError):
        link.sendall(octets)
        link.shutdown(socket.SHUT_WR)
    return hear(link)


def hear(link: socket.socket) -> str:
    """Read to the end."""
    said = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := link.recv(65536):
            said += piece
    return said.decode()


def pour(link: socket.socket, octets: int = 1 << 40) -> None:
    """Send very much."""
    for _ in range(octets // 60_000):
        link.sendall(b"HELP\r\n" * 10_000)


def until(link: socket.socket, end: bytes) -> bytes:
    """Read until `end` stands at the end."""
    said = b""
    while not said.endswith(end):
        piece = link.recv(65536)
        assert piece, said
        said += piece
    return said


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority."""
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """A server's context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """A client's context."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def house() -> Iterator[House]:
    """A listener without TLS."""
    with House() as found:
        yield found


def test_smtplib_sends_many_mails_on_one_connection(house: House) -> None:
    """A stranger in lockstep."""
    with smtplib.SMTP("127.0.0.1", house.port) as client:
        for _ in range(20):
            client.sendmail("u@x.example", ["a@y.example", "b@y.example"], MAIL)
    assert [text for _, text in house.mails] == [MAIL.encode()] * 20
    assert house.peers[0].address == "127.0.0.1"
    assert house.ended.acquire(timeout=60)


def test_everything_at_once(house: House) -> None:
    """A client that pipelines two mails and QUIT in one write, and closes its side, gets every reply."""
    text = b"DATA\r\nhello\r\n.\r\n"
    with house.connect() as link:
        said = converse(link, SEND + text + SEND[8:] + b"BDAT 7 LAST\r\nhello\r\nQUIT\r\n")
    assert said.count("\r\n250 2.0.0 OK\r\n") == 2 and said.endswith("221 2.0.0 Bye\r\n")
    assert [mail for _, mail in house.mails] == [b"hello\r\n"] * 2


def test_a_large_mail_passes_through(house: House) -> None:
    """Twenty megabytes by DATA and by one chunk, octet for octet."""
    body = b"0123456789" * 7 + b"\r\n"
    body = body * (20_000_000 // len(body))
    with house.connect() as link:
        sender = threading.Thread(target=link.sendall, args=(SEND + b"DATA\r\n" + body + b".\r\n",))
        sender.start()
        until(link, b"250 2.0.0 OK\r\n")
        sender.join()
        link.sendall(SEND[8:] + b"BDAT %d LAST\r\n" % len(body) + body)
        until(link, b"250 2.0.0 OK\r\n")
    assert all(mail == body for _, mail in house.mails) and len(house.mails) == 2


def test_starttls_and_implicit_tls(tls: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """smtplib by both ways; mails of several TLS records arrive whole."""
    with House(tls=tls) as house:
        port = house.background.run(house.listener.listen("127.0.0.1", implicit_tls=True))
        big = MAIL + "x" * 70 + "\r\n" + "line\r\n" * 100_000
        with smtplib.SMTP("localhost", house.port) as client:
            client.starttls(context=trusting)
            client.sendmail("u@x.example", ["a@y.example"], big)
        with smtplib.SMTP_SSL("localhost", port, context=trusting) as client:
            client.sendmail("u@x.example", ["a@y.example"], big)
        assert [mail for _, mail in house.mails] == [big.encode()] * 2
        assert [peer.tls for peer in house.peers] == [False, True]


def test_octets_sent_with_starttls_are_dropped(tls: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """Commands injected in clear before the handshake are not obeyed inside TLS (CVE-2021-38371 and kin)."""
    with House(tls=tls) as house, house.connect() as link:
        link.sendall(b"EHLO c\r\nSTARTTLS\r\nRSET\r\nNOOP\r\n")
        until(link, b"220 2.0.0 Ready to start TLS\r\n")
        with trusting.wrap_socket(link, server_hostname="localhost") as secure:
            secure.sendall(b"VRFY x\r\n")
            assert secure.recv(1000) == words.VRFY.encode()


def test_a_handshake_that_fails_ends_the_connection(tls: ssl.SSLContext) -> None:
    """A client that does not trust us, or sends nonsense, is gone; the next is served."""
    with House(tls=tls) as house:
        with smtplib.SMTP("localhost", house.port) as client, pytest.raises(ssl.SSLError):
            client.starttls(context=ssl.create_default_context())
        with house.connect() as link:
            link.sendall(b"EHLO c\r\nSTARTTLS\r\n")
            until(link, b"Ready to start TLS\r\n")
            assert "250" not in converse(link, b"NOOP\r\n" * 100)
        for _ in range(2):
            assert house.ended.acquire(timeout=60)
        with smtplib.SMTP("localhost", house.port) as client:
            assert client.noop()[0] == 250


def test_too_many_connections_are_told_so() -> None:
    """From one address and in all; when one leaves, another may come."""
    with House(capacity=Capacity(connections=3, per_address=2)) as house:
        first, second, third = (house.connect() for _ in range(3))
        assert until(first, b"\r\n").startswith(b"220 ")
        assert until(second, b"\r\n").startswith(b"220 ")
        assert hear(third) == "421 4.3.2 Too many connections\r\n"
        assert len(house.peers) == 2
        assert converse(first, b"QUIT\r\n") == "221 2.0.0 Bye\r\n"
        assert house.ended.acquire(timeout=60)
        with house.connect() as fourth:
            assert until(fourth, b"\r\n").startswith(b"220 ")
        for link in (first, second, third):
            link.close()


def test_hundreds_of_idle_connections_do_not_hold_up_the_others() -> None:
    """300 that say nothing, and a mail goes through."""
    with House(capacity=Capacity(connections=400, per_address=400)) as house:
        idle = [house.connect() for _ in range(300)]
        with smtplib.SMTP("127.0.0.1", house.port) as client:
            client.sendmail("u@x.example", ["a@y.example"], MAIL)
        assert len(house.mails) == 1
        for link in idle:
            link.close()


SHORT = Deadlines(command=0.1, stranger=0.1, handshake=0.2, text=0.1, rate=1e6, write=0.2)


@pytest.mark.parametrize(
    "said", [b"", b"EHLO", b"EHLO c\r\n", SEND + b"DATA\r\nhalf", SEND + b"BDAT 1000\r\nhalf"]
)
def test_who_says_nothing_more_is_let_go(said: bytes) -> None:
    """At any point: 421 and the end; nothing half is kept."""
    with House(deadlines=SHORT) as house, house.connect() as link:
        link.sendall(said)
        assert hear(link).endswith("421 4.4.2 Waited too long\r\n")
        assert house.ended.acquire(timeout=60)
        assert house.mails == []


@pytest.mark.parametrize("text", [b"NOOP " + b"x" * 900, SEND + b"DATA\r\n" + b"x\r\n" * 300])
def test_who_drips_is_let_go(text: bytes) -> None:
    """An octet now and then does not buy more time (slowloris)."""
    with House(deadlines=SHORT) as house, house.connect() as link:
        stop = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):
                for octet in text:
                    link.sendall(bytes([octet]))
                    if stop.wait(0.005):
                        return

        dripping = threading.Thread(target=drip)
        dripping.start()
        said = hear(link)
        stop.set()
        dripping.join()
        assert said.endswith("421 4.4.2 Waited too long\r\n")


def test_who_does_not_read_is_let_go() -> None:
    """A client that pipelines for ever and takes no reply is closed, and costs no memory."""
    limits = Limits(idle_commands=10_000_000, errors=10_000_000)
    with House(deadlines=SHORT, limits=limits) as house, house.connect() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.settimeout(60)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            pour(link)
        assert house.ended.acquire(timeout=60)


def test_what_comes_while_a_policy_thinks_is_not_held_without_end(house: House) -> None:
    """Reading is paused until the answer is there; then the flood ends the session."""
    waiting = house.background.run(_event())
    house.instead["mail"] = waiting
    with house.connect() as link:
        link.sendall(b"EHLO c\r\nMAIL FROM:<u@x.example>\r\n")
        link.settimeout(0.3)
        with pytest.raises(TimeoutError):
            pour(link, 64_000_000)
        assert not house.ended.acquire(blocking=False)
        house.background._loop.call_soon_threadsafe(waiting.set)
        assert house.ended.acquire(timeout=60)


@pytest.mark.parametrize("name", ["mail", "recipient", "message"])
def test_a_policy_that_fails_costs_one_reply(
    house: House, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The client is told to try later and learns nothing of what went wrong; the log does."""
    house.instead[name] = ZeroDivisionError("secret detail")
    with house.connect() as link:
        said = converse(link, SEND + b"DATA\r\nx\r\n.\r\nRSET\r\nQUIT\r\n")
    assert "451 4.3.0 Something went wrong here, try again later" in said
    assert "detail" not in said and said.endswith("221 2.0.0 Bye\r\n")
    assert "secret detail" in caplog.text


@pytest.mark.parametrize("name", ["greeting", "mail", "recipient", "spool", "message"])
def test_a_policy_can_hang_up(house: House, name: str) -> None:
    """No word more, at any step."""
    house.instead[name] = HangUp()
    with house.connect() as link:
        said = converse(link, SEND + b"DATA\r\nx\r\n.\r\nQUIT\r\n")
    assert "221" not in said
    assert house.ended.acquire(timeout=60)


def test_a_full_disk_is_told(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """No place before the text, and no place in the middle of it: 452, and the session goes on."""
    house.instead["spool"] = Reply.of(452, "Full", enhanced="4.3.1")
    with house.connect() as link:
        said = converse(link, SEND + b"DATA\r\nRSET\r\nQUIT\r\n")
    assert "452 4.3.1 Full\r\n250 2.0.0 OK\r\n221" in said

    class Full(io.BytesIO):
        def write(self, data: Any, /) -> int:
            raise OSError(28, "No space left on device")

    house.instead["spool"] = Full()
    with house.connect() as link:
        said = converse(link, SEND + b"DATA\r\nx\r\n.\r\nNOOP\r\nQUIT\r\n")
    assert "452 4.3.1 No space for this message now\r\n250 2.0.0 OK\r\n221" in said
    assert house.mails == []


def test_closing_lets_a_mail_that_is_being_taken_finish() -> None:
    """Idle sessions hear 421; the one whose mail is being made safe hears 250 first."""
    with House() as house:
        waiting = house.background.run(_event())
        house.instead["message"] = waiting
        with house.connect() as idle, house.connect() as busy:
            until(idle, b"\r\n")
            busy.sendall(SEND + b"DATA\r\nx\r\n.\r\n")
            until(busy, b"354 Go ahead, end with CRLF . CRLF\r\n")
            assert house.taking.wait(60)
            closing = asyncio.run_coroutine_threadsafe(house.listener.close(), house.background._loop)
            assert hear(idle).endswith("421 4.3.2 Shutting down\r\n")
            house.background._loop.call_soon_threadsafe(waiting.set)
            assert hear(busy) == "250 2.0.0 OK\r\n421 4.3.2 Shutting down\r\n"
            closing.result(10)
        with pytest.raises(ConnectionRefusedError):
            house.connect()


async def _event() -> asyncio.Event:
    return asyncio.Event()


def test_a_taken_port_is_an_error(house: House) -> None:
    """Two listeners cannot share a port, and implicit TLS needs a certificate."""
    with pytest.raises(OSError, match="in use"):
        house.background.run(house.listener.listen("127.0.0.1", house.port))
    with pytest.raises(ValueError, match="context"):
        house.background.run(house.listener.listen("127.0.0.1", implicit_tls=True))


def test_the_background_gives_back_results_and_errors() -> None:
    """What a coroutine returns or raises reaches the caller; closing twice is no harm."""
    with Background() as background:
        assert background.run(asyncio.sleep(0, 42)) == 42
        with pytest.raises(ZeroDivisionError):
            background.run(_fail())
        background.close()


async def _fail() -> None:
    raise ZeroDivisionError
