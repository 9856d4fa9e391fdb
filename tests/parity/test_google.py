"""We ask Google for what google-auth-oauthlib asks for; every difference is listed with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.auth.transport.requests import Request as Transport
from google_auth_oauthlib.flow import Flow

from datapallas.connection import provider
from datapallas.connection.model import OAuth2Client, Provider
from datapallas.secret import Secret
from parity import ours
from parity.differ import ABSENT, ENCODINGS, Difference, check

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parity.capture import Request, StandIn

CLIENT_ID, CLIENT_SECRET = "1234-abc.apps.googleusercontent.com", "GOCSPX-not-so-secret"
REDIRECT = "http://127.0.0.1:5000/callback"
SCOPES = ["https://mail.google.com/", "openid", "https://www.googleapis.com/auth/userinfo.email"]
MAILBOX = "reports@example.com"

_LONG = "https://mail.google.com/ https://www.googleapis.com/auth/userinfo.email openid"
AUTHORIZE = {
    "scope": Difference(
        _LONG,
        "email https://mail.google.com/ openid",
        "`email` is OpenID's name for userinfo.email; Google takes both and answers with the long one",
    ),
    "nonce": Difference(
        ABSENT,
        "(made anew for each request)",
        "we believe an id_token only when it was made for this sign-in (OpenID Connect Core section 3.1.3.7)",
    ),
}
CODE = {
    "client_id": Difference(ABSENT, CLIENT_ID, "theirs stands in the Authorization header, see CODE_HEADERS"),
    "client_secret": Difference(ABSENT, CLIENT_SECRET, "the same"),
}
REFRESH = {
    "scope": Difference(_LONG, ABSENT, "without it a refresh is for what was granted (RFC 6749 section 6)")
}
HEADERS = {
    "user-agent": Difference("python-requests", "datapallas", "each says who it is"),
    "accept-encoding": Difference(ENCODINGS, "identity", "an answer has at most 64 KiB, counted as it comes"),
}
CODE_HEADERS = HEADERS | {
    "authorization": Difference(
        "Basic MTIzNC1hYmMuYXBwcy5nb29nbGV1c2VyY29udGVudC5jb206R09DU1BYLW5vdC1zby1zZWNyZXQ=",
        ABSENT,
        "Google's own documents, and google-auth's refresh, send the client's id and secret as fields",
    )
}
REFRESH_HEADERS = HEADERS | {
    "accept": Difference("*/*", "application/json", "JSON is what we can read; at a code they say so too"),
}


def client(hint: str = "") -> OAuth2Client:
    return OAuth2Client(
        provider=Provider.GOOGLE, client_id=CLIENT_ID, client_secret=Secret(CLIENT_SECRET), login_hint=hint
    )


def flow(stand_in: StandIn) -> Any:
    """Their flow for a desktop app, as its downloaded client file makes it."""
    installed = {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "auth_uri": provider.GOOGLE_AUTHORIZE,
        "token_uri": provider.GOOGLE_TOKEN,
        "redirect_uris": ["http://localhost"],
    }
    made = Flow.from_client_config({"installed": installed}, SCOPES, redirect_uri=REDIRECT)
    stand_in.lead(made.oauth2session)
    return made


def headers(request: Request) -> Mapping[str, str]:
    gone = {"host", "content-length", "x-goog-api-client"}  # the last is telemetry, with versions in it
    found = {name: value for name, value in request.headers.items() if name not in gone}
    return found | {"user-agent": found["user-agent"].partition("/")[0]}


@pytest.fixture(autouse=True)
def _answer(stand_in: StandIn) -> None:
    stand_in.tokens = {
        "access_token": "new",
        "token_type": "Bearer",
        "expires_in": 3600,
        "refresh_token": "newer",
        "scope": " ".join(SCOPES),
    }


@pytest.mark.parametrize("hint", ["", MAILBOX])
def test_the_page_we_open_is_the_page_googles_library_opens(stand_in: StandIn, hint: str) -> None:
    """The browser is sent to the same address with the same request, refresh token asked for."""
    asked = {"access_type": "offline", "prompt": "consent"} | ({"login_hint": hint} if hint else {})
    theirs, _ = flow(stand_in).authorization_url(**asked)
    mine = ours.authorize(client(hint), REDIRECT).url
    assert ours.address(mine) == ours.address(theirs)
    check(ours.query(theirs), ours.query(mine), AUTHORIZE)


def test_a_code_is_redeemed_as_googles_library_redeems_it(stand_in: StandIn) -> None:
    """The same address and fields; only where the client's secret stands differs."""
    google = flow(stand_in)
    google.authorization_url()
    google.fetch_token(code="4/0A+b=")
    theirs = stand_in.asked_for_tokens()
    mine = ours.redeem(stand_in, client(), ours.authorize(client(), REDIRECT), "4/0A%2Bb=")
    assert provider.token_url(client()) == theirs.address
    check(theirs.form, mine.form, CODE)
    check(headers(theirs), headers(mine), CODE_HEADERS)


def test_a_sign_in_is_refreshed_as_googles_library_refreshes_it(stand_in: StandIn) -> None:
    """The refresh that runs every hour is google-auth's, field for field."""
    google = flow(stand_in)
    google.authorization_url()
    google.fetch_token(code="4/0A")
    stand_in.asked_for_tokens()
    google.credentials.refresh(Transport(stand_in.session()))
    theirs = stand_in.asked_for_tokens()
    mine = ours.refresh(stand_in, client(), "newer")
    assert provider.token_url(client()) == theirs.address
    check(theirs.form, mine.form, REFRESH)
    check(headers(theirs), headers(mine), REFRESH_HEADERS)
