"""How a text file of rows is laid out: its delimiter, and how it escapes a quotation mark. Pure.

The delimiter is the one that cuts the lines into as many fields as it cuts the header into.

Must stay true: a delimiter inside quotation marks counts for nothing; with no delimiter found there is one column.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import itertools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LIKELY, _RARE = ("\t", ";", "|", ","), ("^", "~", "\x1f", "\xa6", ":")
_LINES = 200
_SEP = re.compile(r'"?sep=(.)"?[ \t;,]*(?:\r\n|\r|\n)', re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """How lines become fields.

    Attributes:
        delimiter: between fields.
        backslash: a quotation mark inside of others is written with a backslash, as MySQL does; else it is doubled.
        spaced: a space stands between the delimiter and the quotation mark that begins a value.
        skip: lines before the one with the names: Excel's `sep=;`.
    """

    delimiter: str = ","
    backslash: bool = False
    spaced: bool = False
    skip: int = 0

    def reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """A reader of `lines`, an iterator of texts that keep their line ends."""
        escape = "\\" if self.backslash else None
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            escapechar=escape,
            doublequote=not self.backslash,
            skipinitialspace=self.spaced,
            strict=True,
        )


def find(sample: str, given: str = "", *, whole: bool = True) -> Layout:
    """The layout of a file that begins with `sample`; `whole` when that is all of it."""
    skip = 0
    named = _SEP.match(sample)
    if named:
        sample, skip = sample[named.end() :], 1
        given = given or named[1]
    if not whole:
        sample = sample[: max(sample.rfind("\n"), sample.rfind("\r")) + 1] or sample
    backslash = bool(re.search(r'[^"\\]\\"[^,;\t|\r\n]', sample)) and '""' not in re.sub(
        r'(^|[,;\t|])""(?=[,;\t|\r\n]|$)', "", sample, flags=re.MULTILINE
    )
    layout = Layout(given, backslash, skip=skip)
    mark = given or _delimiter(sample, layout)
    spaced = bool(re.search(re.escape(mark) + ' +"', sample)) and f'{mark}"' not in sample
    return dataclasses.replace(layout, delimiter=mark, spaced=spaced)


def _delimiter(sample: str, layout: Layout) -> str:
    for marks in (_LIKELY, _RARE):
        scores = [
            (score, -at, mark) for at, mark in enumerate(marks) if (score := _score(sample, mark, layout))
        ]
        if scores:
            return max(scores)[2]
    return ","


def _score(sample: str, mark: str, layout: Layout) -> tuple[float, int, int] | None:
    """How well `mark` cuts: the share of lines like the header, whether a space follows it, the number of fields."""
    if mark not in sample:
        return None
    rows = _cut(sample, dataclasses.replace(layout, delimiter=mark))
    width = len(rows[0]) if rows else 0
    if width < 2:  # noqa: PLR2004 - it does not cut the header
        return None
    alike = sum(
        len(row) == width or (abs(len(row) - width) == 1 and not max(row, rows[0], key=len)[-1])
        for row in rows
    )
    spaced = sample.count(mark + " ") * 2 > sample.count(mark)
    return round(alike / len(rows), 1), not spaced, width


def _cut(sample: str, layout: Layout) -> list[list[str]]:
    reader = csv.reader(
        io.StringIO(sample, newline=""),
        delimiter=layout.delimiter,
        escapechar="\\" if layout.backslash else None,
        doublequote=not layout.backslash,
        skipinitialspace=True,
    )
    rows: list[list[str]] = []
    with contextlib.suppress(csv.Error):  # what was cut so far is enough to judge by
        rows.extend(row for row in itertools.islice(reader, _LINES) if any(cell.strip() for cell in row))
    return rows
