"""What a form, a JSON body and a command line share about filling in a connection.

Must stay true: pure; no value raises: a bad one is a finding, and what was there before stays; only what differs from
what was there is a change, so that a form may send back everything it shows; a secret is given apart, and never shown.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from datapallas.connection import provider as providers
from datapallas.connection.advice import findings
from datapallas.connection.fields import FIELDS, with_fields, with_provider
from datapallas.connection.finding import Finding, error
from datapallas.connection.identity import CLIENT_SECRET, PASSWORD, REFRESH_TOKEN
from datapallas.connection.model import OAuth2Client, Password, Provider
from datapallas.connection.presets import PRESETS
from datapallas.connection.settle import losses, secret_of, with_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datapallas.connection.model import Connection
    from datapallas.secret import Secret

PROVIDER = "provider"
SECRETS: Mapping[str, str] = {"password": PASSWORD, "client-secret": CLIENT_SECRET}
"""The secrets a person may type: the name in a form, and the field each one is."""
LABELS: Mapping[str, str] = {
    PROVIDER: "provider",
    "name": "name",
    "from": "sender's address",
    "from-name": "sender's name",
    "transport": "transport",
    "host": "mail server",
    "port": "port",
    "security": "security",
    "root-certificate": "root certificate",
    "chunking": "chunking switch",
    "user": "user",
    "tenant-id": "tenant id",
    "client-id": "client id",
    "cloud": "cloud",
    "flow": "flow",
    "certificate": "file with key and certificate",
    "authorize-url": "sign-in address",
    "token-url": "token address",
    "scope": "scope",
    "redirect-uri": "redirect address",
    "login-hint": "account to sign in with",
    "password": "password",
    "client-secret": "client secret",
}
"""What each field is called in a sentence."""


@dataclasses.dataclass(frozen=True, slots=True)
class Draft:
    """A connection as it would be saved, and what is to be said about it.

    Attributes:
        connection: `base` with every good value that was given.
        findings: bad values first, then what `advice.findings` sees in `connection`.
    """

    connection: Connection
    findings: tuple[Finding, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class StoredSecrets:
    """Which secrets a connection has; never what they are."""

    password_set: bool
    client_secret_set: bool
    signed_in: bool


def as_fields(connection: Connection) -> dict[str, str]:
    """Every field as text, ``provider`` first; what this kind of connection does not have is empty."""
    texts = {PROVIDER: connection.provider.value}
    for name, field in FIELDS.items():
        part = {"connection": connection, "server": connection.server}.get(field.part, connection.credential)
        value = getattr(part, field.attribute, "")
        texts[name] = ("true" if value else "false") if isinstance(value, bool) else str(value)
    return texts


def stored_secrets(connection: Connection) -> StoredSecrets:
    """Which secrets are there."""
    return StoredSecrets(
        *(secret_of(connection, field) is not None for field in (PASSWORD, CLIENT_SECRET, REFRESH_TOKEN))
    )


def draft(base: Connection, given: Mapping[str, str], secrets: Mapping[str, Secret]) -> Draft:
    """`base` with what a person filled in.

    Args:
        base: the stored connection, or a new one.
        given: texts by the names of `as_fields`; what is left out, or equal to it, stays.
        secrets: what was typed into ``password`` and ``client-secret``; an empty one stays as it is stored.

    Another provider keeps what both kinds have and brings its own mail server where the old one was the usual one.
    A name this kind of connection has no field for is passed over: a form may hold the fields of all kinds.
    """
    shown, bad = as_fields(base), []
    changes = {name: text.strip() for name, text in given.items() if text.strip() != shown.get(name)}
    connection = base
    chosen = changes.pop(PROVIDER, "")
    if chosen:
        if chosen.upper() in {kind.value for kind in Provider}:
            connection = with_provider(base, Provider(chosen.upper()))
        else:
            bad.append(_bad(PROVIDER, "it must be one of " + ", ".join(kind.value for kind in Provider)))
    for name, text in changes.items():
        if name not in FIELDS:
            bad.append(
                Finding(
                    name, error(name, "").severity, f"There is no such field. Known: {', '.join(FIELDS)}."
                )
            )
        elif _has(connection, name):
            try:
                FIELDS[name].check(text)
            except ValueError as problem:
                bad.append(_bad(name, str(problem)))
            else:
                connection = with_fields(connection, [(name, text)])
    connection = providers.with_usual_server(base, connection)
    for name, value in secrets.items():
        if value and name in SECRETS and hasattr(connection.credential, SECRETS[name]):
            connection = with_secret(connection, SECRETS[name], value)
    told = {finding.field for finding in bad}
    return Draft(connection, (*bad, *(one for one in findings(connection) if one.field not in told)))


def _bad(name: str, why: str) -> Finding:
    return error(name, f"The {LABELS[name]} cannot be used as it is: {why}. What was there before stays.")


def _has(connection: Connection, name: str) -> bool:
    part = FIELDS[name].part
    if part in {"connection", "server"}:
        return True
    return isinstance(connection.credential, Password if part == "password" else OAuth2Client)


def ends_sign_in(stored: Connection, wanted: Connection) -> str:
    """What changes, in words, when saving `wanted` over `stored` loses a stored secret; empty when all stay.

    Such as ``the mail server (was a:587, is b:587)``. `lost_secrets` names the secrets.
    """
    return max(losses(wanted, stored, {}).values(), key=len, default="")


def lost_secrets(stored: Connection, wanted: Connection) -> tuple[str, ...]:
    """The stored secrets that saving `wanted` loses: ``refresh_token``, ``client_secret``, ``password``."""
    return tuple(losses(wanted, stored, {}))


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """A well-known provider in a list to choose from."""

    name: str
    title: str
    note: str


def presets() -> tuple[Choice, ...]:
    """The well-known providers, in the order to show them; a second name of the same one is left out."""
    return tuple(Choice(name, known.title, known.note) for name, known in PRESETS.items() if known.title)


def preset_fields(name: str) -> dict[str, str]:
    """What choosing a well-known provider fills in, by the names of `as_fields`; UsageError names the known ones."""
    known = providers.well_known(name)
    fields = {
        PROVIDER: known.provider.value,
        "host": known.server.host,
        "port": known.server.port,
        "security": known.server.security.value,
    }
    if known.provider is Provider.MICROSOFT:
        fields["tenant-id"] = known.tenant_id
    if known.provider is Provider.GENERIC:
        fields |= {"authorize-url": known.authorize_url, "token-url": known.token_url, "scope": known.scope}
    return fields
