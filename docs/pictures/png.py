"""Makes a browser's screenshot small: at most 256 colours, as an indexed PNG (W3C PNG, sections 9 and 11.2.1).

Reads what browsers write: eight bits a channel, RGB or RGBA, not interlaced.
"""

from __future__ import annotations

import collections
import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOURS = 256


def smaller(picture: bytes) -> bytes:
    """The same picture with a palette; colours that are hardly used become the next one like them."""
    width, height, pixels = _pixels(picture)
    counted = collections.Counter(pixels)
    palette = _palette([colour for colour, _ in counted.most_common()])
    index = {
        colour: min(range(len(palette)), key=lambda number: _distance(palette[number], colour))
        for colour in counted
    }
    rows = bytes(index[colour] for colour in pixels)
    data = b"".join(b"\x00" + rows[at : at + width] for at in range(0, width * height, width))
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    return _SIGNATURE + b"".join(
        (
            _chunk(b"IHDR", header),
            _chunk(b"PLTE", b"".join(palette)),
            _chunk(b"IDAT", zlib.compress(data, 9)),
            _chunk(b"IEND", b""),
        )
    )


def _palette(colours: list[bytes]) -> list[bytes]:
    """The most used first, leaving out what is too much like one of them: a rare green stays, a shade of grey goes."""
    apart, chosen = 0, colours
    while len(chosen) > _COLOURS:
        apart, chosen = apart + 24, []
        for colour in colours:
            if all(_distance(one, colour) > apart for one in chosen):
                chosen.append(colour)
    return chosen


def _distance(one: bytes, other: bytes) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _chunks(picture: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    while at < len(picture):
        (size,) = struct.unpack_from(">I", picture, at)
        yield picture[at + 4 : at + 8], picture[at + 8 : at + 8 + size]
        at += size + 12


def _pixels(picture: bytes) -> tuple[int, int, list[bytes]]:
    """Width, height, and three bytes a pixel."""
    chunks = list(_chunks(picture))
    width, height, depth, kind, *_, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    if depth != 8 or kind not in {2, 6} or interlaced:
        raise ValueError("not a picture as browsers write it")
    size = 3 if kind == 2 else 4
    data = zlib.decompress(b"".join(body for name, body in chunks if name == b"IDAT"))
    line, pixels = bytearray(width * size), []
    for at in range(0, len(data), width * size + 1):
        line = _unfiltered(data[at], bytearray(data[at + 1 : at + 1 + width * size]), line, size)
        pixels += [bytes(line[x : x + 3]) for x in range(0, len(line), size)]
    return width, height, pixels


def _unfiltered(kind: int, line: bytearray, above: bytearray, size: int) -> bytearray:
    """Take the filter off one line (section 9.2)."""
    if kind == 2:
        return bytearray((a + b) & 255 for a, b in zip(line, above, strict=True))
    if kind:
        for x in range(len(line)):
            left, corner = (line[x - size], above[x - size]) if x >= size else (0, 0)
            guess = {1: left, 3: (left + above[x]) // 2}.get(kind)
            line[x] = (line[x] + (_paeth(left, above[x], corner) if guess is None else guess)) & 255
    return line


def _paeth(left: int, above: int, corner: int) -> int:
    guess = left + above - corner
    by = (abs(guess - left), abs(guess - above), abs(guess - corner))
    return (left, above, corner)[by.index(min(by))]
