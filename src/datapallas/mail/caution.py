"""Servers that offer to take several messages in flight, and do not stand it: one at a time there for a while.

Must stay true: what is remembered costs speed only, and passes by itself; threads share it.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 900.0
"""How long such a server is sent one message at a time."""


class Caution:
    """Remembers servers, by ``host:port``."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    def blame(self, server: str) -> None:
        """This one did not stand it."""
        with self._lock:
            self._until[server] = self._clock() + SECONDS

    def trusts(self, server: str) -> bool:
        """Several messages may be in flight there."""
        if server not in self._until:
            return True
        with self._lock:
            if self._until.get(server, 0.0) > self._clock():
                return False
            self._until.pop(server, None)
        return True
