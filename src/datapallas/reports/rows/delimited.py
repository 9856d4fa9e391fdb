"""CSV and its relatives, line by line.

Must stay true: what a line cannot be read as is told with the line where it begins, and reading goes on with the next
line; so one quotation mark that is not closed swallows no other row. Nothing is shifted: a row has as many fields as
the header, or it is a problem.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from datapallas.errors import RowsError
from datapallas.reports.model import Row
from datapallas.reports.rows import encodings, layout
from datapallas.reports.rows.base import Rows, columns_of, header_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from datapallas.reports.model import Source
    from datapallas.reports.rows.encodings import Encoding
    from datapallas.reports.rows.files import DataFile

MAX_FIELD = 32 * 1024 * 1024
"""Characters of one field, and of one line."""
_MOST_UNCLOSED = 200
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # a zip archive, a compound file
_NAMES = {"\t": "tab", "\x1f": "unit separator"}


class DelimitedRows(Rows):
    """Rows of a text file."""

    def __init__(self, file: DataFile, source: Source, after: int) -> None:
        super().__init__(after)
        self._name = file.name
        encoding = encodings.find(file.stream, source.encoding)
        file.stream.seek(encoding.begin)
        head = file.stream.read(encodings.SAMPLE)
        if head.startswith(_WORKBOOKS):
            raise header_error(
                file.name, "line 1", 'it is a workbook of Excel and not text: set kind = "excel"'
            )
        sample = _from(head.decode(encoding.name, "replace"), source.header_row)
        self._layout = layout.find(sample, source.delimiter, whole=len(head) < encodings.SAMPLE)
        file.stream.seek(encoding.begin)
        self._text = io.TextIOWrapper(file.stream, encoding.name, encoding.errors, newline="")
        self._lines = _Lines(self._text, encoding, self._name)
        self._lines.skip(self._layout.skip + source.header_row - 1)
        if csv.field_size_limit() < MAX_FIELD:  # the process's, not ours alone: raised, never lowered
            csv.field_size_limit(MAX_FIELD)
        mark = self._layout.delimiter
        self.about = {
            "encoding": encoding.name + ("" if encoding.sure else " (a guess)"),
            "delimiter": _NAMES.get(mark, mark),
        }
        self._records = self._read()
        try:
            self.columns = self._header()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave the file open, which is not ours to close."""
        self._text.detach()

    def __iter__(self) -> Iterator[Row]:
        columns, width, lines = self.columns, len(self.columns), self._lines
        for line, fields, reason in self._records:
            if reason:
                self._bad(f"line {line}", reason)
                continue
            if not any(map(str.strip, fields)):
                continue  # a blank line, or one of delimiters only
            if len(fields) != width:
                if len(fields) < width or any(map(str.strip, fields[width:])):
                    lines.give_back()
                    self._bad(f"line {line}", _ragged(len(fields), width))
                    continue
                del fields[width:]  # delimiters at the end
            self.total += 1
            if self.total > self._after:
                yield Row(self.total, dict(zip(columns, fields, strict=True)), f"line {line}")

    def _header(self) -> tuple[str, ...]:
        for line, fields, reason in self._records:
            if reason:
                raise header_error(self._name, f"line {line}", reason)
            if any(map(str.strip, fields)):
                return columns_of(fields, f"line {line}", self._name)
        raise header_error(self._name, "line 1", "it is empty: there are no names of columns")

    def _read(self) -> Iterator[tuple[int, list[str], str]]:
        """Each record: the line where it begins, its fields, and why it cannot be read (then it has no fields)."""
        lines, unclosed = self._lines, 0
        reader = self._layout.reader(lines)
        while True:
            line = lines.begin()
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as problem:
                reason = _words(str(problem), several=lines.several)
                unclosed += 1
                if unclosed > _MOST_UNCLOSED:
                    raise self._hopeless(line, reason) from None
                lines.give_back()
                reader = self._layout.reader(lines)
                yield line, [], reason
            else:
                yield line, fields, lines.dirt if fields else ""

    def _hopeless(self, line: int, reason: str) -> RowsError:
        words = f"more than {_MOST_UNCLOSED} lines cannot be read; the last: {reason}"
        return RowsError(
            f"{self._name}, line {line}: {words}.",
            code="rows-quotes",
            file=self._name,
            line=line,
            reason=words,
        )


class _Lines:
    """The lines of a text, each with its end; those of the current record can be given back."""

    def __init__(self, text: TextIO, encoding: Encoding, name: str) -> None:
        self._text, self._stray, self._name = text, encoding.stray, name
        self._encoding = encoding.name
        self._number = 0  # of the line given last
        self._record: list[str] = []
        self._waiting: list[str] = []  # given back, the next one last
        self.dirt = ""

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._waiting.pop() if self._waiting else self._text.readline(MAX_FIELD + 1)
        if not line:
            raise StopIteration
        self._number += 1
        if len(line) > MAX_FIELD:
            reason = (
                f"it is longer than {MAX_FIELD // 1024 // 1024} MB: this is no file of rows, or another kind"
            )
            raise RowsError(
                f"{self._name}, line {self._number}: {reason}.",
                code="rows-line", file=self._name, line=self._number, reason=reason,
            )  # fmt: skip
        if "\0" in line or "\x1a" in line or not line.isascii():
            line = self._clean(line)
        self._record.append(line)
        return line

    def begin(self) -> int:
        """Begin a record; the number of its first line."""
        self._record.clear()
        self.dirt = ""
        return self._number + 1

    @property
    def several(self) -> bool:
        """Whether this record has more than one line so far."""
        return len(self._record) > 1

    def give_back(self) -> None:
        """Give the lines of this record back, all but the first one."""
        rest = self._record[1:]
        self._waiting.extend(reversed(rest))
        self._number -= len(rest)

    def skip(self, lines: int) -> None:
        """Leave lines out."""
        for _ in range(lines):
            next(self, "")

    def _clean(self, line: str) -> str:
        """The line; a mark of DOS or zeros that fill a file up are no part of it."""
        if not line.strip("\0\x1a\r\n"):
            return "\n"
        if line.endswith("\x1a"):
            line = line.rstrip("\x1a")
        if "\0" in line:
            self.dirt = "it holds a NUL byte"
        elif self._stray.search(line):
            self.dirt = f"it holds bytes that are not {self._encoding}"
        return line


def _from(sample: str, row: int) -> str:
    """The sample from line `row` on."""
    for _ in range(row - 1):
        ends = [at for at in (sample.find("\n"), sample.find("\r")) if at >= 0]
        if not ends:
            return sample
        at = min(ends)
        sample = sample[at + (2 if sample.startswith("\r\n", at) else 1) :]
    return sample


def _ragged(has: int, width: int) -> str:
    fields = "one field" if has == 1 else f"{has} fields"
    why = "an unquoted delimiter in a value?" if has > width else "a line break or a missing value?"
    return f"it has {fields}, and there are {width} columns ({why})"


def _words(said: str, *, several: bool) -> str:
    """What the csv module says, for the person who keeps the list; `several`: it has read more than one line."""
    if "unexpected end of data" in said or (several and "expected after" in said):
        return "a quotation mark is opened and not closed"
    if "expected after" in said:
        return "a quotation mark stands inside of a quoted value; it has to be doubled"
    if "field limit" in said or "larger than" in said:
        return f"a value is longer than {MAX_FIELD // 1024 // 1024} MB, or a quotation mark is not closed"
    return said
