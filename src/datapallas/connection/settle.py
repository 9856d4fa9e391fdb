"""What is written when a changed connection is saved over the stored one.

Must stay true: pure;
- a sealed value is never sealed again for another server, token address, client, provider or mailbox: it is kept as
  it is, or it is dropped, and dropped only when the caller has agreed to that;
- what is stored wins over what the caller had read before: a token rotated meanwhile is not put back to the old one.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from datapallas.connection.identity import FIELDS, REFRESH_TOKEN, WORDS, identity
from datapallas.connection.model import OAuth2Client, Sealed
from datapallas.connection.record import fingerprint
from datapallas.connection.vault import is_ours
from datapallas.errors import ConfigurationError
from datapallas.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datapallas.connection.model import Connection, Stored
    from datapallas.connection.record import SealNote

_SIGN_IN = ("user_email", "issued_at", "granted_scope")  # what a sign-in leaves in the file beside its token


def secret_of(connection: Connection, field: str) -> Stored:
    """The secret in `field`; None when it is not set, or when this kind of connection has no such field."""
    return getattr(connection.credential, field, None)


def with_secret(connection: Connection, field: str, value: Stored) -> Connection:
    """`connection` with one secret replaced."""
    credential = dataclasses.replace(connection.credential, **{field: value})  # type: ignore[arg-type]
    return dataclasses.replace(connection, credential=credential)


def without_sign_in(connection: Connection) -> Connection:
    """`connection` as before anybody signed in."""
    if not isinstance(connection.credential, OAuth2Client):
        return connection
    bare = dataclasses.replace(
        connection.credential, refresh_token=None, user_email="", issued_at="", granted_scope=""
    )
    return dataclasses.replace(connection, credential=bare)


def settle(given: Connection, stored: Connection, notes: Mapping[str, SealNote], *, drop: bool) -> Connection:
    """The connection to write: secrets that stay as they are stored, new ones still in clear, to be sealed.

    `given` with a secret None or sealed means: as stored. Raises ConfigurationError (facts `case` identity-changed,
    `changed`, `lost`) when a stored secret cannot stay and `drop` is False.
    """
    wanted, lost = _weighed(given, stored, notes)
    if lost and not drop:
        raise _refused(given.code, lost)
    for field in lost:
        if hasattr(wanted.credential, field):
            wanted = without_sign_in(wanted) if field == REFRESH_TOKEN else with_secret(wanted, field, None)
    return wanted


def losses(given: Connection, stored: Connection, notes: Mapping[str, SealNote]) -> dict[str, str]:
    """The stored secrets that cannot stay when `given` is saved: field name to what changes, in words."""
    return _weighed(given, stored, notes)[1]


def _weighed(
    given: Connection, stored: Connection, notes: Mapping[str, SealNote]
) -> tuple[Connection, dict[str, str]]:
    wanted = _with_stored_sign_in(given, stored)
    lost: dict[str, str] = {}
    for field in FIELDS:
        old, new = secret_of(stored, field), secret_of(given, field)
        if isinstance(new, Secret) and new != old:
            continue
        if hasattr(wanted.credential, field):
            wanted = with_secret(wanted, field, old)
        changed = _cannot_stay(wanted, stored, field, notes.get(field))
        if changed:
            lost[field] = changed
    return wanted, lost


def _with_stored_sign_in(given: Connection, stored: Connection) -> Connection:
    """The account, date and scope belong to the stored token, unless the caller brings a token of its own."""
    new, old = given.credential, stored.credential
    if not isinstance(new, OAuth2Client) or not isinstance(old, OAuth2Client) or old.refresh_token is None:
        return given
    if isinstance(new.refresh_token, Secret) and new.refresh_token != old.refresh_token:
        return given
    facts = {name: getattr(old, name) for name in _SIGN_IN}
    return dataclasses.replace(given, credential=dataclasses.replace(new, **facts))


def _cannot_stay(wanted: Connection, stored: Connection, field: str, note: SealNote | None) -> str:
    """What has changed so that the stored secret does not fit any more; empty when it may stay."""
    old = secret_of(stored, field)
    if old is None:
        return ""
    now, before = identity(wanted, field), identity(stored, field)
    if not hasattr(wanted.credential, field):
        return now.changes_from(before)
    if not isinstance(old, Sealed) or not is_ours(old.text) or now == before:
        return ""
    # An edit by hand is being undone: the value was sealed for exactly what is wanted now.
    undone = note is not None and note.fingerprint == fingerprint(old.text) and note.identity == now
    return "" if undone else now.changes_from(before)


def _refused(code: str, lost: Mapping[str, str]) -> ConfigurationError:
    what = " and ".join(WORDS[field] for field in lost)
    changed = max(lost.values(), key=len)
    again = "sign in again afterwards" if REFRESH_TOKEN in lost else "set it again afterwards"
    return ConfigurationError(
        f"{what[0].upper()}{what[1:]} of {code} cannot be kept when these change: {changed}. "
        f"Nothing was saved. To go on, drop it with --drop-sign-in, and {again}.",
        case="identity-changed",
        reason="not-saved",
        connection=code,
        changed=changed,
        lost=", ".join(lost),
    )
