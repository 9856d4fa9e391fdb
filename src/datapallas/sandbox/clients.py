"""Who may ask the sandbox's identity provider for tokens, for which scopes, and where answers may go.

Must stay true: an authorization code only ever goes to a loopback address (RFC 8252 section 7.3), or to an address that
whoever runs the sandbox has registered, character for character.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
from enum import Enum, auto
from types import MappingProxyType
from urllib.parse import unquote_plus, urlsplit

from datapallas.sandbox.ledger import Refused
from datapallas.sandbox.settings import Dialect
from datapallas.secret import Secret

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
JWT_CLIENT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TENANT_ID = "5a11d0b0-0000-4000-8000-5a4db0c0ffee"
TENANTS = frozenset({"common", "organizations", "consumers", TENANT_ID, "sandbox.example"})
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

_IDENTITY = ("openid", "offline_access", "email", "profile")
_MAIL = (
    "smtp",
    "https://mail.google.com/",
    "https://outlook.office.com/SMTP.Send",
    "https://outlook.office365.com/SMTP.Send",
    "https://outlook.office365.com/.default",
    "https://outlook.office.com/.default",
)
SCOPES = _IDENTITY + _MAIL
MAIL_SCOPES = frozenset(_MAIL)
_GOOGLE_NAMES = {
    "email": "https://www.googleapis.com/auth/userinfo.email",
    "profile": "https://www.googleapis.com/auth/userinfo.profile",
}


class Secrecy(Enum):
    """Whether a client has a secret."""

    PUBLIC = auto()  # none, and must send none, as Microsoft's "public client"
    OPTIONAL = auto()  # need not send it; if it does it must be right
    REQUIRED = auto()  # must send it, as Google's "desktop app"


@dataclasses.dataclass(frozen=True, slots=True)
class Client:
    """A program known to the identity provider.

    `mailbox` is what a client without a person sends from, `account` its name as a service account.
    """

    client_id: str
    secrecy: Secrecy
    secret: Secret
    grants: frozenset[str] = frozenset({"authorization_code", "refresh_token", DEVICE_GRANT})
    mailbox: str = ""
    account: str = ""


_SECRET = Secret("sandbox-secret")  # printed by `datapallas sandbox`: it protects nothing
CLIENTS = MappingProxyType(
    {
        client.client_id: client
        for client in (
            Client("sandbox-app", Secrecy.OPTIONAL, _SECRET),
            Client("sandbox-public", Secrecy.PUBLIC, Secret("")),
            Client("sandbox-desktop", Secrecy.REQUIRED, _SECRET),
            Client(
                "sandbox-service",
                Secrecy.REQUIRED,
                _SECRET,
                frozenset({"client_credentials", JWT_GRANT}),
                "service@sandbox.example",
                "robot@sandbox.example",
            ),
        )
    }
)


def known(client_id: str) -> Client:
    """The client; raises Refused."""
    client = CLIENTS.get(client_id)
    if client is None:
        raise Refused("client-unknown", client_id=client_id)
    return client


def authenticate(form: dict[str, str], authorization: str) -> Client:
    """The client that sends this form, checked by its secret (RFC 6749 section 2.3.1); raises Refused."""
    client_id, secret = form.get("client_id", ""), form.get("client_secret")
    if authorization:
        client_id, secret = _basic(authorization)
    if not client_id:
        raise Refused("parameter-missing", parameter="client_id")
    client = known(client_id)
    if secret is None:
        if client.secrecy is Secrecy.REQUIRED:
            raise Refused("secret-missing", client_id=client_id)
    elif client.secrecy is Secrecy.PUBLIC:
        raise Refused("secret-unwanted", client_id=client_id)
    elif Secret(secret) != client.secret:
        raise Refused("secret-wrong", client_id=client_id)
    return client


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, value = authorization.partition(" ")
    try:
        text = base64.b64decode(value.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise Refused("malformed") from None
    name, colon, secret = text.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise Refused("malformed")
    return unquote_plus(name), unquote_plus(secret)


def check_redirect(uri: str, client_id: str, registered: tuple[str, ...] = ()) -> str:
    """`uri` when it is `registered`, or http on loopback, any port, any path, no fragment; raises Refused."""
    if uri in registered:
        return uri
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Refused("redirect", redirect_uri=uri, client_id=client_id) from None
    plain = parts.scheme == "http" and not parts.fragment and parts.username is None and port != 0
    if not plain or host not in LOOPBACK or not uri.isprintable() or not uri.isascii():
        raise Refused("redirect", redirect_uri=uri, client_id=client_id)
    return uri


def asked_scope(text: str, dialect: Dialect) -> tuple[str, ...]:
    """What may be granted of the scopes in `text`, in their order; raises Refused when nothing is left.

    The generic dialect drops an unknown scope without a word, as real providers do; the other two refuse it.
    Microsoft's takes scopes of one resource only.
    """
    words = tuple(dict.fromkeys(text.split()))
    found = tuple(word for word in words if word in SCOPES or word in _GOOGLE_NAMES.values())
    missing = [word for word in words if word not in found]
    resources = {word.rpartition("/")[0] for word in words if word.startswith("https://")}
    mixed = dialect is Dialect.MICROSOFT and len(resources) > 1
    if not found or mixed or (missing and dialect is not Dialect.GENERIC):
        raise Refused("scope", scope=" ".join(missing) or text)
    return found


def told_scope(scope: tuple[str, ...], dialect: Dialect) -> str:
    """The scopes in a token answer, as each provider names them there."""
    if dialect is Dialect.GOOGLE:
        return " ".join(_GOOGLE_NAMES.get(word, word) for word in scope if word != "offline_access")
    if (
        dialect is Dialect.MICROSOFT
    ):  # Entra grants offline_access by giving a refresh token and does not name it
        return " ".join(word for word in scope if word != "offline_access")
    return " ".join(scope)


def check_tenant(tenant: str) -> str:
    """The tenant, or empty for a dialect without one; raises Refused."""
    if tenant and tenant.lower() not in TENANTS:
        raise Refused("tenant", tenant=tenant)
    return tenant.lower()
