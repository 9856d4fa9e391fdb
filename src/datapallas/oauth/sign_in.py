"""From "sign in" to a stored refresh token: in a browser here, in a browser elsewhere, or by a code typed anywhere.

Must stay true:
- before anybody is sent anywhere, it is proven that the result can be kept (`keeping`): file, lock, key, space, port;
- nothing is stored unless everything is right, and the browser says "signed in" only after it is stored;
- nothing is printed here: the caller's `Guide` shows what a person must see;
- an `Arrival` can end it from any thread, or bring the answer another way.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from datapallas.connection import provider
from datapallas.connection.provider_help import PROVIDER_HELP
from datapallas.errors import SignInAborted
from datapallas.oauth import authorization, device, grants
from datapallas.oauth.acceptance import Wanted
from datapallas.oauth.addresses import away_redirect, provider_address, redirect_for
from datapallas.oauth.arrival import Arrival
from datapallas.oauth.asked import Asked, expected_mailbox
from datapallas.oauth.browser import open_address
from datapallas.oauth.discovery import Metadata, discover
from datapallas.oauth.exchange import ask
from datapallas.oauth.keeping import Keeping, prove
from datapallas.oauth.loopback import Loopback
from datapallas.oauth.pages import Page
from datapallas.oauth.token import SignedIn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datapallas.connection.folder import Folder
    from datapallas.connection.model import OAuth2Client
    from datapallas.connection.provider_help import ProviderHelp
    from datapallas.oauth.authorization import AuthorizationCode, AuthorizationRequest
    from datapallas.oauth.device import DeviceCode
    from datapallas.oauth.endpoint import Endpoint

__all__ = ["Arrival", "Guide", "SignIn", "SignedIn", "Wanted", "Way", "expected_mailbox"]

SECONDS = 300.0
_FIRST_PORT, _PORTS = 49152, 16384  # RFC 6335 section 6: ports nobody is assigned


class Way(StrEnum):
    """How a person signs in.

    BROWSER: on this machine; a listener waits for it. PASTE: anywhere; the person brings the address back.
    DEVICE: by a code that is typed on another device. REDIRECT: the browser comes back to a web page of ours.
    """

    BROWSER = "browser"
    PASTE = "paste"
    DEVICE = "device"
    REDIRECT = "redirect"


class Guide(Protocol):
    """What the person is shown: `register` and `visit`, or `type_code`; then `waiting`."""

    def register(self, redirect_uri: str, help_: ProviderHelp) -> None:
        """The redirect URI that must be registered (empty: none), and where. A port in it does not matter."""
        ...

    def visit(self, url: str, *, opened: bool) -> None:
        """The address to sign in at; `opened` when a browser was started with it."""
        ...

    def type_code(self, code: DeviceCode) -> None:
        """The code to type, and where."""
        ...

    def waiting(self, seconds: float) -> None:
        """We wait for the person, this long at most."""
        ...

    def notice(self, sentence: str) -> None:
        """Something worth knowing that stops nothing."""
        ...


def _open(url: str) -> bool:
    return open_address(url, os.environ)


def _nothing(_: Arrival) -> None:
    """The answer comes by itself."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """How to sign in.

    Attributes:
        endpoint: sends requests; its clock is ours.
        guide: shows the person what to do.
        way: see Way.
        accept_account: another account than the connection's mailbox is fine.
        redirect_uri: overrides where the browser comes back to; BROWSER: loopback http, a port only when it must be
            fixed; PASTE and REDIRECT: https too.
        issuer: the provider's issuer; its metadata then tells whether `iss` must come, and where userinfo and device
            codes are.
        seconds: how long to wait for the person.
        open_browser: opens an address; False when it cannot.
        fetch: PASTE: called while we wait, to bring what the person pastes to `Arrival.paste`; may return early.
        arrival: ends it, or brings the answer, from another thread.
        finishing: is told when the person has done their part.
        entropy: gives that many random bytes.
    """

    endpoint: Endpoint
    guide: Guide
    way: Way = Way.BROWSER
    accept_account: bool = False
    redirect_uri: str = ""
    issuer: str = ""
    seconds: float = SECONDS
    open_browser: Callable[[str], bool] = _open
    fetch: Callable[[Arrival], None] = _nothing
    arrival: Arrival | None = None
    finishing: Callable[[], None] = lambda: None
    entropy: Callable[[int], bytes] = secrets.token_bytes

    def connect(self, folder: Folder, code: str) -> SignedIn:
        """Sign in with the connection `code` as it is stored, and store it there. Raises as `into`."""
        return self.into(prove(folder, folder.load(code)))

    def into(self, place: Keeping) -> SignedIn:
        """Sign in and store it in a place that was proven.

        Raises SignInAborted, SignInRejected (code ``wrong-account``, ``narrow-scope``, ``no-refresh-token``,
        ``id-token``), TokenRefused, Unreachable, TlsRefused, ProtocolError, ConfigurationError, KeyProblem,
        StorageError; whatever it is, nothing was stored.
        """
        wanted = Wanted(mailbox=place.mailbox, subject=place.subject, accept_account=self.accept_account)
        return self._run(place.client, wanted, lambda state: place.store(state, self.endpoint.clock.wall()))

    def run(self, client: OAuth2Client, mailbox: str = "") -> SignedIn:
        """Sign in and give the result, storing nothing. The client's secret must be open. Raises as `into`."""
        wanted = Wanted(mailbox=mailbox or client.login_hint, accept_account=self.accept_account)
        return self._run(client, wanted, lambda state: state)

    def _run(self, client: OAuth2Client, wanted: Wanted, keep: Callable[[SignedIn], SignedIn]) -> SignedIn:
        metadata = discover(self.endpoint, self.issuer) if self.issuer else None
        provider_address(provider.token_url(client), "token address")
        asked = Asked(
            endpoint=self.endpoint, client=client, wanted=wanted, metadata=metadata, notice=self.guide.notice
        )
        arrival = self.arrival or Arrival(self.endpoint.clock)
        match self.way:
            case Way.BROWSER:
                return self._by_listener(asked, arrival, keep)
            case Way.DEVICE:
                return self._by_device(asked, arrival, keep)
            case _:
                return self._by_answer(asked, arrival, keep)

    def _by_listener(self, asked: Asked, arrival: Arrival, keep: Callable[[SignedIn], SignedIn]) -> SignedIn:
        """RFC 8252 section 7.3."""
        with Loopback(redirect_for(asked.client, self.redirect_uri), self.endpoint.clock) as listener:
            begun = self._begin(asked, listener.redirect_uri)
            arrival.expect(begun, listener.stop)
            until = self._show(begun)
            with _named(begun):
                listener.wait(arrival.offer, until)
                found = arrival.take(until)
            kept = self._redeem(asked, found, arrival, keep)
            listener.answer(Page.SIGNED_IN)
            return kept

    def _by_answer(self, asked: Asked, arrival: Arrival, keep: Callable[[SignedIn], SignedIn]) -> SignedIn:
        """The browser is elsewhere; what it ends with is brought to `arrival`."""
        port = _FIRST_PORT + int.from_bytes(self.entropy(2)) % _PORTS
        begun = self._begin(asked, away_redirect(asked.client, self.redirect_uri, port))
        arrival.expect(begun)
        until = self._show(begun)
        with _named(begun):
            self.fetch(arrival)
            found = arrival.take(until)
        return self._redeem(asked, found, arrival, keep)

    def _by_device(self, asked: Asked, arrival: Arrival, keep: Callable[[SignedIn], SignedIn]) -> SignedIn:
        """RFC 8628."""
        arrival.check()
        begun = device.begin(asked, self.seconds)
        self.guide.type_code(begun.code)
        self.guide.waiting(begun.code.seconds)
        tokens, answer = begun.wait(arrival.pause)
        self.finishing()
        state = asked.signed_in(tokens, answer)
        arrival.commit()
        return keep(state)

    def _begin(self, asked: Asked, redirect_uri: str) -> AuthorizationRequest:
        issuer = _expected(asked.metadata)
        return authorization.begin(asked.client, redirect_uri, entropy=self.entropy, issuer=issuer)

    def _show(self, begun: AuthorizationRequest) -> float:
        """Tell the person what to do; until when we wait (monotonic)."""
        client = begun.client
        registered = self.redirect_uri or provider.redirect_uri_to_register(client)
        self.guide.register(registered, PROVIDER_HELP[client.provider])
        self.guide.visit(begun.url, opened=self.way is Way.BROWSER and self.open_browser(begun.url))
        self.guide.waiting(self.seconds)
        return self.endpoint.clock.monotonic() + self.seconds

    def _redeem(
        self,
        asked: Asked,
        found: AuthorizationCode,
        arrival: Arrival,
        keep: Callable[[SignedIn], SignedIn],
    ) -> SignedIn:
        self.finishing()
        client = asked.client
        tokens, answer = ask(self.endpoint, provider.token_url(client), grants.code(client, found))
        state = asked.signed_in(tokens, answer, found.nonce)
        arrival.commit()
        return keep(state)


@contextlib.contextmanager
def _named(begun: AuthorizationRequest) -> Iterator[None]:
    """A redirect that is not registered is shown in the browser only; the advice needs to name it."""
    try:
        yield
    except SignInAborted as problem:
        problem.facts.setdefault("redirect_uri", begun.redirect_uri)
        problem.facts.setdefault("client_id", begun.client.client_id)
        raise


def _expected(metadata: Metadata | None) -> authorization.ExpectedIssuer:
    if metadata is None:
        return authorization.ExpectedIssuer()
    return authorization.ExpectedIssuer(metadata.issuer, metadata.sends_issuer)
