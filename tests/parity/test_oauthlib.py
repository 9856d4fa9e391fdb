"""A server built on oauthlib, which shares no line with us, understands our requests and checks our PKCE."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

import pytest
from oauthlib.oauth2 import (
    RequestValidator,
    WebApplicationServer,
)

from datapallas.connection.model import OAuth2Client, Provider
from datapallas.oauth import authorization, grants
from datapallas.oauth.answers import read_token_answer
from datapallas.secret import Secret

TOKEN_URL = "https://provider.example/token"
REDIRECT = "http://127.0.0.1:5000/callback"
CLIENT = OAuth2Client(
    provider=Provider.GENERIC,
    client_id="our app",
    authorize_url="https://provider.example/authorize?tenant=7",
    token_url=TOKEN_URL,
    scope="mail.send offline_access",
)


def client_with(secret: str) -> OAuth2Client:
    return dataclasses.replace(CLIENT, client_secret=Secret(secret) if secret else None)


class Validator(RequestValidator):  # type: ignore[misc]  # oauthlib has no types
    """What a provider knows: one client, and the codes and refresh tokens it gave."""

    def __init__(self, client_id: str, secret: str = "") -> None:
        super().__init__()
        self.client_id, self.secret = client_id, secret
        self.codes: dict[str, Any] = {}
        self.refresh_tokens: set[str] = set()

    def validate_client_id(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> bool:
        return client_id == self.client_id

    def validate_redirect_uri(
        self, client_id: str, redirect_uri: str, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        return redirect_uri == REDIRECT

    def validate_response_type(
        self, client_id: str, response_type: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        return response_type == "code"

    def validate_scopes(
        self, client_id: str, scopes: list[str], client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        return scopes == ["mail.send", "offline_access"]

    def is_pkce_required(self, client_id: str, request: Any) -> bool:
        return True

    def save_authorization_code(
        self, client_id: str, code: Any, request: Any, *args: Any, **kwargs: Any
    ) -> None:
        self.codes[code["code"]] = (request.code_challenge, request.code_challenge_method)

    def get_code_challenge(self, code: str, request: Any) -> Any:
        return self.codes[code][0]

    def get_code_challenge_method(self, code: str, request: Any) -> Any:
        return self.codes[code][1]

    def client_authentication_required(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        return bool(self.secret)

    def authenticate_client(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        """HTTP Basic as RFC 6749 section 2.3.1 has it: both halves form-encoded."""
        pair = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
        user, _, password = pair.partition(":")
        request.client = self
        return (unquote_plus(user), unquote_plus(password)) == (self.client_id, self.secret)

    def authenticate_client_id(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> bool:
        request.client = self
        return client_id == self.client_id

    def validate_grant_type(
        self, client_id: str, grant_type: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        return grant_type in {"authorization_code", "refresh_token"}

    def validate_code(
        self, client_id: str, code: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        request.user, request.scopes = "alice", ["mail.send", "offline_access"]
        return code in self.codes

    def confirm_redirect_uri(
        self,
        client_id: str,
        code: str,
        redirect_uri: str,
        client: Any,
        request: Any,
        *args: Any,
        **kwargs: Any,
    ) -> bool:
        return redirect_uri == REDIRECT

    def invalidate_authorization_code(
        self, client_id: str, code: str, request: Any, *args: Any, **kwargs: Any
    ) -> None:
        del self.codes[code]

    def save_bearer_token(self, token: Any, request: Any, *args: Any, **kwargs: Any) -> None:
        self.refresh_tokens.add(token["refresh_token"])

    def validate_refresh_token(
        self, refresh_token: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        return refresh_token in self.refresh_tokens

    def get_original_scopes(self, refresh_token: str, request: Any, *args: Any, **kwargs: Any) -> list[str]:
        return ["mail.send", "offline_access"]


class OauthlibProvider:
    """The two endpoints, without the network."""

    def __init__(self, secret: str = "") -> None:
        self._server = WebApplicationServer(Validator(CLIENT.client_id, secret))

    def authorize(self, url: str) -> str:
        """The query a browser brings back after the person said yes."""
        scopes, credentials = self._server.validate_authorization_request(url)
        headers, _, status = self._server.create_authorization_response(
            url, scopes=scopes, credentials=credentials
        )
        assert status == 302
        return str(urlsplit(headers["Location"]).query)

    def token(self, form: grants.Form) -> tuple[int, bytes]:
        """Status and body of the answer to a form."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if basic := form.authorization():
            headers["Authorization"] = basic
        _, body, status = self._server.create_token_response(TOKEN_URL, "POST", form.body().decode(), headers)
        return status, body.encode()


@pytest.mark.parametrize("secret", ["", "colon: plus+ percent% space"])
def test_oauthlib_understands_every_step(secret: str) -> None:
    """Authorize, redeem with PKCE, refresh: a foreign server accepts each, for clients with and without a secret."""
    provider, client = OauthlibProvider(secret), client_with(secret)
    begun = authorization.begin(client, REDIRECT, entropy=os.urandom)
    code = authorization.check_callback(begun, provider.authorize(begun.url))
    status, body = provider.token(grants.code(client, code))
    first = read_token_answer(status, {}, body)
    assert first.refresh_token is not None
    status, body = provider.token(grants.refresh(client, first.refresh_token))
    second = read_token_answer(status, {}, body)
    assert second.access_token != first.access_token


def test_oauthlib_refuses_a_code_with_another_sign_ins_verifier() -> None:
    """The verifier proves that the code is ours: PKCE is really checked by both sides."""
    provider = OauthlibProvider()
    begun, other = (authorization.begin(CLIENT, REDIRECT, entropy=os.urandom) for _ in range(2))
    code = authorization.check_callback(begun, provider.authorize(begun.url))
    code.verifier = other.verifier
    status, body = provider.token(grants.code(CLIENT, code))
    assert status == 400
    assert json.loads(body)["error"] == "invalid_grant"


def test_an_address_keeps_the_query_it_has() -> None:
    """A provider whose authorize address has a query of its own gets it back (RFC 6749 section 3.1)."""
    url = authorization.begin(CLIENT, REDIRECT, entropy=os.urandom).url
    assert ("tenant", "7") in parse_qsl(urlsplit(url).query)
