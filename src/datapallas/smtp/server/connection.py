"""One connection to our server: an asyncio protocol that drives `machine` and asks a `Policy`.

Must stay true:
- between our 220 to STARTTLS and the handshake no plain octet is taken;
- a client that sends or reads too slowly is closed, so that nobody holds a connection for nothing;
- a policy that fails costs one reply (451), never the process; no exception text goes to the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Protocol

from datapallas.smtp.reply import Reply
from datapallas.smtp.server import words
from datapallas.smtp.server.machine import Server
from datapallas.smtp.server.policy import (
    Closed,
    ContentAsked,
    Dropped,
    HangUp,
    LoginAsked,
    MailAsked,
    MessageAsked,
    Peer,
    RecipientAsked,
    StartTls,
    Text,
    TlsAsked,
)
from datapallas.smtp.server.state import State

if TYPE_CHECKING:
    import ssl

    from datapallas.smtp.server.listener import Deadlines
    from datapallas.smtp.server.policy import Event, Limits, Policy, Question, Spool, Verdict

_log = logging.getLogger(__name__)
_BUFFER = 65_536
_HIGH_WATER = 262_144  # octets that may wait while a question is open, before reading is paused
TLS_SHUTDOWN = 5.0  # seconds a client gets to close its side of TLS
NO_SPACE = Reply.of(452, "No space for this message now", enhanced="4.3.1")


class House(Protocol):
    """What a connection needs to know of its listener."""

    tls: ssl.SSLContext | None
    limits: Limits
    deadlines: Deadlines

    def enter(self, connection: Connection) -> Policy | None:
        """The policy for a new connection; None when the house is full."""

    def leave(self, connection: Connection) -> None:
        """The connection is gone."""


class Connection(asyncio.BufferedProtocol):
    """Drives one session."""

    def __init__(self, house: House, *, implicit_tls: bool) -> None:
        self._house = house
        self._implicit_tls = implicit_tls
        self._buffer = memoryview(bytearray(_BUFFER))
        self._transport: asyncio.Transport | None = None
        self._policy: Policy | None = None
        self._server: Server | None = None
        self._spool: Spool | None = None
        self._spoiled = False  # whether writing to the spool failed
        self._news = asyncio.Event()  # octets came, or the connection went
        self._writable = asyncio.Event()
        self._waiting = 0  # octets received since the session last had nothing to do
        self._text = 0  # octets of the present message
        self._early: bytearray | None = None  # what came over TLS before `_start_tls` heard that TLS is there
        self._lost = self._leaving = False
        self.peer = Peer("", 0)
        self.task: asyncio.Task[None] | None = None

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the session."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._transport = transport
        name = transport.get_extra_info("peername") or ("", 0)
        self.peer = Peer(str(name[0]), int(name[1]), self._implicit_tls)
        self._writable.set()
        self._policy = self._house.enter(self)
        if self._policy is None:
            transport.write(words.TOO_BUSY.encode())
            transport.close()
            return
        self.task = asyncio.get_running_loop().create_task(self._run(self._policy))

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """The place for the next octets. A view: asyncio's TLS writes into slices of it, which must not be copies."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Octets have come."""
        if self._early is not None:
            self._early += self._buffer[:nbytes]
        elif self._server is not None:
            self._server.receive(self._buffer[:nbytes])
            self._waiting += nbytes
            if self._waiting > _HIGH_WATER and self._transport is not None:
                self._transport.pause_reading()
        self._news.set()

    def eof_received(self) -> None:
        """The other side will send no more; asyncio closes the transport."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The connection is gone."""
        self._lost = True
        self._news.set()
        self._writable.set()
        self._house.leave(self)

    def pause_writing(self) -> None:
        """The client does not take what we say."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It does again."""
        self._writable.set()

    def leave(self) -> None:
        """End the session at the next opportunity, because the listener closes."""
        self._leaving = True
        self._news.set()

    # -- the session

    async def _run(self, policy: Policy) -> None:
        server = self._server = Server(policy.offer, self._house.limits, secure=self._implicit_tls)
        try:
            server.greet(await policy.greeting())
            await self._session(server, policy)
        except (HangUp, OSError):  # OSError: TLS did not come about, time ran out, or the client is gone
            self.abort()
        except Exception:  # noqa: BLE001 - one session must not end the others
            _log.exception("a session ended by a fault of ours")
            self.abort()
        finally:
            server.end()
            self._drop()
            if self._transport is not None:
                self._transport.close()
            policy.closed()

    async def _session(self, server: Server, policy: Policy) -> None:
        loop = asyncio.get_running_loop()
        since = loop.time()  # when we last said something
        while not self._lost:
            self._news.clear()  # before looking, so that what comes while we work is not slept over
            while (event := server.next_event()) is not None:
                await self._handle(server, policy, event)
                if isinstance(event, Closed):
                    return
            if await self._flush(server):
                since = loop.time()
            if self._leaving:
                server.end(words.SHUTTING_DOWN)
                continue
            try:
                async with asyncio.timeout_at(since + self._patience(server)):
                    await self._more()
            except TimeoutError:
                server.end(words.TIMED_OUT)

    async def _more(self) -> None:
        self._waiting = 0
        if self._transport is not None and not self._transport.is_reading():
            with contextlib.suppress(RuntimeError):  # closing
                self._transport.resume_reading()
        await self._news.wait()

    def _patience(self, server: Server) -> float:
        """Seconds the client has from its last command on."""
        deadlines = self._house.deadlines
        if server.state in {State.DATA, State.CHUNK}:
            return deadlines.text + self._text / deadlines.rate
        return deadlines.command if server.user else deadlines.stranger

    async def _flush(self, server: Server) -> bool:
        """Send what there is to send, and wait until the client takes it; False when there was nothing."""
        data = server.output()
        if not data or self._transport is None:
            return False
        self._transport.write(data)
        if not self._writable.is_set():
            async with asyncio.timeout(self._house.deadlines.write):
                await self._writable.wait()
        return True

    async def _handle(self, server: Server, policy: Policy, event: Event) -> None:
        if isinstance(event, Text):
            self._keep(event.data)
        elif isinstance(event, Dropped):
            self._drop()
        elif isinstance(event, StartTls):
            await self._start_tls(server)
        elif isinstance(event, Closed):
            await self._flush(server)
        else:
            if isinstance(event, MessageAsked):  # may take long: what is said already must not wait for it
                await self._flush(server)
            server.answer(await self._ask(policy, event))

    async def _ask(self, policy: Policy, question: Question) -> Reply | Verdict:
        try:
            if isinstance(question, LoginAsked):
                return await policy.login(question.mechanism, question.login)
            if isinstance(question, TlsAsked):
                return await policy.starttls()
            if isinstance(question, MailAsked):
                return await policy.mail(question.sender, question.params)
            if isinstance(question, RecipientAsked):
                return await policy.recipient(question.address, question.params)
            return await self._ask_about_text(policy, question)
        except HangUp:
            raise
        except Exception:  # noqa: BLE001 - whatever a policy does wrong, the client gets a reply
            _log.exception("a policy failed; the client is told to try later")
            return words.TROUBLE

    async def _ask_about_text(self, policy: Policy, question: ContentAsked | MessageAsked) -> Reply:
        if isinstance(question, ContentAsked):
            self._drop()
            place = await policy.spool()
            if isinstance(place, Reply):
                return place
            self._spool = place
            return words.GO_AHEAD
        try:
            if self._spool is None or self._spoiled:
                return NO_SPACE
            return await policy.message(question.envelope, self._spool)
        finally:
            self._drop()

    async def _start_tls(self, server: Server) -> None:
        transport, context = self._transport, self._house.tls
        if transport is None or context is None:
            raise HangUp
        # No await before start_tls: nothing may be read in clear from here on.
        transport.write(server.output())
        timeout = self._house.deadlines.handshake
        loop = asyncio.get_running_loop()
        # From here on this protocol is given decrypted octets only; a quick client's EHLO comes in one segment with
        # the end of its handshake (TLS 1.3), before the line below goes on.
        self._early = bytearray()
        self._transport = await loop.start_tls(
            transport,
            self,
            context,
            server_side=True,
            ssl_handshake_timeout=timeout,
            ssl_shutdown_timeout=TLS_SHUTDOWN,
        )
        server.secured()
        early, self._early = self._early, None
        server.receive(memoryview(early))

    def _keep(self, data: bytes) -> None:
        self._text += len(data)
        if self._spool is not None and not self._spoiled:
            try:
                self._spool.write(data)
            except OSError:
                _log.exception("the text of a message could not be kept; the client is told to try later")
                self._spoiled = True

    def _drop(self) -> None:
        spool, self._spool = self._spool, None
        self._spoiled, self._text = False, 0
        if spool is not None:
            spool.close()

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()
