"""A person signs in at a certified provider, in a browser that is not ours."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from datapallas.connection.identity import REFRESH_TOKEN
from datapallas.errors import SignInAborted, SignInRejected, TokenRefused
from datapallas.secret import Secret
from strangers.identity_provider import CLIENT_SECRET, CLIENT_WITH_SECRET, SCOPE
from strangers.installation import ALICE, CODE, Installation, SilentGuide
from strangers.person import Page, Person
from strangers.process import wait_for

if TYPE_CHECKING:
    from strangers.identity_provider import IdentityProvider

pytestmark = pytest.mark.strangers


def state(installation: Installation) -> str:
    return installation.home.tokens(CODE).status().state


def test_a_sign_in_is_kept_sealed(provider: IdentityProvider, installation: Installation) -> None:
    """The person sees that it worked; the connection knows who signed in; no file holds the token in clear."""
    installation.connect()
    pages: list[Page] = []
    opens = Person(ALICE).open_browser(pages.append)
    signed_in = installation.sign_in(open_browser=opens, issuer=provider.issuer)
    assert signed_in.account == ALICE
    assert set(SCOPE.split()) <= set(signed_in.granted_scope.split())
    assert state(installation) == "signed-in"
    wait_for(lambda: bool(pages), "the browser to show the last page")
    assert pages[0].status == 200
    assert "signed in" in pages[0].text.lower()
    token = installation.home.folder.reveal(installation.connection(), REFRESH_TOKEN).reveal()
    files = [path for path in installation.root.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if token.encode() in path.read_bytes()]


def test_a_client_with_a_secret_signs_in(installation: Installation) -> None:
    """A secret with blanks, a colon and a plus is understood by the provider (HTTP Basic, RFC 6749 section 2.3.1)."""
    installation.connect(client_id=CLIENT_WITH_SECRET, client_secret=Secret(CLIENT_SECRET))
    installation.sign_in()
    assert installation.home.tokens(CODE).token().value


def test_a_wrong_secret_is_told_as_such(installation: Installation) -> None:
    """Not the person but the setting is wrong: exit code 78, and nothing is stored."""
    installation.connect(client_id=CLIENT_WITH_SECRET, client_secret=Secret("guessed"))
    with pytest.raises(TokenRefused) as caught:
        installation.sign_in()
    assert caught.value.error == "invalid_client"
    assert caught.value.exit_code == 78
    assert state(installation) == "signed-out"


def test_an_unknown_client_never_comes_back(provider: IdentityProvider, installation: Installation) -> None:
    """The provider shows the mistake in the browser only; whoever waits is told where to look."""
    installation.connect(client_id="nobody")
    pages: list[Page] = []
    with pytest.raises(SignInAborted) as caught:
        installation.sign_in(open_browser=Person().open_browser(pages.append), seconds=1)
    assert caught.value.code == "sign-in-timeout"
    assert "redirect_uri" in caught.value.facts
    wait_for(lambda: bool(pages), "the browser to show the provider's page")
    assert "client is invalid" in pages[0].text


def test_a_person_who_says_no_is_understood(installation: Installation) -> None:
    """Cancel at the provider ends the sign-in at once, and nothing is stored."""
    installation.connect()
    with pytest.raises(SignInAborted, match="declined"):
        installation.sign_in(Person(ALICE, denies=True))
    assert state(installation) == "signed-out"


@pytest.mark.parametrize("named", [True, False], ids=["issuer-given", "issuer-found"])
def test_the_wrong_person_is_turned_away(
    provider: IdentityProvider, installation: Installation, named: bool
) -> None:
    """Bob's browser was still signed in: Alice's connection does not become Bob's unless somebody says so.

    By the book, the address is at userinfo and not in the id_token; where userinfo is, the issuer publishes.
    """
    installation.connect()
    bob, issuer = Person("bob@example.test"), provider.issuer if named else ""
    with pytest.raises(SignInRejected) as caught:
        installation.sign_in(bob, issuer=issuer)
    assert caught.value.code == "wrong-account"
    assert state(installation) == "signed-out"
    assert installation.sign_in(bob, issuer=issuer, accept_account=True).account == bob.login


def test_a_provider_that_does_not_say_who_signed_in_is_named_as_such(installation: Installation) -> None:
    """Without the scope openid there is no proof of who signed in; the person is told that it is assumed."""
    installation.connect(scope="offline_access smtp")
    guide = SilentGuide()
    installation.sign_in(guide=guide)
    assert any("did not say who signed in" in notice for notice in guide.notices)


@pytest.mark.parametrize(
    ("scope", "code"),
    [("openid email smtp", "no-refresh-token"), ("openid email offline_access calendar", "narrow-scope")],
)
def test_a_sign_in_that_cannot_send_is_told_at_once(
    installation: Installation, scope: str, code: str
) -> None:
    """Too few rights, or rights that end within the hour, show at the sign-in and not at the first report."""
    installation.connect(scope=scope)
    with pytest.raises(SignInRejected) as caught:
        installation.sign_in()
    assert caught.value.code == code
    assert state(installation) == "signed-out"


def test_discovery_finds_the_provider(provider: IdentityProvider, installation: Installation) -> None:
    """With the issuer alone, addresses come from the provider's own document, and `iss` is checked."""
    connection = installation.connect(authorize_url="", token_url="")
    found = installation.home.discovered(connection, provider.issuer)
    installation.home.folder.save(found)
    installation.sign_in(issuer=provider.issuer)
    assert installation.connection().mailbox == ALICE
    assert state(installation) == "signed-in"


def test_a_crowd_of_strangers_at_the_door_changes_nothing(
    provider: IdentityProvider, installation: Installation
) -> None:
    """Junk, a wrong state and half requests reach the listener first; the real answer still signs in."""
    installation.connect()

    def open_browser(url: str) -> bool:
        back = parse_qs(urlsplit(url).query)["redirect_uri"][0]

        def crowd_then_person() -> None:
            crowd = Person()
            for number in range(100):
                assert crowd.browse(f"{back}?code=x&state={number}").status == 400
                assert crowd.browse(f"{back}/../favicon.ico?{number}").status in {400, 404}
            Person(ALICE).browse(url)

        threading.Thread(target=crowd_then_person, daemon=True).start()
        return True

    assert installation.sign_in(open_browser=open_browser, issuer=provider.issuer).account == ALICE
