"""The names that make the advice about a failure exact. Pure: from a connection, which holds no open secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.connection import provider as providers
from datapallas.connection.model import OAuth2Client

if TYPE_CHECKING:
    from datapallas.connection.model import Connection


def facts_of(connection: Connection) -> dict[str, str]:
    """What `datapallas.explain` fills into its advice."""
    facts = {
        "connection": connection.code,
        "mailbox": connection.mailbox,
        "provider": connection.provider.value,
        "sender": connection.from_address or connection.mailbox,
    }
    if isinstance(connection.credential, OAuth2Client):
        client = connection.credential
        facts |= {
            "tenant": client.tenant_id,
            "client_id": client.client_id,
            "redirect_uri": client.redirect_uri or providers.redirect_uri_to_register(client),
        }
    return {name: value for name, value in facts.items() if value}
