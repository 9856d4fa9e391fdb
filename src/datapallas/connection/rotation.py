"""Checks that every sealed value opens, and seals all of them with a new key.

Must stay true: a rotation can be killed anywhere and run again: the new key is on disk before anything is sealed with
it, the old one opens until nothing needs it, and each file changes whole under its connection's lock.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from datapallas.connection import keys as stored_keys
from datapallas.connection import xml_codec
from datapallas.connection.elements import SECRETS
from datapallas.connection.keys import StoredKey
from datapallas.connection.seals import view
from datapallas.connection.store import Broken
from datapallas.connection.vault import Grant, is_ours, kid_in
from datapallas.errors import DataPallasError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Protocol

    from datapallas.connection.folder import Folder
    from datapallas.connection.key_sources import Source
    from datapallas.connection.model import Sealed
    from datapallas.connection.update import Update
    from datapallas.connection.vault import Vault

    class Others(Protocol):
        """Sealed values outside of connections, such as those of reports."""

        def verify(self, vault: Callable[[], Vault]) -> list[Checked]:
            """Open each; the vault is asked for only when there is one."""

        def reseal(self, vault: Vault, primary: str) -> tuple[int, list[Checked]]:
            """Seal with `primary` what another key sealed; how many, and those that do not open."""


@dataclasses.dataclass(frozen=True, slots=True)
class Checked:
    """One secret of one file: `field` is empty when the whole file cannot be read; `problem` is empty when it opens."""

    connection: str
    field: str
    kid: str = ""
    problem: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did.

    Attributes:
        primary: id of the key that seals now.
        resumed: True when an earlier rotation was finished instead of starting a new one.
        resealed: how many values were sealed again.
        retired: ids of keys that nothing needs any more.
        failed: values that could not be opened; their key stays in use for opening.
    """

    primary: str
    resumed: bool
    resealed: int
    retired: tuple[str, ...]
    failed: tuple[Checked, ...]


def verify(folder: Folder, others: Others | None = None) -> list[Checked]:
    """Open every sealed value; secrets in clear and files that cannot be read are problems too."""
    found = others.verify(folder.seals.vault) if others else []
    for entry in folder.entries():
        if isinstance(entry.connection, Broken):
            where = f"line {entry.connection.line}: " if entry.connection.line else ""
            found.append(Checked(entry.path.stem, "", problem=where + entry.connection.reason))
            continue
        code = entry.connection.code
        found += [
            Checked(code, SECRETS[name], problem="it stands in clear; it is sealed at the next save")
            for name in entry.plain
        ]
        found += [_check(folder, entry.data, code, field, value) for field, value in _sealed(entry.data)]
    return found


def _check(folder: Folder, data: bytes, code: str, field: str, value: Sealed) -> Checked:
    try:
        folder.seals.open(view(data, field), field, value)
    except DataPallasError as problem:
        return Checked(code, field, kid_in(value.text), problem.message)
    return Checked(code, field, kid_in(value.text))


def rotate(folder: Folder, environ: Mapping[str, str], others: Others | None = None) -> Rotated:
    """Make a new primary key and seal every value with it; or finish a rotation that was cut off.

    Raises KeyProblem when there is no key, or when its source cannot be written from here; StorageError.
    """
    root = folder.store.root
    with stored_keys.keys_lock(root):
        source, keys = stored_keys.read_keys(root, environ, folder.store.sealed_texts)
        resealed = 0
        failed: tuple[Checked, ...] = ()
        if any(key.status == "decrypt" for key in keys):
            resealed, failed = _reseal_all(folder, _primary(keys), others)
        resumed = resealed > 0
        if not resumed:
            keys = [StoredKey.new(), *(dataclasses.replace(k, status=_older(k)) for k in keys)]
            stored_keys.write_keys(source, keys)
            resealed, failed = _reseal_all(folder, _primary(keys), others)
        retired = _retire(folder, source, keys)
    return Rotated(_primary(keys), resumed, resealed, retired, failed)


def _primary(keys: list[StoredKey]) -> str:
    return next(key.kid for key in keys if key.status == "primary")


def _older(key: StoredKey) -> stored_keys.Status:
    return "decrypt" if key.status == "primary" else key.status


def _reseal_all(folder: Folder, primary: str, others: Others | None) -> tuple[int, tuple[Checked, ...]]:
    done, failed = others.reseal(folder.seals.vault(), primary) if others else (0, [])
    for entry in folder.entries():
        if isinstance(entry.connection, Broken):
            failed.append(Checked(entry.path.stem, "", problem=entry.connection.reason))
            continue
        code = entry.connection.code
        try:
            with folder.locked_update(code) as update:
                for field, value in _sealed(update.data):
                    if kid_in(value.text) == primary or not is_ours(value.text):
                        continue
                    try:
                        _reseal(folder, update, field, value)
                        done += 1
                    except DataPallasError as problem:
                        failed.append(Checked(code, field, kid_in(value.text), problem.message))
        except DataPallasError as problem:  # gone or broken since it was listed; two files with one code
            failed.append(Checked(code, "", problem=problem.message))
    return done, tuple(failed)


def _reseal(folder: Folder, update: Update, field: str, value: Sealed) -> None:
    connection = view(update.data, field)
    opened = folder.seals.open(connection, field, value)
    grant: Grant = dataclasses.replace(opened.grant, generation=opened.generation + 1)
    sealed, note = folder.seals.seal(connection, field, opened.value, grant)
    element = next(name for name, known in SECRETS.items() if known == field)
    record = dataclasses.replace(update.record, seals={**update.record.seals, field: note})
    update.write_bytes(xml_codec.with_secret(update.data, element, sealed), record)


def _sealed(data: bytes) -> Iterator[tuple[str, Sealed]]:
    """Every sealed value of a file, those its provider does not use among them."""
    for element, value in xml_codec.sealed_values(data).items():
        yield SECRETS[element], value


def _retire(folder: Folder, source: Source, keys: list[StoredKey]) -> tuple[str, ...]:
    """Close the keys that no file needs any more; they are kept, so that an old backup can be brought back."""
    texts = [data for _, data in folder.store.sealed_texts()]
    if None in texts:  # what cannot be read may need any of them
        return ()
    text = b"".join(data for data in texts if data)
    idle = tuple(k.kid for k in keys if k.status == "decrypt" and f".{k.kid}.".encode() not in text)
    if idle:
        closed = [dataclasses.replace(k, status="retired") if k.kid in idle else k for k in keys]
        stored_keys.write_keys(source, closed)
    return idle
