"""The fields of a connection a person may set, by name, each with its check.

Must stay true: a value that is refused changes nothing; a secret is never a field (it does not pass through here as text).
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from datapallas.connection.model import (
    Cloud,
    Connection,
    Flow,
    OAuth2Client,
    Password,
    Provider,
    Security,
    Transport,
)
from datapallas.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from enum import StrEnum

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_VARIABLE = re.compile(r"\$\{[^}]+\}")
_MAIL_ADDRESS = re.compile(r"[^@\s<>]+@[^@\s<>]+")


def _text(value: str) -> str:
    if not value.isprintable():
        raise ValueError("it holds a line break or another control character")
    return value.strip()


def _one_of(kinds: type[StrEnum]) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value.upper() not in {kind.value for kind in kinds}:
            raise ValueError("it must be one of " + ", ".join(kind.value for kind in kinds))
        return value.upper()

    return check


def _port(value: str) -> str:
    value = _text(value)
    if _VARIABLE.fullmatch(value) or (value.isascii() and value.isdigit() and 0 < int(value) < 65536):  # noqa: PLR2004
        return value
    raise ValueError("it must be a number from 1 to 65535")


def _url(value: str) -> str:
    """An address of a provider: https, or http on this machine (RFC 6749 section 3.1.2.1, RFC 8252 section 7.3)."""
    value = _text(value)
    if not value:
        return value
    try:
        parts = urlsplit(value)
    except ValueError:  # its own words repeat the value
        parts = urlsplit("")
    if parts.scheme == "https" and parts.hostname:
        return value
    if parts.scheme == "http" and parts.hostname in LOOPBACK:
        return value
    raise ValueError("it must start with https:// (plain http only for this machine)")


def _address(value: str) -> str:
    value = _text(value)
    if value and not _VARIABLE.search(value) and not _MAIL_ADDRESS.fullmatch(value):
        raise ValueError("it is not a mail address such as reports@contoso.example")
    return value


def _switch(value: str) -> str:
    if value.lower() not in {"true", "false"}:
        raise ValueError("it must be true or false")
    return value.lower()


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """Where a field lives (`connection`, `server`, `password` or `oauth2`), under which name, and its check."""

    part: str
    attribute: str
    check: Callable[[str], str]
    help: str


FIELDS: dict[str, Field] = {
    "name": Field("connection", "name", _text, "the name people see"),
    "from": Field("connection", "from_address", _address, "the sender's address"),
    "from-name": Field("connection", "from_name", _text, "the sender's name"),
    "transport": Field("connection", "transport", _one_of(Transport), "AUTO or SMTP"),
    "host": Field("server", "host", _text, "the mail server"),
    "port": Field("server", "port", _port, "its port"),
    "security": Field("server", "security", _one_of(Security), "NONE, STARTTLS or TLS"),
    "root-certificate": Field(
        "server", "root_certificate", _text, "a PEM file with the only authority to trust"
    ),
    "chunking": Field("server", "chunking", _switch, "false switches BDAT off"),
    "user": Field("password", "user", _text, "the user, for a password"),
    "tenant-id": Field("oauth2", "tenant_id", _text, "Microsoft: tenant id or domain"),
    "client-id": Field("oauth2", "client_id", _text, "the application's id at the provider"),
    "cloud": Field("oauth2", "cloud", _one_of(Cloud), "Microsoft: GLOBAL, USGOV, USGOVDOD or CHINA"),
    "flow": Field(
        "oauth2",
        "flow",
        _one_of(Flow),
        "CODE or DEVICE: a person signs in; APPONLY or SERVICEACCOUNT: nobody",
    ),
    "certificate": Field(
        "oauth2",
        "certificate",
        _text,
        "APPONLY: PEM file with key and certificate; SERVICEACCOUNT: JSON key file",
    ),
    "authorize-url": Field("oauth2", "authorize_url", _url, "GENERIC: where people sign in"),
    "token-url": Field("oauth2", "token_url", _url, "GENERIC: where tokens are given"),
    "scope": Field("oauth2", "scope", _text, "GENERIC: the rights to ask for"),
    "redirect-uri": Field(
        "oauth2", "redirect_uri", _url, "where the browser comes back to, when not the usual"
    ),
    "login-hint": Field(
        "oauth2", "login_hint", _text, "the account that signs in, when it is not the sender"
    ),
}
_ENUMS = {"transport": Transport, "security": Security, "cloud": Cloud, "flow": Flow}


def with_fields(connection: Connection, given: Iterable[tuple[str, str]]) -> Connection:
    """`connection` with the named fields changed; UsageError names the field and what is wrong with the value."""
    for name, value in given:
        connection = _with_field(connection, name, value)
    return connection


def with_provider(connection: Connection, provider: Provider) -> Connection:
    """`connection` with another kind of credential, keeping what both kinds have; the old sign-in does not carry over."""
    if provider is connection.provider:
        return connection
    if provider is Provider.NONE:
        return dataclasses.replace(connection, credential=Password(user=connection.mailbox))
    if isinstance(connection.credential, OAuth2Client):
        fresh = OAuth2Client(provider=provider, client_id=connection.credential.client_id)
        return dataclasses.replace(connection, credential=fresh)
    return dataclasses.replace(connection, credential=OAuth2Client(provider=provider))


def _with_field(connection: Connection, name: str, value: str) -> Connection:
    field = FIELDS.get(name)
    if field is None:
        raise UsageError(f"There is no field {name!r}. Known: {', '.join(FIELDS)}.", code="unknown-field")
    try:
        checked: object = field.check(value)
    except ValueError as problem:
        raise UsageError(f"{name} cannot be {value!r}: {problem}.", code="bad-field", field=name) from None
    if name in _ENUMS:
        checked = _ENUMS[name](str(checked))
    elif name == "chunking":
        checked = checked == "true"
    change = {field.attribute: checked}
    if field.part == "connection":
        return dataclasses.replace(connection, **change)  # type: ignore[arg-type]
    if field.part == "server":
        server = dataclasses.replace(connection.server, **change)  # type: ignore[arg-type]
        return dataclasses.replace(connection, server=server)
    wanted = Password if field.part == "password" else OAuth2Client
    if not isinstance(connection.credential, wanted):
        kind = connection.provider.value
        raise UsageError(f"{name} has no meaning for provider {kind}.", code="bad-field", field=name)
    credential = dataclasses.replace(connection.credential, **change)  # type: ignore[arg-type]
    return dataclasses.replace(connection, credential=credential)
