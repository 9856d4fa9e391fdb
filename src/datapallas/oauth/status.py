"""What is known about a sign-in without asking the provider: who, since when, what for, how long still.

Must stay true: holds no secret; a sign-in that cannot be opened is a state of its own with its reason, not a failure.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from datapallas.connection.model import OAuth2Client, Provider
from datapallas.errors import DataPallasError, NotSignedIn
from datapallas.oauth.acceptance import missing_scopes
from datapallas.oauth.clock import from_iso
from datapallas.oauth.parking import is_parked

if TYPE_CHECKING:
    from datapallas.connection.record import Refusal
    from datapallas.connection.update import Update

_DAY = 86400.0
# How long a refresh token lives unused: learn.microsoft.com/entra/identity-platform/refresh-tokens and
# developers.google.com/identity/protocols/oauth2 (an app in Testing: 7 days, which cannot be seen from here).
_IDLE_DAYS = {Provider.MICROSOFT: 90.0, Provider.GOOGLE: 180.0}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One connection's sign-in.

    Attributes:
        connection: its code.
        state: ``signed-in``, ``signed-out``, ``parked``, ``unreadable`` or ``password``.
        account: who signed in, or empty.
        provider: MICROSOFT, GOOGLE, GENERIC or NONE.
        scopes: what was granted, in the provider's order.
        missing: what mail needs and was not granted.
        issued_at: when the refresh token was issued, ISO 8601 UTC, or empty.
        age_days: since then, or None.
        refreshed_at: when a token last came, ISO 8601 UTC, or empty.
        days_left: until the sign-in ends when it is not used, or None where the provider does not say.
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


def status_of(update: Update, wall: float) -> Status:
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
    state, problem = _state(update)
    issued, used = from_iso(client.issued_at), from_iso(update.record.refreshed_at)
    idle_since = max((at for at in (issued, used) if at is not None), default=None)
    idle = _IDLE_DAYS.get(client.provider)
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
        days_left=(
            idle - (wall - idle_since) / _DAY
            if state == "signed-in" and idle is not None and idle_since is not None
            else None
        ),
        refusal={"parked": update.record.parked, "signed-in": update.record.refused}.get(state),
        problem=problem,
    )


def _state(update: Update) -> tuple[str, DataPallasError | None]:
    try:
        opened = update.opened()
    except NotSignedIn:
        return "signed-out", None
    except DataPallasError as problem:  # sealed for something else, or its key is not here
        return "unreadable", problem
    return ("parked" if is_parked(update, opened) else "signed-in"), None
