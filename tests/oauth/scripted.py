"""A strict identity provider over real HTTP, whose next answers can be scripted, and a person with a browser.

It rotates refresh tokens and ends the whole sign-in when an old one comes again (RFC 9700 section 4.14.2).
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import http.client
import http.server
import json
import secrets
import threading
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from datapallas.connection.model import OAuth2Client, Provider

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

CANARY = "cnry"  # every secret made here starts so; a test looks for it where no secret may be


@dataclasses.dataclass
class Raw:
    """An answer as it is: status, headers, body (in pieces, with a wait between them)."""

    status: int = 200
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""
    pieces: Callable[[], Iterator[bytes]] | None = None
    hang_up: bool = False
    after: Callable[[], None] | None = None


@dataclasses.dataclass
class Seen:
    """One request."""

    path: str
    headers: dict[str, str]
    form: dict[str, str]


def token_name(kind: str) -> str:
    return f"{CANARY}-{kind}-{secrets.token_urlsafe(24)}"


class Idp:
    """The provider's state; `script` holds answers for the next token requests, None means "do what is right"."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.requests: list[Seen] = []
        self.script: list[Raw | Callable[[Seen], Raw | None] | None] = []
        self.codes: dict[str, dict[str, str]] = {}
        self.families: dict[str, list[str]] = {}  # family to its refresh tokens, the last one is current
        self.ended: set[str] = set()
        self.reuses = 0
        self.expires_in: object = 3600
        self.extra: dict[str, Any] = {}
        self.account = "reports@contoso.example"
        self.subject = "subject-1"
        self.claims: dict[str, Any] = {}
        self.rotate = True
        self.date: float | None = None
        self.iss = ""
        self.basic_only = False
        self.post_only = False
        self.metadata: dict[str, Any] = {}
        self.userinfo: dict[str, Any] | None = None
        self.url = ""

    # What a person does at the authorize page: the query the browser brings back.

    def approve(self, authorize_url: str, **change: str) -> str:
        asked = dict(parse_qsl(urlsplit(authorize_url).query))
        code = token_name("code") + "+/="
        self.codes[code] = asked
        answer = {"code": code, "state": asked["state"]} | ({"iss": self.iss} if self.iss else {}) | change
        return urlencode(answer)

    def new_family(self) -> str:
        family = secrets.token_hex(4)
        token = token_name("refresh")
        self.families[family] = [token]
        return token

    def answer(self, seen: Seen) -> Raw:
        with self.lock:
            self.requests.append(seen)
            step = self.script.pop(0) if self.script else None
        if callable(step):
            step = step(seen)
        if step is not None:
            return step
        with self.lock:
            if urlsplit(seen.path).path == "/token":
                return self.token(seen)
            if seen.path == "/userinfo" and self.userinfo is not None:
                return Raw(body=json.dumps(self.userinfo).encode())
            if seen.path == "/.well-known/openid-configuration":
                return Raw(body=json.dumps(self.metadata).encode())
        return Raw(404)

    def token(self, seen: Seen) -> Raw:
        form = seen.form
        if self.basic_only and "authorization" not in seen.headers:
            return self.refuse("invalid_client", 401)
        if self.post_only and "client_secret" not in form:
            return self.refuse("invalid_client", 401)
        if form.get("grant_type") == "authorization_code":
            asked = self.codes.pop(form.get("code", ""), None)
            digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
            if (
                asked is None
                or challenge != asked["code_challenge"]
                or form["redirect_uri"] != asked["redirect_uri"]
            ):
                return self.refuse("invalid_grant")
            return self.give(self.new_family(), asked)
        if form.get("grant_type") == "refresh_token":
            return self.refresh(form["refresh_token"])
        return self.refuse("unsupported_grant_type")

    def refresh(self, token: str) -> Raw:
        for family, tokens in self.families.items():
            if token in tokens:
                if family in self.ended:
                    return self.refuse("invalid_grant", description="the sign-in was ended")
                if token != tokens[-1]:
                    self.reuses += 1
                    self.ended.add(family)
                    return self.refuse("invalid_grant", description="the token was used before")
                if not self.rotate:
                    return self.give(None, {})
                tokens.append(token_name("refresh"))
                return self.give(tokens[-1], {})
        return self.refuse("invalid_grant", description="unknown token")

    def give(self, refresh: str | None, asked: dict[str, str]) -> Raw:
        data: dict[str, Any] = {
            "access_token": token_name("access"),
            "token_type": "bearer",
            "expires_in": self.expires_in,
        }
        if refresh:
            data["refresh_token"] = refresh
        if "openid" in asked.get("scope", "").split():
            data["id_token"] = self.id_token(asked)
        data |= self.extra
        return Raw(body=json.dumps({k: v for k, v in data.items() if v is not None}).encode())

    def id_token(self, asked: dict[str, str]) -> str:
        claims = {
            "iss": self.url,
            "aud": asked.get("client_id", "client"),
            "exp": (self.date or time.time()) + 3600,
            "nonce": asked.get("nonce"),
            "sub": self.subject,
            "email": self.account,
        } | self.claims
        middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        return f"e30.{middle}.{CANARY}signature"

    def refuse(self, error: str, status: int = 400, description: str = "") -> Raw:
        body = {"error": error} | ({"error_description": description} if description else {})
        return Raw(status, body=json.dumps(body).encode())

    def token_requests(self) -> list[Seen]:
        return [seen for seen in self.requests if urlsplit(seen.path).path == "/token"]

    def client(self, **change: Any) -> OAuth2Client:
        fields: dict[str, Any] = {
            "provider": Provider.GENERIC,
            "client_id": "client",
            "authorize_url": f"{self.url}/authorize",
            "token_url": f"{self.url}/token",
            "scope": "mail openid offline_access",
        }
        return OAuth2Client(**fields | change)


class _Handler(http.server.BaseHTTPRequestHandler):
    idp: Idp

    def _serve(self) -> None:
        length = int(self.headers.get("content-length", 0))
        form = dict(parse_qsl(self.rfile.read(length).decode(), keep_blank_values=True))
        seen = Seen(self.path, {k.lower(): v for k, v in self.headers.items()}, form)
        raw = self.idp.answer(seen)
        if raw.after:
            raw.after()
        if raw.hang_up:
            self.close_connection = True
            return
        self.send_response_only(raw.status)
        headers = {
            "Date": formatdate(self.idp.date or time.time(), usegmt=True),
            "Content-Type": "application/json",
        }
        headers |= raw.headers
        if raw.pieces is None:
            headers.setdefault("Content-Length", str(len(raw.body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(OSError):
            for piece in raw.pieces() if raw.pieces else [raw.body]:
                self.wfile.write(piece)
                self.wfile.flush()

    do_GET = do_POST = _serve  # noqa: N815 - the names http.server calls

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *args: object) -> None:
        """A client that hangs up is part of the tests."""


@contextlib.contextmanager
def serving(idp: Idp, tls: ssl.SSLContext | None = None) -> Iterator[Idp]:
    """Run the provider on a free loopback port, behind TLS when a context is given."""
    handler = type("Handler", (_Handler,), {"idp": idp})
    with _Server(("127.0.0.1", 0), handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        idp.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield idp
        finally:
            server.shutdown()
            thread.join()


def visit(url: str, *, method: str = "GET", host: str | None = None) -> tuple[int, dict[str, str], str]:
    """What a browser does at the redirect: status, headers and page."""
    parts = urlsplit(url)
    link = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        link.request(
            method,
            (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
            headers={} if host is None else {"Host": host},
        )
        answer = link.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()
    finally:
        link.close()


class Person:
    """Opens the address in a thread of its own, approves it at `idp`, and comes back to us."""

    def __init__(self, idp: Idp, **change: str) -> None:
        self.idp, self.change = idp, change
        self.page: tuple[int, dict[str, str], str] | None = None
        self.url = ""
        self._thread: threading.Thread | None = None

    def __call__(self, url: str) -> bool:
        self.url = url
        self._thread = threading.Thread(target=self._browse, args=(url,))
        self._thread.start()
        return True

    def _browse(self, url: str) -> None:
        redirect = parse_qs(urlsplit(url).query)["redirect_uri"][0]
        self.before(redirect)
        self.page = visit(f"{redirect}?{self.idp.approve(url, **self.change)}")

    def before(self, redirect: str) -> None:
        """Something else that happens first."""

    def join(self) -> tuple[int, dict[str, str], str]:
        assert self._thread is not None
        self._thread.join(60)
        assert self.page is not None
        return self.page
