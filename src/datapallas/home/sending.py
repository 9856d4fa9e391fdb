"""The courier of a server: it drains the outbox in the background for as long as the server runs.

Must stay true: an outbox that cannot be used ends no page; nothing is imported or made before there is an outbox;
the end lets the message in hand be finished and gives everything else back.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from datapallas.errors import DataPallasError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from datapallas.home import Home
    from datapallas.outbox.courier import Courier

_LOOK = 1.0  # seconds between two looks whether there is an outbox by now
_AGAIN = 60.0  # seconds after which an outbox that could not be used is tried again
_END = 30.0


class Sending:
    """Used with `with`; `tell` is told once about each failure that stops the courier; `kind` is listed as a worker's."""

    def __init__(self, home: Home, tell: Callable[[BaseException], None], kind: str = "serve") -> None:
        self._home = home
        self._tell = tell
        self._kind = kind
        self._end = threading.Event()
        self._courier: Courier | None = None
        self._thread = threading.Thread(target=self._work, name="outbox", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join(_END)

    def stop(self) -> None:
        """Ask it to end; returns at once."""
        self._end.set()
        courier = self._courier
        if courier is not None:
            courier.stop()

    def _work(self) -> None:
        told = ""
        while not self._end.is_set():
            if not self._there():
                self._end.wait(_LOOK)
                continue
            try:
                self._drain()
            except Exception as error:  # noqa: BLE001 - told, and tried again: mail that waits must not wait for ever
                name = error.code if isinstance(error, DataPallasError) else type(error).__name__
                if name != told:
                    told = name
                    self._tell(error)
                self._end.wait(_AGAIN)

    def _there(self) -> bool:
        """Somebody has promised something; the names are those of home.outbox, which costs too much to import here."""
        place = self._home.root / "data" / "outbox.db"
        return bool(self._home.environ.get("DATAPALLAS_DATABASE")) or os.path.lexists(place)

    def _drain(self) -> None:
        from datapallas.home.outbox import open_outbox
        from datapallas.outbox.workers import beating

        outbox = open_outbox(self._home)
        try:
            self._courier = courier = outbox.courier()
            with beating(outbox.database, self._kind, courier.busy):
                if not self._end.is_set():
                    courier.drain(forever=True)
        finally:
            self._courier = None
            outbox.close()
