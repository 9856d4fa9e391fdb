"""Signing in at a certified provider from another machine: a pasted address, a code typed on a telephone."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from datapallas.errors import SignInAborted, TokenRefused, UsageError
from datapallas.oauth.sign_in import Arrival, Way
from datapallas.secret import Secret
from strangers.identity_provider import CLIENT_SECRET, CLIENT_WITH_SECRET
from strangers.installation import ALICE, CODE, Installation, SilentGuide
from strangers.person import Person

if TYPE_CHECKING:
    from datapallas.oauth.device import DeviceCode
    from strangers.identity_provider import IdentityProvider

pytestmark = pytest.mark.strangers


class Elsewhere(SilentGuide):
    """Somebody with a browser on another machine."""

    def __init__(self, person: Person) -> None:
        super().__init__()
        self.person, self.url = person, ""
        self.code: DeviceCode | None = None

    def visit(self, url: str, *, opened: bool) -> None:
        assert not opened
        self.url = url

    def type_code(self, code: DeviceCode) -> None:
        self.code = code
        threading.Thread(target=self._type, args=(code.verification_uri_complete,), daemon=True).start()

    def _type(self, url: str) -> None:
        with contextlib.suppress(AssertionError):  # after a no, this provider asks for another code, for ever
            self.person.browse(url)

    def paste_all(self, arrival: Arrival) -> None:
        arrival.paste(self.person.browse(self.url).url)

    def paste_the_code(self, arrival: Arrival) -> None:
        address = self.person.browse(self.url).url
        arrival.paste(parse_qs(urlsplit(address).query)["code"][0])


def connect(installation: Installation, *, secret: bool) -> None:
    if secret:
        installation.connect(client_id=CLIENT_WITH_SECRET, client_secret=Secret(CLIENT_SECRET))
    else:
        installation.connect()


def works(installation: Installation) -> bool:
    return bool(installation.home.tokens(CODE).token().value)


@pytest.mark.parametrize("secret", [False, True], ids=["public", "with-secret"])
def test_the_address_a_browser_elsewhere_ends_at(installation: Installation, *, secret: bool) -> None:
    """Nobody listens; the address is brought back, state and `iss` are checked, and the sign-in works."""
    connect(installation, secret=secret)
    guide = Elsewhere(Person(ALICE))
    signed_in = installation.sign_in(guide=guide, way=Way.PASTE, fetch=guide.paste_all)
    assert signed_in.account == ALICE and works(installation)


def test_just_the_code_is_bound_to_this_sign_in_by_pkce(
    provider: IdentityProvider, installation: Installation
) -> None:
    """The code alone is enough; a code of another sign-in of the same application is refused by the provider."""
    installation.connect()
    stolen: list[str] = []

    def steal(arrival: Arrival) -> None:
        address = other.person.browse(other.url).url
        stolen.append(parse_qs(urlsplit(address).query)["code"][0])
        arrival.cancel()

    other = Elsewhere(Person("mallory@example.test"))
    with pytest.raises(SignInAborted):
        installation.sign_in(guide=other, way=Way.PASTE, fetch=steal)
    mine = Elsewhere(Person(ALICE))
    with pytest.raises(TokenRefused) as caught:
        installation.sign_in(guide=mine, way=Way.PASTE, fetch=lambda arrival: arrival.paste(stolen[0]))
    assert caught.value.error == "invalid_grant"
    signed_in = installation.sign_in(guide=mine, way=Way.PASTE, fetch=mine.paste_the_code)
    assert signed_in.account == ALICE and works(installation)


def test_a_provider_that_signs_its_answers_wants_the_whole_address(
    provider: IdentityProvider, installation: Installation
) -> None:
    """With its issuer known, `iss` is promised: the code alone is refused, the address is taken."""
    installation.connect()
    guide = Elsewhere(Person(ALICE))

    def first_the_code(arrival: Arrival) -> None:
        address = guide.person.browse(guide.url).url
        with pytest.raises(UsageError):
            arrival.paste(parse_qs(urlsplit(address).query)["code"][0])
        arrival.paste(address)

    found = installation.sign_in(guide=guide, way=Way.PASTE, fetch=first_the_code, issuer=provider.issuer)
    assert found.account == ALICE


def test_a_person_elsewhere_who_says_no(installation: Installation) -> None:
    """The address they paste says so."""
    installation.connect()
    guide = Elsewhere(Person(ALICE, denies=True))
    with pytest.raises(SignInAborted, match="declined"):
        installation.sign_in(guide=guide, way=Way.PASTE, fetch=guide.paste_all)


@pytest.mark.parametrize("secret", [False, True], ids=["public", "with-secret"])
def test_a_code_typed_on_a_telephone(
    provider: IdentityProvider, installation: Installation, *, secret: bool
) -> None:
    """The provider's own pages, its polls and its pace: the sign-in works and lasts."""
    connect(installation, secret=secret)
    guide = Elsewhere(Person(ALICE))
    signed_in = installation.sign_in(guide=guide, way=Way.DEVICE, issuer=provider.issuer)
    assert signed_in.account == ALICE and works(installation)
    assert guide.code is not None and guide.code.user_code
    assert "slow_down" not in provider.refusals()


def test_a_telephone_that_says_no(provider: IdentityProvider, installation: Installation) -> None:
    """Declined at the provider's page: told within one poll."""
    installation.connect()
    guide = Elsewhere(Person(ALICE, denies=True))
    with pytest.raises(SignInAborted, match="declined"):
        installation.sign_in(guide=guide, way=Way.DEVICE, issuer=provider.issuer)
