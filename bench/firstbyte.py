"""A door before the sink that notes when something comes in: what a client does cannot tell that by itself."""

from __future__ import annotations

import bisect
import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class FirstByte:
    """Listens at `port`, hands everything on to the sink, and knows when octets came from clients."""

    def __init__(self, behind: int) -> None:
        self._behind = behind
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._door.getsockname()[1])
        self._moments: list[float] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def after(self, moment: float) -> float:
        """When the first octets came after a moment of CLOCK_MONOTONIC."""
        place = bisect.bisect(sorted(self._moments), moment)
        return sorted(self._moments)[place]

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._door.accept()
                server = socket.create_connection(("127.0.0.1", self._behind))
                for one in (client, server):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pass, args=(client, server), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, here: socket.socket, there: socket.socket, notes: bool = True) -> None:  # noqa: FBT001, FBT002
        with contextlib.suppress(OSError):
            while octets := here.recv(65536):
                if notes:
                    self._moments.append(time.clock_gettime(time.CLOCK_MONOTONIC))
                there.sendall(octets)
        for one in (here, there):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._door.close()
