"""The right to change one connection of a database: a lease that ends by itself, and a fence that grows with each.

Must stay true:
- leases live by the database's clock alone; no row is locked while a provider is asked;
- every write names the fence it was made under, so that whoever was too slow writes nothing;
- a lease (60 s) is far longer than any request a holder waits for (15 s) and is renewed before each.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import time
from typing import TYPE_CHECKING, Any

from datapallas.connection.store import Fenced
from datapallas.errors import ConfigurationError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datapallas.connection.database import Link

LEASE = 60.0
"""Seconds after which what a dead process held may be taken over."""
CHANNEL = "datapallas_connections"
_BEYOND = 10.0  # seconds to wait longer than a lease lasts: a holder that died must not fail those who wait
_GLANCE = 1.0  # seconds between two looks, should a notice be missed
_PAUSE = 0.1
END = "lease_until = clock_timestamp() + %s * interval '1 second'"
FREE = "(lease_until is null or lease_until < clock_timestamp())"
_TAKE = f"""update connections set owner = %s, fence = fence + 1, {END}
    where code = %s and {FREE} and exists (select from connection_store where state = 'database') returning fence"""  # noqa: S608 - constants


@dataclasses.dataclass(slots=True)
class Lease:
    """Held by one thread. `ended`: what it was for is written, and it went with it."""

    code: str
    fence: int
    seconds: float
    ended: bool = False

    def check(self, changed: int) -> None:
        """Raise Fenced when a write under this lease changed no row."""
        self.ended = changed != 1  # a write after the last one has renewed it
        if self.ended:
            raise Fenced(
                f"{self.code} was taken over by another process meanwhile; nothing was written here.",
                connection=self.code,
            )


class Leases:
    """Takes and gives back the leases of a database."""

    def __init__(self, link: Link, seconds: float = LEASE) -> None:
        self._link, self._seconds = link, seconds
        self._owner = f"{socket.gethostname()}:{os.getpid()}"

    @contextlib.contextmanager
    def held(self, code: str) -> Iterator[Lease | None]:
        """Hold the lease of a connection; None when there is no such connection, and so nothing to hold.

        Raises StorageError (code ``lock-busy``) naming the holder.
        """
        lease = self._take(code) or self._wait(code)
        try:
            yield lease
        finally:
            if lease is not None and not lease.ended:
                with contextlib.suppress(StorageError):  # then it ends by itself
                    self._give_back(lease)

    def _take(self, code: str) -> Lease | None:
        with self._link.tx() as cursor:
            row = cursor.execute(_TAKE, (self._owner, self._seconds, code)).fetchone()
        return Lease(code, row[0], self._seconds) if row else None

    def _wait(self, code: str) -> Lease | None:
        if self._holder(code) is None:
            return None
        until = time.monotonic() + self._seconds + _BEYOND
        with self._link.listening(CHANNEL) as raw:
            while True:
                lease = self._take(code)
                holder = self._holder(code)
                if lease is not None or holder is None:
                    return lease
                owner, left, state = holder
                if state != "database":
                    raise leaving(self._link.place)
                wait = min(until - time.monotonic(), _GLANCE, max(left, 0.0) + 0.01)
                if wait <= 0:
                    raise self._busy(code, owner)
                _heard(raw, code, wait)

    def _holder(self, code: str) -> tuple[str, float, str] | None:
        """Who holds it and for how many seconds still, and where connections are; None: there is no such connection."""
        rows = self._link.ask(
            "select coalesce(owner, 'nobody'), coalesce(extract(epoch from lease_until - clock_timestamp()), 0)::float8,"
            " (select state from connection_store) from connections where code = %s",
            (code,),
        )
        return rows[0] if rows else None

    def wait_for_all(self) -> None:
        """Wait until no lease is held; none can be taken meanwhile. Raises StorageError (code ``lock-busy``)."""
        until = time.monotonic() + self._seconds + _BEYOND
        query = "select code, owner from connections where lease_until >= clock_timestamp() limit 1"
        while held := self._link.ask(query):
            if time.monotonic() > until:
                raise self._busy(*held[0])
            time.sleep(_PAUSE)

    def _busy(self, code: str, owner: str) -> StorageError:
        return StorageError(
            f"{code} is being changed by {owner}, which has not finished.",
            code="lock-busy",
            path=self._link.place,
            holder=owner,
        )

    def _give_back(self, lease: Lease) -> None:
        with self._link.tx() as cursor:
            cursor.execute(
                "update connections set owner = null, lease_until = null where code = %s and fence = %s",
                (lease.code, lease.fence),
            )
            tell(cursor, lease.code)


def tell(cursor: Any, code: str) -> None:
    """Wake those who wait for this connection when the transaction commits."""
    cursor.execute("select pg_notify(%s, %s)", (CHANNEL, code))


def _heard(raw: Any, code: str, seconds: float) -> None:
    """Wait until somebody lets go of this connection, so long at most."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        for notice in raw.notifies(timeout=left, stop_after=1):
            if notice.payload == code:
                return


def leaving(place: str, host: str = "") -> ConfigurationError:
    """The error for connections that are on their way out of the database."""
    where = f" on {host}" if host else ""
    return ConfigurationError(
        f"The connections are being moved out of the database {place} to files{where}; if that was cut off, run "
        f"`datapallas connection migrate --to-files`{where} again.",
        code="connections-moved",
        path=place,
    )
