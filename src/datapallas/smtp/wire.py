"""A connected socket that blocks, with deadlines, perhaps inside TLS.

The socket blocks in the kernel (SO_RCVTIMEO, SO_SNDTIMEO) while Python takes it for one that does not: so a read is
one system call, where `settimeout` makes it three, and still ends in time (measured: 10 to 20 per cent).
`makefile` and `readline` are not used; TCP_NODELAY always is, or a message of two TLS records waits 40 ms for an ACK.

Must stay true: no call lasts longer than its deadline and 1 per cent, however slowly octets trickle; a write never waits for ever
for a server that waits for us to read (RFC 2920 section 3.1).
"""

from __future__ import annotations

import functools
import os
import select
import socket
import ssl
import struct
import time
from typing import TYPE_CHECKING, cast

from datapallas.errors import Unreachable
from datapallas.smtp.inbox import closed, too_slow
from datapallas.smtp.tls import ClientContext, facts_of, refusal, tls_context
from datapallas.smtp.vanished import notice

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.smtp.body import Octets
    from datapallas.smtp.inbox import Inbox
    from datapallas.smtp.target import Target

_BUFFER = 16 * 1024  # one TLS record; replies are far smaller
_STRETCH = 256 * 1024  # octets handed over at once: each must be taken within the deadline
_LOOK_UP = 1.0  # seconds a write may block before we look whether the server waits for us to read
_LEAST = 0.001  # seconds; zero would mean for ever
_NEARLY = 0.99  # of a deadline: setting it anew after each octet costs more than a late end


class Wire:
    """One connection.

    Attributes:
        writes: how often octets were handed to the system.
        taken: octets the system took since somebody set it to 0.
        loopback: True when the other end is this machine.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.writes = self.taken = 0
        peer = str(sock.getpeername()[0])
        self.loopback = peer == "::1" or peer.startswith(("127.", "::ffff:127."))
        self._buffer = memoryview(bytearray(_BUFFER))
        self._patience = 0.0
        self._use(sock)

    def _use(self, sock: socket.socket) -> None:
        self._sock = sock
        sock.settimeout(0)
        os.set_blocking(sock.fileno(), True)  # see the module
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(_LOOK_UP))
        # Of a TLS socket, the functions below `send` and `recv_into`, which only check their arguments.
        self._send: Callable[[Octets], int] = sock.send
        self._receive: Callable[[memoryview], int] = sock.recv_into
        if isinstance(sock, ssl.SSLSocket):
            self._send = sock.write
            self._receive = cast("Callable[[memoryview], int]", functools.partial(sock.read, _BUFFER))
        self._poll = select.poll()
        self._poll.register(sock.fileno(), select.POLLIN)

    @classmethod
    def connect(cls, target: Target, seconds: float) -> Wire:
        """Connect to the first address that answers. Raises Unreachable: `phase` is dns, connect or timeout."""
        where = {"host": target.host, "port": str(target.port), "step": "connect", "after_body": "no"}
        try:
            found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Unreachable(
                f"There is no host {target.host!r}.", phase="dns", raw=str(error), **where
            ) from None
        until = time.monotonic() + seconds
        causes: list[OSError] = []
        for tried, (family, kind, protocol, _, address) in enumerate(found):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(max((until - time.monotonic()) / (len(found) - tried), _LEAST))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                notice(sock)
                return cls(sock)
            except OSError as error:
                sock.close()
                causes.append(error)
            except BaseException:
                sock.close()
                raise
        phase = "timeout" if all(isinstance(cause, TimeoutError) for cause in causes) else "connect"
        raise Unreachable(
            f"{target.host}:{target.port} cannot be reached: {causes[0].strerror or causes[0]}.",
            phase=phase,
            raw=str(causes[0]),
            **where,
        )

    @property
    def literal(self) -> str:
        """Our own address as a literal (RFC 5321 section 4.1.3): a greeting that is true and needs no DNS."""
        address = str(self._sock.getsockname()[0]).partition("%")[0]
        return f"[IPv6:{address}]" if ":" in address else f"[{address}]"

    def secure(self, target: Target, seconds: float) -> None:
        """Begin TLS and check certificate and name. Raises TlsRefused or Unreachable."""
        context = target.tls or tls_context()
        session = context.recall(target) if isinstance(context, ClientContext) else None
        self._sock.settimeout(seconds)
        try:
            self._use(context.wrap_socket(self._sock, server_hostname=target.host, session=session))
        except (OSError, ValueError) as error:  # ValueError: a host that cannot be a name in a certificate
            raise refusal(
                error if isinstance(error, OSError) else OSError(str(error)), target, seconds
            ) from None

    def remember(self, target: Target) -> None:
        """Keep the TLS session for the next connection to the same server."""
        if isinstance(target.tls, ClientContext | None) and not getattr(self._sock, "session_reused", False):
            # Asking for the session copies it (0.15 ms); a server that wants each one used once does not resume it.
            context = target.tls or tls_context()
            session: ssl.SSLSession | None = getattr(self._sock, "session", None)
            context.remember(target, session)

    def tls_facts(self) -> dict[str, str]:
        """What TLS ended with, for whoever watches; nothing without TLS."""
        return facts_of(self._sock) if isinstance(self._sock, ssl.SSLSocket) else {}

    def write(self, octets: Octets, seconds: float, inbox: Inbox) -> None:
        """Hand over all of `octets`. Raises OSError; TimeoutError when the server takes nothing for `seconds`."""
        if len(octets) <= _STRETCH:
            try:
                sent = self._send(octets)
            except OSError as error:
                if not _would_block(error):
                    raise
                sent = 0
            self.writes += 1
            self.taken += sent
            if sent == len(octets):
                return
            octets = memoryview(octets)[sent:]
        self._write_on(memoryview(octets), seconds, inbox)

    def _write_on(self, rest: memoryview, seconds: float, inbox: Inbox) -> None:
        until = time.monotonic() + seconds
        while rest:
            try:
                sent = self._send(rest[:_STRETCH])
            except OSError as error:
                if not _would_block(error):
                    raise
                self.look(inbox)  # the server may be waiting for us to read
                if inbox.broken is not None:
                    raise ConnectionResetError from None
                if time.monotonic() > until:
                    raise TimeoutError from None
                continue
            self.writes += 1
            self.taken += sent
            rest = rest[sent:]
            until = time.monotonic() + seconds

    def read(self, wanted: int, seconds: float, inbox: Inbox) -> None:
        """Read until `wanted` replies are there, the connection ends or `seconds` are over; `inbox` knows which.

        Called when they are not there yet.
        """
        self._wait_at_most(seconds)
        until = time.monotonic() + seconds
        while not (self._read_once(inbox) and inbox.ready(wanted)) and inbox.broken is None:
            left = until - time.monotonic()
            if left <= 0:
                inbox.broken = too_slow(seconds, "answer")
                return
            self._wait_at_most(max(left, _LEAST))

    def _read_once(self, inbox: Inbox) -> bool:
        """Read what is there, or comes in time; False when nothing came."""
        try:
            count = self._receive(self._buffer)
        except OSError as error:
            if not _would_block(error):
                inbox.broken = closed(str(error))
            return False
        if count:
            inbox.feed(self._buffer[:count])
        else:
            inbox.broken = closed()
        return True

    def look(self, inbox: Inbox) -> None:
        """Read what is there, without waiting."""
        os.set_blocking(self._sock.fileno(), False)
        try:
            while inbox.broken is None and self._read_once(inbox):
                pass
        finally:
            os.set_blocking(self._sock.fileno(), True)

    def quiet(self, inbox: Inbox) -> bool:
        """Say whether the server has said nothing since we last read, as it must when nothing was asked."""
        if self._poll.poll(0):  # data, or the end; or only a TLS session ticket
            self.look(inbox)
        return inbox.broken is None

    def close(self) -> None:
        """End the connection. SMTP's own end is QUIT."""
        self._sock.close()

    def _wait_at_most(self, seconds: float) -> None:
        if not _NEARLY * self._patience <= seconds <= self._patience:  # else what is set is near enough
            self._patience = seconds
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(seconds))


def _timeval(seconds: float) -> bytes:
    return struct.pack("@ll", int(seconds), int(seconds % 1 * 1_000_000))


def _would_block(error: OSError) -> bool:
    return isinstance(error, BlockingIOError | ssl.SSLWantReadError | ssl.SSLWantWriteError)
