"""What a mail server says: three digits and some lines (RFC 5321 section 4.2, RFC 2034).

Must stay true: a reply is bounded, however it is cut into pieces on its way; feeding it octet by octet gives the
same replies as feeding it at once; no control character of a server reaches a terminal or a log.
"""

from __future__ import annotations

import dataclasses
import functools
import re

from datapallas.errors import ProtocolError

MAX_REPLY_LINE = 8192
"""Octets of one line with its line end. RFC 5321 section 4.5.3.1.5 says 512, Exchange's diagnostics pass 1,000."""
MAX_REPLY = 65536
"""Octets of one reply with all its lines."""

_ENHANCED = re.compile(r"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?= |$)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """One reply.

    Attributes:
        code: three digits, 200 to 599.
        lines: the text of each line as it was said, without code, separator and line end, with its enhanced status.
        enhanced: the RFC 3463 status the first line begins with, such as ``5.7.139``, or empty.
    """

    code: int
    lines: tuple[str, ...] = ("",)
    enhanced: str = ""

    @classmethod
    def of(cls, code: int, *lines: str, enhanced: str = "") -> Reply:
        """Make a reply to be sent; `enhanced` is put before each line (RFC 2034 section 4)."""
        prefix = f"{enhanced} " if enhanced else ""
        return cls(code, tuple(_CONTROL.sub("?", prefix + line) for line in lines or ("",)), enhanced)

    @property
    def text(self) -> str:
        """The server's words, lines joined by a line feed."""
        return "\n".join(self.lines)

    @property
    def positive(self) -> bool:
        """True for 2yz and 3yz: the server did, or goes on with, what was asked."""
        return self.code < 400  # noqa: PLR2004 - RFC 5321 section 4.2.1

    @property
    def transient(self) -> bool:
        """True for 4yz: not now, perhaps later."""
        return 400 <= self.code < 500  # noqa: PLR2004 - RFC 5321 section 4.2.1

    def wire_lines(self) -> list[str]:
        """Give the lines as they stand on the wire, without line ends: ``250-SIZE 1000``, ``250 OK``."""
        last = len(self.lines) - 1
        return [f"{self.code}{' ' if at == last else '-'}{line}" for at, line in enumerate(self.lines)]

    def encode(self) -> bytes:
        """Give the octets of this reply, with CR LF after each line."""
        return ("\r\n".join(self.wire_lines()) + "\r\n").encode()


class ReplyParser:
    """Cuts what a server sends into replies.

    Lines end with LF; a CR before it belongs to the line end. (RFC 5321 asks for CR LF; servers that forget the CR
    are understood, as by every client at hand. A reply cannot be split by data of ours: addresses hold no line end.)
    """

    def __init__(self) -> None:
        self._rest = b""  # the beginning of a line
        self._lines: list[bytes] = []  # whole lines of a reply that goes on
        self._size = 0  # octets in _lines
        self.error: ProtocolError | None = None

    @property
    def empty(self) -> bool:
        """True when no part of a reply is waiting for its rest."""
        return not self._rest and not self._lines and self.error is None

    def clear(self) -> None:
        """Forget what is waiting (RFC 3207 section 4.2: nothing said before TLS counts after it)."""
        self._rest, self._lines, self._size, self.error = b"", [], 0, None

    def feed(self, data: bytes | bytearray | memoryview) -> list[Reply]:
        """Take the next octets and give the replies that are now whole.

        What is no reply, or has no end, is a ProtocolError: kept in `error`, and raised as soon as no whole reply
        stands before it. A message that was accepted stays accepted, whatever nonsense follows.
        """
        if self.error is not None:
            raise self.error
        lines = (self._rest + data).split(b"\n") if self._rest else bytes(data).split(b"\n")
        self._rest = lines.pop()
        replies: list[Reply] = []
        try:
            for line in lines:
                if line[3:4] == b" " and not self._lines and len(line) < MAX_REPLY_LINE:
                    replies.append(_single(line))  # by far the most: one line is the reply
                elif (reply := self._line(line)) is not None:
                    replies.append(reply)
            if len(self._rest) >= MAX_REPLY_LINE:
                raise _endless()
        except ProtocolError as error:
            self.error = error
            if not replies:
                raise
        return replies

    def _line(self, line: bytes) -> Reply | None:
        if len(line) >= MAX_REPLY_LINE:
            raise _endless()
        self._lines.append(line)
        self._size += len(line) + 1
        if self._size > MAX_REPLY:
            raise _endless()
        if line[3:4] == b"-":
            _head(line)  # say at once that it is none, not at the end
            return None
        whole, self._lines, self._size = self._lines, [], 0
        return _reply(whole)


@functools.lru_cache(maxsize=64)
def _single(line: bytes) -> Reply:
    """Read a one-line reply. A server gives the same answer to MAIL and RCPT thousands of times: it is read once."""
    return _reply([line])


def _reply(lines: list[bytes]) -> Reply:
    code = _head(lines[0])
    if any(_head(line) != code for line in lines[1:]):
        raise ProtocolError("The mail server changed the code within one reply.", raw=_words(lines[-1])[:200])
    texts = tuple([_words(line[4:]) for line in lines])
    found = _ENHANCED.match(texts[0])
    # RFC 2034 section 4: the class must be that of the code, else it is something that looks alike.
    return Reply(code, texts, found[0] if found and found[1] == str(code // 100) else "")


def _head(line: bytes) -> int:
    """Read the code of one line; RFC 5321 section 4.2 lets the text, and with it the space, be missing."""
    digits = line[:3]
    if b"200" <= digits <= b"599" and digits.isdigit() and line[3:4] in (b" ", b"-", b"\r", b""):
        return int(digits)
    raise ProtocolError("The other side does not speak SMTP.", raw=_words(line)[:200])


def _words(line: bytes) -> str:
    """Decode one line. UTF-8 (RFC 6531 section 3.7.4); what cannot be shown becomes U+FFFD."""
    text = line.removesuffix(b"\r").decode("utf-8", "replace")
    return text if text.isprintable() else _CONTROL.sub("\ufffd", text)


def _endless() -> ProtocolError:
    return ProtocolError("The mail server sent a reply without end.")
