"""In which line each key of a TOML text stands; tomllib gives the values but not their paths. Pure.

Must stay true: it is asked only about text that tomllib has read, so it need not find mistakes; it never raises.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Path: TypeAlias = tuple[str | int, ...]
"""Names of tables and keys; the number of an element of an array of tables, from 0."""

_STRING = re.compile(r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\])*"|\'[^\']*\'', re.DOTALL)
_KEY = re.compile(r"""[ \t]*("(?:\\.|[^"\\])*"|'[^']*'|[A-Za-z0-9_-]+)[ \t]*(\.?)""")
_BLANK = re.compile(r"(?:\s|#[^\n]*)*")
_PLAIN = re.compile(r"[^\n#\"'\[\]{}]+")


def lines_of(text: str) -> dict[Path, int]:
    """The line, from 1, of every table and key."""
    found: dict[Path, int] = {(): 1}
    at = 0
    table: Path = ()
    counts: dict[Path, int] = {}
    while (at := _end(_BLANK, text, at)) < len(text):
        line = text.count("\n", 0, at) + 1
        if text[at] == "[":
            double = text.startswith("[[", at)
            names, at = _names(text, at + 1 + double)
            at = _line_end(text, at)
            table = _numbered(names, counts, double=double)
            _note(found, table, line)
        else:
            names, after = _names(text, at)
            _note(found, (*table, *names), line)
            at = max(_value_end(text, after + 1), at + 1)
    return found


def nearest_line(lines: Mapping[Path, int], path: Path) -> int:
    """The line of `path`, else of the table around it; 1 when nothing is known."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _numbered(names: Path, counts: dict[Path, int], *, double: bool) -> Path:
    """The table's path, with the number of the element where a part of it is an array of tables."""
    path: Path = ()
    for name in names[:-1]:
        path = (*path, name)
        if path in counts:
            path = (*path, counts[path])
    path = (*path, *names[-1:])
    if double:
        counts[path] = counts.get(path, -1) + 1
        path = (*path, counts[path])
    return path


def _note(found: dict[Path, int], path: Path, line: int) -> None:
    for length in range(1, len(path) + 1):
        found.setdefault(path[:length], line)


def _names(text: str, at: int) -> tuple[Path, int]:
    return tuple(_each_name(text, at)), _names_end(text, at)


def _each_name(text: str, at: int) -> Iterator[str]:
    while key := _KEY.match(text, at):
        yield key[1].strip("\"'")
        at = key.end()
        if not key[2]:
            return


def _names_end(text: str, at: int) -> int:
    while key := _KEY.match(text, at):
        at = key.end()
        if not key[2]:
            break
    return at


def _value_end(text: str, at: int) -> int:
    """Where a value ends: at the line's end, outside of strings, arrays and inline tables."""
    depth = 0
    while at < len(text):
        mark = text[at]
        if mark in "\"'" and (string := _STRING.match(text, at)):
            at = string.end()
        elif mark == "#":
            at = _line_end(text, at)
        elif mark == "\n" and depth <= 0:
            return at
        else:
            depth += (mark in "[{") - (mark in "]}")
            at = max(_end(_PLAIN, text, at), at + 1)
    return at


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at
