"""Who is asking, and what each role may do.

Must stay true: a role is compared with `may`, nowhere else; the roles are ordered, and each may do what the ones
before it may.
"""

from __future__ import annotations

import dataclasses
from enum import StrEnum


class Role(StrEnum):
    """OWNER was invited to sign in to one connection. VIEWER looks at all. OPERATOR also signs in, signs out and sends test emails. ADMIN also changes connections and users."""

    OWNER = "owner"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def may(self, needed: Role) -> bool:
        """True when this role includes `needed`."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class Kind(StrEnum):
    """How somebody proved who they are."""

    SESSION = "session"
    TOKEN = "token"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Whoever sent a request, as the guard found out.

    Attributes:
        name: for people and for the audit: ``local``, a user's name, or ``token:NAME``.
        role: what they may do.
        kind: a browser's session, or an API token.
        owner: what their sign-ins and test emails belong to: an id of the session or token, not its secret.
        csrf: what a page sends back in X-CSRF-Token with each change; empty for a token.
        address: the IP address of the client.
        only: the one connection an OWNER was invited to; empty for the others.
    """

    name: str
    role: Role
    kind: Kind
    owner: str
    csrf: str = ""
    address: str = ""
    only: str = ""
