"""What the doctor's worlds are built of: a home, a sandbox, and small servers that behave badly."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import http.client
import json
import os
import socket
import socketserver
import ssl
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import trustme

from datapallas.connection.model import OAuth2Client, Provider
from datapallas.home import Home
from datapallas.home.doctoring import case_of
from datapallas.oauth.endpoint import Endpoint, Limits
from datapallas.sandbox import Sandbox
from datapallas.sandbox.ledger import Access
from datapallas.smtp.target import Deadlines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Self

    from datapallas.connection.model import Connection
    from datapallas.diagnosis.doctor_case import Case
    from datapallas.sandbox.ledger import Grant

CODE = "eml-sandbox"
PATIENT, HURRIED = 60.0, 3.0  # seconds; in a hurry is only who tries a port that swallows what is sent to it
VARIABLES = (
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "HTTP_PROXY",
    "http_proxy",
)


class Workshop:
    """One world: a home in `root`, a running sandbox, an environment, and what must be ended afterwards."""

    def __init__(self, root: Path) -> None:
        self.root = root / "home"
        self.root.mkdir()
        self.scratch = root
        self._stack = contextlib.ExitStack()
        self._environ = dict(os.environ)
        self._sandbox: Sandbox | None = None
        self._connect = PATIENT

    def __enter__(self) -> Self:
        for name in (*VARIABLES, "SSL_CERT_FILE", "SSL_CERT_DIR"):
            os.environ.pop(name, None)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        os.environ.clear()
        os.environ.update(self._environ)

    def start(self, names: Sequence[str] = ("localhost", "127.0.0.1", "::1")) -> Sandbox:
        """The sandbox; `names` are those of the mail server's certificate."""
        if self._sandbox is None:
            self._sandbox = self._stack.enter_context(Sandbox(names=names))
        return self._sandbox

    @property
    def sandbox(self) -> Sandbox:
        """The running sandbox."""
        return self.start()

    @property
    def home(self) -> Home:
        """The home, found again."""
        return Home(self.root, {})

    @property
    def file(self) -> Path:
        """The connection's file."""
        return self.root / "config" / "connections" / f"{CODE}.xml"

    def run(self, server: socketserver.BaseServer) -> int:
        """Serve in the background until the world ends; the port."""
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        self._stack.callback(thread.join)
        self._stack.callback(server.server_close)
        self._stack.callback(server.shutdown)
        port: int = server.server_address[1]  # type: ignore[index,assignment]
        return port

    def made(
        self,
        provider: Provider = Provider.GENERIC,
        change: Callable[[Connection], Connection] | None = None,
        *,
        signed_in: bool = True,
    ) -> Case:
        """Store a connection to the sandbox, changed before it is sealed, and give its case."""
        found = self.sandbox.connection(
            provider=provider, signed_in=signed_in and provider is not Provider.NONE
        )
        found = dataclasses.replace(found, default=True)
        self.home.folder.create(change(found) if change else found)
        return self.case()

    def case(self) -> Case:
        """The case of the connection; what a slow machine does late is no fault of the world."""
        endpoint = Endpoint(limits=Limits(connect=self._connect, total=PATIENT))
        deadlines = Deadlines(
            connect=self._connect, **dict.fromkeys(("tls", "greeting", "auth", "command"), PATIENT)
        )
        return dataclasses.replace(case_of(self.home, CODE), endpoint=endpoint, deadlines=deadlines)

    def closed_port(self) -> int:
        """A port where nobody listens, and nobody else can."""
        kept = self._stack.enter_context(socket.socket())
        kept.bind(("127.0.0.1", 0))
        port: int = kept.getsockname()[1]
        return port

    def dropping_port(self) -> int:
        """A port that swallows what is sent to it, as a firewall that drops does: its queue is full (Linux)."""
        self._connect = HURRIED
        listener = self._stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = self._stack.enter_context(socket.socket())
            waiting.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        port: int = listener.getsockname()[1]
        return port

    def authority(self, name: str) -> trustme.CA:
        """A certificate authority called `name`."""
        return trustme.CA(organization_name=name)

    def trust(self, *authorities: trustme.CA) -> None:
        """Trust these authorities on this machine, and no other."""
        file = self.scratch / "trusted.pem"
        file.write_bytes(b"".join(one.cert_pem.bytes() for one in authorities))
        os.environ["SSL_CERT_FILE"] = str(file)

    def front(
        self, *, authority: trustme.CA | None = None, ahead: float = 0.0, instead: tuple[str, str] = ("", "")
    ) -> str:
        """The sandbox's provider behind another server: https with a certificate of `authority`, its own Date.

        `instead` is a text in its answers, and what stands there instead.
        """

        handler = type(
            "Handler",
            (_Front,),
            {"behind": self.sandbox.issuer, "now": lambda _: time.time() + ahead, "instead": instead},
        )
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        if authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("127.0.0.1", "login.contoso.example").configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https" if authority else "http"
        return f"{scheme}://127.0.0.1:{self.run(server)}"

    def proxy(self, *, to: int = 0) -> None:
        """A proxy on the way: it leads everything to the port `to` of this machine, or wants a sign-in."""
        handler = type("Handler", (_Proxy,), {"to": to})
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        os.environ["HTTPS_PROXY"] = f"http://127.0.0.1:{self.run(server)}"

    def tokens_say(self, **claims: object) -> None:
        """Access tokens are JWT with these claims, as Microsoft's are for work accounts."""
        ledger = self.sandbox.provider.ledger

        def give(grant: Grant, scope: tuple[str, ...], now: float) -> str:
            shown = {"upn": grant.user, "exp": int(now + 3600), **claims}
            parts: list[dict[str, Any]] = [{"alg": "none", "jti": len(ledger.accesses)}, shown]
            encoded = [
                base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts
            ]
            value = ".".join([*encoded, "c2lnbmF0dXJl"])
            ledger.accesses[value] = Access(grant, scope, now + 3600)
            return value

        ledger.give_access = give  # type: ignore[method-assign]


def pointed_at(base: str) -> Callable[[Connection], Connection]:
    """The same connection with its provider's addresses at another server."""

    def change(connection: Connection) -> Connection:
        client = connection.credential
        assert isinstance(client, OAuth2Client)
        paths = [url.split("/", 3)[3] for url in (client.authorize_url, client.token_url)]
        moved = dataclasses.replace(
            client, authorize_url=f"{base}/{paths[0]}", token_url=f"{base}/{paths[1]}"
        )
        return dataclasses.replace(connection, credential=moved)

    return change


def client_with(**changes: Any) -> Callable[[Connection], Connection]:
    """The same connection with other fields of its client."""

    def change(connection: Connection) -> Connection:
        assert isinstance(connection.credential, OAuth2Client)
        return dataclasses.replace(
            connection, credential=dataclasses.replace(connection.credential, **changes)
        )

    return change


def server_with(**changes: Any) -> Callable[[Connection], Connection]:
    """The same connection with another mail server."""
    return lambda connection: dataclasses.replace(
        connection, server=dataclasses.replace(connection.server, **changes)
    )


class _Front(BaseHTTPRequestHandler):
    """Passes requests on to the sandbox, with a Date of its own."""

    behind = ""
    instead = ("", "")
    now: ClassVar[Callable[..., float]]

    def do_GET(self) -> None:
        length = int(self.headers.get("content-length", "0"))
        there = http.client.HTTPConnection(self.behind.removeprefix("http://"))
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        there.request(self.command, self.path, self.rfile.read(length), headers)
        answer = there.getresponse()
        body = answer.read().replace(self.instead[0].encode(), self.instead[1].encode())
        self.send_response_only(answer.status)
        self.send_header("Date", formatdate(self.now(), usegmt=True))
        self.send_header("Content-Type", answer.headers.get("content-type", "text/plain"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        there.close()

    do_POST = do_GET  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - and its signature
        """Say nothing."""


class _Proxy(socketserver.StreamRequestHandler):
    """An HTTP proxy that knows CONNECT."""

    to = 0

    def handle(self) -> None:
        while self.rfile.readline().strip():
            pass
        if not self.to:
            self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with socket.create_connection(("127.0.0.1", self.to)) as there:
            back = threading.Thread(target=_copy, args=(there, self.connection), daemon=True)
            back.start()
            _copy(self.connection, there)
            back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(8192):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
