"""What is sent after the envelope, and how it is cut and stuffed for the wire.

Must stay true: nothing leaves in DATA that holds a bare CR or LF, or a line that begins with an unstuffed dot
(RFC 5321 section 4.5.2; what servers make of those is mail smuggling). No body is held twice.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Protocol

from datapallas.errors import MessageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Octets = bytes | memoryview

CHUNK = 256 * 1024
"""Octets of one BDAT chunk: large enough for speed, small enough that a refusal wastes little."""
_STRETCH = 64 * 1024  # octets looked at together
_LINE_ENDS = (None, "\r\n")  # what the decoder may have met: none, or this kind only
_SLICE = 16 * 1024  # one TLS record (RFC 8446 section 5.1); smaller pieces are joined


class Body(Protocol):
    """A message as it goes over the wire: header and text, every line ended by CR LF.

    Attributes:
        size: octets of all chunks together.
        smtputf8: True when the header holds more than ASCII (RFC 6531).
        eightbit: True when the text holds octets above 127 (RFC 6152).
    """

    @property
    def size(self) -> int: ...  # noqa: D102 - see the class
    @property
    def smtputf8(self) -> bool: ...  # noqa: D102
    @property
    def eightbit(self) -> bool: ...  # noqa: D102

    def chunks(self) -> Iterator[Octets]:
        """Give the octets from the beginning; may be called again, as when a server turns out not to take BDAT."""


class BytesBody:
    """A message that is in memory. Raises MessageError for a bare CR or LF."""

    __slots__ = ("_data", "eightbit", "size", "smtputf8")

    def __init__(self, data: bytes, *, smtputf8: bool = False) -> None:
        _check_line_ends(data)
        self._data = data
        self.size = len(data)
        self.smtputf8 = smtputf8
        self.eightbit = not data.isascii()

    def chunks(self) -> Iterator[Octets]:
        """Give the one piece there is."""
        return iter((self._data,))


def pieces(chunks: Iterable[Octets], limit: int = CHUNK) -> Iterator[list[Octets]]:
    """Group chunks of any size into lists of at most `limit` octets, large ones cut without being copied."""
    group: list[Octets] = []
    room = limit
    for chunk in chunks:
        rest: Octets = chunk
        while len(rest) > room:
            view = memoryview(rest)
            group.append(view[:room])
            rest = view[room:]
            yield group
            group, room = [], limit
        if rest:
            group.append(rest)
            room -= len(rest)
    if group:
        yield group


def joined(head: bytes, group: list[Octets]) -> list[Octets]:
    """Put a command before its chunk: one buffer when the parts are small, else as they are."""
    if len(group) != 1:
        return [b"".join((head, *group))]
    if len(group[0]) > _SLICE:
        return [head, group[0]]
    return [head + group[0]]


def packed(parts: Iterable[Octets]) -> list[Octets]:
    """Put neighbours that are small into one buffer; large ones stay as they are, uncopied."""
    out: list[Octets] = []
    small: list[Octets] = []
    for part in parts:
        if len(part) <= _SLICE:
            small.append(part)
            continue
        if small:
            out.append(b"".join(small))
            small = []
        out.append(part)
    if small:
        out.append(b"".join(small))
    return out


def stuffed(chunks: Iterable[Octets], limit: int = CHUNK) -> Iterator[bytes]:
    """Make the octets of DATA of a body: dots stuffed, and the final dot (RFC 5321 sections 4.1.1.4 and 4.5.2).

    Raises MessageError at a bare CR or LF; the caller must then break the connection off, for the final dot is out.
    """
    end = b"\r\n"  # the last two octets that went out; a body begins as if after a line end
    for group in pieces(chunks, limit):
        data = b"".join(group)
        broken = end[-1:] == b"\r"  # a line end that two pieces share
        if broken and data[:1] != b"\n":
            raise _bare()
        _check_line_ends(data, broken, len(data) - (data[-1:] == b"\r"))
        ended, end = end, (end + data)[-2:] if len(data) < 2 else data[-2:]  # noqa: PLR2004
        if b"\r\n." in data:
            data = data.replace(b"\r\n.", b"\r\n..")
        if ended == b"\r\n" and data[:1] == b".":
            data = b"." + data
        elif broken and data[1:2] == b".":
            data = b"\n." + data[1:]
        yield data
    if end[-1:] == b"\r":
        raise _bare()
    yield b".\r\n" if end == b"\r\n" else b"\r\n.\r\n"


def _check_line_ends(data: bytes, start: int = 0, end: int | None = None) -> None:
    """Raise unless every CR and LF of `data[start:end]` is in a CR LF.

    By the decoder that Python's text files are made of: in one pass it notes the kinds of line end it meets, at a
    quarter of the cost of counting CR, LF and CR LF (bench/README.md). A stretch at a time: the text is not held twice.
    """
    meter = io.IncrementalNewlineDecoder(None, translate=False)
    end = len(data) if end is None else end
    while end - start > _STRETCH:
        meter.decode(data[start : start + _STRETCH].decode("latin-1"))
        start += _STRETCH
    meter.decode(data[start:end].decode("latin-1"), final=True)
    if meter.newlines not in _LINE_ENDS:
        raise _bare()


def _bare() -> MessageError:
    return MessageError(
        "The message holds a CR or LF that is not part of a CR LF line end; it was not sent.",
        code="bare-line-end",
    )
