"""What a provider publishes about itself (OpenID Connect Discovery 1.0, RFC 8414).

Must stay true: metadata is believed only when its `issuer` is the one that was asked for (RFC 8414 section 3.3),
and every address in it is https, or on this machine when the issuer is.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from datapallas.errors import ConfigurationError, DataPallasError, ProtocolError, TokenRefused
from datapallas.oauth.addresses import provider_address
from datapallas.oauth.answers import read_object

if TYPE_CHECKING:
    from typing import Any

    from datapallas.oauth.endpoint import Endpoint


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The part of a provider's metadata that we use; an address it does not have is empty.

    Attributes:
        issuer: as the provider writes it.
        sends_issuer: it promises `iss` in every callback (RFC 9207 section 3).
        scopes: what it says it knows; may be empty although it knows some.
    """

    issuer: str
    authorize_url: str
    token_url: str
    device_url: str = ""
    revoke_url: str = ""
    userinfo_url: str = ""
    sends_issuer: bool = False
    scopes: frozenset[str] = frozenset()


def discover(endpoint: Endpoint, issuer: str) -> Metadata:
    """Ask `issuer` for its metadata, at both well-known places.

    Raises ConfigurationError (code ``discovery``) when neither has it, and what `Endpoint.get` raises.
    """
    issuer = issuer.removesuffix("/.well-known/openid-configuration")
    provider_address(issuer, "issuer")
    first: DataPallasError | None = None
    for place in _places(issuer):
        answer = endpoint.get(place)
        try:
            return read_metadata(read_object(answer.status, answer.headers, answer.body), issuer)
        except (TokenRefused, ProtocolError) as problem:
            first = first or problem
    raise ConfigurationError(
        f"{issuer} publishes no OpenID metadata. Give --authorize-url, --token-url and --scope instead.",
        code="discovery",
        raw=(first.raw or first.message) if first else "",
        issuer=issuer,
    )


def read_metadata(data: dict[str, Any], issuer: str) -> Metadata:
    """The metadata in `data`, checked. Raises ConfigurationError (code ``discovery``, ``insecure-address``)."""
    named = data.get("issuer")
    template = isinstance(named, str) and "{tenantid}" in named  # Microsoft's `common` and `organizations`
    if not isinstance(named, str) or (not template and named.rstrip("/") != issuer.rstrip("/")):
        raise ConfigurationError(
            f"The metadata at {issuer} is for another issuer ({str(named)[:200]}).",
            code="discovery",
            issuer=issuer,
        )
    if "S256" not in data.get("code_challenge_methods_supported", ["S256"]):
        raise ConfigurationError(
            f"{issuer} knows no PKCE with S256, which every sign-in uses.", code="no-pkce", issuer=issuer
        )
    scopes = data.get("scopes_supported")
    return Metadata(
        issuer=named,
        authorize_url=_address(data, "authorization_endpoint", needed=True),
        token_url=_address(data, "token_endpoint", needed=True),
        device_url=_address(data, "device_authorization_endpoint"),
        revoke_url=_address(data, "revocation_endpoint"),
        userinfo_url=_address(data, "userinfo_endpoint"),
        sends_issuer=data.get("authorization_response_iss_parameter_supported") is True,
        scopes=frozenset(s for s in scopes if isinstance(s, str))
        if isinstance(scopes, list)
        else frozenset(),
    )


def _address(data: dict[str, Any], name: str, *, needed: bool = False) -> str:
    value = data.get(name)
    if isinstance(value, str) and value:
        return provider_address(value, f"{name} in the provider's metadata")
    if needed:
        raise ConfigurationError(f"The provider's metadata holds no {name}.", code="discovery")
    return ""


def _places(issuer: str) -> tuple[str, str]:
    """OpenID Connect Discovery section 4 appends; RFC 8414 section 3.1 puts it between host and path."""
    parts = urlsplit(issuer.rstrip("/"))
    rfc8414 = parts._replace(path="/.well-known/oauth-authorization-server" + parts.path)
    return issuer.rstrip("/") + "/.well-known/openid-configuration", urlunsplit(rfc8414)
