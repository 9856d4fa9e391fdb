"""The text of a message on its way in: where it ends, and whether it may stay (RFC 5321 section 4.5.2, RFC 3030).

Must stay true:
- DATA ends at CR LF . CR LF and at nothing that looks like it (CVE-2023-51764 and its kin: SMTP smuggling);
- a message with a bare CR, a bare LF, a NUL or an over-long line is refused as a whole, never repaired;
- pieces of any size give the same result, and no more than one piece is held.
"""

from __future__ import annotations

from datapallas.smtp.reply import Reply

_END = b"\r\n.\r\n"

BARE = Reply.of(554, "Bare CR or LF is not allowed in a message", enhanced="5.6.11")
NUL = Reply.of(554, "NUL is not allowed in a message", enhanced="5.6.0")
LONG_LINE = Reply.of(554, "A line of the message is too long (RFC 5321 section 4.5.3.1.6)", enhanced="5.6.0")
TOO_BIG = Reply.of(552, "The message is larger than this server takes", enhanced="5.3.4")


class Inspection:
    """Looks at the octets of one message as they pass.

    Attributes:
        refusal: why the message cannot stay, or None so far.
        size: octets seen.
    """

    def __init__(self, *, max_size: int, max_line: int) -> None:
        self._max_size = max_size
        self._max_text = max_line - 1  # without the LF
        self._carried_cr = False
        self._line = 0  # octets of the line that has not ended yet
        self.refusal: Reply | None = None
        self.size = 0

    def take(self, data: bytes) -> bytes:
        """Give `data` back when the message may still stay, and nothing when it may not."""
        self.size += len(data)
        if self.refusal is None and data:
            self.refusal = self._wrong_with(data)
        return data if self.refusal is None else b""

    def end(self) -> Reply | None:
        """Why the message, now whole, must be refused; None when it may stay."""
        if self.refusal is None and self._carried_cr:
            self.refusal = BARE
        return self.refusal

    def _wrong_with(self, data: bytes) -> Reply | None:
        if self.size > self._max_size:
            return TOO_BIG
        if b"\0" in data:
            return NUL
        if self._bare(data):
            return BARE
        return LONG_LINE if self._long(data) else None

    def _bare(self, data: bytes) -> bool:
        pairs = data.count(b"\r\n")
        returns, feeds = data.count(b"\r"), data.count(b"\n")
        if self._carried_cr:
            if not data.startswith(b"\n"):
                return True
            feeds -= 1  # its CR came with the piece before
        self._carried_cr = data.endswith(b"\r")
        return returns - self._carried_cr != pairs or feeds != pairs

    def _long(self, data: bytes) -> bool:
        """Whether a line passes the limit; jumps from line end to line end, so most lines are never looked at."""
        at, limit = -self._line, self._max_text
        while len(data) - at > limit:
            found = data.rfind(b"\n", max(at, 0), at + limit + 1)
            if found < 0:
                return True
            at = found + 1
        last = data.rfind(b"\n", max(at, 0))
        self._line = len(data) - (at if last < 0 else last + 1)
        return False


class DotReader:
    """Finds the end of DATA and takes the dots away that were put in for transparency."""

    def __init__(self) -> None:
        self._held = b"\r\n"  # as if a line had just ended, so that a lone dot can come first
        self._borrowed = 2  # octets of `_held` that are not the message's

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Take the next octets; give text of the message, and once it has ended what came after it."""
        text = self._held + data
        end = text.find(_END)
        if end >= 0:
            return self._clean(text[: end + 2]), text[end + len(_END) :]
        keep = next((size for size in (4, 3, 2, 1) if text.endswith(_END[:size])), 0)
        whole, self._held = text[: len(text) - keep], text[len(text) - keep :]
        return self._clean(whole) if whole else b"", None

    def _clean(self, text: bytes) -> bytes:
        start, self._borrowed = self._borrowed, 0
        return text.replace(b"\r\n.", b"\r\n")[start:]


class Intake:
    """The text of one message, by DATA or chunk by chunk.

    Attributes:
        left: octets of the chunk still to come; -1 in DATA, which ends with a dot.
    """

    def __init__(self, *, max_size: int, max_line: int) -> None:
        self._inspection = Inspection(max_size=max_size, max_line=max_line)
        self._dots: DotReader | None = None
        self.left = 0

    def expect_dot(self) -> None:
        """What comes is DATA."""
        self._dots, self.left = DotReader(), -1

    def expect(self, size: int, refusal: Reply | None = None) -> None:
        """What comes is a chunk of `size` octets; with a `refusal` it goes by unread (RFC 3030 section 2)."""
        self.left = size
        self._inspection.refusal = self._inspection.refusal or refusal

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Take the next octets; give those to keep, and once DATA or the chunk has ended what came after it."""
        if self._dots is not None:
            text, rest = self._dots.feed(data)
        else:
            text = data[: self.left]
            rest = data[self.left :] if len(data) >= self.left else None
            self.left -= len(text)
        return self._inspection.take(text), rest

    def refusal(self, *, whole: bool) -> Reply | None:
        """Why the message cannot stay, so far or as a whole; None when it can."""
        return self._inspection.end() if whole else self._inspection.refusal
