"""The replies that are due, and those that came.

Must stay true: a reply that nobody asked for ends the session (a reply that is ahead of its command would be taken
for the answer to it). What came before a session broke still counts: an accepted message stays accepted.
"""

from __future__ import annotations

from datapallas.errors import DataPallasError, ProtocolError, Unreachable
from datapallas.smtp.reply import Reply, ReplyParser

CLOSING = 421
"""The one code a server may say at any time, just before it closes (RFC 5321 section 3.8)."""


class Inbox:
    """Counts commands out and replies in, for one connection.

    Attributes:
        due: replies that are asked for and have not come.
        patient: a 421 breaks nothing while others are due; whoever waits is told (`ready`), and may wait on.
        broken: why no further reply will come, or None.
    """

    __slots__ = ("_leaving", "_parser", "_replies", "broken", "due", "patient")

    def __init__(self) -> None:
        self._parser = ReplyParser()
        self._replies: list[Reply] = []
        self.due = 1  # the greeting: in SMTP the server speaks first
        self.broken: DataPallasError | None = None
        self.patient = self._leaving = False

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take octets from the server."""
        try:
            replies = self._parser.feed(data)
        except ProtocolError as error:
            self.broken = error
            return
        self._replies += replies
        self.due -= len(replies)
        if self._parser.error is not None:
            self.broken = self._parser.error
        elif self.due < 0 or (self.due == 0 and not self._parser.empty):
            surplus = replies[self.due :] if self.due < 0 else []
            if surplus:
                del self._replies[self.due :]
            self.broken = unsolicited(surplus)
        elif replies and replies[-1].code == CLOSING:
            self._leaving = True
            if self.patient and self.due:
                return
            self.broken = ProtocolError(
                "The mail server closed the session.", code="closing", raw=replies[-1].text
            )

    def ready(self, count: int) -> bool:
        """Say whether `take` would give what there will be: `count` replies, or fewer because the session is over."""
        return len(self._replies) >= count or self.broken is not None or self._leaving

    def take(self, count: int) -> list[Reply]:
        """Give the next `count` replies; fewer when the session broke before they came."""
        if len(self._replies) == count:
            taken, self._replies = self._replies, []
            return taken
        taken, self._replies = self._replies[:count], self._replies[count:]
        return taken

    def all(self) -> list[Reply]:
        """Give every reply there is."""
        taken, self._replies = self._replies, []
        self._leaving = False
        return taken

    def clear(self) -> None:
        """Forget everything said so far (RFC 3207 section 4.2: it was not said inside TLS)."""
        self._parser.clear()
        self._replies, self.due, self.broken = [], max(self.due, 0), None


def unsolicited(replies: list[Reply]) -> DataPallasError:
    """Make the error for replies nobody asked for; a 421 among them is a server that leaves, as it may."""
    raw = "\n".join(line for reply in replies for line in reply.wire_lines())
    if replies and replies[0].code == CLOSING:
        return Unreachable(
            "The mail server closed the session while nothing was asked.", phase="closed", raw=raw
        )
    return ProtocolError(
        "The mail server spoke without being asked; the session was closed.", code="unsolicited", raw=raw
    )


def closed(cause: str = "") -> Unreachable:
    """Make the error for a connection that ended; `cause` is what the system says, or empty for a clean end."""
    return Unreachable("The mail server closed the connection.", phase="closed", raw=cause)


def too_slow(seconds: float, what: str) -> Unreachable:
    """Make the error for a deadline that passed."""
    return Unreachable(f"The mail server did not {what} within {seconds:g} seconds.", phase="timeout")
