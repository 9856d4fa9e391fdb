"""The place where the result of one sign-in will be kept, proven before the person is sent anywhere.

Must stay true:
- until the sign-in has worked, the stored connection, its settings and its old sign-in are as they were; a new
  connection does not exist;
- changed settings and the new sign-in are stored in one step under the connection's lock;
- whatever somebody else changed meanwhile is not overwritten.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

from datapallas.connection import provider
from datapallas.connection.identity import REFRESH_TOKEN
from datapallas.connection.model import OAuth2Client, Sealed
from datapallas.connection.settle import secret_of, settle, with_secret, without_sign_in
from datapallas.connection.update import Granted
from datapallas.errors import DataPallasError, SignInRejected
from datapallas.oauth.asked import expected_mailbox
from datapallas.oauth.client import opened_client, refuse_where_nobody_signs_in
from datapallas.oauth.clock import iso

if TYPE_CHECKING:
    from datapallas.connection.folder import Folder
    from datapallas.connection.model import Connection
    from datapallas.connection.update import Update
    from datapallas.oauth.token import SignedIn


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """A proven place.

    Attributes:
        client: as which application to sign in; its secret is open.
        mailbox: who should sign in; empty when anybody may.
        subject: the account's number from the sign-in that is there now, or empty.
    """

    client: OAuth2Client
    mailbox: str
    subject: str
    _folder: Folder
    _wanted: Connection
    _before: Connection | None  # as stored when the place was proven; None for a new connection

    def store(self, state: SignedIn, now: float) -> SignedIn:
        """Keep it; `now` is wall time. A refresh that went on meanwhile is replaced (a higher generation wins).

        Raises SignInRejected (code ``changed-meanwhile``), and what the folder raises; then nothing has changed.
        """
        granted = Granted(
            at=iso(now),
            issued_at=state.issued_at,
            user_email=state.account,
            scope=state.granted_scope,
            tid=state.tenant,
            subject=state.subject,
            refresh_ends=state.refresh_expires_at,
            issuer=state.issuer,
        )
        if self._before is None:
            return self._store_new(state, granted)
        with self._folder.locked_update(self._before.code) as update, update.reserve():
            update.store_refresh_token(state.refresh_token, granted, self._settings(update, self._before))
            return dataclasses.replace(state, generation=update.opened().generation)

    def _store_new(self, state: SignedIn, granted: Granted) -> SignedIn:
        client = dataclasses.replace(
            self.client,
            client_secret=secret_of(self._wanted, "client_secret"),
            user_email=granted.user_email,
            issued_at=granted.issued_at,
            granted_scope=granted.scope,
        )
        new = dataclasses.replace(self._wanted, credential=client)
        self._folder.create_signed_in(new, state.refresh_token, granted)
        return dataclasses.replace(state, generation=1)

    def _settings(self, update: Update, before: Connection) -> Connection | None:
        """What to store beside the token; None when the settings stay as they are stored now."""
        stored = update.connection
        if _settings_of(self._wanted) == _settings_of(before):
            if _bound_to(stored) != _bound_to(before):
                raise _changed_meanwhile(before.code)
            return None
        if _settings_of(stored) != _settings_of(before):
            raise _changed_meanwhile(before.code)
        wanted = dataclasses.replace(self._wanted, default=stored.default)
        return settle(
            wanted, stored, update.record.seals, drop=True
        )  # agreed to, or needless, when it was proven


def prove(folder: Folder, wanted: Connection, *, new: bool = False, drop_sign_in: bool = False) -> Keeping:
    """Prove that a sign-in with the settings of `wanted` can be kept: file, lock, key, space.

    Raises UnknownConnection, UsageError for a password or an app-only connection, KeyProblem, StorageError, and ConfigurationError: for a `new`
    one when its code is taken; for an existing one (fact `case` is ``identity-changed``) when the changed settings end
    a secret that is stored, which `drop_sign_in` agrees to.
    """
    refuse_where_nobody_signs_in(wanted)
    if new:
        wanted = without_sign_in(wanted)
        client = opened_client(folder, wanted)
        with folder.room_for(wanted):
            return Keeping(
                client=client,
                mailbox=expected_mailbox(wanted),
                subject="",
                _folder=folder,
                _wanted=wanted,
                _before=None,
            )
    with folder.locked_update(wanted.code) as update:
        settled = settle(wanted, update.connection, update.record.seals, drop=drop_sign_in)
        client = opened_client(folder, settled)
        subject = ""
        if secret_of(settled, REFRESH_TOKEN) is not None:
            with contextlib.suppress(DataPallasError):  # one that no longer opens
                subject = update.opened().grant.subject
        with update.reserve():
            return Keeping(
                client=client,
                mailbox=expected_mailbox(settled),
                subject=subject,
                _folder=folder,
                _wanted=wanted,
                _before=update.connection,
            )


def _settings_of(connection: Connection) -> Connection:
    """A connection as a person set it up: no sign-in, and a secret that is as stored counts as not given."""
    bare = dataclasses.replace(without_sign_in(connection), default=False)
    for field in ("client_secret", "password"):
        if isinstance(secret_of(bare, field), Sealed):
            bare = with_secret(bare, field, None)
    return bare


def _bound_to(connection: Connection) -> tuple[str, ...]:
    """What the sign-in was made for."""
    client = connection.credential
    if not isinstance(client, OAuth2Client):
        return ()
    return (
        client.client_id,
        provider.authorize_url(client),
        provider.token_url(client),
        provider.scope(client),
    )


def _changed_meanwhile(code: str) -> SignInRejected:
    return SignInRejected(
        f"{code} was changed while the browser was open. Nothing was stored; sign in again.",
        code="changed-meanwhile",
        connection=code,
    )
