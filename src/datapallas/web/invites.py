"""Invitations: a link with which the owner of a mailbox, who sits elsewhere, signs in to one connection.

Must stay true: an invitation works once, until its end, and leads to its one connection and nothing else; the file
holds its hash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.web.hashing import digest, new_secret
from datapallas.web.records import Records

if TYPE_CHECKING:
    from pathlib import Path

    from datapallas.oauth.clock import Clock
    from datapallas.secret import Secret

HOURS = 24.0
MOST_HOURS = 168.0


class Invites:
    """The invitations of a home that were not used yet."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._records = Records(folder / "invites.json")
        self._clock = clock

    def make(self, code: str, hours: float = HOURS) -> Secret:
        """The key of a new invitation to the connection `code`; an earlier one to it works no longer."""
        key, now = new_secret(), self._clock.wall()
        with self._records.changing() as table:
            for name in [name for name, one in table.items() if one["code"] == code or one["until"] <= now]:
                del table[name]
            table[digest(key.reveal())] = {"code": code, "until": now + hours * 3600}
        return key

    def use(self, key: str) -> str:
        """The code of the connection an invitation leads to, once; empty when it is none, or no longer."""
        name = digest(key)
        if self._records.get(name) is None:  # a guess costs no write
            return ""
        with self._records.changing() as table:
            found = table.pop(name, None)
        return str(found["code"]) if found and self._clock.wall() < found["until"] else ""
