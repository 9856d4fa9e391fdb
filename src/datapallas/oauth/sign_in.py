"""From "sign in" to a stored refresh token, through the person's browser.

Must stay true:
- before the browser opens, it is proven that the result can be kept: file, lock, key, space, port;
- nothing is stored unless everything is right, and the browser says "signed in" only after it is stored;
- nothing is printed here: the caller's `Guide` shows what a person must see.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
from typing import TYPE_CHECKING, Protocol

from datapallas.connection import provider
from datapallas.connection.model import OAuth2Client
from datapallas.connection.update import Granted
from datapallas.errors import DataPallasError, SignInAborted, SignInRejected
from datapallas.oauth import authorization, claims, grants
from datapallas.oauth.acceptance import Wanted, accept
from datapallas.oauth.addresses import provider_address, redirect_for
from datapallas.oauth.answers import read_object
from datapallas.oauth.browser import open_address
from datapallas.oauth.client import opened_client
from datapallas.oauth.clock import iso
from datapallas.oauth.discovery import Metadata, discover
from datapallas.oauth.exchange import ask
from datapallas.oauth.loopback import Loopback
from datapallas.oauth.pages import Page
from datapallas.oauth.token import SignedIn

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.connection.folder import Folder
    from datapallas.connection.model import Connection
    from datapallas.oauth.answers import TokenAnswer
    from datapallas.oauth.authorization import AuthorizationCode, AuthorizationRequest
    from datapallas.oauth.endpoint import Answer, Endpoint

__all__ = ["Guide", "SignIn", "SignedIn", "Wanted", "expected_mailbox"]

SECONDS = 300.0


class Guide(Protocol):
    """What the person is shown, in this order."""

    def register(self, redirect_uri: str, help_: provider.ProviderHelp) -> None:
        """The redirect URI that must be registered (empty: none), and where. A port in it does not matter."""
        ...

    def visit(self, url: str, *, opened: bool) -> None:
        """The address to sign in at; `opened` when a browser was started with it."""
        ...

    def waiting(self, seconds: float) -> None:
        """We wait for the browser, this long at most."""
        ...

    def notice(self, sentence: str) -> None:
        """Something worth knowing that stops nothing."""
        ...


def _open(url: str) -> bool:
    return open_address(url, os.environ)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """How to sign in.

    Attributes:
        endpoint: sends requests; its clock is ours.
        guide: shows the person what to do.
        accept_account: another account than the connection's mailbox is fine.
        redirect_uri: overrides where the browser comes back to; loopback http, a port only when it must be fixed.
        issuer: GENERIC: the provider's issuer; its metadata then tells whether `iss` must come, and where userinfo is.
        seconds: how long to wait for the browser.
        open_browser: opens an address; False when it cannot.
        entropy: gives that many random bytes.
    """

    endpoint: Endpoint
    guide: Guide
    accept_account: bool = False
    redirect_uri: str = ""
    issuer: str = ""
    seconds: float = SECONDS
    open_browser: Callable[[str], bool] = _open
    entropy: Callable[[int], bytes] = secrets.token_bytes

    def connect(self, folder: Folder, code: str) -> SignedIn:
        """Sign in and store it in the connection `code`.

        Raises SignInAborted, SignInRejected (code ``wrong-account``, ``narrow-scope``, ``no-refresh-token``,
        ``id-token``), TokenRefused, Unreachable, TlsRefused, ProtocolError, ConfigurationError, KeyProblem,
        StorageError; whatever it is, nothing was stored.
        """
        before, client, subject = _preflight(folder, code)
        wanted = Wanted(mailbox=expected_mailbox(before), subject=subject, accept_account=self.accept_account)
        return self._run(
            client, wanted, lambda state: _store(folder, before, state, self.endpoint.clock.wall())
        )

    def run(self, client: OAuth2Client, mailbox: str = "") -> SignedIn:
        """Sign in and give the result, storing nothing. The client's secret must be open. Raises as `connect`."""
        wanted = Wanted(mailbox=mailbox or client.login_hint, accept_account=self.accept_account)
        return self._run(client, wanted, lambda state: state)

    def _run(self, client: OAuth2Client, wanted: Wanted, keep: Callable[[SignedIn], SignedIn]) -> SignedIn:
        metadata = discover(self.endpoint, self.issuer) if self.issuer else None
        provider_address(provider.token_url(client), "token address")
        redirect = redirect_for(client, self.redirect_uri)
        with Loopback(redirect, self.endpoint.clock) as listener:
            begun = authorization.begin(
                client, listener.redirect_uri, entropy=self.entropy, issuer=_expected(metadata)
            )
            registered = self.redirect_uri or provider.redirect_uri_to_register(client)
            self.guide.register(registered, provider.PROVIDER_HELP[client.provider])
            self.guide.visit(begun.url, opened=self.open_browser(begun.url))
            self.guide.waiting(self.seconds)
            found = self._wait(listener, begun)
            kept = keep(self._redeem(begun, found, wanted, metadata))
            listener.answer(Page.SIGNED_IN)
            return kept

    def _wait(self, listener: Loopback, begun: AuthorizationRequest) -> AuthorizationCode:
        until = self.endpoint.clock.monotonic() + self.seconds
        try:
            return listener.wait(lambda query: authorization.check_callback(begun, query), until)
        except SignInAborted as problem:
            # A redirect that is not registered is shown in the browser only; the advice needs to name it.
            problem.facts.setdefault("redirect_uri", begun.redirect_uri)
            problem.facts.setdefault("client_id", begun.client.client_id)
            raise

    def _redeem(
        self,
        begun: AuthorizationRequest,
        found: AuthorizationCode,
        wanted: Wanted,
        metadata: Metadata | None,
    ) -> SignedIn:
        client = begun.client
        tokens, answer = ask(self.endpoint, provider.token_url(client), grants.code(client, found))
        self._tell_skew(answer)
        # The provider's own time, so that a wrong clock here does not refuse a good proof.
        now = self.endpoint.clock.wall()
        expected = claims.Expected(
            client=client,
            now=now + answer.clock_skew,
            nonce=found.nonce,
            issuer=metadata.issuer if metadata else "",
        )
        state = accept(client, tokens, self._who(tokens, expected, metadata), wanted, wall=now)
        if not state.account_known:
            named = f"; {state.account} is assumed" if state.account else ""
            self.guide.notice(f"The provider did not say who signed in{named}.")
        return state

    def _who(
        self, tokens: TokenAnswer, expected: claims.Expected, metadata: Metadata | None
    ) -> claims.Claims | None:
        """Who signed in: the id_token's word, else userinfo's, else nobody's."""
        who = claims.read(tokens.id_token, expected) if tokens.id_token is not None else None
        if who is not None and who.addresses:
            return who
        if metadata is None and who is not None:
            metadata = self._published(who.issuer, expected.client)
        if metadata is None or not metadata.userinfo_url:
            return who
        with contextlib.suppress(DataPallasError):  # it is an extra; the sign-in does not fail for it
            answer = self.endpoint.get(metadata.userinfo_url, tokens.access_token)
            told = claims.from_userinfo(
                read_object(answer.status, answer.headers, answer.body), expected.client
            )
            # OpenID Connect Core section 5.3.2: another subject than the id_token's is not to be used.
            if who is None or told.subject == who.subject:
                return told
        return who

    def _published(self, issuer: str, client: OAuth2Client) -> Metadata | None:
        """The metadata of the issuer an id_token names, when it really is the provider the token came from.

        By the book (OpenID Connect Core section 5.4) the address is at userinfo and not in the id_token.
        """
        with contextlib.suppress(DataPallasError):
            metadata = discover(self.endpoint, issuer)
            if metadata.token_url == provider.token_url(client):
                return metadata
        return None

    def _tell_skew(self, answer: Answer) -> None:
        if answer.clock_skew:
            way = "behind" if answer.clock_skew > 0 else "ahead of"
            minutes = abs(answer.clock_skew) / 60
            self.guide.notice(f"This machine's clock is {minutes:.0f} minutes {way} the provider's.")


def expected_mailbox(connection: Connection) -> str:
    """The address that should sign in: the one that did before, the one that was named, or the sender."""
    client = connection.credential
    if not isinstance(client, OAuth2Client):
        return connection.mailbox
    address = client.user_email or client.login_hint or connection.from_address
    return "" if "${" in address else address


def _expected(metadata: Metadata | None) -> authorization.ExpectedIssuer:
    if metadata is None:
        return authorization.ExpectedIssuer()
    return authorization.ExpectedIssuer(metadata.issuer, metadata.sends_issuer)


def _preflight(folder: Folder, code: str) -> tuple[Connection, OAuth2Client, str]:
    """Prove that the result can be kept; the connection, its client with its secret open, the last account's number."""
    with folder.locked_update(code) as update:
        client = opened_client(folder, update.connection)
        subject = ""
        with contextlib.suppress(DataPallasError):  # no sign-in yet, or one that no longer opens
            subject = update.opened().grant.subject
        with update.reserve():
            return update.connection, client, subject


def _store(folder: Folder, before: Connection, state: SignedIn, now: float) -> SignedIn:
    """Put the sign-in in the file; whatever was there or refreshed meanwhile is replaced (a higher generation wins)."""
    with folder.locked_update(before.code) as update, update.reserve():
        if _bound_to(update.connection) != _bound_to(before):
            raise SignInRejected(
                f"{before.code} was changed while the browser was open. Nothing was stored; sign in again.",
                code="changed-meanwhile",
                connection=before.code,
            )
        update.store_refresh_token(
            state.refresh_token,
            Granted(
                at=iso(now),
                issued_at=state.issued_at,
                user_email=state.account,
                scope=state.granted_scope,
                tid=state.tenant,
                subject=state.subject,
            ),
        )
        return dataclasses.replace(state, generation=update.opened().generation)


def _bound_to(connection: Connection) -> tuple[str, ...]:
    """What the sign-in was made for."""
    client = connection.credential
    if not isinstance(client, OAuth2Client):
        return ()
    return (
        client.client_id,
        provider.authorize_url(client),
        provider.token_url(client),
        provider.scope(client),
    )
