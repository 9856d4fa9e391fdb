"""An asyncio connection with deadlines, perhaps inside TLS: what `wire` is, for an event loop.

TLS is our own, over memory (`ssl.MemoryBIO`) on a BufferedProtocol: asyncio's `start_tls` cannot resume a session,
and its plain Protocol allocates 256 KiB for each read (measured: three times the CPU).

Must stay true: no wait is longer than its deadline; what is written while the server does not read waits here, not
in memory; the server is read from at all times, so it never waits for us while we wait for it (RFC 2920 3.1).
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import ssl
from typing import TYPE_CHECKING

from datapallas.errors import Unreachable
from datapallas.smtp.inbox import closed, too_slow
from datapallas.smtp.tls import ClientContext, facts_of, refusal, tls_context
from datapallas.smtp.vanished import notice

if TYPE_CHECKING:
    from datapallas.smtp.body import Octets
    from datapallas.smtp.inbox import Inbox
    from datapallas.smtp.target import Target

_BUFFER = 16 * 1024 + 512  # one TLS record (RFC 8446 section 5.2)
_STRETCH = 32 * 1024  # octets handed over at once


class AsyncWire(asyncio.BufferedProtocol):
    """One connection.

    Attributes:
        writes: how often octets were handed to the transport.
        taken: octets of ours handed to it since somebody set it to 0; the system may have fewer.
        loopback: True when the other end is this machine.
        unsent: True while something that was written waits for the system to take it.
    """

    def __init__(self, inbox: Inbox) -> None:
        self.writes = self.taken = 0
        self.loopback = False
        self._inbox = inbox
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._input = memoryview(bytearray(_BUFFER))
        self._tls: ssl.SSLObject | None = None
        self._shaking = False
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._plain = self._input
        self._waiter: asyncio.Future[None] | None = None
        self._wanted = 0
        self._until = 0.0  # when the waiter gives up, by the loop's clock
        self._timer: asyncio.TimerHandle | None = None
        self.unsent = False

    @classmethod
    async def connect(cls, target: Target, seconds: float, inbox: Inbox) -> AsyncWire:
        """Connect to the first address that answers. Raises Unreachable: `phase` is dns, connect or timeout."""
        loop = asyncio.get_running_loop()
        where = {"host": target.host, "port": str(target.port), "step": "connect", "after_body": "no"}
        try:
            async with asyncio.timeout(seconds):
                _, wire = await loop.create_connection(
                    lambda: cls(inbox), target.host, target.port, happy_eyeballs_delay=0.25
                )
        except (socket.gaierror, UnicodeError) as error:
            raise Unreachable(
                f"There is no host {target.host!r}.", phase="dns", raw=str(error), **where
            ) from None
        except OSError as error:
            why = error.strerror or str(error) or "timed out"
            raise Unreachable(
                f"{target.host}:{target.port} cannot be reached: {why}.",
                phase="timeout" if isinstance(error, TimeoutError) else "connect",
                raw=why,
                **where,
            ) from None
        return wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the socket up; asyncio itself has set TCP_NODELAY."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_connection makes
        self._transport = transport
        sock = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # it may be closed already
            notice(sock)
        self._poll = select.poll()
        self._poll.register(sock.fileno(), select.POLLIN)
        peer = str((transport.get_extra_info("peername") or [""])[0])  # none when it is gone already
        self.loopback = peer == "::1" or peer.startswith(("127.", "::ffff:127."))
        transport.set_write_buffer_limits(high=0)  # be told whenever something waits here

    @property
    def literal(self) -> str:
        """Our own address as a literal (RFC 5321 section 4.1.3)."""
        address = str((self._transport.get_extra_info("sockname") or ["127.0.0.1"])[0]).partition("%")[0]
        return f"[IPv6:{address}]" if ":" in address else f"[{address}]"

    async def secure(self, target: Target, seconds: float) -> None:
        """Begin TLS and check certificate and name. Raises TlsRefused or Unreachable."""
        context = target.tls or tls_context()
        session = context.recall(target) if isinstance(context, ClientContext) else None
        try:
            # Whatever came before is not in the new memory: it is forgotten (RFC 3207 section 4.2).
            self._tls = context.wrap_bio(self._in, self._out, server_hostname=target.host, session=session)
            self._shaking = True
            until = self._loop.time() + seconds
            while not self._shaken():
                self._flush()
                left = until - self._loop.time()
                if left <= 0:
                    raise TimeoutError
                await self._event(0, left)
            self._flush()
        except (OSError, ValueError) as error:
            raise refusal(
                error if isinstance(error, OSError) else OSError(str(error)), target, seconds
            ) from None
        self._shaking = False
        self._plain = memoryview(bytearray(_BUFFER))
        self._decrypt(self._tls)  # the greeting may have come with the end of the handshake

    def _shaken(self) -> bool:
        assert self._tls is not None  # noqa: S101 - set just before
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            if self._inbox.broken is not None:
                raise ConnectionResetError(self._inbox.broken.raw or "closed in the handshake") from None
            return False
        except OSError:
            self._flush()  # the alert that tells the server why
            raise
        return True

    def remember(self, target: Target) -> None:
        """Keep the TLS session for the next connection to the same server."""
        tls = self._tls
        if tls is not None and isinstance(target.tls, ClientContext | None) and not tls.session_reused:
            (target.tls or tls_context()).remember(target, tls.session)

    def tls_facts(self) -> dict[str, str]:
        """What TLS ended with, for whoever watches; nothing without TLS."""
        return facts_of(self._tls) if self._tls is not None else {}

    async def write(self, octets: Octets, seconds: float) -> None:
        """Hand over all of `octets`. Raises OSError; TimeoutError when the server takes nothing for `seconds`."""
        if len(octets) <= _STRETCH:
            self._write(octets)
        else:
            view = memoryview(octets)
            for start in range(0, len(view), _STRETCH):
                await self.flush(seconds)
                self._write(view[start : start + _STRETCH])
        await self.flush(seconds)

    async def flush(self, seconds: float) -> None:
        """Wait until the system has all that was written. Raises as `write` does."""
        while waiting := self._waiting():
            await self._event(0, seconds)
            if self._waiting() >= waiting:
                raise TimeoutError

    def _waiting(self) -> int:
        """Give the octets that the system has not taken yet. Raises ConnectionResetError when it never will."""
        if not self.unsent:
            return 0
        if self._inbox.broken is not None and self._transport.is_closing():
            raise ConnectionResetError(self._inbox.broken.raw)
        return self._transport.get_write_buffer_size()

    def _write(self, octets: Octets) -> None:
        if self._transport.is_closing():
            raise ConnectionResetError
        self.taken += len(octets)
        if self._tls is None:
            self._transport.write(octets)
            self.writes += 1
            return
        sent = self._tls.write(octets)
        while sent < len(octets):
            sent += self._tls.write(memoryview(octets)[sent:])
        self._flush()

    def _flush(self) -> None:
        data = self._out.read()
        if data:
            self._transport.write(data)
            self.writes += 1

    async def read(self, wanted: int, seconds: float) -> None:
        """Wait until `wanted` replies are there, the connection ends or `seconds` are over; the inbox knows which."""
        await self._event(wanted, seconds)
        if not self._inbox.ready(wanted):
            self._inbox.broken = too_slow(seconds, "answer")

    async def _event(self, wanted: int, seconds: float) -> None:
        """Wait for `wanted` replies, or with 0 for anything else to happen; return without it after `seconds`."""
        self._waiter = self._loop.create_future()
        self._wanted = wanted
        self._until = self._loop.time() + seconds
        # One timer serves many waits: it looks whether it is needed when it goes off, and is set again if so.
        if self._timer is None or self._timer.when() > self._until:
            self._set_timer()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._until, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._waiter is not None:
            if self._loop.time() >= self._until:
                self._wake()
            else:
                self._set_timer()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def quiet(self) -> bool:
        """Say whether the server has said nothing since we last read, as it must when nothing was asked."""
        if self._inbox.broken is None and self._poll.poll(0):
            # The loop has not told us yet; the second turn is the one in which it does.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return self._inbox.broken is None

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Give asyncio the one buffer there is."""
        return self._input

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        inbox = self._inbox
        if self._tls is None:
            inbox.feed(self._input[:nbytes])
        else:
            self._in.write(self._input[:nbytes])
            if not self._shaking:
                self._decrypt(self._tls)
        if inbox.ready(self._wanted) if self._wanted else self._shaking:
            self._wake()

    def _decrypt(self, tls: ssl.SSLObject) -> None:
        try:
            while self._in.pending:
                count = tls.read(_BUFFER, self._plain)
                if not count:
                    self._end("")
                    return
                self._inbox.feed(self._plain[: int(count)])
        except ssl.SSLWantReadError:
            pass  # a part of a record, or a session ticket
        except ssl.SSLError as error:
            self._end(str(error))

    def eof_received(self) -> bool:
        """Take the end; asyncio closes the transport."""
        self._end("")
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Take the end, however it came."""
        self._end(str(error or ""))
        if self._timer is not None:
            self._timer.cancel()

    def _end(self, cause: str) -> None:
        if self._inbox.broken is None:
            self._inbox.broken = closed(cause)
        self._wake()

    def pause_writing(self) -> None:
        """The server does not take what we write."""
        self.unsent = True

    def resume_writing(self) -> None:
        """It does again."""
        self.unsent = False
        if not self._wanted:
            self._wake()

    def close(self) -> None:
        """End the connection."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        with contextlib.suppress(RuntimeError):  # the loop may be gone
            self._transport.abort()
