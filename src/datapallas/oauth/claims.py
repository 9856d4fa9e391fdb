"""Who signed in, as an id_token says it (OpenID Connect Core section 2).

Must stay true: the claims are believed only because they came from the token endpoint over verified TLS, which
section 3.1.3.7 rule 6 allows in place of the signature; so `read` is called on nothing that came another way.
Issuer, audience, end and nonce are checked all the same: they prove that the answer is for this request.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hmac
import json
from typing import TYPE_CHECKING, Any

from datapallas.connection import provider
from datapallas.connection.model import Provider
from datapallas.errors import ProtocolError, SignInRejected
from datapallas.oauth.answers import printable

if TYPE_CHECKING:
    from datapallas.connection.model import OAuth2Client
    from datapallas.secret import Secret

_LEEWAY = 300.0  # seconds a clock may be off, after the provider's own Date was taken into account


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What an id_token tells.

    Attributes:
        addresses: every address or login name it holds, the best first, as written.
        subject: Microsoft's `oid` where it is, else `sub`: the account's number, which never changes hands.
        tenant: Microsoft's `tid`, or empty.
        issuer: `iss`.
    """

    addresses: tuple[str, ...]
    subject: str
    tenant: str
    issuer: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What an id_token must match. `now` is wall time; `nonce` None skips it (a refresh has none)."""

    client: OAuth2Client
    now: float
    nonce: Secret | None = None
    issuer: str = ""


def read(id_token: Secret, expected: Expected) -> Claims:
    """The claims of a token that is for us.

    Raises ProtocolError when it is not a JWT, SignInRejected (code ``id-token``) when it is not for this request.
    """
    data = _payload(id_token)
    issuer, tenant = _word(data, "iss"), _word(data, "tid")
    client = expected.client
    microsoft_template = "{tenantid}" in expected.issuer
    exact = expected.issuer.replace("{tenantid}", tenant) if microsoft_template else expected.issuer
    if (exact and issuer != exact) or not issuer or not provider.issuer_ok(client, issuer, tenant):
        raise _not_for_us("another provider or tenant issued it", issuer)
    audience = data.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if client.client_id not in audiences or data.get("azp", client.client_id) != client.client_id:
        raise _not_for_us("it is for another application", issuer)
    end = data.get("exp")
    if isinstance(end, bool) or not isinstance(end, int | float) or end + _LEEWAY < expected.now:
        raise _not_for_us("it has ended; check this machine's clock", issuer)
    nonce = expected.nonce
    if nonce is not None and not hmac.compare_digest(_word(data, "nonce").encode(), nonce.reveal().encode()):
        raise _not_for_us("it is for another sign-in", issuer)
    return Claims(
        addresses=_addresses(data, client),
        subject=_word(data, "oid") or _word(data, "sub"),
        tenant=tenant,
        issuer=issuer,
    )


def from_userinfo(data: dict[str, Any], client: OAuth2Client) -> Claims:
    """The same from a userinfo answer (OpenID Connect Core section 5.3.2), for providers that send no id_token."""
    return Claims(addresses=_addresses(data, client), subject=_word(data, "sub"), tenant="", issuer="")


def _addresses(data: dict[str, Any], client: OAuth2Client) -> tuple[str, ...]:
    """Microsoft's `email` may be anything the user typed in personal accounts, so its login name goes first."""
    microsoft = client.provider is Provider.MICROSOFT
    names = ("preferred_username", "upn", "email") if microsoft else ("email", "preferred_username", "upn")
    found = (_word(data, name) for name in names)
    return tuple(dict.fromkeys(word for word in found if "@" in word))


def _payload(id_token: Secret) -> dict[str, Any]:
    header, _, rest = id_token.reveal().partition(".")
    middle, _, signature = rest.partition(".")
    data = None
    if header and signature and "." not in signature:
        with contextlib.suppress(ValueError, RecursionError):
            data = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    if not isinstance(data, dict):
        raise ProtocolError("The provider sent an id_token that cannot be read.", case="id-token-unreadable")
    return data


def _word(data: dict[str, Any], name: str) -> str:
    value = data.get(name)
    return printable(value, 320) if isinstance(value, str) else ""


def _not_for_us(reason: str, issuer: str) -> SignInRejected:
    return SignInRejected(
        f"The provider's proof of who signed in was not accepted: {reason}.",
        code="id-token",
        reason=reason,
        issuer=issuer,
    )
