"""An app asks as MSAL and google-auth ask for it, assertion included; every difference is listed with its reason."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import msal
import pytest
from google.auth.transport.requests import Request as Transport
from google.oauth2 import service_account

from datapallas.connection import provider
from datapallas.connection.model import Cloud, Flow, OAuth2Client, Provider
from datapallas.oauth import app_grant
from datapallas.oauth.app_key import AppKey, read_app_key
from datapallas.oauth.endpoint import Endpoint
from datapallas.sandbox import service
from datapallas.secret import Secret
from parity import test_google, test_microsoft
from parity.differ import ABSENT, Difference, check

if TYPE_CHECKING:
    from pathlib import Path

    from parity.capture import Request, StandIn

TENANT, CLIENT_ID = test_microsoft.TENANTS[0], test_microsoft.CLIENT_ID
MAILBOX = "reports@contoso.example"
SCOPE = "https://outlook.office365.com/.default"
UNIQUE = "(a new one each time)"
MICROSOFT = {"client_info": test_microsoft._CLIENT_INFO}
HEAD = {
    "x5t#S256": Difference(
        "(43 characters and =)", "(43 characters)", "RFC 7515 section 4.1.8 wants no padding"
    ),
    "x5c": Difference(
        "(the certificate)", ABSENT, "needed only where subject and issuer are registered instead"
    ),
}


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    return service.make(tmp_path)[0]


def parts(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, times as what they are for."""
    head, claims = (
        json.loads(base64.urlsafe_b64decode(word + "=" * (-len(word) % 4)))
        for word in assertion.split(".")[:2]
    )
    claims["exp"] = round(claims["exp"] - claims["iat"])
    assert abs(claims.pop("iat") - time.time()) < 60
    if "jti" in claims:
        assert len(claims["jti"]) == 36
        claims["jti"] = UNIQUE
    return head, claims


def shown(head: dict[str, Any]) -> dict[str, str]:
    if "x5c" in head:
        head["x5c"] = "(the certificate)"
    if "x5t#S256" in head:
        long = head["x5t#S256"]
        head["x5t#S256"] = f"({len(long.rstrip('='))} characters{' and =' if long.endswith('=') else ''})"
    return head


def mine(stand_in: StandIn, client: OAuth2Client, key: AppKey | None) -> Request:
    """The request as it comes over the wire; the assertion is for the provider's own address."""
    form = app_grant.request(client, MAILBOX, key, app_grant.Moment(time.time(), "0" * 36))
    Endpoint().post(f"{stand_in.url}/token", form)
    return stand_in.asked_for_tokens()


def msal_app(stand_in: StandIn, credential: Any) -> Request:
    stand_in.tokens = {"access_token": "new", "token_type": "Bearer", "expires_in": 3600}
    app = msal.ConfidentialClientApplication(
        CLIENT_ID,
        authority=f"https://login.microsoftonline.com/{TENANT}",
        client_credential=credential,
        http_client=stand_in.session(),
    )
    assert "access_token" in app.acquire_token_for_client([SCOPE])
    return stand_in.asked_for_tokens()


def client(**change: Any) -> OAuth2Client:
    usual = {
        "provider": Provider.MICROSOFT,
        "client_id": CLIENT_ID,
        "tenant_id": TENANT,
        "flow": Flow.APPONLY,
    }
    return OAuth2Client(**(usual | change))


def test_a_certificate_asks_as_msal_asks(stand_in: StandIn, pem: Path) -> None:
    """Address, form, headers, and inside the assertion its header and claims: PS256, ten minutes, this address."""
    text = pem.read_text()
    at = text.index("-----BEGIN PRIVATE")
    theirs = msal_app(stand_in, {"private_key": text[at:], "public_certificate": text[:at]})
    asked = client()
    ours = mine(stand_in, asked, read_app_key(pem))
    assert provider.token_url(asked) == theirs.address
    their_form, our_form = dict(theirs.form), dict(ours.form)
    signed = our_form.pop("client_assertion")
    left, right = parts(their_form.pop("client_assertion")), parts(signed)
    check(their_form, our_form, MICROSOFT)
    check(test_microsoft.headers(theirs), test_microsoft.headers(ours), test_microsoft.HEADERS)
    check(shown(left[0]), shown(right[0]), HEAD)
    assert left[1] == right[1]
    public = read_app_key(pem).private.public_key()
    assert jwt.decode(signed, public, algorithms=["PS256"], audience=theirs.address)


def test_a_secret_asks_as_msal_asks(stand_in: StandIn) -> None:
    """The same request with the secret in it."""
    theirs = msal_app(stand_in, "s3cret+/ ~")
    ours = mine(stand_in, client(client_secret=Secret("s3cret+/ ~")), None)
    check(theirs.form, ours.form, MICROSOFT)
    check(test_microsoft.headers(theirs), test_microsoft.headers(ours), test_microsoft.HEADERS)


@pytest.mark.parametrize("cloud", list(Cloud))
def test_each_cloud_has_its_own_address_and_scope(cloud: Cloud) -> None:
    """The audience is the address of that cloud, and the scope the resource of that cloud."""
    asked = client(cloud=cloud, client_secret=Secret("x"))
    assert provider.token_url(asked).startswith(provider.MICROSOFT[cloud].login)
    form = dict(app_grant.request(asked, MAILBOX, None, app_grant.Moment(0, "")).fields)
    assert str(form["scope"]).endswith("/.default") and str(form["scope"]).startswith("https://")


CLAIMS = {
    "exp": Difference("3600", "600", "shorter is safer, and a new one is signed for each token"),
    "jti": Difference(ABSENT, UNIQUE, "RFC 7523 section 3: it can be used once; Google passes over it"),
}
JSON_HEADERS = test_google.HEADERS | {
    "accept": Difference("*/*", "application/json", "JSON is what we can read")
}


def test_a_service_account_asks_as_googles_library_asks(stand_in: StandIn, tmp_path: Path) -> None:
    """The JWT bearer grant of google-auth, claim for claim; the mailbox is `sub`."""
    file = service.make(tmp_path)[1]
    load: Any = service_account.Credentials.from_service_account_file
    theirs = load(str(file), scopes=[provider.GOOGLE_SCOPE], subject=MAILBOX)
    stand_in.tokens = {"access_token": "new", "token_type": "Bearer", "expires_in": 3600}
    theirs.refresh(Transport(stand_in.session()))
    their = stand_in.asked_for_tokens()
    asked = OAuth2Client(provider=Provider.GOOGLE, flow=Flow.SERVICEACCOUNT)
    our = mine(stand_in, asked, read_app_key(file))
    assert provider.token_url(asked) == their.address
    their_form, our_form = dict(their.form), dict(our.form)
    left, right = parts(their_form.pop("assertion")), parts(our_form.pop("assertion"))
    check(their_form, our_form, {})
    check(test_google.headers(their), test_google.headers(our), JSON_HEADERS)
    assert left[0] == right[0]
    check({k: str(v) for k, v in left[1].items()}, {k: str(v) for k, v in right[1].items()}, CLAIMS)
