"""A served page for a test: the real server on a free port, in a thread, over a home of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx2

from datapallas.home import Home
from datapallas.secret import Secret
from datapallas.web.address import Wanted
from datapallas.web.serve import make_server, make_services
from datapallas.web.services import Mode, Settings
from datapallas.web.sessions import LOCAL
from datapallas.web.who import Role

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from datapallas.web.services import Services

PASSWORD = "a password of some length"
PUBLIC = "https://mail.example"


class Hands:
    """A clock that goes on by itself, and that a test can push forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def wall(self) -> float:
        return time.time() + self.ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


@dataclasses.dataclass
class Page:
    """A page that is served, and how to come to it."""

    services: Services
    port: int
    clock: Hands

    @property
    def settings(self) -> Settings:
        return self.services.settings

    @property
    def origin(self) -> str:
        return self.settings.origin

    @property
    def host(self) -> str:
        return self.origin.partition("://")[2]

    def entered(self, role: Role | None = None) -> Browser:
        """A browser with a new session: local, or of the user with this role."""
        secret = self.services.access.sessions.begin(role.value if role else LOCAL)
        return Browser(self, secret.reveal())

    def stranger(self) -> Browser:
        """A browser without a session."""
        return Browser(self, "")

    def token(self, role: Role) -> str:
        """A new API token."""
        _, secret = self.services.access.tokens.create(f"{role}-{time.monotonic_ns()}", role)
        return secret.reveal()

    def ask(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> httpx2.Response:
        """One request with these headers, and Host when they have none; the answer's head, and its body if short."""
        headers = {"Host": self.host, **headers}
        with httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False) as client:
            request = client.build_request(method, path, headers=headers, content=body or None)
            answer = client.send(request, stream=True)
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                answer.read()
            answer.close()
        return answer

    def raw(self, request: bytes) -> bytes:
        """Send bytes as they are, and read until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(request)
            answer = b""
            while part := connection.recv(65536):
                answer += part
        return answer

    def audit(self) -> list[dict[str, Any]]:
        """The lines of the audit."""
        import json

        if not self.services.audit.path.exists():
            return []
        return [json.loads(line) for line in self.services.audit.path.read_text().splitlines()]


@dataclasses.dataclass
class Browser:
    """A browser at the page: it sends the cookie and what browsers say about where a request comes from."""

    page: Page
    secret: str

    @property
    def csrf(self) -> str:
        found = self.page.services.access.sessions.find(self.secret)
        return found.csrf if found else ""

    def headers(self, *, change: bool) -> dict[str, str]:
        """What a browser sends along with a request of a page of ours."""
        headers = {"Sec-Fetch-Site": "same-origin"}
        if self.secret:
            headers["Cookie"] = f"{self.page.settings.cookie}={self.secret}"
        if change:
            headers["Origin"] = self.page.origin
            if self.csrf:
                headers["X-CSRF-Token"] = self.csrf
        return headers

    def ask(self, method: str, path: str, body: bytes = b"", **other: str | None) -> httpx2.Response:
        """A request of a page of ours; `other` headers replace what a browser sends, None leaves one out."""
        headers: dict[str, str | None] = {**self.headers(change=method not in {"GET", "HEAD"})}
        for name, value in other.items():
            headers[name.replace("_", "-")] = value
        return self.page.ask(method, path, {k: v for k, v in headers.items() if v is not None}, body)


@contextlib.contextmanager
def served(root: Path, mode: Mode = Mode.LOCAL, **settings: Any) -> Iterator[Page]:
    """The page over the home `root`, as long as the block; when served, with a user for each role."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    if mode is Mode.LOCAL:
        hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})
        made = Settings(origin=f"http://127.0.0.1:{port}", hosts=hosts, **settings)
    else:
        made = Settings(mode=mode, origin=PUBLIC, hosts=frozenset({"mail.example"}), **settings)
    clock = Hands()
    services = make_services(Home(root, {}), made, clock)
    if mode is Mode.SERVED:
        for role in Role:
            services.access.users.add(role.value, role, Secret(PASSWORD))
    server = make_server(services, Wanted())
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield Page(services, port, clock)
    finally:
        server.should_exit = True
        thread.join(60)
        listening.close()
    assert not thread.is_alive()


def filled(path: str) -> str:
    """A path with something in the place of each parameter."""
    return re.sub(r"\{\w+(:\w+)?\}", "eml-placeholder", path)
