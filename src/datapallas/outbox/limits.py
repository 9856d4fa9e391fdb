"""What a provider allows one mailbox, as a table.

Sources: Exchange Online limits and the SMTP submission page (3 sessions, 30 messages a minute, 10,000 recipients a
day); Google Workspace sending limits (2,000 a day). We run a little below: their windows are not ours to see.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from datapallas.connection.model import Provider

if TYPE_CHECKING:
    from datapallas.connection.model import Connection

SESSIONS = 3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How fast one mailbox may send, over all workers together.

    Attributes:
        sessions: open at a time, at least 1.
        per_minute: messages a minute; 0 is no limit. A message counts once for each 500 recipients.
        per_day: recipients in any 24 hours; 0 is no limit.
    """

    sessions: int = SESSIONS
    per_minute: float = 0.0
    per_day: int = 0

    @property
    def interval(self) -> float:
        """Seconds between two messages; 0 when nothing limits them."""
        return 60.0 / self.per_minute if self.per_minute else 0.0


EXCHANGE = Limits(sessions=3, per_minute=29, per_day=9_900)
GMAIL = Limits(sessions=3, per_day=1_980)
UNLIMITED = Limits()

_EXCHANGE_HOSTS = ("office365.com", "office365.us", "outlook.com", "partner.outlook.cn")
_GMAIL_HOSTS = ("smtp.gmail.com", "smtp-relay.gmail.com")


def preset(connection: Connection) -> Limits:
    """What the provider of a connection allows, as far as it is known."""
    host = connection.server.host.lower().rstrip(".")
    if connection.provider is Provider.MICROSOFT or host.endswith(_EXCHANGE_HOSTS):
        return EXCHANGE
    if connection.provider is Provider.GOOGLE or host in _GMAIL_HOSTS:
        return GMAIL
    return UNLIMITED


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OwnLimits:
    """A person's own values for one mailbox; None is the provider's."""

    sessions: int | None = None
    per_minute: float | None = None
    per_day: int | None = None

    def over(self, base: Limits) -> Limits:
        """The limits with these in place of the provider's."""
        given = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        return dataclasses.replace(base, **given)
