"""A connection's OAuth2 client, ready to ask with: its secret open.

Must stay true: the open secret lives in the value that is given back, and nowhere else.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from datapallas.connection.identity import CLIENT_SECRET
from datapallas.connection.model import OAuth2Client, Sealed
from datapallas.errors import UsageError

if TYPE_CHECKING:
    from datapallas.connection.folder import Folder
    from datapallas.connection.model import Connection


def opened_client(folder: Folder, connection: Connection) -> OAuth2Client:
    """The connection's client with its secret open. Raises UsageError for a password, SealBroken, KeyProblem."""
    client = connection.credential
    if not isinstance(client, OAuth2Client):
        raise UsageError(
            f"{connection.code} signs in with a password; there is no browser sign-in for it.",
            code="no-oauth2",
            connection=connection.code,
        )
    if isinstance(client.client_secret, Sealed):
        return dataclasses.replace(client, client_secret=folder.reveal(connection, CLIENT_SECRET))
    return client
