"""A second provider of another code base (oauthlib), so that we fit no one server's habits. It needs no Node.js."""

from __future__ import annotations

import contextlib
import http.client
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from datapallas.connection.model import Connection, Flow, OAuth2Client, Provider
from datapallas.errors import Parked, SignInAborted, TokenRefused
from datapallas.home import Home
from datapallas.oauth.discovery import discover
from datapallas.oauth.sign_in import SignIn, Way
from datapallas.secret import Secret
from strangers.installation import CODE, SilentGuide
from strangers.oauthlib_provider import ALICE, APP, SERVICE, SERVICE_SECRET, oauthlib_provider

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from datapallas.oauth.device import DeviceCode
    from strangers.oauthlib_provider import Provider as Second


@pytest.fixture
def second() -> Iterator[Second]:
    with oauthlib_provider() as provider:
        yield provider


@pytest.fixture
def home(tmp_path: Path, second: Second) -> Home:
    """A home whose connection has what the provider publishes."""
    home = Home(tmp_path, {})
    client = OAuth2Client(provider=Provider.GENERIC, client_id=APP, scope="smtp offline_access")
    draft = Connection(code=CODE, from_address=ALICE, credential=client)
    home.folder.create(home.discovered(draft, second.issuer))
    return home


def go(url: str) -> str:
    """What a browser does with an address: where it is sent, or empty."""
    parts = urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(parts.hostname or "", parts.port or 80)) as link:
        link.request("GET", f"{parts.path}?{parts.query}", headers={"Host": parts.netloc})
        return link.getresponse().headers.get("location", "")


def browser(url: str) -> bool:
    """Somebody who agrees to everything, in the background."""
    threading.Thread(target=lambda: go(go(url)), daemon=True).start()
    return True


def sign_in(home: Home) -> None:
    way = SignIn(endpoint=home.endpoint, guide=SilentGuide(), open_browser=browser, seconds=20)
    way.connect(home.folder, CODE)


class Telephone(SilentGuide):
    """A code is typed on a telephone: the person agrees, or not."""

    def __init__(self, second: Second, answer: str) -> None:
        super().__init__()
        self.second, self.answer = second, answer
        self.shown = ""

    def type_code(self, code: DeviceCode) -> None:
        self.shown = code.user_code
        (device,) = self.second.store.devices.values()
        assert (
            device["user_code"] == code.user_code and code.verification_uri == f"{self.second.issuer}/device"
        )
        device["state"] = self.answer


def test_its_metadata_is_read(home: Home, second: Second) -> None:
    """RFC 8414 without OpenID: every address is found, also that of revocation."""
    found = discover(home.endpoint, second.issuer)
    assert found.token_url == f"{second.issuer}/token" and found.revoke_url == f"{second.issuer}/revoke"
    assert found.device_url == f"{second.issuer}/device_authorization" and not found.sends_issuer


def test_a_sign_in_rotates_and_is_ended_at_the_provider(home: Home, second: Second) -> None:
    """Code with PKCE, three refreshes with a new token each, and revocation: nothing is left there either."""
    sign_in(home)
    seen = set()
    for _ in range(3):
        assert home.tokens(CODE).refresh().value
        (token,) = second.store.tokens
        seen.add(token)
    assert len(seen) == 3
    assert home.row(CODE).state == f"connected as {ALICE}"
    done = home.tokens(CODE).sign_out()
    assert (done.forgotten, done.revoked) == (True, True), done.reason
    assert not second.store.tokens and second.store.asked[-1][0] == "/revoke"


def test_a_token_it_does_not_know_any_more_parks(home: Home, second: Second) -> None:
    """Ended by somebody else: parked, kept, and a new sign-in un-parks it."""
    sign_in(home)
    second.store.tokens.clear()
    with pytest.raises(Parked):
        home.tokens(CODE).refresh()
    assert home.row(CODE).health.value == "parked"
    sign_in(home)
    assert home.tokens(CODE).token().value


def test_a_provider_that_never_rotates(home: Home, second: Second) -> None:
    """The same refresh token comes back, or none: it is kept."""
    second.store.rotate = False
    sign_in(home)
    for _ in range(2):
        assert home.tokens(CODE).refresh().value
    assert len(second.store.tokens) == 1


def device(home: Home, second: Second, answer: str) -> Telephone:
    guide = Telephone(second, answer)
    way = SignIn(endpoint=home.endpoint, guide=guide, way=Way.DEVICE, issuer=second.issuer, seconds=20)
    way.connect(home.folder, CODE)
    return guide


def test_a_code_on_a_telephone(home: Home, second: Second) -> None:
    """Device code, with this provider's words: it works and lasts; no and too late are told as such."""
    assert device(home, second, "authorized").shown
    assert home.tokens(CODE).refresh().value
    for answer, words in (
        ("access_denied", "declined"),
        ("expired_token", "in time"),
    ):
        second.store.devices.clear()
        with pytest.raises(SignInAborted, match=words):
            device(home, second, answer)


def test_an_app_by_its_secret(home: Home, second: Second) -> None:
    """Client credentials by Basic, with a secret that form encoding can get wrong; another secret is refused."""
    for secret, good in ((SERVICE_SECRET, True), ("wrong", False)):
        client = OAuth2Client(
            provider=Provider.GENERIC,
            flow=Flow.APPONLY,
            client_id=SERVICE,
            client_secret=Secret(secret),
            scope="smtp",
            token_url=f"{second.issuer}/token",
        )
        code = f"eml-app-{good}".lower()
        home.folder.create(Connection(code=code, from_address=ALICE, credential=client))
        if good:
            assert home.tokens(code).token().value
            continue
        with pytest.raises(TokenRefused) as refused:
            home.tokens(code).token()
        assert refused.value.error == "invalid_client"
        assert home.row(code).health.value == "refused"
