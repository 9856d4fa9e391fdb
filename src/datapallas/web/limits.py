"""How often somebody may ask: so many times in a minute, counted in this process.

Must stay true: time is an argument; what is remembered is bounded, whatever is sent.
"""

from __future__ import annotations

import collections
import math
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datapallas.oauth.clock import Clock

WINDOW = 60.0
MOST_KEYS = 10_000


class Limit:
    """At most `most` times in any minute, for each key."""

    def __init__(self, most: int, clock: Clock) -> None:
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._times: collections.OrderedDict[str, collections.deque[float]] = collections.OrderedDict()

    def take(self, key: str) -> int:
        """Count one more: 0 when it is allowed, else the seconds after which it will be."""
        now = self._clock.monotonic()
        with self._lock:
            times = self._times.setdefault(key, collections.deque(maxlen=self._most))
            self._times.move_to_end(key)
            while len(self._times) > MOST_KEYS:  # the one not asked for longest
                self._times.popitem(last=False)
            if len(times) == self._most and now - times[0] < WINDOW:
                return max(1, math.ceil(WINDOW - (now - times[0])))
            times.append(now)
            return 0

    def forget(self, key: str) -> None:
        """Start anew for `key`."""
        with self._lock:
            self._times.pop(key, None)
