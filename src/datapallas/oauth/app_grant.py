"""What an app asks with when nobody signs in: client credentials, or a signed statement (RFC 6749 section 4.4, RFC 7523).

Must stay true: pure, time and chance are arguments; an assertion names the address it is sent to as its audience, is
good for ten minutes at most, and is a `Secret`.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import TYPE_CHECKING

from datapallas.connection import provider
from datapallas.connection.model import Flow, OAuth2Client, Provider
from datapallas.errors import ConfigurationError
from datapallas.oauth import grants
from datapallas.secret import Secret

if TYPE_CHECKING:
    from datapallas.oauth.app_key import AppKey
    from datapallas.oauth.grants import Form

LIFE = 600  # seconds an assertion is good: RFC 7523 section 3 leaves it open, Microsoft takes ten minutes
_P256 = 32  # bytes of one number of an ES256 signature (RFC 7518 section 3.4)


@dataclasses.dataclass(frozen=True, slots=True)
class Moment:
    """When, wall seconds, and a text nobody else has used (`jti`)."""

    now: float
    unique: str


def request(client: OAuth2Client, mailbox: str, key: AppKey | None, moment: Moment) -> Form:
    """The form that asks for an access token for `mailbox`; the client's secret is open.

    Raises ConfigurationError (code ``app-key``): `case` is none, kind, or no-certificate.
    """
    if client.flow is Flow.SERVICEACCOUNT:
        if key is None:
            raise _lacks("none", "The key file of the service account is not set.")
        return _service_account(client, mailbox, key, moment)
    scope = provider.scope(client)
    if key is None:
        if not client.client_secret:
            raise _lacks("none", "App-only needs a certificate or a client secret, and neither is set.")
        return grants.client_credentials(client, scope)
    if client.provider is Provider.MICROSOFT and not key.rsa:
        raise _lacks("kind", "Microsoft takes RSA keys only.")
    if client.provider is Provider.MICROSOFT and not key.thumbprint:
        raise _lacks("no-certificate", "The file has a key but no certificate, which Microsoft knows it by.")
    claims: dict[str, object] = {"iss": client.client_id, "sub": client.client_id} | _about(client, moment)
    return grants.client_credentials(client, scope, signed(key, claims, _algorithm(client, key)))


def _service_account(client: OAuth2Client, mailbox: str, key: AppKey, moment: Moment) -> Form:
    """RFC 7523 section 2.1; Google has the scope inside (developers.google.com/identity/protocols/oauth2/service-account)."""
    claims: dict[str, object] = {"iss": key.account or client.client_id, "sub": mailbox} | _about(
        client, moment
    )
    if client.provider is Provider.GOOGLE:
        claims["scope"] = provider.scope(client)
        return grants.jwt_bearer(signed(key, claims, _algorithm(client, key)))
    return grants.jwt_bearer(signed(key, claims, _algorithm(client, key)), provider.scope(client))


def _about(client: OAuth2Client, moment: Moment) -> dict[str, object]:
    now = int(moment.now)
    return {"aud": provider.token_url(client), "iat": now, "exp": now + LIFE, "jti": moment.unique}


def _algorithm(client: OAuth2Client, key: AppKey) -> str:
    """RS256 is what everybody knows (RFC 7518 section 3.1); Microsoft's own library sends PS256 with a SHA-256 thumbprint."""
    if not key.rsa:
        return "ES256"
    return "PS256" if client.provider is Provider.MICROSOFT else "RS256"


def signed(key: AppKey, claims: dict[str, object], algorithm: str) -> Secret:
    """A JWT (RFC 7519, in the compact form of RFC 7515) signed by `key`."""
    head = {"alg": algorithm, "typ": "JWT"}
    if key.thumbprint:
        head["x5t#S256"] = key.thumbprint
    if key.key_id:
        head["kid"] = key.key_id
    text = f"{_b64(json.dumps(head).encode())}.{_b64(json.dumps(claims).encode())}"
    return Secret(f"{text}.{_b64(_signature(key, text.encode(), algorithm))}")


def _signature(key: AppKey, data: bytes, algorithm: str) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    private, digest = key.private, hashes.SHA256()
    if isinstance(private, rsa.RSAPrivateKey):
        if algorithm == "PS256":  # RFC 7518 section 3.5: the salt is as long as the hash
            return private.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        return private.sign(data, padding.PKCS1v15(), digest)
    numbers = decode_dss_signature(private.sign(data, ec.ECDSA(digest)))
    return b"".join(number.to_bytes(_P256, "big") for number in numbers)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _lacks(case: str, why: str) -> ConfigurationError:
    return ConfigurationError(why, code="app-key", case=case)
