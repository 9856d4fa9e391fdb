"""The requests of RFC 6749 and its family, as forms: what is asked, not how it is sent.

Must stay true: a secret stays a `Secret` until `Form.body` or `Form.authorization`, which only `endpoint` calls;
`grant_type=password` exists nowhere (RFC 9700 section 2.4).
"""

from __future__ import annotations

import base64
import dataclasses
from typing import TYPE_CHECKING
from urllib.parse import quote_plus, urlencode

from datapallas.connection import provider
from datapallas.connection.model import Provider, Sealed
from datapallas.secret import Secret

if TYPE_CHECKING:
    from datapallas.connection.model import OAuth2Client
    from datapallas.oauth.authorization import AuthorizationCode

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"  # RFC 8628 section 3.4
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"  # RFC 7523 section 2.1
JWT_CLIENT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"  # RFC 7523 section 2.2
_SLOW_DOWN = 5.0  # RFC 8628 section 3.5: seconds, for this and all later requests


@dataclasses.dataclass(frozen=True, slots=True)
class Form:
    """One request body, and who asks.

    Attributes:
        fields: names and values in order.
        basic: client id and secret for HTTP Basic (RFC 6749 section 2.3.1), or empty.
    """

    fields: tuple[tuple[str, str | Secret], ...]
    basic: tuple[str, Secret] | tuple[()] = ()

    def body(self) -> bytes:
        """The form as it goes on the wire (application/x-www-form-urlencoded)."""
        plain = [
            (name, value.reveal() if isinstance(value, Secret) else value) for name, value in self.fields
        ]
        return urlencode(plain).encode("ascii")

    def authorization(self) -> str:
        """The value of the Authorization header, or empty. Both halves are form-encoded first, as the RFC says."""
        if not self.basic:
            return ""
        user, password = self.basic
        pair = f"{quote_plus(user)}:{quote_plus(password.reveal())}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    def secrets(self) -> tuple[Secret, ...]:
        """What must not come back in an error's text."""
        found = tuple(value for _, value in self.fields if isinstance(value, Secret))
        return found + ((self.basic[1],) if self.basic else ())

    def secret_in_body(self) -> Form:
        """The same request for a provider that knows no Basic: client id and secret as fields."""
        if not self.basic:
            return self
        user, password = self.basic
        others = tuple((name, value) for name, value in self.fields if name != "client_id")
        return Form((("client_id", user), *others, ("client_secret", password)))


def code(client: OAuth2Client, found: AuthorizationCode) -> Form:
    """Redeem a code (RFC 6749 section 4.1.3, RFC 7636 section 4.5)."""
    fields: list[tuple[str, str | Secret]] = [
        ("grant_type", "authorization_code"),
        ("code_verifier", found.verifier),
        ("code", found.code),
        ("redirect_uri", found.redirect_uri),
    ]
    return _as_client(client, fields + _resource(client))


def refresh(client: OAuth2Client, token: Secret) -> Form:
    """Get a new access token (RFC 6749 section 6).

    The scope is named for Microsoft only, where it chooses the resource; elsewhere none means "as granted".
    """
    fields: list[tuple[str, str | Secret]] = [("grant_type", "refresh_token"), ("refresh_token", token)]
    return _as_client(client, fields + _resource(client))


def device_start(client: OAuth2Client) -> Form:
    """Ask for a code that a person types on another device (RFC 8628 section 3.1).

    A client with a secret proves itself here too, where the RFC is kept; Microsoft and Google ask for the id alone.
    """
    asked: list[tuple[str, str | Secret]] = [("scope", provider.scope(client))]
    if client.provider is Provider.GENERIC:
        return _as_client(client, asked)
    return Form((("client_id", client.client_id), *asked))


def device_poll(client: OAuth2Client, device_code: Secret) -> Form:
    """Ask whether the person is done (RFC 8628 section 3.4)."""
    return _as_client(client, [("grant_type", DEVICE_GRANT), ("device_code", device_code)])


def next_interval(interval: float, error: str) -> float | None:
    """Seconds until the next poll after the answer `error`; None when polling is over (RFC 8628 section 3.5)."""
    if error == "slow_down":
        return interval + _SLOW_DOWN
    return interval if error == "authorization_pending" else None


def client_credentials(client: OAuth2Client, scope: str, assertion: Secret | None = None) -> Form:
    """App-only (RFC 6749 section 4.4): by a signed `assertion` (RFC 7523 section 2.2), else by the client secret."""
    fields: list[tuple[str, str | Secret]] = [("grant_type", "client_credentials"), ("scope", scope)]
    if assertion is None:
        return _as_client(client, fields)
    signed: list[tuple[str, str | Secret]] = [
        ("client_assertion_type", JWT_CLIENT),
        ("client_assertion", assertion),
    ]
    return Form((("client_id", client.client_id), *fields, *signed))


def jwt_bearer(assertion: Secret, scope: str = "") -> Form:
    """A service account acts for a mailbox (RFC 7523 section 2.1); Google has the scope inside the assertion."""
    asked: tuple[tuple[str, str | Secret], ...] = (("scope", scope),) if scope else ()
    return Form((("grant_type", JWT_GRANT), ("assertion", assertion), *asked))


def revocation(client: OAuth2Client, token: Secret) -> Form:
    """End a refresh token at the provider (RFC 7009 section 2.1)."""
    return _as_client(client, [("token", token), ("token_type_hint", "refresh_token")])


def client_secret(client: OAuth2Client) -> Secret | None:
    """The client's secret, or None for a public client. A sealed one must have been opened by the caller."""
    if isinstance(client.client_secret, Sealed):
        raise TypeError("the client secret is still sealed")
    return client.client_secret


def _resource(client: OAuth2Client) -> list[tuple[str, str | Secret]]:
    return [("scope", provider.scope(client))] if client.provider is Provider.MICROSOFT else []


def _as_client(client: OAuth2Client, fields: list[tuple[str, str | Secret]]) -> Form:
    """Say who asks. Microsoft and Google take the secret as a field; the RFC promises Basic for everyone else."""
    secret = client_secret(client)
    if secret and client.provider is Provider.GENERIC:
        return Form(tuple(fields), (client.client_id, secret))
    own: list[tuple[str, str | Secret]] = [("client_id", client.client_id)]
    if secret:
        own.append(("client_secret", secret))
    return Form((*own, *fields))
