"""Live states as server-sent events (HTML standard, section 9.2): one for each change, until the end.

Must stay true: nobody who watches holds a thread; a stream ends with the work, which ends by itself, and with the
server, which ends the work first. Changes that come faster than they are read become one event; the last one always
comes.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar

from fastapi import Header, Response
from starlette.responses import StreamingResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pydantic import BaseModel

HEARTBEAT = 15.0
"""Seconds after which a comment is sent, so that no proxy takes the stream for dead."""
LastSeen = Annotated[
    str, Header(alias="Last-Event-ID", max_length=20, description="The id of the last event that came.")
]


class State(Protocol):
    """A state that may be the last one."""

    @property
    def finished(self) -> bool:
        """Nothing will change any more."""


S = TypeVar("S", bound=State, covariant=True)  # noqa: PLC0105 - one letter, as in live


class Watched(Protocol[S]):
    """Work whose changes can be waited for."""

    def now(self) -> tuple[int, S]:
        """The version and the state."""

    def woken(self, wake: Callable[[], None]) -> contextlib.AbstractContextManager[None]:
        """Have `wake` called after each change."""


class EventStream(StreamingResponse):
    """A stream of events."""

    media_type = "text/event-stream"


def events(work: Watched[S], last: str, shown: Callable[[int, S], BaseModel]) -> Response:
    """The events after the one with the id `last`; 204 when that was the end: a browser then does not come again."""
    version, state = work.now()
    seen = int(last) if last.isascii() and last.isdecimal() else 0
    if seen > version:  # an id of something else
        seen = 0
    if state.finished and seen == version:
        return Response(status_code=204)
    return EventStream(stream(work, seen, shown), headers={"X-Accel-Buffering": "no"})


async def stream(
    work: Watched[S], seen: int, shown: Callable[[int, S], BaseModel], heartbeat: float = HEARTBEAT
) -> AsyncIterator[bytes]:
    """Each state after version `seen`, as bytes of the stream."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the server has ended
            loop.call_soon_threadsafe(changed.set)

    with work.woken(wake):
        while True:
            changed.clear()
            version, state = work.now()
            if version > seen:
                data = shown(version, state).model_dump_json(by_alias=True)  # on one line
                yield f"id: {version}\nevent: state\ndata: {data}\n\n".encode()
                seen = version
            if state.finished:
                return
            try:
                await asyncio.wait_for(changed.wait(), heartbeat)
            except TimeoutError:
                yield b": still here\n\n"
