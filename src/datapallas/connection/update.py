"""A change to one connection under its lock: the stored side of the rotation protocol (docs/security.md).

Must stay true:
- nothing is asked of a provider before the place for its answer is proven: space, rights, name and sealing key;
- what is put in place has been opened and read again;
- a prepared file left by a killed process is finished when it holds the next token of this same sign-in, and only then.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

from datapallas.connection import xml_codec
from datapallas.connection.identity import ACCESS_TOKEN, REFRESH_TOKEN, identity
from datapallas.connection.model import OAuth2Client, Sealed
from datapallas.connection.record import Intent, Record, fingerprint
from datapallas.connection.settle import secret_of, without_sign_in
from datapallas.connection.store import Entry, Fenced, Lent
from datapallas.connection.vault import MAX_TEXT, Grant
from datapallas.errors import BrokenConnection, ConfigurationError, KeyProblem, SealBroken, StorageError
from datapallas.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datapallas.connection.model import Connection
    from datapallas.connection.record import SealNote
    from datapallas.connection.seals import Seals
    from datapallas.connection.store import Place, Store
    from datapallas.connection.vault import Opened


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What came with a refresh token; empty means: as before.

    Attributes:
        at: now, ISO 8601 UTC; becomes the record's `refreshed_at`.
        issued_at: when this refresh token was issued, ISO 8601 UTC; empty when the old one stays.
        user_email: the account that signed in.
        scope: what was granted.
        tid: Microsoft's tenant id of the account.
        subject: the provider's name for the account.
        refresh_ends: when this refresh token ends whatever happens, ISO 8601 UTC, where the provider says so.
        issuer: who the provider says it is.
    """

    at: str = ""
    issued_at: str = ""
    user_email: str = ""
    scope: str = ""
    tid: str = ""
    subject: str = ""
    refresh_ends: str = ""
    issuer: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Lend:
    """An access token that came with a refresh token: others may use it for so many seconds, begin with it for fewer."""

    value: Secret
    ends: float
    reusable: float


def first_record(note: SealNote, granted: Granted) -> Record:
    """The record of a connection that is made by its first sign-in."""
    return Record(
        seals={REFRESH_TOKEN: note},
        refreshed_at=granted.at,
        refresh_ends=granted.refresh_ends,
        issuer=granted.issuer,
    )


class Update:
    """One connection, held under its lock until the block ends.

    Attributes:
        connection: as stored now; new after each change.
        record: as stored now; new after each change.
    """

    def __init__(self, store: Store, seals: Seals, code: str) -> None:
        self._entry: Entry = store.find(code)
        self.connection: Connection = self._entry.good
        self.record: Record = store.record(code)
        self._store, self._seals = store, seals
        self._place: Place | None = None

    def opened(self, field: str = REFRESH_TOKEN) -> Opened:
        """The stored secret and what was sealed with it. Raises NotSignedIn, SealBroken, KeyProblem."""
        return self._seals.open(self.connection, field)

    def restored(self) -> bool:
        """True when the stored sign-in is older than the last one stored here: somebody restored a backup."""
        note = self.record.seals.get(REFRESH_TOKEN)
        return note is not None and self.opened().generation < note.generation

    @contextlib.contextmanager
    def reserve(self) -> Iterator[None]:
        """Prove that a new token can be stored, before it is asked for. Raises StorageError or KeyProblem."""
        self._seals.vault().seal(Secret("proof"), identity(self.connection, REFRESH_TOKEN))
        with self._store.reserve(self._entry, len(self._entry.data) + MAX_TEXT) as place:
            self._place = place
            try:
                yield
            finally:
                self._place = None

    def intend(self, at: str) -> None:
        """Note that a refresh with the stored token is about to be sent. Raises StorageError: then send nothing."""
        opened = self.opened()
        token = fingerprint(opened.value.reveal())
        self.save_record(
            dataclasses.replace(self.record, intent=Intent(opened.generation, token, at)), must=True
        )

    def answer_lost(self) -> bool:
        """True when an earlier refresh with this very token was sent and its answer never stored."""
        opened, intent = self.opened(), self.record.intent
        return intent is not None and intent.token == fingerprint(opened.value.reveal())

    def store_refresh_token(
        self,
        token: Secret,
        granted: Granted = Granted(),
        settings: Connection | None = None,
        lend: Lend | None = None,
    ) -> None:
        """Put a new refresh token, or the old one again, in place, durably; un-parks the connection.

        `settings` is stored with it, in the same step; it was settled against what is stored (see `settle`). `lend` is
        kept sealed beside it, where the store lends. May be called again after StorageError: the old version stands,
        and the place is kept; not after Fenced.
        """
        settled = settings or self.connection
        if not isinstance(settled.credential, OAuth2Client):
            raise ConfigurationError(
                f"{settled.code} has a password, not a sign-in.", connection=settled.code
            )
        before, grant = settled.credential, self._next_grant(granted, settled)
        client = dataclasses.replace(
            before,
            refresh_token=None,
            user_email=granted.user_email or before.user_email,
            issued_at=granted.issued_at or before.issued_at,
            granted_scope=granted.scope or before.granted_scope,
        )
        bare = dataclasses.replace(settled, credential=client)
        sealed, note = self._seals.seal(bare, REFRESH_TOKEN, token, grant)
        new = dataclasses.replace(bare, credential=dataclasses.replace(client, refresh_token=sealed))
        new, record = self._seals.seal_all(new, self.record)
        record = dataclasses.replace(
            record,
            seals={**record.seals, REFRESH_TOKEN: note},
            intent=None,
            parked=None,
            refused=None,
            refreshed_at=granted.at or record.refreshed_at,
            # A token that came without an end has none; one that stays keeps its own.
            refresh_ends=granted.refresh_ends or ("" if granted.issued_at else record.refresh_ends),
            issuer=granted.issuer or record.issuer,
        )
        self._write(new, record, self._lent(new, lend, grant))

    def forget_sign_in(self) -> None:
        """Remove the stored sign-in. Needs no key: a value that does not open can be forgotten too."""
        seals = {field: note for field, note in self.record.seals.items() if field != REFRESH_TOKEN}
        record = dataclasses.replace(
            self.record, seals=seals, intent=None, parked=None, refused=None, refresh_ends="", issuer=""
        )
        data = xml_codec.encode(without_sign_in(self.connection), self.data)
        self._put(data, record)

    def write(self, connection: Connection, record: Record) -> None:
        """Put a connection whose secrets are sealed, and its record, in place."""
        self._write(connection, record, None)

    def write_bytes(self, data: bytes, record: Record) -> None:
        """Put changed bytes in place."""
        self._put(data, record)

    def save_record(self, record: Record, *, must: bool = False) -> None:
        """Keep a changed record; a full disk is told only when it `must` be kept. Raises Fenced in any case."""
        try:
            self._store.save_record(self.connection.code, record)
        except StorageError as problem:
            if must or isinstance(problem, Fenced):
                raise
        self.record = record

    @property
    def data(self) -> bytes:
        """The bytes as stored now."""
        return self._entry.data

    def _write(self, connection: Connection, record: Record, lent: Lent | None) -> None:
        data = xml_codec.encode(connection, self.data)
        data, record = self._seals.seal_left_overs(data, record)
        self._put(data, record, lent)

    def _put(self, data: bytes, record: Record, lent: Lent | None = None) -> None:
        connection = xml_codec.decode(data)
        changed = record if record != self.record else None
        version = self._entry.version
        if self._place is not None:
            version = self._place.put(data, changed, lent)
            self._place = None
        elif data != self.data:
            version = self._store.put(self._entry, data, changed)
        elif changed is not None:
            self.save_record(changed)
        self._entry = dataclasses.replace(self._entry, data=data, connection=connection, version=version)
        self.connection, self.record = connection, record

    def _lent(self, connection: Connection, lend: Lend | None, grant: Grant) -> Lent | None:
        if lend is None or not self._store.lends:
            return None
        with contextlib.suppress(SealBroken):  # longer than a sealed value may be: then it is not lent
            sealed = self._seals.vault().seal(lend.value, identity(connection, ACCESS_TOKEN), grant)
            return Lent(sealed.text, lend.ends, lend.reusable)
        return None

    def _next_grant(self, granted: Granted, settled: Connection) -> Grant:
        """One generation on from what is stored; an account's facts stay when the provider does not repeat them.

        They do not stay when `settled` has dropped the stored sign-in: then they are somebody else's.
        """
        old = Grant(0)
        if isinstance(secret_of(self.connection, REFRESH_TOKEN), Sealed):
            with contextlib.suppress(SealBroken, KeyProblem):  # a new sign-in replaces what does not open
                old = self.opened().grant
        note = self.record.seals.get(REFRESH_TOKEN)
        last = max(old.generation, note.generation if note else 0)
        if secret_of(settled, REFRESH_TOKEN) is None:
            old = Grant(0)
        return Grant(
            generation=last + 1,
            issued_at=granted.issued_at or old.issued_at,
            tid=granted.tid or old.tid,
            subject=granted.subject or old.subject,
        )


def is_next_token(seals: Seals, current: object, prepared: bytes) -> bool:
    """True when `prepared` holds the refresh token that follows the one of `current`, for the same identity."""
    try:
        new = xml_codec.decode(prepared)
        if not isinstance(current, type(new)) or not isinstance(secret_of(new, REFRESH_TOKEN), Sealed):
            return False
        if identity(new, REFRESH_TOKEN) != identity(current, REFRESH_TOKEN):
            return False
        generation = seals.open(new, REFRESH_TOKEN).generation
        old = secret_of(current, REFRESH_TOKEN)
        last = seals.open(current, REFRESH_TOKEN).generation if isinstance(old, Sealed) else 0
    except (BrokenConnection, SealBroken):
        return False
    return generation == last + 1
