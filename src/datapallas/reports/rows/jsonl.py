"""JSON lines: one object a line. Values may be nested; templates reach into them.

Must stay true: a line that is no object is a problem with its number; the others are read.
"""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, NoReturn

from datapallas.errors import RowsError
from datapallas.reports.model import Row
from datapallas.reports.rows import encodings
from datapallas.reports.rows.base import Rows, header_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datapallas.reports.model import Source
    from datapallas.reports.rows.files import DataFile

MAX_LINE = 64 * 1024 * 1024


class JsonRows(Rows):
    """Rows of a JSON lines file. The columns are the names of the first object; others may have more or fewer."""

    def __init__(self, file: DataFile, source: Source, after: int) -> None:
        super().__init__(after)
        self._name = file.name
        found = encodings.find(file.stream, source.encoding)
        if not found.sure:
            found = encodings.Encoding("utf-8")  # RFC 8259 section 8.1
        file.stream.seek(found.begin)
        self.about = {"encoding": found.name}
        self._encoding = found
        self._decode = json.JSONDecoder(parse_constant=_refuse).decode
        self._text = io.TextIOWrapper(file.stream, found.name, found.errors, newline="\n")
        self._objects = self._read()
        self._first: tuple[int, dict[str, Any]] | None = None
        try:
            self.columns = self._names()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave the file open, which is not ours to close."""
        self._text.detach()

    def _names(self) -> tuple[str, ...]:
        for line, value in self._objects:
            if isinstance(value, dict):
                self._first = line, value
                return tuple(value)
            self._bad(f"line {line}", value)
        raise header_error(self._name, "line 1", "there is no JSON object in it")

    def __iter__(self) -> Iterator[Row]:
        if self._first is not None:
            yield from self._row(*self._first)
            self._first = None
        for line, value in self._objects:
            if isinstance(value, dict):
                yield from self._row(line, value)
            else:
                self._bad(f"line {line}", value)

    def _row(self, line: int, value: dict[str, Any]) -> Iterator[Row]:
        self.total += 1
        if self.total > self._after:
            yield Row(
                self.total, {name: "" if one is None else one for name, one in value.items()}, f"line {line}"
            )

    def _read(self) -> Iterator[tuple[int, dict[str, Any] | str]]:
        """Each line that is not blank: its number, and its object or why it is none."""
        for number, line in enumerate(self._lines(), 1):
            text = line.strip(" \t\r\n\ufeff\x1e")  # RFC 7464 puts a record separator before each
            if not text:
                continue
            if number == 1 and text in {"[", "[{"}:
                raise header_error(self._name, "line 1", "it is one JSON array, not an object a line")
            if not text.isascii() and self._encoding.stray.search(text):
                yield number, f"it holds bytes that are not {self._encoding.name}"
                continue
            try:
                value = self._decode(text)
            except (ValueError, RecursionError) as problem:
                yield number, f"it is not JSON: {_words(problem)}"
                continue
            if number == 1 and isinstance(value, list):
                raise header_error(self._name, "line 1", "it is one JSON array, not an object a line")
            yield number, value if isinstance(value, dict) else "it is no JSON object"

    def _lines(self) -> Iterator[str]:
        while line := self._text.readline(MAX_LINE + 1):
            if len(line) > MAX_LINE:
                raise RowsError(
                    f"{self._name}: a line is longer than 64 MB.",
                    code="rows-line", file=self._name, line="", reason="a line is too long",
                )  # fmt: skip
            yield line


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no value of JSON")


def _words(problem: Exception) -> str:
    if isinstance(problem, json.JSONDecodeError):
        return f"{problem.msg[:1].lower()}{problem.msg[1:]} at character {problem.pos + 1}"
    return "it is nested too deep" if isinstance(problem, RecursionError) else str(problem)
