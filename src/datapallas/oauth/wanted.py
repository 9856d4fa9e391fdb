"""A stored sign-in tried with the settings of a draft that is not saved.

Must stay true: the stored refresh token goes nowhere it would not go from the saved connection: another provider,
client, token address, mailbox or mail server is refused, under the lock, before anything is asked.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from datapallas.connection.identity import PASSWORD, REFRESH_TOKEN, WORDS, identity
from datapallas.connection.model import OAuth2Client
from datapallas.errors import SealBroken

if TYPE_CHECKING:
    from datapallas.connection.model import Connection


def as_wanted(stored: Connection, wanted: Connection | None) -> Connection:
    """`stored`, asked with the client secret and scope of `wanted`. Raises SealBroken (case ``draft-differs``)."""
    if wanted is None:
        return stored
    changed = identity(wanted, REFRESH_TOKEN).changes_from(identity(stored, REFRESH_TOKEN))
    if changed or not isinstance(stored.credential, OAuth2Client):
        raise differs(wanted, REFRESH_TOKEN, changed)
    draft = wanted.credential
    if not isinstance(draft, OAuth2Client):
        return stored
    client = dataclasses.replace(stored.credential, client_secret=draft.client_secret, scope=draft.scope)
    return dataclasses.replace(stored, credential=client)


def differs(wanted: Connection, field: str, changed: str) -> SealBroken:
    """The error for a stored secret that is not for this draft."""
    what = WORDS[field]
    again = "type it again" if field == PASSWORD else "sign in again"
    return SealBroken(
        f"{what[0].upper()}{what[1:]} belongs to the saved connection, and this is different now: {changed}. "
        f"To test the new settings, {again}.",
        case="draft-differs",
        field=field,
        connection=wanted.code,
        changed=changed,
    )
