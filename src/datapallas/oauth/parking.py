"""Parked: what is noted when the provider refuses a stored sign-in, and what a person is told then.

Must stay true: parking deletes nothing; a note counts only for the token it was made about.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from datapallas.connection.model import OAuth2Client, Provider
from datapallas.connection.record import fingerprint
from datapallas.errors import Parked
from datapallas.oauth.clock import from_iso
from datapallas.oauth.endings import DAY, TESTING_SECONDS

if TYPE_CHECKING:
    from datapallas.connection.record import Refusal
    from datapallas.connection.update import Update
    from datapallas.connection.vault import Opened

LOST = "answer-lost"  # the record's word for: the provider rotated the token and its answer never reached the disk


def parked(update: Update, refusal: Refusal, *, older: bool = False) -> Parked:
    """The error for a parked connection, in the words of the refusal."""
    if refusal.error == LOST:
        why = "the provider rotated the token and the answer was lost; sign in once"
    elif older:
        why = "an older copy of its file was restored, and the provider knows a newer sign-in; sign in again"
    else:
        why = "the provider refused the stored sign-in; sign in again"
    error = "invalid_grant" if refusal.error == LOST else refusal.error
    return Parked(
        f"{update.connection.code} is parked: {why}.",
        raw=": ".join(filter(None, (error, refusal.description))),
        connection=update.connection.code,
        mailbox=update.connection.mailbox,
        provider=update.connection.provider.value,
        error=error,
        error_codes=" ".join(map(str, refusal.error_codes)),
        correlation_id=refusal.correlation_id,
        at=refusal.at,
        case="died-young" if _died_young(update, refusal) else "",
        lost="yes" if refusal.error == LOST else "",
        restored="yes" if older else "",
    )


def _died_young(update: Update, refusal: Refusal) -> bool:
    """Google ended it a week after its issue: so it does with every sign-in of an app in Testing."""
    client = update.connection.credential
    if not isinstance(client, OAuth2Client) or client.provider is not Provider.GOOGLE:
        return False
    issued, died = from_iso(client.issued_at), from_iso(refusal.at)
    return (
        issued is not None
        and died is not None
        and TESTING_SECONDS - 2 * DAY <= died - issued <= TESTING_SECONDS
    )


def is_parked(update: Update, opened: Opened) -> bool:
    """Whether the note that parks this connection is about the token that is stored now."""
    record = update.record
    if record.parked is None:
        return False
    return record.intent is None or record.intent.token == fingerprint(opened.value.reveal())


def check_parked(update: Update, opened: Opened) -> None:
    """Raise Parked when the stored sign-in was refused."""
    if update.record.parked is not None and is_parked(update, opened):
        raise parked(update, update.record.parked, older=restored(update, opened))


def restored(update: Update, opened: Opened) -> bool:
    """Whether somebody put an older copy of the file back."""
    return opened.generation > 0 and update.restored()


def park(update: Update, refusal: Refusal) -> None:
    """Park. The intent stays: it names the token that was refused."""
    update.save_record(dataclasses.replace(update.record, parked=refusal))
