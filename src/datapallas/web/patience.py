"""How long a connection may be open while nothing of ours is under way on it: against heads that come drop by drop.

uvicorn gives a new connection, and one whose next request has begun, all the time in the world.
Must stay true: a request that is being answered is never cut off here; each octet that comes buys no new time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

HEAD_SECONDS = 10.0
"""From the opening, or the first octet of a further request, to the end of the head; also for what is left of a body
that was answered before it had come."""


class Patience(H11Protocol):
    """One connection."""

    _until: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """The first head is waited for."""
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        """Perhaps the end of a head, or its beginning."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Perhaps the next head has begun already, or the body has not ended yet."""
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is waited for."""
        self._forget()
        super().connection_lost(exc)

    def _look(self) -> None:
        answering = bool(self.cycle) and not self.cycle.response_complete
        resting = self.timeout_keep_alive_task is not None and self.conn.their_state is h11.IDLE
        if answering or resting:  # uvicorn ends what rests
            self._forget()
        elif self._until is None and not self.transport.is_closing():
            self._until = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _forget(self) -> None:
        if self._until is not None:
            self._until.cancel()
            self._until = None
