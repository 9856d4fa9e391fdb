"""What is known about a sign-in without asking the provider: who, since when, what for, how long still.

Must stay true: holds no secret; a sign-in that cannot be opened is a state of its own with its reason, not a failure.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from datapallas.connection import provider
from datapallas.connection.model import Flow, OAuth2Client
from datapallas.errors import ConfigurationError, DataPallasError, NotSignedIn
from datapallas.oauth.acceptance import missing_scopes
from datapallas.oauth.app_only import app_key
from datapallas.oauth.clock import from_iso
from datapallas.oauth.endings import Ending, What, endings
from datapallas.oauth.parking import is_parked

if TYPE_CHECKING:
    from datapallas.connection.folder import Folder
    from datapallas.connection.model import Connection
    from datapallas.connection.record import Refusal
    from datapallas.connection.update import Update

_DAY = 86400.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One connection's sign-in.

    Attributes:
        connection: its code.
        state: ``signed-in``, ``signed-out``, ``parked``, ``unreadable``, ``password``; ``app-only`` where nobody signs in.
        account: who signed in, or empty; app-only the mailbox that is opened.
        provider: MICROSOFT, GOOGLE, GENERIC or NONE.
        scopes: what was granted, in the provider's order.
        missing: what mail needs and was not granted.
        issued_at: when the refresh token was issued, ISO 8601 UTC, or empty.
        age_days: since then, or None.
        refreshed_at: when a token last came, ISO 8601 UTC, or empty.
        days_left: until the sign-in ends, when it is not used or in any case, or None where the provider does not
            say; app-only until the certificate or the client secret ends.
        endings: what ends and when, the soonest first: sign-in, client secret, certificate.
        flow: CODE, DEVICE, APPONLY or SERVICEACCOUNT; empty for a password.
        refusal: what the provider refuses with since when, in its own words, or None. It is parked then, or (state
            ``signed-in``) refused for a reason that a new sign-in need not help: the client, a policy.
        problem: why it cannot be read, or None.
    """

    connection: str
    state: str
    account: str = ""
    provider: str = ""
    scopes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    issued_at: str = ""
    age_days: float | None = None
    refreshed_at: str = ""
    days_left: float | None = None
    refusal: Refusal | None = None
    problem: DataPallasError | None = None
    flow: str = ""
    endings: tuple[Ending, ...] = ()


def status_of(folder: Folder, update: Update, wall: float) -> Status:
    """The status of the connection held by `update`; `wall` is now, seconds since 1970."""
    connection = update.connection
    client = connection.credential
    if not isinstance(client, OAuth2Client):
        return Status(
            connection=connection.code,
            state="password",
            account=connection.mailbox,
            provider=connection.provider.value,
        )
    if client.app_only:
        return _app_only(folder, update, client, wall)
    state, problem = _state(update)
    issued = from_iso(client.issued_at)
    ends = endings(client, update.record, signed_in=state == "signed-in")
    known = state in {"signed-in", "parked"}
    return Status(
        connection=connection.code,
        state=state,
        account=client.user_email,
        provider=client.provider.value,
        scopes=tuple(client.granted_scope.split()),
        missing=missing_scopes(client, client.granted_scope) if known else (),
        issued_at=client.issued_at,
        age_days=None if issued is None else (wall - issued) / _DAY,
        refreshed_at=update.record.refreshed_at,
        days_left=_days(ends, {What.SIGN_IN}, wall),
        endings=ends,
        refusal={"parked": update.record.parked, "signed-in": update.record.refused}.get(state),
        problem=problem,
        flow=client.flow.value,
    )


def _app_only(folder: Folder, update: Update, client: OAuth2Client, wall: float) -> Status:
    connection = update.connection
    certificate, problem = _proof(folder, connection, client)
    ends = endings(client, update.record, certificate_ends=certificate)
    return Status(
        connection=connection.code,
        state="app-only" if problem is None else "unreadable",
        account=connection.mailbox,
        provider=client.provider.value,
        scopes=tuple(provider.scope(client).split()),
        refreshed_at=update.record.refreshed_at,
        days_left=_days(ends, set(What), wall),
        endings=ends,
        refusal=update.record.refused,
        problem=problem,
        flow=client.flow.value,
    )


def _days(ends: tuple[Ending, ...], of: set[What], wall: float) -> float | None:
    return next(((one.at - wall) / _DAY for one in ends if one.what in of), None)


def _proof(
    folder: Folder, connection: Connection, client: OAuth2Client
) -> tuple[float | None, DataPallasError | None]:
    """When what the app proves itself with ends, and why it cannot be used; the secret is not opened for this."""
    try:
        key = app_key(folder, connection)
    except DataPallasError as problem:
        return None, problem
    if key is None and (client.client_secret is None or client.flow is Flow.SERVICEACCOUNT):
        return None, ConfigurationError(
            "it has neither a certificate nor a client secret", code="app-key", case="none"
        )
    return (key.ends_at if key else None), None


def _state(update: Update) -> tuple[str, DataPallasError | None]:
    try:
        opened = update.opened()
    except NotSignedIn:
        return "signed-out", None
    except DataPallasError as problem:  # sealed for something else, or its key is not here
        return "unreadable", problem
    return ("parked" if is_parked(update, opened) else "signed-in"), None
