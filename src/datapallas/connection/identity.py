"""What a secret is sealed for: whoever may edit the file must not be able to send a sealed token elsewhere.

Must stay true: everything that decides where a secret goes, and for whom, is part of its identity. The pairs become
the seal's associated data (vault), so a value whose surroundings changed does not open.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from datapallas.connection import provider
from datapallas.connection.model import OAuth2Client

if TYPE_CHECKING:
    from datapallas.connection.model import Connection

REFRESH_TOKEN, CLIENT_SECRET, PASSWORD = "refresh_token", "client_secret", "password"
ACCESS_TOKEN = "access_token"  # sealed only in a database, lent to other processes
FIELDS = (PASSWORD, REFRESH_TOKEN, CLIENT_SECRET)
WORDS = {
    "code": "the connection",
    "field": "the field",
    "provider": "the provider",
    "token_endpoint": "the token address",
    "client_id": "the client id",
    "mailbox": "the mailbox",
    "server": "the mail server",
    "refresh_token": "the stored sign-in",
    "client_secret": "the client secret",
    "password": "the password",
    "access_token": "the lent access token",
}
"""Names of pairs and fields, as a sentence says them."""


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """Sorted names and values a secret is bound to; none of them is secret."""

    pairs: tuple[tuple[str, str], ...]

    def __getitem__(self, name: str) -> str:
        return dict(self.pairs).get(name, "")

    def changes_from(self, before: Identity) -> str:
        """What differs from `before`, in words: `the mail server (was a:587, is b:587)`; empty when nothing does."""
        then, now = dict(before.pairs), dict(self.pairs)
        return ", ".join(
            f"{WORDS.get(name, name)} (was {then.get(name) or 'empty'}, is {now.get(name) or 'empty'})"
            for name in sorted({*then, *now})
            if then.get(name) != now.get(name)
        )


def identity(connection: Connection, field: str) -> Identity:
    """What the secret `field` (one of FIELDS, or ACCESS_TOKEN) of `connection` is bound to."""
    client = connection.credential if isinstance(connection.credential, OAuth2Client) else None
    pairs = {
        "code": connection.code,
        "field": field,
        "provider": connection.provider.value,
        "token_endpoint": provider.token_url(client) if client else "",
        "client_id": client.client_id if client else "",
    }
    if field != CLIENT_SECRET:  # a client secret goes to the token address only, whoever's mailbox it is
        pairs["mailbox"] = connection.mailbox.lower()
        pairs["server"] = f"{connection.server.host.lower()}:{connection.server.port}"
    return Identity(tuple(sorted(pairs.items())))
