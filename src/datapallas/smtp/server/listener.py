"""Listens for mail programs, and drives our server over asyncio (RFC 6409 submission, RFC 8314 implicit TLS).

Must stay true: more connections than allowed, in all or from one address, are told so and closed; closing the listener
lets a message that is being taken finish.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import threading
from typing import TYPE_CHECKING, TypeVar

from datapallas.smtp.server.connection import TLS_SHUTDOWN, Connection
from datapallas.smtp.server.policy import Limits

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine
    from types import TracebackType
    from typing import Any, Self

    from datapallas.smtp.server.policy import Peer, Policy

_Result = TypeVar("_Result")

__all__ = ["Background", "Capacity", "Deadlines", "Listener"]

_BACKLOG = 1024
_GOODBYE = 0.5  # seconds that clients get to close their side of TLS when the listener closes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long a client may take, in seconds.

    Attributes:
        command: for the next command of somebody who signed in (RFC 5321 section 4.5.3.2.7: at least 5 minutes).
        stranger: for the next command of anybody else.
        handshake: for TLS.
        text: for the text of a message, besides what its size allows at `rate`.
        rate: octets a second that the text must reach on average, as Postfix's smtpd_min_data_rate.
        write: for taking what we say.
    """

    command: float = 300.0
    stranger: float = 60.0
    handshake: float = 30.0
    text: float = 60.0
    rate: float = 500.0
    write: float = 60.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How many connections at a time, in all and from one address."""

    connections: int = 50
    per_address: int = 10


class Listener:
    """Any number of ports, one policy for each connection.

    Args:
        policy: called with the peer of each new connection.
        tls: for STARTTLS and implicit TLS; without it a policy must not offer STARTTLS.
    """

    def __init__(
        self,
        policy: Callable[[Peer], Policy],
        *,
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        deadlines: Deadlines | None = None,
        capacity: Capacity | None = None,
    ) -> None:
        self._policy = policy
        self.tls = tls
        self.limits = limits or Limits()
        self.deadlines = deadlines or Deadlines()
        self.capacity = capacity or Capacity()
        self._servers: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._closing = False
        self._empty = asyncio.Event()
        self._empty.set()
        self._addresses: collections.Counter[str] = collections.Counter()

    async def listen(self, host: str, port: int = 0, *, implicit_tls: bool = False) -> int:
        """Listen on one more port, and give its number; port 0 takes a free one. Raises OSError."""
        if implicit_tls and self.tls is None:
            raise ValueError("implicit TLS needs a context")
        server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self, implicit_tls=implicit_tls),
            host,
            port,
            backlog=_BACKLOG,
            ssl=self.tls if implicit_tls else None,
            ssl_handshake_timeout=self.deadlines.handshake if implicit_tls else None,
            ssl_shutdown_timeout=TLS_SHUTDOWN if implicit_tls else None,
        )
        self._servers.append(server)
        found: int = server.sockets[0].getsockname()[1]
        return found

    async def close(self, grace: float = 5.0) -> None:
        """Stop listening, say goodbye to everyone, and wait at most `grace` seconds for messages being taken."""
        self._closing = True
        for server in self._servers:
            server.close()
        await _breathe()
        tasks = [connection.task for connection in self._connections if connection.task is not None]
        for connection in self._connections:
            connection.leave()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), _GOODBYE)
        for connection in self._connections:
            connection.abort()
        await self._empty.wait()

    @property
    def sessions(self) -> int:
        """How many connections there are now."""
        return len(self._connections)

    def enter(self, connection: Connection) -> Policy | None:
        """Take a new connection, when there is room."""
        address = connection.peer.address
        self._connections.add(connection)
        self._addresses[address] += 1
        self._empty.clear()
        full = self._closing or len(self._connections) > self.capacity.connections
        if full or self._addresses[address] > self.capacity.per_address:
            return None
        return self._policy(connection.peer)

    def leave(self, connection: Connection) -> None:
        """Forget a connection."""
        if connection in self._connections:
            self._connections.discard(connection)
            address = connection.peer.address
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]
            if not self._connections:
                self._empty.set()


class Background:
    """An event loop in a thread of its own, for programs that have none. Used with `with`."""

    def __init__(self, name: str = "datapallas") -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, work: Coroutine[Any, Any, _Result], seconds: float = 30.0) -> _Result:
        """Do `work` in the loop and wait for it; raises what it raises, or TimeoutError after `seconds`."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def close(self) -> None:
        """End what still runs, and the thread."""
        if self._loop.is_closed():
            return
        self.run(_cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_all() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await _breathe()
    await asyncio.get_running_loop().shutdown_asyncgens()
    await asyncio.get_running_loop().shutdown_default_executor()


async def _breathe() -> None:
    """Let the loop do what is due: a connection that was accepted or closed just now is so by callbacks, not at once."""
    for _ in range(10):
        await asyncio.sleep(0)
