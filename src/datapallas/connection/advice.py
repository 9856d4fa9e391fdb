"""What can be seen wrong or missing in a connection's values as they are, in words, with what to do.

Must stay true: pure; asks nobody and opens nothing; never raises, whatever the values are; a `${variable}` is left
alone; a secret that was just typed is looked at for its shape and is in no sentence, nor is anything else typed.
What a provider thinks of the values, only a sign-in tells.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from datapallas.connection.address_advice import address_findings, scope_findings
from datapallas.connection.app_advice import app_findings
from datapallas.connection.client_advice import client_findings
from datapallas.connection.fields import FIELDS
from datapallas.connection.finding import Before, Finding, Severity, error
from datapallas.connection.model import OAuth2Client
from datapallas.connection.server_advice import sender_findings, server_findings
from datapallas.connection.shapes import fixed, is_client_secret, is_token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datapallas.connection.model import Connection

__all__ = ["Before", "Finding", "Severity", "findings", "lacking"]

_SEVERITIES = list(Severity)
_PLACES = {name: place for place, name in enumerate(("provider", *FIELDS, "client-secret", "password"))}


def findings(connection: Connection) -> tuple[Finding, ...]:
    """Everything that can be seen; errors first, then warnings, then what is missing, each in the order of a form."""
    secrets = list(_misplaced(connection))
    told = {one.field for one in secrets}
    found = [*secrets, *(one for one in dict.fromkeys(_values(connection)) if one.field not in told)]
    return tuple(sorted(found, key=lambda one: (_SEVERITIES.index(one.severity), _PLACES[one.field])))


def lacking(connection: Connection, before: Before) -> tuple[Finding, ...]:
    """What has to be filled in before a sign-in, or before mail can be sent (beside the sign-in itself)."""
    return tuple(one for one in findings(connection) if one.before is before)


def _values(connection: Connection) -> Iterator[Finding]:
    for one in _seen(connection):
        if connection.app_only and one.before is Before.SIGN_IN:  # there is none
            yield dataclasses.replace(one, before=Before.SENDING)
        else:
            yield one


def _seen(connection: Connection) -> Iterator[Finding]:
    yield from sender_findings(connection)
    yield from server_findings(connection)
    yield from client_findings(connection)
    if isinstance(connection.credential, OAuth2Client):
        yield from app_findings(connection.credential)
        yield from address_findings(connection.credential)
        yield from scope_findings(connection.credential)


def _misplaced(connection: Connection) -> Iterator[Finding]:
    """A token or secret in a field that is stored and shown in the open."""
    parts = {
        "connection": connection,
        "server": connection.server,
        "password": connection.credential,
        "oauth2": connection.credential,
    }
    for name, field in FIELDS.items():
        value = getattr(parts[field.part], field.attribute, "")
        if isinstance(value, str) and (is_token(fixed(value)) or is_client_secret(fixed(value))):
            yield error(
                name,
                "A secret stands in the wrong field: this one is stored and shown in the open. Take it out; "
                "a client secret has a field of its own, and tokens are got by signing in.",
            )
