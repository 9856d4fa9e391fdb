"""How a connection that is perhaps not saved yet signs in at its mail server, for a test.

Must stay true: a typed secret is used from memory; a stored one only where it was sealed for: a draft that names
another mail server, client, token address or mailbox does not get it. Nothing is written but a rotated token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.connection.identity import PASSWORD, identity
from datapallas.connection.model import OAuth2Client, Sealed
from datapallas.errors import NotSignedIn, UnknownConnection
from datapallas.oauth.flight import Flight
from datapallas.oauth.minting import Minter
from datapallas.oauth.wanted import differs

if TYPE_CHECKING:
    from datapallas.connection.model import Connection
    from datapallas.home.home import Home
    from datapallas.oauth.token import AccessToken
    from datapallas.secret import Secret


def fresh_token(home: Home, connection: Connection) -> AccessToken:
    """A new access token, whatever is held: so that a test proves the stored sign-in.

    Raises NotSignedIn, SealBroken (case ``draft-differs``) when the stored sign-in is not for this draft, and what
    `Minter.run` raises.
    """
    client, code = connection.credential, connection.code
    if not isinstance(client, OAuth2Client) or (client.refresh_token is None and not client.app_only):
        raise NotSignedIn(f"Nobody has signed in to {code} yet.", connection=code)
    minter = Minter(home.folder, code, home.endpoint, connection)
    flight = Flight(
        lambda: minter.run(even_parked=True), f"test-{code}"
    )  # stored even when nobody waits any more
    flight.start()
    try:
        return flight.result()
    except UnknownConnection:
        raise NotSignedIn(f"Nobody has signed in to {code} yet.", connection=code) from None


def password(home: Home, connection: Connection) -> Secret:
    """The password: as typed, or as stored. Raises SealBroken, KeyProblem, ConfigurationError when it is not set."""
    if isinstance(getattr(connection.credential, "password", None), Sealed):
        try:
            stored = home.folder.load(connection.code)
        except UnknownConnection:
            stored = connection
        changed = identity(connection, PASSWORD).changes_from(identity(stored, PASSWORD))
        if changed:
            raise differs(connection, "password", changed)
    return home.folder.reveal(connection, PASSWORD)
