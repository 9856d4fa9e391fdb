"""Access tokens that processes of a fleet lend each other, so that many of them cause one refresh and not many.

Must stay true: only a store that lends keeps one, sealed for the connection as it is; one that does not open, or that a
server has just refused, is not borrowed; its life is counted by the database's clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.connection.identity import ACCESS_TOKEN
from datapallas.connection.model import Sealed
from datapallas.connection.store import Broken
from datapallas.connection.update import Lend
from datapallas.errors import DataPallasError
from datapallas.oauth.token import AccessToken

if TYPE_CHECKING:
    from datapallas.connection.folder import Folder
    from datapallas.oauth.clock import Clock
    from datapallas.secret import Secret


def to_lend(access: AccessToken, clock: Clock) -> Lend:
    """What others may have of it."""
    now = clock.monotonic()
    return Lend(access.value, access.expires_at - now, access.reuse_until - now)


def borrowed(folder: Folder, code: str, clock: Clock, stale: Secret | None) -> AccessToken | None:
    """A token that another process minted and that has enough life left; never `stale`, which was refused."""
    now = clock.monotonic()
    found = folder.store.borrow(code)
    if found is None or isinstance(found[0].connection, Broken):
        return None
    entry, lent = found
    try:
        value = folder.seals.open(entry.good, ACCESS_TOKEN, Sealed(lent.sealed)).value
    except DataPallasError:  # sealed for other settings, or with a key that is not here: a refresh says which
        return None
    if stale is not None and value == stale:
        return None
    return AccessToken(value, now + lent.ends, "", now + lent.reusable)
