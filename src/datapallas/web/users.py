"""The people who may use a served page: names, roles, and passwords hashed with argon2id.

Must stay true: a password is never stored, shown or logged; checking a name nobody has takes as long as checking a
wrong password; at most two passwords are checked at once, because each costs 64 MiB.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import threading
from typing import TYPE_CHECKING, Any

from datapallas.errors import UsageError
from datapallas.web.records import Records
from datapallas.web.who import Role

if TYPE_CHECKING:
    from pathlib import Path

    from argon2 import PasswordHasher

    from datapallas.oauth.clock import Clock
    from datapallas.secret import Secret

NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
SHORTEST, LONGEST = 12, 1024
"""Characters of a password (NIST SP 800-63B wants 8 at least, and no rules about their kind)."""

_checking = threading.BoundedSemaphore(2)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody who may log in. `created` is wall time."""

    name: str
    role: Role
    created: float


class Users:
    """All users of a home."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._records = Records(folder / "users.json")
        self._clock = clock

    def all(self) -> list[User]:
        """Every user, by name."""
        return [_user(name, one) for name, one in sorted(self._records.all().items())]

    def find(self, name: str) -> User | None:
        """The user with this name, or None."""
        found = self._records.get(name.lower())
        return _user(name.lower(), found) if found is not None else None

    def add(self, name: str, role: Role, password: Secret) -> User:
        """A new user. Raises UsageError when the name is taken or not one, or the password too short."""
        name = name.lower()
        if not NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} is no name for a user: letters a to z, digits and . _ @ + - are allowed, at most 64.",
                code="user-name",
            )
        record = {"role": role.value, "created": self._clock.wall(), "password": _hashed(password)}
        with self._records.changing() as table:
            if name in table:
                raise UsageError(f"There is a user {name} already.", code="user-exists", user=name)
            table[name] = record
        return _user(name, record)

    def set_password(self, name: str, password: Secret) -> None:
        """Another password for a user. Raises UsageError when there is no such user, or it is too short."""
        hashed = _hashed(password)
        with self._records.changing() as table:
            _known(table, name)["password"] = hashed

    def remove(self, name: str) -> None:
        """Forget a user. Raises UsageError when there is no such user."""
        with self._records.changing() as table:
            _known(table, name)
            del table[name.lower()]

    def check(self, name: str, password: Secret) -> User | None:
        """The user, when the password is theirs; else None, after the same time."""
        from argon2.exceptions import InvalidHashError, VerificationError

        name = name.lower()
        found = self._records.get(name)
        stored = found["password"] if found is not None else _dummy()
        given = password.reveal()
        if len(given) > LONGEST:
            return None
        with _checking:
            try:
                hasher().verify(stored, given)
            except (VerificationError, InvalidHashError):
                return None
        if found is None:
            return None
        if hasher().check_needs_rehash(stored):  # the recommended cost has grown since
            self.set_password(name, password)
        return _user(name, found)


@functools.cache
def hasher() -> PasswordHasher:
    """Argon2id with the parameters RFC 9106 recommends where memory is short (argon2-cffi's defaults)."""
    from argon2 import PasswordHasher

    return PasswordHasher()


@functools.cache
def _dummy() -> str:
    """The hash of a password nobody has, to spend the same time on."""
    from datapallas.web.hashing import new_secret

    return hasher().hash(new_secret().reveal())


def _hashed(password: Secret) -> str:
    length = len(password.reveal())
    if not SHORTEST <= length <= LONGEST:
        raise UsageError(
            f"The password has {length} characters; it needs {SHORTEST} at least, and {LONGEST} at most.",
            code="password-length",
        )
    with _checking:
        return hasher().hash(password.reveal())


def _known(table: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    found = table.get(name.lower())
    if found is None:
        known = ", ".join(sorted(table)) or "none"
        raise UsageError(f"There is no user {name!r}. Known: {known}.", code="unknown-user", user=name)
    return found


def _user(name: str, found: dict[str, Any]) -> User:
    return User(name=name, role=Role(found["role"]), created=float(found["created"]))
