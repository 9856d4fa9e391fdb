"""The one-shot listener the browser brings the code to (RFC 8252 section 7.3).

Must stay true:
- it listens on loopback only, for `localhost` on both 127.0.0.1 and ::1 or not at all (RFC 8252 section 8.3);
- nothing but a callback that `accept` takes ends the wait: not junk, not silence, not a thousand of either;
- the browser that brought the code waits for the outcome; the port is free as soon as the wait is over;
- `stop`, from any thread, ends the wait within a moment.
One thread, the caller's: no request is served that nobody waits for, and Ctrl-C ends it like any other loop.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import selectors
import socket
import threading
from typing import TYPE_CHECKING, TypeVar

from datapallas.errors import ConfigurationError, SignInAborted
from datapallas.oauth.addresses import ANY_PORT
from datapallas.oauth.authorization import StrayCallback
from datapallas.oauth.pages import Page

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from datapallas.oauth.addresses import Redirect
    from datapallas.oauth.clock import Clock

LONGEST_REQUEST = 16384  # bytes of a request head
REQUEST_SECONDS = 5.0  # from connecting to the end of the head
MOST_CONNECTIONS = 64  # the oldest unfinished one makes room: a browser always gets in
_FAREWELL = 0.3  # seconds the browser has to take the last page
_PORT_TRIES = 5
_LOOK = 0.5  # seconds between two looks at the clock

T = TypeVar("T")


@dataclasses.dataclass(slots=True, eq=False)
class _Visitor:
    """A connection whose request head is still coming."""

    link: socket.socket
    until: float
    head: bytearray = dataclasses.field(default_factory=bytearray)


class Loopback:
    """Listens from its making until `close`, or the end of the `with` block."""

    def __init__(self, redirect: Redirect, clock: Clock) -> None:
        """Take the port. Raises ConfigurationError (code ``port-taken``) when it cannot be had on every address."""
        self._clock = clock
        self._redirect = redirect
        self._listeners = _bind(redirect)
        self._port = self._listeners[0].getsockname()[1]
        self.redirect_uri = redirect.at(self._port)
        self._visitors: dict[int, _Visitor] = {}
        self._held: socket.socket | None = None
        self._bell, self._rope = socket.socketpair()  # `stop` pulls the rope, `wait` hears the bell
        self._rope_lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        for heard in (*self._listeners, self._bell):
            self._selector.register(heard, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wait(self, accept: Callable[[str], T], until: float) -> T | None:
        """What `accept` makes of the query of the first callback it does not call stray; None after `stop`.

        Whatever else `accept` raises ends the wait too; the browser then waits for `answer`. `until` is monotonic.
        Raises SignInAborted (code ``sign-in-timeout``) when nobody came.
        """
        try:
            return self._wait(accept, until)
        finally:
            self._stop_listening()

    def stop(self) -> None:
        """End the wait; from any thread, and harmless when there is none."""
        with self._rope_lock, contextlib.suppress(OSError):
            self._rope.send(b".")

    def _wait(self, accept: Callable[[str], T], until: float) -> T | None:
        while (now := self._clock.monotonic()) < until:
            self._drop_late(now)
            for key, _ in self._selector.select(min(until - now, _LOOK)):
                if key.fileobj is self._bell:
                    return None
                if key.fileobj in self._listeners:
                    self._welcome(key.fileobj)
                    continue
                visitor = self._visitors.get(key.fd)
                query = self._hear(visitor) if visitor else None
                if visitor is None or query is None:
                    continue
                self._part(visitor)
                try:
                    found = accept(query)
                except StrayCallback:
                    _send(visitor.link, Page.STRAY)
                except BaseException:
                    self._held = visitor.link
                    raise
                else:
                    self._held = visitor.link
                    return found
        raise SignInAborted("Nobody came back from the browser in time.", code="sign-in-timeout")

    def answer(self, page: Page) -> None:
        """Tell the browser that brought the code how it ended, and stop listening."""
        self._stop_listening()
        if self._held is not None:
            link, self._held = self._held, None
            _send(link, page, farewell=_FAREWELL)

    def close(self) -> None:
        """Leave nothing open; may be called again."""
        self.answer(Page.REFUSED)
        for visitor in list(self._visitors.values()):
            self._part(visitor)
            visitor.link.close()
        self._selector.close()
        with self._rope_lock:
            self._bell.close()
            self._rope.close()

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(listener)
            listener.close()
        self._listeners = []

    def _welcome(self, listener: socket.socket) -> None:
        try:
            link, _ = listener.accept()
        except OSError:  # it has gone again, or we are out of descriptors for a moment
            return
        link.setblocking(False)  # noqa: FBT003
        if len(self._visitors) >= MOST_CONNECTIONS:
            oldest = min(self._visitors.values(), key=lambda visitor: visitor.until)
            self._part(oldest)
            oldest.link.close()
        self._visitors[link.fileno()] = _Visitor(link, self._clock.monotonic() + REQUEST_SECONDS)
        self._selector.register(link, selectors.EVENT_READ)

    def _part(self, visitor: _Visitor) -> None:
        """No longer read from this connection; it stays open."""
        self._visitors.pop(visitor.link.fileno(), None)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(visitor.link)

    def _drop_late(self, now: float) -> None:
        for visitor in [visitor for visitor in self._visitors.values() if visitor.until <= now]:
            self._part(visitor)
            visitor.link.close()

    def _hear(self, visitor: _Visitor) -> str | None:
        """Read what came; the query once the head is whole and is a callback. Anything else is answered here."""
        try:
            data = visitor.link.recv(LONGEST_REQUEST)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        visitor.head += data
        page: Page | None = None
        if b"\r\n\r\n" in visitor.head[: LONGEST_REQUEST + 4]:
            found = _callback(bytes(visitor.head), self._redirect, self._port)
            if isinstance(found, str):
                return found
            page = found
        elif len(visitor.head) > LONGEST_REQUEST:
            page = Page.TOO_LONG
        elif data:
            return None
        self._part(visitor)
        if page is None:  # it left in the middle
            visitor.link.close()
        else:
            _send(visitor.link, page)
        return None


def _callback(head: bytes, redirect: Redirect, port: int) -> str | Page:
    """The query of a request for our address, or how to turn it away. Nothing in it was looked at before this."""
    lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):  # noqa: PLR2004 - RFC 9112 section 3
        return Page.STRAY
    method, target, _ = words
    hosts = [line.partition(":")[2].strip().lower() for line in lines[1:] if line.lower().startswith("host:")]
    name = f"[{redirect.host}]" if ":" in redirect.host else redirect.host
    allowed = {f"{name}:{port}"} | ({name} if port == 80 else set())  # noqa: PLR2004 - a browser leaves :80 away
    if len(hosts) != 1 or hosts[0] not in allowed:
        return Page.HOST
    path, _, query = target.partition("?")
    if path != redirect.path:
        return Page.NOT_FOUND
    return query if method == "GET" else Page.METHOD


def _send(link: socket.socket, page: Page, farewell: float = 0.0) -> None:
    """Send a page and close. With `farewell`, give the other side that long to take it before the close."""
    with contextlib.suppress(OSError), link:
        link.settimeout(farewell or 0.05)
        link.sendall(page.answer())
        link.shutdown(socket.SHUT_WR)
        # Unread data would make our close a reset, which can take the page with it.
        link.recv(LONGEST_REQUEST, 0 if farewell else socket.MSG_DONTWAIT)


def _bind(redirect: Redirect) -> list[socket.socket]:
    """Sockets that listen on every address the redirect's host may mean."""
    tries = 1 if redirect.port != ANY_PORT or redirect.host != "localhost" else _PORT_TRIES
    for left in reversed(range(tries)):
        opened: list[socket.socket] = []
        try:
            if redirect.host != "::1":
                opened.append(_listen(socket.AF_INET, "127.0.0.1", redirect.port))
            if redirect.host == "::1" or (redirect.host == "localhost" and _has_ipv6_loopback()):
                port = opened[0].getsockname()[1] if opened else redirect.port
                opened.append(_listen(socket.AF_INET6, "::1", port))
        except OSError as problem:
            for listener in opened:
                listener.close()
            if left and problem.errno == errno.EADDRINUSE:
                continue
            raise _taken(redirect, problem) from problem
        return opened
    raise AssertionError("unreachable")  # pragma: no cover


def _listen(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A fixed port must be free again right after the last sign-in (TIME_WAIT); a live listener still refuses us.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(128)
        listener.setblocking(False)  # noqa: FBT003
    except BaseException:
        listener.close()
        raise
    return listener


def _has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _taken(redirect: Redirect, problem: OSError) -> ConfigurationError:
    port = f"port {redirect.port}" if redirect.port else "a port"
    return ConfigurationError(
        f"Cannot listen on {port} of {redirect.host} for the answer of the browser: {problem.strerror}. "
        "Another program may hold it; close that program, or choose another port with --redirect-uri.",
        code="port-taken",
        raw=f"[errno {problem.errno}] {problem.strerror}",
        port=redirect.port,
        host=redirect.host,
    )
