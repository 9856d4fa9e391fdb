"""The cells of an xlsx sheet that hold an error; calamine gives them as empty.

The sheet's XML (ECMA-376 part 1, section 18.3.1.4) is searched as text: `<c r="E4" t="e"><v>#N/A</v></c>`.

Must stay true: a file it does not understand has no such cells, and costs no more memory than a piece of it.
"""

from __future__ import annotations

import re
import zipfile
from typing import IO, TYPE_CHECKING, BinaryIO
from xml.sax.saxutils import unescape

if TYPE_CHECKING:
    from collections.abc import Iterator

_STEP, _LONGEST_CELL, _MOST = 1024 * 1024, 64 * 1024, 100_000
_CELL = re.compile(rb'<(?:\w+:)?c\b(?=[^>]*?\bt="e")[^>]*?\br="([A-Z]{1,3})(\d{1,7})"[^>]*>.{0,8192}?<(?:\w+:)?v>([^<]*)', re.DOTALL)  # fmt: skip
_SHEET = re.compile(r"<(?:\w+:)?sheet\b[^>]*>")
_RELATION = re.compile(r"<(?:\w+:)?Relationship\b[^>]*>")


def error_cells(file: BinaryIO, sheet: str) -> dict[int, dict[int, str]]:
    """Row (from 1) to column (from 0) to the error in it."""
    found: dict[int, dict[int, str]] = {}
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as book, book.open(_part_of(book, sheet)) as part:
            for count, (column, row, said) in enumerate(_cells(part)):
                if count >= _MOST:
                    break
                found.setdefault(row, {})[column] = said
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, EOFError):
        return {}
    return found


def _part_of(book: zipfile.ZipFile, sheet: str) -> str:
    """The member of the archive that holds a sheet. KeyError when there is none."""
    relations = {
        _attribute(one, "Id"): _attribute(one, "Target")
        for one in _RELATION.findall(book.read("xl/_rels/workbook.xml.rels").decode())
    }
    for one in _SHEET.findall(book.read("xl/workbook.xml").decode()):
        if _attribute(one, "name") == sheet:
            target = relations[_attribute(one, r"(?:\w+:)?id")]
            return target.lstrip("/") if target.startswith("/") else f"xl/{target}"
    raise KeyError(sheet)


def _attribute(element: str, name: str) -> str:
    found = re.search(rf'\s{name}="([^"]*)"', element)
    return unescape(found[1], {"&quot;": '"', "&apos;": "'"}) if found else ""


def _cells(part: IO[bytes]) -> Iterator[tuple[int, int, str]]:
    text = b""
    while step := part.read(_STEP):
        text += step
        end = 0
        for cell in _CELL.finditer(text):
            end = cell.end()
            yield _column(cell[1]), int(cell[2]), cell[3].decode("utf-8", "replace")
        text = text[max(end, len(text) - _LONGEST_CELL) :]


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number - 1
