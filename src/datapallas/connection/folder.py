"""The connections of a home: list, load, save, default, duplicate, delete, and the lock each of them has.

Must stay true:
- a lookup gives the connection that was asked for or an error that names what there is; never another one;
- a save holds the connection's lock, seals what is in clear, and is whole or not there;
- no thread holds the locks of two connections: so no two can wait for each other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import re
import threading
from typing import TYPE_CHECKING

from datapallas.connection import xml_codec
from datapallas.connection.codes import PREFIX, check_code, kebab
from datapallas.connection.file_store import FileStore
from datapallas.connection.identity import FIELDS, REFRESH_TOKEN
from datapallas.connection.record import Record
from datapallas.connection.seals import Seals, element_of
from datapallas.connection.settle import settle, with_secret, without_sign_in
from datapallas.connection.store import Broken, Entry
from datapallas.connection.update import Granted, Update, first_record, is_next_token
from datapallas.connection.vault import MAX_TEXT, Grant
from datapallas.errors import ConfigurationError, KeyProblem, NoDefaultConnection
from datapallas.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from datapallas.connection.model import Connection
    from datapallas.connection.store import Store
    from datapallas.connection.vault import Keyring, Opened

__all__ = ["Broken", "Entry", "Folder", "Granted", "Update", "kebab"]


_MARKED = re.compile(rb"<default>\s*true\s*</default>", re.IGNORECASE)  # in a file that cannot be read as XML


class Folder:
    """All connections of the home `root`; `keys` gives the keyring when a secret is sealed or opened.

    They are the files of the home, unless another `store` is given.
    """

    def __init__(self, root: Path, keys: Callable[[], Keyring], store: Store | None = None) -> None:
        self.store: Store = store or FileStore(root)
        self.seals = Seals(keys, self.store)
        self._held = threading.local()

    # Looking

    def list(self) -> list[Connection | Broken]:
        """Every connection, and every file that holds none with line and reason, in the order of file names."""
        return [entry.connection for entry in self.store.entries()]

    def entries(self) -> Sequence[Entry]:
        """The same with each one's path and the names of secrets that stand in clear (`plain`)."""
        return self.store.entries()

    def load(self, code: str) -> Connection:
        """The connection `code`.

        Raises UnknownConnection naming the known ones, BrokenConnection, and ConfigurationError when two files
        have this code.
        """
        return self.store.find(code).good

    def path_of(self, code: str) -> Path:
        """The file of the connection `code`, or its name in the database; raises as `load` does."""
        return self.store.find(code).path

    def code_of(self, path: Path) -> str:
        """The code of the connection in a file of this home. Raises ConfigurationError or BrokenConnection."""
        real = path.absolute()
        if not real.exists():
            raise ConfigurationError(f"There is no file {path}.", case="no-file", path=path)
        if not isinstance(self.store, FileStore):
            raise ConfigurationError(
                f"The connections of this home are in {self.store.place}, not in files: name one with --connection.",
                case="outside",
                path=path,
            )
        home = self.store.connections
        if real.parent.resolve() != home.resolve():
            raise ConfigurationError(
                f"{path} is not in {home}. Name the home it belongs to with --home.",
                case="outside",
                path=path,
            )
        if not (real.name.startswith(PREFIX) and real.name.endswith(".xml")):
            raise ConfigurationError(
                f"{path} is not called {PREFIX}NAME.xml, as connection files are.", case="bad-name", path=path
            )
        return self.store.entry(home / real.name).good.code

    def default(self) -> Connection:
        """The one connection marked as the default.

        Raises NoDefaultConnection naming the files when there is not exactly one; BrokenConnection when the one that
        is marked cannot be read.
        """
        entries = self.store.entries()
        marked = [e for e in entries if not isinstance(e.connection, Broken) and e.connection.default]
        if len(marked) == 1:
            return marked[0].good
        unread = [e.connection for e in entries if isinstance(e.connection, Broken)]
        if not marked:
            for entry in entries:
                if isinstance(entry.connection, Broken) and _MARKED.search(entry.data):
                    raise entry.connection.error
        which = "several are marked as the default" if marked else "none is marked as the default"
        names = ", ".join(str(e.path) for e in marked or entries)
        words = f" Not readable: {'; '.join(str(one.error.message) for one in unread)}" if unread else ""
        raise NoDefaultConnection(
            f"Of the connections {which}: {names}.{words}"
            if entries
            else f"There is no connection in {self.store.place}.",
            files=names,
            case="several" if entries else "none-at-all",
        )

    # Changing

    def create(self, connection: Connection) -> Connection:
        """Write a new connection, its secrets sealed, as `<code>.xml`; as a default it becomes the only one.

        Raises ConfigurationError when the code is no code or is taken, KeyProblem, StorageError.
        """
        self._new_file(connection, None)
        if connection.default:
            self.set_default(connection.code)
        return self.load(connection.code)

    @contextlib.contextmanager
    def room_for(self, connection: Connection) -> Iterator[None]:
        """Prove that a new connection can be made, with a sign-in in it, before anybody signs in; leaves nothing.

        Holds its lock. Raises as `create` does.
        """
        code = _new_code(connection)
        with self._locked(code):
            self.store.vacant(code)
            sealed, _ = self.seals.seal_all(connection, Record())
            self.seals.seal(sealed, REFRESH_TOKEN, Secret("proof"), Grant(1))
            with self.store.room(code, len(xml_codec.encode(sealed, None)) + MAX_TEXT):
                yield

    def create_signed_in(self, connection: Connection, token: Secret, granted: Granted) -> Connection:
        """Write a new connection with its first sign-in, in one step. Raises as `create` does."""
        grant = Grant(1, granted.issued_at, granted.tid, granted.subject)
        sealed, note = self.seals.seal(connection, REFRESH_TOKEN, token, grant)
        signed_in = with_secret(connection, REFRESH_TOKEN, sealed)
        self._new_file(signed_in, None, first_record(note, granted))
        if connection.default:
            self.set_default(connection.code)
        return self.load(connection.code)

    def save(self, connection: Connection, *, drop_sign_in: bool = False) -> Connection:
        """Write the changes to a stored connection and give what is stored then.

        A secret given in clear is sealed; one given as None or sealed stays as it is stored. Raises
        ConfigurationError (fact `case` is `identity-changed`) when a change ends a stored secret and `drop_sign_in`
        is False; with it, that secret is dropped and only that one.
        """
        with self._locked(connection.code):
            update = self._recovered(connection.code)
            new = settle(connection, update.connection, update.record.seals, drop=drop_sign_in)
            update.write(*self.seals.seal_all(new, update.record))
            return update.connection

    def set_default(self, code: str) -> None:
        """Make `code` the only default connection; changes nothing when one of those concerned cannot be changed."""
        self.load(code)
        found = [entry.connection for entry in self.store.entries()]
        others = [c.code for c in found if not isinstance(c, Broken) and c.default and c.code != code]
        for other in others:
            self.load(other)  # two files with its code: told before anything is written
        self._mark(code, default=True)
        for other in others:
            self._mark(other, default=False)

    def duplicate(self, code: str, name: str, new_code: str = "") -> Connection:
        """Copy `code` under a new name, with everything the file holds but its secrets and sign-in."""
        entry = self.store.find(code)
        data = entry.data
        for field in FIELDS:
            data = xml_codec.with_secret(data, element_of(field), None)
        bare = without_sign_in(xml_codec.decode(data))
        copy = dataclasses.replace(bare, code=new_code or kebab(name), name=name, default=False)
        self._new_file(copy, data)
        return self.load(copy.code)

    def delete(self, code: str, *, force: bool = False) -> None:
        """Delete a connection, its sign-in and its record; the default one only with `force`, a broken file too."""
        with self._locked(code):
            entry = self.store.locate(code)
            if not isinstance(entry.connection, Broken) and entry.connection.default and not force:
                raise ConfigurationError(
                    f"{code} is the default connection. Make another one the default first, or delete with --force.",
                    case="default-connection",
                    connection=code,
                )
            self.store.remove(entry, code)

    # Secrets

    def opened(self, connection: Connection, field: str) -> Opened:
        """The secret `field` of `connection` and what was sealed with it.

        Raises NotSignedIn or ConfigurationError when it is not set, SealBroken (fact `changed`), KeyProblem.
        """
        return self.seals.open(connection, field)

    def reveal(self, connection: Connection, field: str) -> Secret:
        """The secret `field` of `connection`; raises as `opened` does."""
        return self.opened(connection, field).value

    # Locking

    @contextlib.contextmanager
    def lock(self, code: str) -> Iterator[None]:
        """Hold the lock of one connection, after finishing what a killed process left. Waits 30 s at most.

        Raises StorageError (code `lock-busy`), and RuntimeError when this thread holds another connection's lock.
        """
        with self._locked(code):
            self._recovered(code)
            yield

    @contextlib.contextmanager
    def locked_update(self, code: str) -> Iterator[Update]:
        """The connection under its lock, read again, for a change: see `Update`.

        What a killed process left is finished first; when that needs a key that is missing, it stays as it is, and
        only what needs the key will fail.
        """
        with self._locked(code):
            try:
                update = self._recovered(code)
            except KeyProblem:
                update = Update(self.store, self.seals, code)
            yield update

    @contextlib.contextmanager
    def _locked(self, code: str) -> Iterator[None]:
        held = getattr(self._held, "code", None)
        if held == code:
            yield
            return
        if held is not None:
            raise RuntimeError(f"this thread holds the lock of {held} and may not wait for {code}")
        with self.store.lock(check_code(code)):
            self._held.code = code
            try:
                yield
            finally:
                self._held.code = None

    def _recovered(self, code: str) -> Update:
        self.store.recover(code, functools.partial(is_next_token, self.seals))
        return Update(self.store, self.seals, code)

    # Parts

    def _mark(self, code: str, *, default: bool) -> None:
        with self._locked(code):
            update = self._recovered(code)
            if update.connection.default is not default:
                new = dataclasses.replace(update.connection, default=default)
                update.write(*self.seals.seal_all(new, update.record))

    def _new_file(self, connection: Connection, original: bytes | None, record: Record | None = None) -> None:
        code = _new_code(connection)
        with self._locked(code):
            self.store.vacant(code)
            sealed, record = self.seals.seal_all(connection, record or Record())
            self.store.add(code, xml_codec.encode(sealed, original), record)


def _new_code(connection: Connection) -> str:
    code = check_code(connection.code)
    if not code.startswith(PREFIX):
        raise ConfigurationError(f"The code {code!r} must start with {PREFIX}.", case="bad-code")
    return code
