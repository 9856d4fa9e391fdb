"""Noticing that a server, or the way to it, has vanished without a word: nobody closes such a connection.

The deadlines would notice too, but they are for servers that think (ten minutes for the final reply). Must stay
true: a server that is only slow is not given up here, because its system answers our questions; nothing is asked of
a socket that its system does not know.
"""

from __future__ import annotations

import socket
from typing import Protocol

GONE_SECONDS = 180
"""So long may a server acknowledge nothing, as it may take nothing for so long (RFC 5321 section 4.5.3.2.5)."""
_ASK_SECONDS = 30
"""Of silence, until its system is asked whether it is there; also keeps a NAT from forgetting us."""


class _Socket(Protocol):
    def setsockopt(self, level: int, name: int, value: int, /) -> None: ...


def notice(sock: _Socket) -> None:
    """Have the system end this connection when the other side is gone."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", min(_ASK_SECONDS, GONE_SECONDS)),
        ("TCP_KEEPINTVL", min(_ASK_SECONDS, GONE_SECONDS)),
        ("TCP_KEEPCNT", max(1, GONE_SECONDS // _ASK_SECONDS - 1)),
        ("TCP_USER_TIMEOUT", 1000 * GONE_SECONDS),  # for what was sent, and for the questions; milliseconds
    ):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
