"""The courier of a server: it drains the outbox in the background for as long as the server runs.

Must stay true: an outbox that cannot be used ends no page; nothing is imported or made before there is an outbox;
the end lets the message in hand be finished and gives everything else back.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from datapallas.home.background import Background

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.home import Home


class Sending(Background):
    """Used with `with`; `tell` is told once about each failure that stops the courier; `kind` is listed as a worker's."""

    def __init__(self, home: Home, tell: Callable[[BaseException], None], kind: str = "serve") -> None:
        super().__init__("outbox", tell)
        self._home = home
        self._kind = kind

    def _there(self) -> bool:
        """Somebody has promised something; the names are those of home.outbox, which costs too much to import here."""
        place = self._home.root / "data" / "outbox.db"
        return bool(self._home.environ.get("DATAPALLAS_DATABASE")) or os.path.lexists(place)

    def _run(self) -> None:
        from datapallas.home.outbox import open_outbox
        from datapallas.outbox.workers import beating

        outbox = open_outbox(self._home)
        try:
            self._worker = courier = outbox.courier()
            with beating(outbox.database, self._kind, courier.busy):
                if not self._ended.is_set():
                    courier.drain(forever=True)
        finally:
            self._worker = None
            outbox.close()
