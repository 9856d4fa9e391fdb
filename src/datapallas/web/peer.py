"""Which user of this machine is at the other end of a loopback connection, where the system tells (Linux does).

Why: the link that opens a browser stands in that browser's arguments, which every user of a machine can list. Bound to
the user who asked for it, the link is worth nothing to the others.
"""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LOCAL, _REMOTE, _USER = 1, 2, 7  # columns, as proc_net_tcp says


def user_of(client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """The uid that owns the client's end of a TCP connection on this machine; None where that cannot be known."""
    try:
        wanted = {(_in_table(client, version), _in_table(server, version)) for version in (4, 6)}
        for table in _TABLES:
            for line in table.read_text("ascii").splitlines()[1:]:
                words = line.split()
                if (words[_LOCAL], words[_REMOTE]) in wanted:
                    return int(words[_USER])
    except (OSError, ValueError, IndexError):
        return None
    return None


def _in_table(end: tuple[str, int], version: int) -> str:
    """An address and port as the kernel writes them: words of 32 bits in the machine's own order."""
    address = ipaddress.ip_address(end[0])
    if version == 6 and isinstance(address, ipaddress.IPv4Address):  # noqa: PLR2004 - IPv6
        address = ipaddress.IPv6Address(f"::ffff:{address}")
    packed = address.packed
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    if sys.byteorder == "little":
        words = (word[::-1] for word in words)
    return f"{''.join(word.hex().upper() for word in words)}:{end[1]:04X}"
