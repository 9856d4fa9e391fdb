"""Command lines out of octets (RFC 5321 section 2.3.8): they end with CR LF, and are bounded.

Must stay true: a line that ends with a bare LF is told apart, never obeyed; an over-long line is not held, and one
without end ends the session.
"""

from __future__ import annotations

from datapallas.errors import ProtocolError
from datapallas.smtp.command import BadCommand

_SKIPPED = 65_536  # octets of a line without end before it is called endless


class LineReader:
    """Holds what has come and not been used."""

    def __init__(self) -> None:
        self.held = bytearray()
        self._skipped = 0  # octets of an over-long line that have gone by

    def next(self, limit: int) -> bytes | None:
        """The next line without its end; None when it has not come whole.

        Raises BadCommand for a line over `limit` octets or with a bare LF, ProtocolError for one without end.
        """
        end = self.held.find(b"\n")
        if end < 0:
            if len(self.held) >= limit or self._skipped:
                self._skipped += len(self.held)
                self.held.clear()
            if self._skipped > _SKIPPED:
                raise ProtocolError("A line without end.")
            return None
        line = bytes(self.held[: end + 1])
        del self.held[: end + 1]
        too_long, self._skipped = self._skipped + len(line) > limit, 0
        if too_long:
            raise BadCommand(500, "Line too long", "5.5.2")
        if not line.endswith(b"\r\n"):
            raise BadCommand(500, "Lines end with CR LF", "5.5.2")
        return line[:-2]

    def take(self) -> bytes:
        """Everything that is held; nothing is held then."""
        data = bytes(self.held)
        self.held.clear()
        return data
