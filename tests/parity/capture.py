"""One loopback server stands in for every provider, and remembers what it was asked.

Libraries built on `requests` are led here by an adapter that changes where a request goes and nothing else;
ours is led here by the addresses in its connection.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import requests
from requests.adapters import HTTPAdapter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

# What Microsoft's own document says, as far as MSAL reads it (OpenID Connect Discovery section 4.2).
_MICROSOFT = "https://login.microsoftonline.com"


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One request as it came.

    Attributes:
        address: whom the library meant; for ours, the loopback server's own address.
        headers: names in lower case.
        form: the body's fields; a doubled one would be a defect and fails.
    """

    method: str
    address: str
    headers: Mapping[str, str]
    form: Mapping[str, str]


class StandIn(ThreadingHTTPServer):
    """Answers discovery and token requests on a free loopback port."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.requests: list[Request] = []
        self.tokens: dict[str, Any] = {}
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="stand-in", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def session(self) -> requests.Session:
        """A session whose every request, whatever its host, comes here."""
        session = requests.Session()
        self.lead(session)
        return session

    def lead(self, session: requests.Session) -> None:
        """Make the requests of a session that a library made itself come here."""
        session.trust_env = False  # no proxy, no .netrc
        session.mount("https://", _Detour(self.url))

    def asked_for_tokens(self) -> Request:
        """The one token request there was since the last call."""
        (found,) = [request for request in self.requests if request.method == "POST"]
        self.requests.clear()
        return found


class _Detour(HTTPAdapter):
    def __init__(self, to: str) -> None:
        super().__init__()
        self._to = to

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        meant = request.url or ""
        request.headers["X-Meant"] = meant
        request.url = self._to + (urlsplit(meant).path or "/")
        return super().send(request, *args, **kwargs)


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_GET(self) -> None:
        tenant = self.path.split("/")[1]
        base = f"{_MICROSOFT}/{tenant}"
        self._answer(
            {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
            }
        )

    def do_POST(self) -> None:
        self._answer(self.server.tokens)

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def _answer(self, body: dict[str, Any]) -> None:
        sent = self.rfile.read(int(self.headers.get("content-length", "0"))).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        meant = headers.pop("x-meant", f"{self.server.url}{self.path}")
        pairs = parse_qsl(sent, keep_blank_values=True, strict_parsing=bool(sent))
        assert len(pairs) == len(dict(pairs)), f"doubled: {sent}"
        self.server.requests.append(Request(self.command, meant, headers, dict(pairs)))
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
