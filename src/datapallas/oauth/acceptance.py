"""Whether a sign-in that worked is the one that was wanted: the right account, the rights, and a token that lasts.

Must stay true: a sign-in that fails here stores nothing, and says what is missing and what to do about it. Pure.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from datapallas.connection import provider
from datapallas.connection.model import Provider
from datapallas.errors import SignInRejected
from datapallas.oauth.clock import iso
from datapallas.oauth.token import SignedIn, ends_at

if TYPE_CHECKING:
    from datapallas.connection.model import OAuth2Client
    from datapallas.oauth.answers import TokenAnswer
    from datapallas.oauth.claims import Claims

# Exchange Online's older name for the same resource (facts of the provider: both are in its documents).
_SAME_HOST = {"outlook.office365.com": "outlook.office.com"}

_NO_REFRESH_TOKEN = {
    Provider.MICROSOFT: "Add offline_access to the scope of the connection, and sign in again.",
    Provider.GOOGLE: "Remove the application at https://myaccount.google.com/connections and sign in again; "
    "Google gives a refresh token only with a fresh consent.",
    Provider.GENERIC: "Add offline_access to the scope (it is asked for with prompt=consent then), allow refresh "
    "tokens for this client at the provider, and sign in again.",
}
_NARROW = {
    Provider.MICROSOFT: "Add the permission to the app registration (API permissions, Office 365 Exchange Online, "
    "delegated), grant consent, and sign in again.",
    Provider.GOOGLE: "Sign in again and leave the box for Gmail ticked on Google's page.",
    Provider.GENERIC: "Allow the scope for this client at the provider, and sign in again.",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the connection expects of a sign-in.

    Attributes:
        mailbox: the address that should sign in; empty when any may.
        subject: the account's number from an earlier sign-in, or empty.
        accept_account: the person said that another account is fine.
    """

    mailbox: str = ""
    subject: str = ""
    accept_account: bool = False


def accept(
    client: OAuth2Client, answer: TokenAnswer, who: Claims | None, wanted: Wanted, *, wall: float
) -> SignedIn:
    """The sign-in as it may be stored; `wall` is when the answer came.

    Raises SignInRejected: code ``no-refresh-token``, ``narrow-scope`` or ``wrong-account``.
    """
    _check_scope(client, answer.scope)
    if answer.refresh_token is None:
        raise SignInRejected(
            "The sign-in worked, but the provider gave no refresh token, so it would end within the hour.",
            code="no-refresh-token",
            fix=_NO_REFRESH_TOKEN.get(client.provider, ""),
            asked=provider.scope(client),
        )
    return SignedIn(
        account=_account(who, wanted),
        account_known=bool(who and who.addresses),
        refresh_token=answer.refresh_token,
        granted_scope=answer.scope or provider.scope(client),  # RFC 6749 section 5.1: none means as asked
        issued_at=iso(wall),
        tenant=who.tenant if who else "",
        subject=who.subject if who else "",
        refresh_expires_at=ends_at(answer, wall),
        issuer=who.issuer if who else "",
    )


def missing_scopes(client: OAuth2Client, granted: str) -> tuple[str, ...]:
    """What mail needs and the provider did not grant, in order; empty when all is there or it did not say."""
    if not granted:
        return ()
    have = {_comparable(scope, client) for scope in granted.split()}
    return tuple(
        sorted(s for s in provider.mail_scopes(client) if not _granted(_comparable(s, client), have))
    )


def _check_scope(client: OAuth2Client, granted: str) -> None:
    missing = missing_scopes(client, granted)
    if missing:
        raise SignInRejected(
            f"The sign-in worked, but the provider did not grant {' '.join(missing)}, so no mail could be sent.",
            code="narrow-scope",
            missing=" ".join(missing),
            granted=granted,
            fix=_NARROW.get(client.provider, ""),
        )


def _comparable(scope: str, client: OAuth2Client) -> tuple[str, str]:
    """A scope as (resource, right). Only Microsoft's are case-insensitive and come with or without the resource."""
    if client.provider is not Provider.MICROSOFT:
        return "", scope
    parts = urlsplit(scope.lower())
    host = (parts.netloc or "").removesuffix(":443")
    return _SAME_HOST.get(host, host), parts.path.strip("/")


def _granted(wanted: tuple[str, str], have: set[tuple[str, str]]) -> bool:
    return wanted in have or ("", wanted[1]) in have


def _account(who: Claims | None, wanted: Wanted) -> str:
    """The address to sign in to SMTP with. Raises SignInRejected for somebody else's."""
    if who is None or not (who.addresses or who.subject):
        return wanted.mailbox
    mine = [address for address in who.addresses if address.lower() == wanted.mailbox.lower()]
    other_number = wanted.subject and who.subject and wanted.subject != who.subject
    if not wanted.accept_account:
        if who.addresses and wanted.mailbox and not mine:
            raise _wrong(
                f"{who.addresses[0]} signed in, but this connection belongs to {wanted.mailbox}", who, wanted
            )
        if other_number:  # the same address, given to somebody else, or claimed by another tenant
            raise _wrong(f"another account signed in under the address {wanted.mailbox}", who, wanted)
    return (mine or list(who.addresses) or [wanted.mailbox])[0]


def _wrong(what: str, who: Claims, wanted: Wanted) -> SignInRejected:
    return SignInRejected(
        f"Nothing was stored: {what}.",
        code="wrong-account",
        account=who.addresses[0] if who.addresses else "",
        mailbox=wanted.mailbox,
        fix="Sign in as the mailbox's own user (a private browser window helps), or agree with --accept-account.",
    )
