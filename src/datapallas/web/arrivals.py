"""What browsers brought back from providers, kept for a moment: see `pages.callback`.

Must stay true: each is given out once, within SECONDS, by a number that cannot be guessed; there are never more than MOST.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from datapallas.home.live import new_id
from datapallas.secret import Secret

if TYPE_CHECKING:
    from datapallas.oauth.clock import Clock

SECONDS = 60.0
MOST = 200


class Arrivals:
    """The queries of callbacks, by number. They hold codes, so they are secrets. Threads may share it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, Secret]] = {}

    def keep(self, query: str) -> str:
        """Keep a query; its number."""
        number, now = new_id(), self._clock.monotonic()
        with self._lock:
            self._kept = {n: one for n, one in self._kept.items() if now - one[0] < SECONDS}
            while len(self._kept) >= MOST:
                del self._kept[next(iter(self._kept))]
            self._kept[number] = (now, Secret(query))
        return number

    def take(self, number: str) -> str:
        """The query of a number, once; empty when there is none."""
        with self._lock:
            at, query = self._kept.pop(number, (0.0, Secret("")))
        return query.reveal() if self._clock.monotonic() - at < SECONDS else ""
