"""The sessions of browsers: from a login, or the one-use link, until 30 minutes without a request or 12 hours.

Must stay true: the file holds a hash of each session's secret, never the secret; a session begun for one mode (local,
served) is none in the other; what the role of a user is, is asked at each request, not remembered here.

Times are wall times, because sessions survive a restart; a clock that is set forward ends sessions early, and one
that is set back cannot lengthen one: the ends are checked against both, the beginning and the last request.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from datapallas.web.hashing import derived, digest, new_public_id, new_secret
from datapallas.web.records import Records

if TYPE_CHECKING:
    from pathlib import Path

    from datapallas.oauth.clock import Clock
    from datapallas.secret import Secret

IDLE_SECONDS = 30 * 60.0
WHOLE_SECONDS = 12 * 3600.0
NOTED_SECONDS = 60.0
"""How old the note of the last request may become before it is written again: not at each request."""
LOCAL = ""
"""The user of a session that the one-use link began: the person at this machine."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session that is valid now.

    Attributes:
        id: public: what sign-ins and test emails belong to.
        user: whose it is; LOCAL for the person at this machine.
        csrf: what a page sends back with each change.
        stale: the last request was noted so long ago that it should be noted again.
    """

    id: str
    user: str
    csrf: str
    stale: bool


class Sessions:
    """All sessions of a home."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._records = Records(folder / "sessions.json")
        self._clock = clock

    def begin(self, user: str) -> Secret:
        """A new session of `user`; its secret, for the cookie."""
        secret, now = new_secret(), self._clock.wall()
        with self._records.changing() as table:
            for key in [key for key, one in table.items() if not _valid(one, now)]:
                del table[key]
            table[digest(secret.reveal())] = {
                "id": new_public_id(),
                "user": user,
                "created": now,
                "seen": now,
            }
        return secret

    def find(self, secret: str) -> Session | None:
        """The session with this secret, or None when there is none, or no longer."""
        found = self._records.get(digest(secret))
        now = self._clock.wall()
        if found is None or not _valid(found, now):
            return None
        return Session(
            id=found["id"],
            user=found["user"],
            csrf=derived(secret, "csrf"),
            stale=now - found["seen"] >= NOTED_SECONDS,
        )

    def note(self, secret: str) -> None:
        """Note that the session was used now; one that is over stays over."""
        with self._records.changing() as table:
            found, now = table.get(digest(secret)), self._clock.wall()
            if found is not None and _valid(found, now):
                found["seen"] = now

    def end(self, secret: str) -> None:
        """End one session; nothing happens when there is none."""
        with self._records.changing() as table:
            table.pop(digest(secret), None)

    def end_all(self, user: str) -> int:
        """End every session of `user`; how many there were."""
        with self._records.changing() as table:
            mine = [key for key, one in table.items() if one.get("user") == user]
            for key in mine:
                del table[key]
        return len(mine)


def _valid(found: dict[str, Any], now: float) -> bool:
    created, seen = found.get("created"), found.get("seen")
    if not isinstance(created, int | float) or not isinstance(seen, int | float):
        return False
    # A beginning in the future: the clock was set back since; that must not lengthen the session.
    return -NOTED_SECONDS <= now - created < WHOLE_SECONDS and now - seen < IDLE_SECONDS
