"""What the tests of SMTP share: both drivers behind one face, peers that follow a script, and dialogues as text."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import select
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

from datapallas.connection.model import Security
from datapallas.errors import DataPallasError, SmtpRefused
from datapallas.secret import Secret
from datapallas.smtp.async_stream import AsyncSession
from datapallas.smtp.body import BytesBody
from datapallas.smtp.client import Client, Exchange, Lost
from datapallas.smtp.inbox import Inbox, closed
from datapallas.smtp.opening import opening
from datapallas.smtp.sasl import BearerLogin, Login, PasswordLogin
from datapallas.smtp.stream import Session
from datapallas.smtp.target import Sent, Target
from datapallas.smtp.transaction import transaction

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from datapallas.smtp.client import Conversation
    from datapallas.smtp.features import Features
    from datapallas.smtp.parcels import Bounds, Parcel
    from datapallas.smtp.pipeline import Told
    from datapallas.smtp.reply import Reply

PATIENCE = 60.0
"""Seconds after which a scripted peer gives up; no test waits for it."""
MESSAGE = b"Subject: dots\r\n\r\n.a line with a dot\r\nand the end\r\n"


class Blocking:
    """`stream.Session` as it is."""

    name = "blocking"

    def open(self, target: Target, **options: Any) -> Session:
        return Session.open(target, **options)

    def close(self) -> None:
        pass


class Asyncio:
    """`async_stream.AsyncSession`, run until done call by call."""

    name = "asyncio"

    def __init__(self) -> None:
        self._runner = asyncio.Runner(debug=True)

    def open(self, target: Target, **options: Any) -> Driven:
        return Driven(self, self.run(AsyncSession.open(target, **options)))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            return self._runner.run(work)
        finally:
            self.turn()

    def turn(self) -> None:
        self._runner.run(asyncio.sleep(0))  # a transport that was aborted closes in the next turn of its loop

    def close(self) -> None:
        self._runner.close()


class Driven:
    """An AsyncSession with the methods of a Session."""

    def __init__(self, driver: Asyncio, session: AsyncSession) -> None:
        self._driver, self._session = driver, session

    def send(self, sender: str, recipients: list[str], body: Any) -> Sent:
        return self._driver.run(self._session.send(sender, recipients, body))  # type: ignore[no-any-return]

    def send_all(self, parcels: Iterator[Parcel], told: Told, *bounds: Bounds) -> None:
        self._driver.run(self._session.send_all(parcels, told, *bounds))

    def noop(self) -> Reply:
        return self._driver.run(self._session.noop())  # type: ignore[no-any-return]

    def reset(self) -> Reply:
        return self._driver.run(self._session.reset())  # type: ignore[no-any-return]

    def quit(self) -> None:
        self._driver.run(self._session.quit())

    def close(self) -> None:
        self._session.close()
        self._driver.turn()

    @property
    def alive(self) -> bool:
        self._driver.run(asyncio.sleep(0.001))  # a loop that runs has heard of it
        return self._session.alive

    @property
    def unsteady(self) -> bool:
        return self._session.unsteady

    @property
    def features(self) -> Features:
        return self._session.features

    @property
    def target(self) -> Target:
        return self._session.target

    @property
    def writes(self) -> int:
        return self._session.writes

    @property
    def round_trips(self) -> int:
        return self._session.round_trips

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is None:
            self.quit()
        else:
            self.close()


Driver = Blocking | Asyncio


class Gone(Exception):
    """The client closed the connection."""


class Peer:
    """The other end of one connection, for a script to play the server on."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.heard = b""
        self._rest = b""
        sock.settimeout(PATIENCE)

    def say(self, *lines: str) -> None:
        self.send("".join(f"{line}\r\n" for line in lines).encode())

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError:
            raise Gone from None

    def trickle(self, data: bytes) -> None:
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in data:
            self.send(bytes([octet]))

    def line(self) -> str:
        while b"\r\n" not in self._rest:
            self._more()
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line.decode()

    def lines(self, count: int) -> list[str]:
        return [self.line() for _ in range(count)]

    def exactly(self, count: int) -> bytes:
        while len(self._rest) < count:
            self._more()
        data, self._rest = self._rest[:count], self._rest[count:]
        return data

    def until(self, end: bytes) -> bytes:
        while end not in self._rest:
            self._more()
        data, _, self._rest = self._rest.partition(end)
        return data + end

    def _more(self) -> None:
        try:
            data = self.sock.recv(65536)
        except OSError:
            raise Gone from None
        if not data:
            raise Gone
        self.heard += data
        self._rest += data

    def more(self, seconds: float) -> bool:
        """Say whether the client has said something, or says it in this time."""
        return bool(self._rest or select.select([self.sock], [], [], seconds)[0])

    def wait_for_the_end(self) -> bytes:
        """Give what came that no script read, until the client closes."""
        with contextlib.suppress(Gone):
            while True:
                self._more()
        return self._rest

    def greet(self, *features: str, name: str = "mail.example") -> None:
        self.say(f"220 {name} ESMTP")
        self.introduce(*features)

    def introduce(self, *features: str) -> None:
        assert self.line().startswith("EHLO ")
        words = ("mail.example", *features)
        self.say(*(f"250{'-' if word is not words[-1] else ' '}{word}" for word in words))

    def tls(self, context: ssl.SSLContext) -> None:
        try:
            self.sock = context.wrap_socket(self.sock, server_side=True, suppress_ragged_eofs=True)
        except OSError:
            raise Gone from None

    def reset(self) -> None:
        """End the connection as a killed process does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


class Script:
    """A listener on loopback; each connection is played by the next of `scripts`, the last again and again."""

    def __init__(self, *scripts: Callable[[Peer], object], host: str = "127.0.0.1") -> None:
        self._scripts = scripts
        self.peers: list[Peer] = []
        self.problems: list[BaseException] = []
        self._listener = socket.create_server((host, 0), family=socket.AF_INET)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._players: list[threading.Thread] = []
        self._played = threading.Event()
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            script = self._scripts[min(len(self.peers), len(self._scripts) - 1)]
            peer = Peer(sock)
            self.peers.append(peer)
            player = threading.Thread(target=self._play, args=(script, peer), daemon=True)
            player.start()
            self._players.append(player)
            self._played.set()

    def _play(self, script: Callable[[Peer], object], peer: Peer) -> None:
        try:
            script(peer)
        except Gone:
            pass
        except BaseException as problem:  # noqa: BLE001 - shown by `finish`
            self.problems.append(problem)
        finally:
            peer.sock.close()

    def join(self) -> None:
        """Wait until the script of each connection made so far is played; there is at least one."""
        assert self._played.wait(PATIENCE)
        self._end()

    def _end(self) -> None:
        for player in self._players:
            player.join(PATIENCE)

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        self._thread.join(PATIENCE)
        self._end()
        if self.problems:
            raise self.problems[0]


@dataclasses.dataclass(frozen=True)
class Dialogue:
    """A dialogue from a text file: a head of `word: value`, an empty line, then `C:`, `S:`, `TLS` and `CLOSE`."""

    name: str
    head: dict[str, str]
    steps: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, path: Path) -> Dialogue:
        head, _, rest = path.read_text().partition("\n\n")
        words = dict(line.split(": ", 1) for line in head.splitlines() if not line.startswith("#"))
        steps = []
        for line in rest.splitlines():
            if line and not line.startswith("#"):
                kind, _, text = line.partition(":")
                steps.append((kind, text.removeprefix(" ")))
        return cls(path.stem, words, tuple(steps))

    @property
    def token(self) -> str:
        return ("t0ken" * 1000)[: int(self.head.get("token length", "24"))]

    @property
    def login(self) -> Login | None:
        match self.head.get("login", "none"):
            case "token":
                return BearerLogin("user@sender.example", Secret(self.token))
            case "password":
                return PasswordLogin("user@sender.example", Secret("pässword"))
        return None

    def target(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> Target:
        security = Security(self.head.get("security", "NONE"))
        return Target(host, port, security, tls, local_name="client.example")

    @property
    def recipients(self) -> list[str]:
        return self.head.get("to", "a@x.example").split()

    @property
    def message(self) -> BytesBody:
        return BytesBody(MESSAGE * int(self.head.get("message times", "1")))

    def blocks(self, target: Target) -> Iterator[tuple[str, bytes]]:
        """Give the steps with neighbours of one kind together, as octets."""
        kind, data = "", b""
        for step, text in (*self.steps, ("", "")):
            if step != kind or step == "TLS":
                if kind:
                    yield kind, data
                kind, data = step, b""
            data += self._octets(text, target)
        return

    def _octets(self, text: str, target: Target) -> bytes:
        body = b"".join(bytes(chunk) for chunk in self.message.chunks())
        if text == "{message}":
            return body
        if text == "{stuffed}":
            return body.replace(b"\r\n.", b"\r\n..")
        user, where = "user@sender.example", f"host={target.host}\1port={target.port}"
        values = {
            "size": str(len(body)),
            "xoauth2": _b64(f"user={user}\1auth=Bearer {self.token}\1\1"),
            "oauthbearer": _b64(f"n,a={user},\1{where}\1auth=Bearer {self.token}\1\1"),
            "plain": _b64(f"\0{user}\0pässword"),
            "user": _b64(user),
            "password": _b64("pässword"),
        }
        for word, value in values.items():
            text = text.replace(f"{{{word}}}", value)
        return f"{text}\r\n".encode()


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def tell(outcome: Sent | DataPallasError) -> str:
    """Put an outcome in one line, to compare."""
    if isinstance(outcome, Sent):
        final = outcome.final.code if outcome.final else "-"
        return f"sent {' '.join(str(reply.code) for reply in outcome.recipients)} / {final}"
    if isinstance(outcome, SmtpRefused):
        words = ("refused", outcome.step, str(outcome.reply_code), outcome.enhanced, outcome.challenge)
        return " ".join(filter(None, words))
    facts = outcome.facts
    return f"{type(outcome).__name__} {facts.get('reason') or facts.get('extension') or facts.get('phase') or ''}"


def whole_session(client: Client, dialogue: Dialogue) -> Conversation[Sent]:
    """Open, send one message, say good-bye."""
    yield from opening(client, "client.example", dialogue.login)
    sent = yield from transaction(client, "me@sender.example", dialogue.recipients, dialogue.message)
    if not client.closed:
        yield from client.quit()
    return sent


def in_memory(dialogue: Dialogue) -> tuple[str, list[str]]:
    """Play a dialogue without a socket, the server's octets one by one; give the outcome and what a watcher saw."""
    seen: list[str] = []
    target = dialogue.target("mail.example", 587)
    client = Client(target, lambda side, line: seen.append(f"{side}: {line}"))
    client.loopback = True
    inbox, sent = Inbox(), b""
    steps = dialogue.blocks(target)
    conversation = whole_session(client, dialogue)
    try:
        step = next(conversation)
        while True:
            replies: list[Reply] = []
            if isinstance(step, Exchange):
                sent += b"".join(step.out)
                inbox.due += step.asks
                while not inbox.ready(step.replies):
                    kind, data = next(steps)
                    if kind == "C":
                        assert sent == data
                        sent = b""
                    elif kind == "S":
                        for octet in data:
                            inbox.feed(bytes([octet]))
                    else:
                        assert kind == "CLOSE"
                        inbox.broken = closed()
                if inbox.broken is not None:
                    client.lost = Lost(inbox.broken, written=True)
                replies = inbox.take(step.replies)
            else:
                assert next(steps)[0] == "TLS"
                inbox.clear()
                client.secured = True
            step = conversation.send(replies)
    except StopIteration as stop:
        return tell(stop.value), seen
    except DataPallasError as error:
        return tell(error), seen


def play(dialogue: Dialogue, context: ssl.SSLContext) -> Callable[[Peer], None]:
    """Make the script that plays the server's side of a dialogue, octet by octet."""

    def script(peer: Peer) -> None:
        target = dialogue.target("localhost", peer.sock.getsockname()[1])
        for kind, data in dialogue.blocks(target):
            if kind == "C":
                assert peer.exactly(len(data)) == data
            elif kind == "S":
                peer.trickle(data)
            elif kind == "TLS":
                peer.tls(context)
            else:
                return
        peer.wait_for_the_end()

    return script
