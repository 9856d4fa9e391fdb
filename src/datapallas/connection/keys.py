"""The master keys of an installation: where they come from, the first one, and the file that keeps them.

Must stay true:
- a lost key never makes a new one silently: the first key is made only where nothing is sealed yet;
- two sources with different keys stop everything, both ids named;
- a key's id is derived from it, so a wrong key is seen before anything is opened.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime as dt
import json
import secrets
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from datapallas import files
from datapallas.connection.file_store import sealed_texts
from datapallas.connection.key_sources import FileSource, Source, sources, usual_file
from datapallas.connection.vault import KEY_BYTES, Keyring, kid_of
from datapallas.errors import KeyProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

__all__ = ["Keyring", "StoredKey", "ensure", "init", "load", "read_keys"]

Status = Literal["primary", "decrypt", "retired"]
Sealed: TypeAlias = "Callable[[], Sequence[tuple[Path, bytes | None]]]"
"""Gives whatever holds sealed values: name, and bytes unless it cannot be read."""


@dataclasses.dataclass(frozen=True, slots=True)
class StoredKey:
    """One key of the keyring file: `primary` seals and opens, `decrypt` opens, `retired` is only kept."""

    kid: str
    created: str
    status: Status
    key: bytes = dataclasses.field(repr=False)

    @classmethod
    def new(cls) -> StoredKey:
        """A fresh primary key of 32 random bytes."""
        key = secrets.token_bytes(KEY_BYTES)
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        return cls(kid_of(key), now, "primary", key)


def load(root: Path, environ: Mapping[str, str]) -> Keyring | None:
    """The keys of the home `root`; None when no source has one. Raises KeyProblem when one fails or two disagree."""
    answers = list(_answers(root, environ))
    if not answers:
        return None
    primaries = {_primary(keys).kid: source.name for source, keys in answers}
    if len(primaries) > 1:
        told = " and ".join(f"key {kid} in {name}" for kid, name in primaries.items())
        raise KeyProblem(
            f"Two sources hold different keys: {told}. Remove one, or name the right one in DATAPALLAS_KEY_SOURCE.",
            case="conflict",
            kids=", ".join(primaries),
        )
    source, keys = answers[0]
    return Keyring(
        primary=_primary(keys).kid,
        keys={key.kid: key.key for key in keys if key.status != "retired"},
        retired=tuple(key.kid for key in keys if key.status == "retired"),
        source=source.name,
    )


def ensure(root: Path, environ: Mapping[str, str], sealed: Sealed | None = None) -> Keyring:
    """The keys of the home; the first one is made now when nothing is sealed yet: in its files, or as `sealed` says.

    This is what a folder is given. Raises KeyProblem (fact `case` is `lost`) when values are sealed and no key is here.
    """
    found = load(root, environ)
    return found or init(root, environ, unless_present=True, sealed=sealed)


def init(
    root: Path,
    environ: Mapping[str, str],
    *,
    abandon: bool = False,
    unless_present: bool = False,
    sealed: Sealed | None = None,
) -> Keyring:
    """Make the first key, in the named source or in the home's key file.

    Raises KeyProblem when there is a key (an existing one is never replaced), or when values are sealed with a key that
    is gone: `abandon` makes a new one all the same, and those values stay closed for good.
    """
    with keys_lock(root):
        found = load(root, environ)
        if found and unless_present:
            return found
        if found:
            raise KeyProblem(
                f"There is a key already: {found.primary} in {found.source}.",
                case="exists",
                kid=found.primary,
            )
        target = _target(root, environ)
        there = _sealed(root, sealed)
        if there and not abandon:
            raise _lost(target, there)
        target.write(_to_text([StoredKey.new()]))
    return cast("Keyring", load(root, environ))


def keys_lock(root: Path) -> AbstractContextManager[None]:
    """Hold this while a keyring is changed. Its name cannot be a connection's code."""
    return files.locked(root / "data" / "locks" / "_keys.lock")


def read_keys(
    root: Path, environ: Mapping[str, str], sealed: Sealed | None = None
) -> tuple[Source, list[StoredKey]]:
    """The source that answers and all its keys, for a rotation. Raises KeyProblem when none does."""
    if load(root, environ) is None:
        raise _lost(_target(root, environ), _sealed(root, sealed))
    return next(_answers(root, environ))


def write_keys(source: Source, keys: Sequence[StoredKey]) -> None:
    """Keep these keys in `source`. Raises KeyProblem when it cannot be written from here, StorageError."""
    source.write(_to_text(keys))


def _sealed(root: Path, sealed: Sealed | None) -> list[Path]:
    found = sealed() if sealed else sealed_texts(root)
    return [path for path, _ in found]


def _answers(root: Path, environ: Mapping[str, str]) -> Iterator[tuple[Source, list[StoredKey]]]:
    for source in sources(root, environ):
        text = source.read()
        if text is not None:
            yield source, _from_text(text, source.name)


def _target(root: Path, environ: Mapping[str, str]) -> Source:
    places = sources(root, environ)
    return places[0] if len(places) == 1 else FileSource(usual_file(root))


def _primary(keys: Sequence[StoredKey]) -> StoredKey:
    return next(key for key in keys if key.status == "primary")


def _lost(target: Source, sealed: Sequence[Path]) -> KeyProblem:
    if not sealed:
        return KeyProblem("There is no key yet. Make one with: datapallas keys init", case="none")
    names = ", ".join(path.name for path in sealed[:5]) + (", ..." if len(sealed) > 5 else "")  # noqa: PLR2004
    return KeyProblem(
        f"The key is missing: it was expected in {target.name}, and {len(sealed)} file(s) hold values sealed with it "
        f"({names}). Bring the key back from its backup. If it is gone for good, say so with "
        "`datapallas keys init --abandon`, then sign in again and set passwords again.",
        case="lost",
        source=target.name,
        files=names,
    )


def _to_text(keys: Sequence[StoredKey]) -> str:
    rows = [
        {"kid": k.kid, "created": k.created, "status": k.status, "key": base64.b64encode(k.key).decode()}
        for k in keys
    ]
    return json.dumps({"version": 1, "keys": rows}, indent=1) + "\n"


def _from_text(text: str, name: str) -> list[StoredKey]:
    """A keyring as JSON, or one key of 32 bytes as base64, as a credential or a variable holds it."""
    if not text.strip():
        raise KeyProblem(f"{name} is empty.", case="empty", path=name.removeprefix("file:"))
    try:
        if not text.lstrip().startswith("{"):
            key = base64.b64decode(text.strip(), validate=True)
            keys = [StoredKey(kid_of(key), "", "primary", key)]
        else:
            value = json.loads(text)
            if value["version"] != 1:
                raise KeyProblem(f"{name} was written by a newer version and is not touched.", case="bad-key")
            keys = [
                StoredKey(
                    str(row["kid"]),
                    str(row["created"]),
                    row["status"],
                    base64.b64decode(row["key"], validate=True),
                )
                for row in value["keys"]
            ]
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise KeyProblem(
            f"{name} does not hold a key: 32 bytes in base64, or a keyring file.", case="bad-key"
        ) from None
    _check(keys, name)
    return keys


def _check(keys: Sequence[StoredKey], name: str) -> None:
    for key in keys:
        if len(key.key) != KEY_BYTES or kid_of(key.key) != key.kid:
            raise KeyProblem(f"Key {key.kid} in {name} is damaged.", case="bad-key", kid=key.kid)
        if key.status not in {"primary", "decrypt", "retired"}:
            raise KeyProblem(f"Key {key.kid} in {name} has no known status.", case="bad-key", kid=key.kid)
    if sum(key.status == "primary" for key in keys) != 1:
        raise KeyProblem(f"{name} must hold exactly one primary key.", case="bad-key")
