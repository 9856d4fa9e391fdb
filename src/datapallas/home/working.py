"""A worker: everything that happens without anybody asking, on one machine of a fleet, without a page.

Must stay true: each part ends in time when it is asked to, and one that fails takes no other with it.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from datapallas.home.runs import Running
from datapallas.home.sending import Sending

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.home.home import Home


class Worker:
    """Drains the outbox, runs reports and their schedules, and keeps sign-ins alive, until `stop`.

    Args:
        home: whose.
        tell: is told each failure that stops a part for a while.
        log: is told in a sentence what happened.
    """

    def __init__(self, home: Home, tell: Callable[[BaseException], None], log: Callable[[str], None]) -> None:
        self._end = threading.Event()
        self._sending = Sending(home, tell, "worker")
        self._running = Running(home, tell, log)

    def stop(self) -> None:
        """Ask it to end; returns at once."""
        self._end.set()

    def run(self) -> None:
        """Work until `stop`, or KeyboardInterrupt, which ends it in the same way."""
        with self._running, self._sending, contextlib.suppress(KeyboardInterrupt):
            self._end.wait()
            self._running.stop()  # both end at the same time
