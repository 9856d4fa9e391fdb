"""Seals the secrets of connections, opens them, and says why one does not open.

Must stay true: no secret leaves but through `open`; a failed opening names what has changed, when that is known.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from datapallas.connection import xml_codec
from datapallas.connection.elements import SECRETS, is_variable
from datapallas.connection.identity import CLIENT_SECRET, FIELDS, PASSWORD, REFRESH_TOKEN, WORDS, identity
from datapallas.connection.model import Sealed
from datapallas.connection.record import Record, SealNote, fingerprint
from datapallas.connection.settle import secret_of, with_secret
from datapallas.connection.vault import Grant, Opened, Vault
from datapallas.errors import ConfigurationError, NotSignedIn, SealBroken
from datapallas.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datapallas.connection.model import Connection
    from datapallas.connection.store import Store
    from datapallas.connection.vault import Keyring

_ELEMENTS = {field: element for element, field in SECRETS.items()}


def view(data: bytes, field: str) -> Connection:
    """The connection of a file, as the secret `field` belongs to it: a left-over password belongs to no provider."""
    connection = xml_codec.decode(data)
    if field == PASSWORD and not hasattr(connection.credential, field):
        return xml_codec.as_password(data)
    return connection


class Seals:
    """Seals and opens for one home."""

    def __init__(self, keys: Callable[[], Keyring], store: Store) -> None:
        self._keys = keys
        self._store = store

    def vault(self) -> Vault:
        """A vault with the keys as they are now. Raises KeyProblem."""
        return Vault(self._keys())

    def seal(
        self, connection: Connection, field: str, value: Secret, grant: Grant
    ) -> tuple[Sealed, SealNote]:
        """`value` sealed as `field` of `connection`, opened again to be sure, and the note about it."""
        vault, bound = self.vault(), identity(connection, field)
        sealed = vault.seal(value, bound, grant)
        if vault.open(sealed, bound) != Opened(value, grant):
            raise SealBroken(f"The seal for {connection.code} could not be verified.", field=field)
        return sealed, SealNote(fingerprint(sealed.text), bound, grant.generation)

    def seal_all(self, connection: Connection, record: Record) -> tuple[Connection, Record]:
        """Every secret that is still in clear, sealed."""
        notes, ends = dict(record.seals), record.secret_ends
        for field in FIELDS:
            value = secret_of(connection, field)
            if isinstance(value, Secret) and not is_variable(value.reveal()):
                last = notes[field].generation if field in notes else 0
                sealed, notes[field] = self.seal(connection, field, value, Grant(last + 1))
                connection = with_secret(connection, field, sealed)
            elif value is None:
                notes.pop(field, None)
            if field == CLIENT_SECRET and not isinstance(value, Sealed):
                ends = ""  # it was said about another secret
        return connection, dataclasses.replace(record, seals=notes, secret_ends=ends)

    def seal_left_overs(self, data: bytes, record: Record) -> tuple[bytes, Record]:
        """Secrets in clear that the connection's provider does not use: an old password beside a sign-in."""
        for element, value in xml_codec.secrets_in_clear(data).items():
            field = SECRETS[element]
            sealed, note = self.seal(view(data, field), field, value, Grant())
            data = xml_codec.with_secret(data, element, sealed)
            record = dataclasses.replace(record, seals={**record.seals, field: note})
        return data, record

    def open(self, connection: Connection, field: str, stored: Sealed | None = None) -> Opened:
        """The secret `field` of `connection`, and what was sealed with it; generation 0 when it stands in clear.

        Raises NotSignedIn or ConfigurationError when it is not set, SealBroken, KeyProblem.
        """
        value = stored or secret_of(connection, field)
        if isinstance(value, Secret):
            if is_variable(value.reveal()):
                raise _not_usable(
                    connection, field, "holds a variable, which only reports fill in", "variable"
                )
            return Opened(value, Grant(0))
        if value is None:
            if field == REFRESH_TOKEN:
                raise NotSignedIn(f"Nobody is signed in to {connection.code}.", connection=connection.code)
            raise _not_usable(connection, field, "is not set", "not-set")
        bound = identity(connection, field)
        try:
            return self.vault().open(value, bound)
        except SealBroken as problem:
            if problem.facts.get("case") != "seal-broken":
                raise
            changed = self.changed(connection, field, value)
            if not changed:
                raise
            raise SealBroken(
                f"{WORDS[field][0].upper()}{WORDS[field][1:]} of {connection.code} does not open: {changed}.",
                field=field,
                connection=connection.code,
                changed=changed,
                case="identity-changed",
            ) from None

    def changed(self, connection: Connection, field: str, sealed: Sealed) -> str:
        """Why a value does not open, from the notes of all connections, without a key; empty when none says."""
        print_ = fingerprint(sealed.text)
        own = self._store.record(connection.code).seals
        for note in self._notes(own.get(field)):
            if note.fingerprint == print_:
                changes = identity(connection, field).changes_from(note.identity)
                return f"since it was sealed these have changed: {changes}" if changes else ""
        if own.get(field) is not None:
            return "it is not the value that was sealed last; it was changed by hand, or comes from elsewhere"
        return ""

    def _notes(self, first: SealNote | None) -> Iterator[SealNote]:
        """The note that is usually right, then all there are."""
        if first is not None:
            yield first
        for record in self._store.records():
            yield from record.seals.values()


def element_of(field: str) -> str:
    """The element a secret stands in."""
    return _ELEMENTS[field]


def _not_usable(connection: Connection, field: str, words: str, case: str) -> ConfigurationError:
    what = WORDS[field]
    return ConfigurationError(
        f"{what[0].upper()}{what[1:]} of {connection.code} {words}.",
        case=case,
        field=field,
        connection=connection.code,
    )
