"""A program that signs in at the sandbox: plain http.client, nothing of ours but the sandbox and its person."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import http.client
import json
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from datapallas.sandbox.person import Ended, browse

if TYPE_CHECKING:
    from datapallas.sandbox import Sandbox

REDIRECT = "http://127.0.0.1:53682/callback"
SCOPE = "smtp offline_access openid email"


@dataclasses.dataclass
class Reply:
    """What an HTTP server said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


class Program:
    """A program that wants to send mail for somebody."""

    def __init__(self, sandbox: Sandbox, client_id: str = "sandbox-app", base: str = "") -> None:
        self.sandbox = sandbox
        self.client_id = client_id
        self.verifier = secrets.token_urlsafe(48)
        self.authorize = base or "/authorize"
        self.token_path = "/token"

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        """One request."""
        link = http.client.HTTPConnection("127.0.0.1", urlsplit(self.sandbox.issuer).port or 0, timeout=60)
        try:
            link.request(
                method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
            )
            reply = link.getresponse()
            found = {name.lower(): value for name, value in reply.getheaders()}
            return Reply(reply.status, found, reply.read())
        finally:
            link.close()

    def post(self, path: str, **fields: str) -> Reply:
        """Send a form."""
        body = urlencode(fields).encode()
        return self.ask("POST", path, body, Content_Type="application/x-www-form-urlencoded")

    def switch(self, name: str, **values: Any) -> Reply:
        """Use the control address."""
        body = json.dumps(values).encode()
        return self.ask("POST", f"/_sandbox/{name}", body, Content_Type="application/json")

    def address(self, **more: str) -> str:
        """What the browser is to open."""
        challenge = (
            base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        )
        asked = {
            "client_id": self.client_id,
            "response_type": "code",
            "scope": SCOPE,
            "redirect_uri": REDIRECT,
            "state": "s&t a+te",
            "nonce": "n1",
            "prompt": "consent",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **more,
        }
        return f"{self.sandbox.issuer}{self.authorize}?{urlencode(asked)}"

    def declined(self) -> dict[str, str]:
        """Send a person to the pages who says no."""
        return self._came_back(browse(self.address(), deny=True, stop_at=REDIRECT))

    def callback(self, login: str = "", /, **more: str) -> dict[str, str]:
        """Send the person to the pages, and give what comes back."""
        return self._came_back(browse(self.address(**more), login=login, stop_at=REDIRECT))

    def _came_back(self, ended: Ended) -> dict[str, str]:
        assert ended.url.startswith(REDIRECT), ended.page
        return dict(parse_qsl(urlsplit(ended.url).query))

    def redeem(self, code: str, **more: str) -> Reply:
        """Turn a code into tokens."""
        return self.post(
            self.token_path,
            **{
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": REDIRECT,
                "client_id": self.client_id,
                "code_verifier": self.verifier,
                **more,
            },
        )

    def sign_in(self, login: str = "", **more: str) -> dict[str, Any]:
        """From nothing to tokens."""
        reply = self.redeem(self.callback(login, **more)["code"])
        assert reply.status == 200, reply.body
        tokens: dict[str, Any] = reply.json
        return tokens

    def refresh(self, token: str, **more: str) -> Reply:
        """Use a refresh token."""
        fields = {"grant_type": "refresh_token", "refresh_token": token, "client_id": self.client_id, **more}
        return self.post(self.token_path, **fields)

    def active(self, token: str) -> bool:
        """Ask as a mail server does."""
        reply = self.post(
            "/introspect", client_id="sandbox-desktop", client_secret="sandbox-secret", token=token
        )
        return bool(reply.json["active"])
