"""The first page of a PDF as an image, made in a process of its own with limits: a PDF may be anybody's.

    png = first_page(path)

Must stay true: what the PDF does to its reader happens in the child, which has no network and little memory.
"""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

WIDTH = 900
"""Pixels across."""
TALLEST = 4000
"""Pixels down; a longer page is shown smaller."""
_SECONDS = 20
_MEGABYTES = 1024
_MOST_OCTETS = 16 * 1024 * 1024


def first_page(path: Path) -> bytes:
    """The page as PNG; empty when it cannot be shown: it is encrypted, broken, or takes too long."""
    try:
        done = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-P", "-m", "datapallas.reports.first_page", str(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            env={},
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        return b""
    good = done.returncode == 0 and done.stdout.startswith(b"\x89PNG") and len(done.stdout) < _MOST_OCTETS
    return done.stdout if good else b""


def _png(width: int, height: int, stride: int, pixels: bytes) -> bytes:
    """An image of three octets a pixel, red first (PNG specification, sections 5 and 11)."""
    lines = b"".join(b"\0" + pixels[at : at + 3 * width] for at in range(0, stride * height, stride))
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines, 6)),
        (b"IEND", b""),
    ]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _main() -> int:
    import pypdfium2 as pdfium

    from datapallas.reports.confinement import confine

    with open(sys.argv[1], "rb") as file:  # noqa: PTH123 - pathlib adds nothing here
        data = file.read()
    confine(_MEGABYTES)
    try:
        document = pdfium.PdfDocument(data)
        page = document[0]
        scale = min(WIDTH / max(1.0, page.get_width()), TALLEST / max(1.0, page.get_height()))
        bitmap = page.render(scale=scale, rev_byteorder=True)
        found = _png(bitmap.width, bitmap.height, bitmap.stride, bytes(bitmap.buffer))
    except (pdfium.PdfiumError, IndexError):
        return 1
    sys.stdout.buffer.write(found)
    return 0


if __name__ == "__main__":
    sys.exit(_main())
