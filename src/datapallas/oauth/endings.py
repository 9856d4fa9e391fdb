"""What ends a connection's way in, and when: its refresh token, its client secret, its certificate. Pure.

Must stay true: an end nobody told us is not guessed; what use puts off (an idle sign-in) is told apart from what it
does not.
"""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import TYPE_CHECKING

from datapallas.connection.model import OAuth2Client, Provider
from datapallas.oauth.clock import from_iso

if TYPE_CHECKING:
    from datapallas.connection.record import Record

DAY = 86400.0
TESTING_SECONDS = 8 * DAY
"""Google ends the sign-ins of an app in Testing after seven days; a day more for whoever notices it late."""
# How long a refresh token lives unused: learn.microsoft.com/entra/identity-platform/refresh-tokens and
# developers.google.com/identity/protocols/oauth2.
_IDLE_DAYS = {Provider.MICROSOFT: 90.0, Provider.GOOGLE: 180.0}


class What(StrEnum):
    """What ends."""

    SIGN_IN = "sign-in"
    SECRET = "client-secret"
    CERTIFICATE = "certificate"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """One end.

    Attributes:
        what: see What.
        at: wall seconds.
        idle: it ends only when it is not used until then.
        testing: the provider gives it seven days, as Google does while an app is in Testing.
    """

    what: What
    at: float
    idle: bool = False
    testing: bool = False


def endings(
    client: OAuth2Client,
    record: Record,
    *,
    signed_in: bool = False,
    certificate_ends: float | None = None,
) -> tuple[Ending, ...]:
    """What is known to end, the soonest first."""
    found = list(_sign_in(client, record)) if signed_in else []
    secret = from_iso(record.secret_ends)
    if secret is not None and client.client_secret is not None:
        found.append(Ending(what=What.SECRET, at=secret))
    if certificate_ends is not None:
        found.append(Ending(what=What.CERTIFICATE, at=certificate_ends))
    return tuple(sorted(found, key=lambda one: one.at))


def _sign_in(client: OAuth2Client, record: Record) -> list[Ending]:
    """The provider's own word, else how long it lets one lie unused."""
    issued, used = from_iso(client.issued_at), from_iso(record.refreshed_at)
    told = from_iso(record.refresh_ends)
    if told is not None:
        young = client.provider is Provider.GOOGLE and issued is not None and told - issued <= TESTING_SECONDS
        return [Ending(what=What.SIGN_IN, at=told, testing=young)]
    since = max((at for at in (issued, used) if at is not None), default=None)
    idle = _IDLE_DAYS.get(client.provider)
    if since is None or idle is None:
        return []
    return [Ending(what=What.SIGN_IN, at=since + idle * DAY, idle=True)]
