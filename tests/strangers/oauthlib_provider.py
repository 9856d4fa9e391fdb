"""A second identity provider of another code base: oauthlib's server, behind Python's own HTTP server.

What is strange here stays strange: parsing, checks, errors and words are oauthlib's. Ours are the store (a
RequestValidator only remembers) and the routing. It knows no OpenID: no id_token, no userinfo, RFC 8414 metadata only.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit

from oauthlib.oauth2 import DeviceApplicationServer, MetadataEndpoint, RequestValidator, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

APP, SERVICE, SERVICE_SECRET = "app", "service", "service-secret: 1+1=2"
ALICE = "alice@example.test"
SCOPES = ["smtp", "offline_access"]
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


class Client:
    """What oauthlib asks of a client."""

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id


class Store(RequestValidator):  # type: ignore[misc]  # oauthlib has no types
    """Remembers codes and tokens, and answers oauthlib's questions."""

    def __init__(self) -> None:
        self.codes: dict[str, dict[str, Any]] = {}
        self.tokens: dict[str, list[str]] = {}  # refresh token to its scopes
        self.devices: dict[str, dict[str, Any]] = {}
        self.rotate = True
        self.asked: list[tuple[str, str]] = []  # path and grant type

    def client_authentication_required(self, request: Any, *_: Any, **__: Any) -> bool:
        return _client_of(request)[0] != APP

    def authenticate_client(self, request: Any, *_: Any, **__: Any) -> bool:
        name, secret = _client_of(request)
        request.client = Client(name)
        return name == SERVICE and secret == SERVICE_SECRET

    def authenticate_client_id(self, client_id: str, request: Any, *_: Any, **__: Any) -> bool:
        request.client = Client(client_id)
        return client_id == APP

    def validate_client_id(self, client_id: str, request: Any, *_: Any, **__: Any) -> bool:
        request.client = Client(client_id)
        return client_id in {APP, SERVICE}

    def validate_grant_type(self, client_id: str, grant_type: str, *_: Any, **__: Any) -> bool:
        return (client_id == SERVICE) == (grant_type == "client_credentials")

    def validate_scopes(self, client_id: str, scopes: list[str], *_: Any, **__: Any) -> bool:
        return bool(scopes) and set(scopes) <= set(SCOPES)

    def get_default_scopes(self, *_: Any, **__: Any) -> list[str]:
        return []

    def validate_redirect_uri(self, client_id: str, redirect_uri: str, *_: Any, **__: Any) -> bool:
        return urlsplit(redirect_uri).hostname == "127.0.0.1"

    def confirm_redirect_uri(self, client_id: str, code: str, redirect_uri: str, *_: Any, **__: Any) -> bool:
        return bool(self.codes[code]["redirect_uri"] == redirect_uri)

    def validate_response_type(self, client_id: str, response_type: str, *_: Any, **__: Any) -> bool:
        return response_type == "code"

    def is_pkce_required(self, *_: Any) -> bool:
        return True

    def get_code_challenge(self, code: str, _: Any) -> str:
        return str(self.codes[code]["challenge"])

    def get_code_challenge_method(self, code: str, _: Any) -> str:
        return str(self.codes[code]["method"])

    def save_authorization_code(self, client_id: str, code: dict[str, str], request: Any, *_: Any) -> None:
        self.codes[code["code"]] = {
            "redirect_uri": request.redirect_uri,
            "challenge": request.code_challenge,
            "method": request.code_challenge_method,
            "scopes": request.scopes,
        }

    def validate_code(self, client_id: str, code: str, client: Any, request: Any, *_: Any) -> bool:
        if code not in self.codes:
            return False
        request.user, request.scopes = ALICE, self.codes[code]["scopes"]
        return True

    def invalidate_authorization_code(self, client_id: str, code: str, *_: Any, **__: Any) -> None:
        del self.codes[code]

    def save_bearer_token(self, token: dict[str, Any], request: Any, *_: Any, **__: Any) -> None:
        if request.grant_type == "refresh_token" and self.rotate:
            self.tokens.pop(request.refresh_token)
        if "refresh_token" in token:
            self.tokens[token["refresh_token"]] = list(request.scopes)

    def validate_refresh_token(self, refresh_token: str, *_: Any, **__: Any) -> bool:
        return refresh_token in self.tokens

    def get_original_scopes(self, refresh_token: str, *_: Any, **__: Any) -> list[str]:
        return self.tokens[refresh_token]

    def rotate_refresh_token(self, _: Any) -> bool:
        return self.rotate

    def revoke_token(self, token: str, *_: Any, **__: Any) -> None:
        self.tokens.pop(token, None)

    def validate_device_code(self, client_id: str, device_code: str, request: Any) -> str | None:
        device = self.devices.get(device_code)
        if device is None:
            return None
        if time.monotonic() > device["until"]:
            return "expired_token"
        request.user, request.scopes = ALICE, device["scopes"]
        return str(device["state"])


def _client_of(request: Any) -> tuple[str, str]:
    """Basic, else the form (RFC 6749 section 2.3.1)."""
    import base64
    from urllib.parse import unquote_plus

    scheme, _, value = str(request.headers.get("Authorization", "")).partition(" ")
    if scheme.lower() == "basic":
        name, _, secret = base64.b64decode(value).decode().partition(":")
        return unquote_plus(name), unquote_plus(secret)
    return str(request.client_id or ""), str(getattr(request, "client_secret", None) or "")


class Provider(ThreadingHTTPServer):
    """One running provider."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.issuer = f"http://127.0.0.1:{self.server_address[1]}"
        self.store = Store()
        self.library = Server(self.store, token_expires_in=300)
        self.device = DeviceApplicationServer(self.store, f"{self.issuer}/device", interval=1)
        self.metadata = MetadataEndpoint(
            [self.library],
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "revocation_endpoint": f"{self.issuer}/revoke",
                "introspection_endpoint": f"{self.issuer}/introspect",
                "device_authorization_endpoint": f"{self.issuer}/device_authorization",
                "scopes_supported": SCOPES,
            },
            raise_errors=False,
        )


class _Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        uri = f"{self.server.issuer}{self.path}"
        path = urlsplit(self.path).path
        if path == "/.well-known/oauth-authorization-server":
            self._answer(*self.server.metadata.create_metadata_response(uri))
        elif path == "/authorize":  # whoever opens the page agrees
            asked = {name: values[0] for name, values in parse_qs(urlsplit(uri).query).items()}
            self._answer(
                *self.server.library.create_authorization_response(
                    uri, "GET", scopes=asked["scope"].split(), credentials={"user": ALICE}
                )
            )
        else:
            self._answer({}, "", 404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        headers = {name.title(): value for name, value in self.headers.items()}
        uri, library = f"{self.server.issuer}{self.path}", self.server.library
        grant = parse_qs(body).get("grant_type", [""])[0]
        self.server.store.asked.append((self.path, grant))
        if self.path == "/token":
            self._answer(*library.create_token_response(uri, "POST", body, headers))
        elif self.path == "/revoke":
            self._answer(*library.create_revocation_response(uri, "POST", body, headers))
        elif self.path == "/device_authorization":
            found, data, status = self.server.device.create_device_authorization_response(
                uri, "POST", body, headers
            )
            self.server.store.devices[data["device_code"]] = {
                "user_code": data["user_code"],
                "scopes": data["scope"].split(),
                "state": "authorization_pending",
                "until": time.monotonic() + data["expires_in"],
            }
            self._answer(found, json.dumps(data), status)
        else:
            self._answer({}, "", 404)

    def _answer(self, headers: dict[str, str], body: str | None, status: int) -> None:
        data = (body or "").encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def oauthlib_provider() -> Iterator[Provider]:
    """Start it, and end it; oauthlib wants https unless it is told that this is a test on loopback."""
    with mock.patch.dict(os.environ, {"OAUTHLIB_INSECURE_TRANSPORT": "1"}), Provider() as provider:
        thread = threading.Thread(target=provider.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield provider
        finally:
            provider.shutdown()
            thread.join()
