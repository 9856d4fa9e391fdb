"""A wire between a client and a server that a test can change, hold up and cut.

It sees what anyone on the way sees: once TLS has begun, bytes that mean nothing to it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

from strangers.process import HOST, free_ports

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 65536


def _listener(port: int) -> socket.socket:
    """A listener whose connections hold little, so that what is cut has not arrived whole already."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _CHUNK)
    listener.bind((HOST, port))
    listener.listen()
    return listener


class Link:
    """Listens on a free port and passes everything on to `to`.

    Args:
        to: the server's port.
        change: what becomes of bytes on their way to the client.

    Attributes:
        port: where the client connects.
        sent: everything clients said.
        cut_after: octets from clients after which the link is cut, once; None: never.
    """

    def __init__(self, to: int, change: Callable[[bytes], bytes] = bytes) -> None:
        self._to, self._change = to, change
        self._listener = _listener(free_ports(1)[0])  # it is listened on again after `down`
        self.port: int = self._listener.getsockname()[1]
        self.sent = bytearray()
        self.cut_after: int | None = None
        self._open: list[socket.socket] = []
        self._flows = threading.Event()
        self._flows.set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, args=(self._listener,), name="link", daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self.down()

    def hold(self) -> None:
        """From now on nothing reaches the client."""
        self._flows.clear()

    def cut(self) -> None:
        """End all connections, and let nothing that was held up reach the client."""
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.clear()
        self._flows.set()

    def down(self) -> None:
        """Cut, and refuse new connections."""
        with contextlib.suppress(OSError):  # wakes the thread that accepts
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def up(self) -> None:
        """Listen again, on the same port."""
        self._listener = _listener(self.port)
        self.__enter__()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection((HOST, self._to))
                self._open += [client, server]
                for source, sink, back in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._pass, args=(source, sink, back), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, back: bool) -> None:
        with source, contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                if back:
                    data = self._change(data)
                    self._flows.wait()
                else:
                    self.sent += data
                    if self.cut_after is not None and len(self.sent) > self.cut_after:
                        self.cut_after = None
                        self.cut()
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
