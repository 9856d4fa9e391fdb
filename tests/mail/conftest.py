"""A small mail server that does what a test tells it: takes mail, refuses recipients and tokens, or dies."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from datapallas.connection.model import Connection, OAuth2Client, Provider, Security, Server

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator


class Gone(Exception):
    """The server is to close this connection without a word."""


@dataclasses.dataclass
class Taken:
    """One message the server took, or was sent."""

    sender: str
    recipients: list[str]
    data: bytes


class Stage:
    """The server, and everything a test may set or look at."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.extensions = [
            "PIPELINING",
            "8BITMIME",
            "SMTPUTF8",
            "SIZE 200000000",
            "CHUNKING",
            "AUTH XOAUTH2 PLAIN",
        ]
        self.tokens: set[str] | None = None  # the ones that are valid; None: all
        self.recipients: dict[str, bytes] = {}  # replies other than 250
        self.replies: dict[str, list[bytes]] = {}  # for MAIL, message, connect: used up, then 250
        self.most_recipients = 1000
        self.die_after_body = 0  # so many times, after the last octet of a message
        self.die_at: dict[str, int] = {}  # so many times, instead of answering this verb
        self.gate: threading.Event | None = None  # the answer to a message waits for it
        self.waiting = threading.Event()  # somebody waits at the gate
        self.taken: list[Taken] = []
        self.said: list[str] = []  # verbs of all connections
        self.auths: list[str] = []
        self.connections = 0
        self.open_now = 0
        self.most_open = 0
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listening = socket.create_server((host, 0), backlog=50)
        self.port: int = self._listening.getsockname()[1]
        self._start(self._accept)

    def connection(self) -> Connection:
        """A connection that sends through this server."""
        return Connection(
            code="eml-stage",
            server=Server(host="127.0.0.1", port=str(self.port), security=Security.NONE),
            from_address="reports@contoso.example",
            from_name="Reports",
            credential=OAuth2Client(provider=Provider.GENERIC, user_email="robot@contoso.example"),
        )

    def hang_up(self) -> None:
        """Close every open connection, as servers do with idle ones."""
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        if self.gate is not None:
            self.gate.set()
        self.hang_up()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _start(self, work: object, *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = self._listening.accept()
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._sockets.append(accepted)
                    self.connections += 1
                    self.open_now += 1
                    self.most_open = max(self.most_open, self.open_now)
                self._start(self._serve, accepted)

    def _serve(self, accepted: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError, Gone), accepted, accepted.makefile("rwb") as file:
            _Dialogue(self, file).run()
        with self._lock:
            self.open_now -= 1

    def scripted(self, step: str, default: bytes) -> bytes:
        """The next reply a test laid out for `step`."""
        with self._lock:
            waiting = self.replies.get(step)
            return waiting.pop(0) if waiting else default

    def dies(self, verb: str) -> bool:
        """True as often as a test asked for it."""
        with self._lock:
            left = self.die_at.get(verb, 0)
            self.die_at[verb] = left - 1
            return left > 0


class _Dialogue:
    def __init__(self, stage: Stage, file: io.BufferedRWPair) -> None:
        self.stage, self.file = stage, file
        self.sender, self.recipients, self.chunks = "", list[str](), list[bytes]()
        self.begun = False

    def run(self) -> None:
        self._say(self.stage.scripted("connect", b"220 stage.example ready"))
        while line := self.file.readline():
            verb, _, rest = line.decode().rstrip("\r\n").partition(" ")
            self.stage.said.append(verb)
            if self.stage.dies(verb):
                raise Gone
            getattr(self, f"_{verb.lower()}")(rest)

    def _say(self, reply: bytes) -> None:
        self.file.write(reply + b"\r\n")
        self.file.flush()
        if reply.startswith(b"421"):
            raise Gone

    def _ehlo(self, _: str) -> None:
        lines = ["stage.example", *self.stage.extensions]
        last = len(lines) - 1
        self._say(
            "\r\n".join(f"250{' ' if at == last else '-'}{line}" for at, line in enumerate(lines)).encode()
        )

    def _auth(self, rest: str) -> None:
        _, _, initial = rest.partition(" ")
        if not initial:
            self._say(b"334 ")
            initial = self.file.readline().decode()
        secret = base64.b64decode(initial).decode()
        self.stage.auths.append(secret)
        token = secret.partition("Bearer ")[2].rstrip("\1")
        good = self.stage.tokens is None or token in self.stage.tokens
        self._say(b"235 2.7.0 Accepted" if good else b"535 5.7.3 Authentication unsuccessful")

    def _mail(self, rest: str) -> None:
        self.sender, self.recipients, self.chunks = rest[rest.index("<") + 1 : rest.index(">")], [], []
        reply = self.stage.scripted("MAIL", b"250 2.1.0 Sender ok")
        self.begun = reply.startswith(b"250")
        self._say(reply)

    def _rcpt(self, rest: str) -> None:
        address = rest[rest.index("<") + 1 : rest.index(">")]
        reply = self.stage.recipients.get(address, b"250 2.1.5 Recipient ok")
        if len(self.recipients) >= self.stage.most_recipients:
            reply = b"452 4.5.3 Too many recipients"
        if not self.begun:
            reply = b"503 5.5.1 Need MAIL first"
        if reply.startswith(b"250"):
            self.recipients.append(address)
        self._say(reply)

    def _data(self, _: str) -> None:
        if not self.recipients:
            self._say(b"503 5.5.1 No valid recipients")
            return
        self._say(b"354 Go on")
        lines = []
        while (line := self.file.readline()) != b".\r\n":
            if not line:
                raise Gone
            lines.append(line.removeprefix(b"."))
        self.chunks = lines
        self._take()

    def _bdat(self, rest: str) -> None:
        size, _, last = rest.partition(" ")
        chunk = self.file.read(int(size))
        if len(chunk) < int(size):
            raise Gone
        if not self.recipients:
            self._say(b"503 5.5.1 No valid recipients")
            return
        self.chunks.append(chunk)
        if last:
            self._take()
        else:
            self._say(b"250 2.0.0 Chunk ok")

    def _take(self) -> None:
        reply = self.stage.scripted("message", b"250 2.6.0 Queued")
        if reply.startswith(b"250"):
            self.stage.taken.append(Taken(self.sender, self.recipients, b"".join(self.chunks)))
        gate = self.stage.gate
        if gate is not None:
            self.stage.waiting.set()
            gate.wait(600)
        if self.stage.die_after_body:
            self.stage.die_after_body -= 1
            raise Gone
        self._say(reply)

    def _rset(self, _: str) -> None:
        self.sender, self.recipients, self.chunks, self.begun = "", [], [], False
        self._say(b"250 2.0.0 Ok")

    def _noop(self, _: str) -> None:
        self._say(b"250 2.0.0 Ok")

    def _quit(self, _: str) -> None:
        self._say(b"221 2.0.0 Bye")
        raise Gone


@pytest.fixture
def stage() -> Iterator[Stage]:
    """The server, started for one test."""
    server = Stage()
    yield server
    server.stop()
