"""We ask Microsoft for what Microsoft's own library, MSAL, asks for; every difference is listed with its reason."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any

import msal
import pytest

from datapallas.connection import provider
from datapallas.connection.model import OAuth2Client, Provider
from datapallas.secret import Secret
from parity import ours
from parity.differ import ABSENT, ENCODINGS, Difference, check

if TYPE_CHECKING:
    from parity.capture import Request, StandIn

TENANTS = ["11111111-2222-3333-4444-555555555555", "contoso.example", "organizations", "consumers", "common"]
CLIENT_ID = "99999999-8888-7777-6666-555555555555"
SCOPE = "https://outlook.office.com/SMTP.Send"
REDIRECT = "http://localhost:5000"
MAILBOX = "reports@contoso.example"

_ALL = "email https://outlook.office.com/SMTP.Send offline_access openid profile"
_WITHOUT_EMAIL = "https://outlook.office.com/SMTP.Send offline_access openid profile"
_EMAIL = Difference(
    _WITHOUT_EMAIL,
    _ALL,
    "the id_token then names the address, which must be the connection's mailbox; personal accounts name it in no other way",
)
_CLIENT_INFO = Difference(
    "1", ABSENT, "fills MSAL's account cache with uid and utid; oid and tid come in the id_token too"
)

AUTHORIZE = {"scope": _EMAIL, "client_info": _CLIENT_INFO}
AUTHORIZE_WITH_HINT = AUTHORIZE | {
    "X-AnchorMailbox": Difference(
        f"UPN:{MAILBOX}",
        ABSENT,
        "a routing hint of MSAL; login_hint, which both send, is what the documents name",
    )
}
TOKEN = {"scope": _EMAIL, "client_info": _CLIENT_INFO}
_TELEMETRY = "tells Microsoft which library and version asks, and what it did before; nothing depends on it"
_SKU = {
    "x-client-sku": "MSAL.Python",
    "x-client-ver": msal.__version__,
    "x-ms-lib-capability": "retry-after, h429",
}
HEADERS = {
    "user-agent": Difference("python-requests", "datapallas", "each says who it is"),
    "accept-encoding": Difference(ENCODINGS, "identity", "an answer has at most 64 KiB, counted as it comes"),
} | {name: Difference(value, ABSENT, _TELEMETRY) for name, value in _SKU.items()}
# Their values change from request to request and machine to machine.
VARYING = {
    "host",
    "content-length",
    "x-client-os",
    "client-request-id",
    "x-client-current-telemetry",
    "x-client-last-telemetry",
}


def client(tenant: str, hint: str = "") -> OAuth2Client:
    return OAuth2Client(provider=Provider.MICROSOFT, client_id=CLIENT_ID, tenant_id=tenant, login_hint=hint)


def application(stand_in: StandIn, tenant: str, secret: str = "") -> Any:
    made = msal.ConfidentialClientApplication if secret else msal.PublicClientApplication
    more = {"client_credential": secret} if secret else {}
    authority = f"https://login.microsoftonline.com/{tenant}"
    return made(CLIENT_ID, authority=authority, http_client=stand_in.session(), **more)


def msal_flow(application: Any, hint: str = "") -> dict[str, Any]:
    """MSAL's authorize request. It warns that form_post hides the code better; a loopback listener gets it by GET."""
    asked = {"login_hint": hint} if hint else {"prompt": "select_account"}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "response_mode='form_post'", UserWarning)
        flow: dict[str, Any] = application.initiate_auth_code_flow([SCOPE], redirect_uri=REDIRECT, **asked)
    return flow


def headers(request: Request) -> dict[str, str]:
    found = {name: value for name, value in request.headers.items() if name not in VARYING}
    return found | {"user-agent": found["user-agent"].partition("/")[0]}


@pytest.fixture(autouse=True)
def _answer(stand_in: StandIn) -> None:
    stand_in.tokens = {
        "access_token": "new",
        "token_type": "Bearer",
        "expires_in": 3600,
        "refresh_token": "newer",
    }


@pytest.mark.parametrize("tenant", TENANTS)
def test_the_page_we_open_is_the_page_msal_opens(stand_in: StandIn, tenant: str) -> None:
    """The browser is sent to the same address with the same request, for every kind of tenant."""
    theirs = msal_flow(application(stand_in, tenant))["auth_uri"]
    mine = ours.authorize(client(tenant), REDIRECT).url
    assert ours.address(mine) == ours.address(theirs)
    check(ours.query(theirs), ours.query(mine), AUTHORIZE)


def test_a_known_mailbox_is_suggested_as_msal_suggests_it(stand_in: StandIn) -> None:
    """With a login hint nobody has to choose an account, at either."""
    theirs = msal_flow(application(stand_in, "organizations"), MAILBOX)["auth_uri"]
    mine = ours.authorize(client("organizations", MAILBOX), REDIRECT).url
    check(ours.query(theirs), ours.query(mine), AUTHORIZE_WITH_HINT)


@pytest.mark.parametrize("secret", ["", "s3cret+/ ~"])
def test_a_code_is_redeemed_as_msal_redeems_it(stand_in: StandIn, secret: str) -> None:
    """The same address, fields and headers, for a public client and for one with a secret."""
    tenant = TENANTS[0]
    app = application(stand_in, tenant, secret)
    flow = msal_flow(app)
    app.acquire_token_by_auth_code_flow(flow, {"code": "0.AX+/=", "state": flow["state"]})
    theirs = stand_in.asked_for_tokens()

    asking = dataclasses.replace(client(tenant), client_secret=Secret(secret) if secret else None)
    mine = ours.redeem(stand_in, asking, ours.authorize(asking, REDIRECT), "0.AX%2B/=")
    assert provider.token_url(asking) == theirs.address
    assert mine.form["code"] == "0.AX+/="
    assert mine.form.get("client_secret", "") == secret
    check(theirs.form, mine.form, TOKEN)
    check(headers(theirs), headers(mine), HEADERS)


@pytest.mark.parametrize("tenant", TENANTS)
def test_a_sign_in_is_refreshed_as_msal_refreshes_it(stand_in: StandIn, tenant: str) -> None:
    """The refresh that runs every hour is MSAL's, field for field."""
    application(stand_in, tenant).acquire_token_by_refresh_token("1.old+/=", [SCOPE])
    theirs = stand_in.asked_for_tokens()
    mine = ours.refresh(stand_in, client(tenant), "1.old+/=")
    assert provider.token_url(client(tenant)) == theirs.address
    check(theirs.form, mine.form, TOKEN)
    check(headers(theirs), headers(mine), HEADERS)
