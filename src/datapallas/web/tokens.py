"""API tokens: how programs prove who they are at the JSON API.

Must stay true: a token is shown once, when it is made; the file holds its hash, and its last four characters so that
people can tell two apart.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

from datapallas.errors import UsageError
from datapallas.web.hashing import digest, new_public_id, new_secret
from datapallas.web.records import Records
from datapallas.web.who import Role

if TYPE_CHECKING:
    from pathlib import Path

    from datapallas.oauth.clock import Clock
    from datapallas.secret import Secret

PREFIX = "dp_"
"""So that a person, and a scanner of leaked secrets, sees what it is."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is known about a token; not the token. `created` is wall time, `ends_with` its last four characters."""

    id: str
    name: str
    role: Role
    created: float
    ends_with: str


class Tokens:
    """All API tokens of a home."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._records = Records(folder / "tokens.json")
        self._clock = clock

    def all(self) -> list[Token]:
        """Every token, by name."""
        return sorted((_token(one) for one in self._records.all().values()), key=lambda one: one.name)

    def find(self, secret: str) -> Token | None:
        """The token with this secret, or None."""
        found = self._records.get(digest(secret)) if secret.startswith(PREFIX) else None
        return _token(found) if found is not None else None

    def create(self, name: str, role: Role) -> tuple[Token, Secret]:
        """A new token, and its secret. Raises UsageError when the name is taken or not one."""
        if not NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} is no name for an API token. Letters, digits and . _ @ + - are allowed, at most 64.",
                code="token-name",
            )
        secret = new_secret(PREFIX)
        record = {
            "id": new_public_id(),
            "name": name,
            "role": role.value,
            "created": self._clock.wall(),
            "ends_with": secret.reveal()[-4:],
        }
        with self._records.changing() as table:
            if any(one.get("name") == name for one in table.values()):
                raise UsageError(f"There is a token {name} already.", code="token-exists", token=name)
            table[digest(secret.reveal())] = record
        return _token(record), secret

    def remove(self, name: str) -> None:
        """Forget a token; whoever uses it is refused from now on. Raises UsageError when there is none."""
        with self._records.changing() as table:
            keys = [key for key, one in table.items() if one.get("name") == name]
            if not keys:
                known = ", ".join(sorted(str(one.get("name")) for one in table.values())) or "none"
                raise UsageError(
                    f"There is no token {name!r}. Known: {known}.", code="unknown-api-token", token=name
                )
            for key in keys:
                del table[key]


def _token(found: dict[str, Any]) -> Token:
    return Token(
        id=found["id"],
        name=found["name"],
        role=Role(found["role"]),
        created=float(found["created"]),
        ends_with=found["ends_with"],
    )
