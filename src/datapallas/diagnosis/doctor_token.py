"""The doctor's checks of the token: the provider gives one, for the right service, with the right to send, for the mailbox.

Must stay true: a token is looked into, never changed, and never shown. Many are opaque (Microsoft's personal accounts,
Google): then what the provider said beside it counts. What only a mail server can decide is a suspicion, not a cause.
"""

from __future__ import annotations

import base64
import contextlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from datapallas.connection import provider
from datapallas.connection.model import Provider
from datapallas.errors import DataPallasError, SignInError
from datapallas.oauth.acceptance import missing_scopes
from datapallas.oauth.answers import printable, read_object

if TYPE_CHECKING:
    from datapallas.connection.model import OAuth2Client
    from datapallas.diagnosis.doctor_case import Case
    from datapallas.secret import Secret

# The names Exchange Online goes by in a token (learn.microsoft.com, see connection/provider.py).
_EXCHANGE_ID = "00000002-0000-0ff1-ce00-000000000000"
_EXCHANGE_HOSTS = frozenset(
    {
        "outlook.office.com",
        "outlook.office365.com",
        "outlook.office365.us",
        "partner.outlook.cn",
        "ps.outlook.com",
    }
)
_APP_RIGHT = "SMTP.SendAsApp"
_NAMES = ("upn", "preferred_username", "unique_name", "email")
_PARTS_OF_JWT = 3


def without_token(case: Case) -> str:
    """A token needs a sign-in."""
    if case.client is None:
        return "it signs in with a password"
    if not case.code:
        return "needs a connection with a sign-in"
    return "nobody has signed in yet" if case.signed_out else ""


def token(case: Case) -> str:
    """The provider gives an access token for the stored sign-in or to the app itself; also when it refused before."""
    case.token = case.tokens.refresh()
    left = case.token.expires_at - case.endpoint.clock.monotonic()
    kept = "app-only, no sign-in needed" if case.known.app_only else "the sign-in is kept"
    return f"a new one, good for {left / 60:.0f} minutes; {kept}"


def rights(case: Case) -> str:
    """The token is for the mail service, and may send."""
    client, claims = _client(case), _claims(case)
    audience = _text(claims, "aud")
    if client.provider is Provider.MICROSOFT and audience and not _is_exchange(audience, client):
        raise SignInError(
            f"The access token is for another service than mail: {audience}.",
            code="token-audience",
            audience=audience,
        )
    granted, where = _granted(case, claims)
    if client.app_only and client.provider is Provider.MICROSOFT and audience:
        _check_app_right(granted)
    missing = () if _APP_RIGHT in granted else missing_scopes(client, granted)
    if not missing:
        return f"{where}: {granted}" if granted else "the provider does not say"
    problem = SignInError(
        f"The access token may not send mail: {' '.join(missing)} is missing.",
        code="token-scope",
        missing=" ".join(missing),
        granted=granted,
    )
    if (
        client.provider is Provider.GENERIC and where == "in the token"
    ):  # each names rights in its own way there
        case.suspicion = problem
        return f"{where}: {granted}"
    raise problem


def _check_app_right(granted: str) -> None:
    """Entra gives an app a token also when nobody allowed it anything: then the token holds no roles."""
    if _APP_RIGHT not in granted.split():
        raise SignInError(
            f"The app may not send mail: its token does not hold {_APP_RIGHT}.",
            code="app-right",
            missing=_APP_RIGHT,
            granted=granted,
        )


def account(case: Case) -> str:
    """The token belongs to the mailbox that sends."""
    mailbox = case.known.mailbox
    if case.known.app_only:
        return f"app-only as {mailbox}: the mail server decides whether the app may"
    claims = _claims(case)
    names = [_text(claims, name) for name in _NAMES]
    who = next((name for name in names if "@" in name), "") or _asked(case)
    if not who:
        return f"the provider does not say; {mailbox} is taken"
    if who.lower() != mailbox.lower():
        # An alias is fine, and only the mail server knows aliases.
        case.suspicion = SignInError(
            f"The access token belongs to {who}, and the mailbox is {mailbox}.",
            code="account-mismatch",
            account=who,
            mailbox=mailbox,
        )
        return f"the token is {who}'s, the mailbox is {mailbox}: the mail server decides"
    sender = case.known.from_address
    if sender and "${" not in sender and sender.lower() != mailbox.lower():
        return f"{who}; it sends as {sender}, which needs the right to"
    return who


def _client(case: Case) -> OAuth2Client:
    if case.client is None:
        raise LookupError("a password has no token")
    return case.client


def _granted(case: Case, claims: dict[str, Any]) -> tuple[str, str]:
    """What the token may do, and who says so."""
    roles = claims.get("roles")
    words = [role for role in roles if isinstance(role, str)] if isinstance(roles, list) else []
    inside = " ".join(filter(None, (_text(claims, "scp") or _text(claims, "scope"), *words)))
    if inside:
        return inside, "in the token"
    return (case.token.scope if case.token else ""), "as the provider said"


def _claims(case: Case) -> dict[str, Any]:
    return _peek(case.token.value) if case.token else {}


def _peek(value: Secret) -> dict[str, Any]:
    """What stands in a token that is a JWT (RFC 9068); nothing for any other. It is read, not believed."""
    parts = value.reveal().split(".")
    if len(parts) == _PARTS_OF_JWT:
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
            return found if isinstance(found, dict) else {}
    return {}


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if isinstance(value, list):  # RFC 7519 section 4.1.3: an audience may be a list
        value = " ".join(item for item in value if isinstance(item, str))
    return printable(value, 400) if isinstance(value, str) else ""


def _is_exchange(audience: str, client: OAuth2Client) -> bool:
    wanted = {urlsplit(scope).hostname for scope in provider.mail_scopes(client)} | _EXCHANGE_HOSTS
    return any(
        word == _EXCHANGE_ID or (urlsplit(word).hostname or word) in wanted for word in audience.split()
    )


def _asked(case: Case) -> str:
    """The account as the provider's userinfo says it, or empty; the address came with its own metadata."""
    url = case.metadata.userinfo_url if case.metadata else ""
    if not url or not case.token or _client(case).provider is Provider.MICROSOFT:  # Microsoft's is Graph's
        return ""
    with contextlib.suppress(DataPallasError):  # it is an extra
        answer = case.endpoint.get(url, case.token.value)
        return _text(read_object(answer.status, answer.headers, answer.body), "email")
    return ""
