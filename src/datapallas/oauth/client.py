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


def oauth2_client(connection: Connection) -> OAuth2Client:
    """The client of a connection that has one. Raises UsageError (code ``no-oauth2``) for a password."""
    if not isinstance(connection.credential, OAuth2Client):
        raise UsageError(
            f"{connection.code} signs in with a password; there is no browser sign-in for it.",
            code="no-oauth2",
            connection=connection.code,
        )
    return connection.credential


def refuse_where_nobody_signs_in(connection: Connection) -> None:
    """Raises UsageError: a password (code ``no-oauth2``), or an app-only connection (code ``app-only``)."""
    if oauth2_client(connection).app_only:
        raise UsageError(
            f"{connection.code} is app-only: it opens the mailbox by itself, and nobody signs in.",
            code="app-only",
            connection=connection.code,
        )


def opened_client(folder: Folder, connection: Connection) -> OAuth2Client:
    """The connection's client with its secret open. Raises UsageError for a password, SealBroken, KeyProblem."""
    client = oauth2_client(connection)
    if isinstance(client.client_secret, Sealed):
        return dataclasses.replace(client, client_secret=folder.reveal(connection, CLIENT_SECRET))
    return client
