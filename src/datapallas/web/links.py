"""The one-use link that lets the person at this machine in, without a password.

Must stay true: a link works once, within a minute; the file holds its hash. One that a browser was started with, whose
arguments everybody on this machine can list, works only for the user who asked for it, where the system tells who comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.web.hashing import digest, new_secret
from datapallas.web.records import Records

if TYPE_CHECKING:
    from pathlib import Path

    from datapallas.oauth.clock import Clock
    from datapallas.secret import Secret

SECONDS = 60.0


class Links:
    """The links of a home that were not used yet."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._records = Records(folder / "links.json")
        self._clock = clock

    def make(self, user: int | None = None) -> Secret:
        """A new link's key; `user` is the uid it is for, None: for whoever has it."""
        key, now = new_secret(), self._clock.wall()
        with self._records.changing() as table:
            for old in [name for name, one in table.items() if not 0 <= now - one["made"] < SECONDS]:
                del table[old]
            table[digest(key.reveal())] = {"made": now, "user": user}
        return key

    def use(self, key: str, user: int | None) -> bool:
        """Whether the link may be used; from now on it may not. `user` is the uid that comes, None: not known."""
        now, name = self._clock.wall(), digest(key)
        if self._records.get(name) is None:  # a guess costs no write
            return False
        with self._records.changing() as table:
            found = table.pop(name, None)
        if found is None or not 0 <= now - found["made"] < SECONDS:
            return False
        return user is None or found["user"] is None or found["user"] == user
