"""Changes single values of a report.toml, and leaves everything else in it as a person wrote it. Pure.

Must stay true: comments, order and spelling of all other lines stay; what cannot be changed so is refused, and the
person is told to do it.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any, TypeAlias

from datapallas.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

Value: TypeAlias = "str | int | float | None"
Values: TypeAlias = "Mapping[tuple[str, str], Value]"
"""By section (empty: the top of the file) and key. None takes the key out."""

_ANY_HEADER = re.compile(r"[ \t]*\[")
_OPENED = re.compile(r"""[ \t]*[A-Za-z0-9_-]+[ \t]*=[ \t]*(?P<mark>\"{3}|'{3})""")
_KEY = re.compile(
    r"""(?P<before>[ \t]*(?P<name>[A-Za-z0-9_-]+)[ \t]*=[ \t]*)"""
    r"""(?P<value>\"{3}[\s\S]*\"{3}|'{3}[\s\S]*'{3}|"(?:\\.|[^"\\])*"|'[^']*'|[^"'\[{#\s]+)(?P<after>[ \t]*(?:\#.*)?)"""
)


def changed(text: str, values: Values) -> str:
    """The text with these values. Raises UsageError (code ``report-edit``, fact ``what``)."""
    lines = _logical(text.splitlines())
    by_section: dict[str, dict[str, Value]] = {}
    for (section, key), value in values.items():
        by_section.setdefault(section, {})[key] = value
    for section, wanted in by_section.items():
        lines = _with(lines, section, wanted)
    found = "\n".join(lines) + "\n"
    _check(text, found, by_section)
    return found


def _logical(lines: list[str]) -> list[str]:
    """Lines, those of a text over several of them as one: what looks like a header in it is none."""
    found: list[str] = []
    mark = ""
    for line in lines:
        if mark:
            found[-1] += f"\n{line}"
            mark = "" if mark in line else mark
            continue
        found.append(line)
        opened = _OPENED.match(line)
        if opened is not None and opened["mark"] not in line[opened.end() :]:
            mark = opened["mark"]
    return found


def _with(lines: list[str], section: str, wanted: dict[str, Value]) -> list[str]:
    begin, end = _place(lines, section)
    new = {key: value for key, value in wanted.items() if value is not None}
    if begin < 0:
        if not new:
            return lines
        head = [*lines, ""] if lines and lines[-1].strip() else lines
        return [*head, f"[{section}]", *_new(new)]
    body = _changed(lines[begin:end], wanted, top=not section)
    if section and not any(_KEY.fullmatch(line) for line in body):
        body = body[1:]  # nothing is left under the header
    return [*lines[:begin], *body, *lines[end:]]


def _place(lines: list[str], section: str) -> tuple[int, int]:
    """The lines of a section, its header among them; -1 when there is none."""
    begin = 0
    if section:
        header = re.compile(rf"[ \t]*\[[ \t]*{re.escape(section)}[ \t]*\][ \t]*(#.*)?")
        begin = next((at for at, line in enumerate(lines) if header.fullmatch(line)), -1)
        if begin < 0:
            return -1, -1
    after = begin + bool(section)
    end = next((at for at in range(after, len(lines)) if _ANY_HEADER.match(lines[at])), len(lines))
    return begin, end


def _changed(body: list[str], wanted: dict[str, Value], *, top: bool) -> list[str]:
    """Values in their place, new ones after the last key."""
    left = dict(wanted)
    found: list[str] = [] if top else body[:1]
    last = len(found)
    for line in body if top else body[1:]:
        key = _KEY.fullmatch(line)
        if key is not None and key["name"] in left:
            value = left.pop(key["name"])
            if value is None:
                continue
            line = f"{key['before']}{_toml(value)}{key['after']}"  # noqa: PLW2901 - the line as it is now
        found.append(line)
        if key is not None:
            last = len(found)
    fresh = _new({name: value for name, value in left.items() if value is not None})
    return [*found[:last], *fresh, *found[last:]]


def _new(values: Mapping[str, Value]) -> list[str]:
    return [f"{name} = {_toml(value)}" for name, value in values.items()]


def _toml(value: Value) -> str:
    if isinstance(value, str) and "\n" in value and _plain(value):
        return f"'''\n{value}'''"
    # A JSON text is a basic string of TOML, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _plain(text: str) -> bool:
    """Whether it may stand over several lines as it is (a literal text of TOML)."""
    odd = any(ord(one) < ord(" ") and one not in "\t\n" for one in text) or "\x7f" in text
    return not odd and "'''" not in text and not text.endswith("'")


def _check(before: str, after: str, wanted: Mapping[str, Mapping[str, Value]]) -> None:
    """Only what was wanted is another one now."""
    try:
        expected: dict[str, Any] = tomllib.loads(before)
        now = tomllib.loads(after)
    except (tomllib.TOMLDecodeError, RecursionError):
        raise _refused("") from None
    for section, values in wanted.items():
        table: Any = expected.setdefault(section, {}) if section else expected
        if not isinstance(table, dict):
            raise _refused(section)
        for key, value in values.items():
            table.pop(key, None)
            if value is not None:
                table[key] = value
        if section and not table:
            expected.pop(section)
    for section in wanted:
        if section and now.get(section) == {}:
            now.pop(section)
    if expected != now:
        raise _refused(", ".join(section or "the top" for section in wanted))


def _refused(what: str) -> UsageError:
    where = f" ({what})" if what else ""
    return UsageError(
        f"This report.toml is written in a way that cannot be changed here{where}.",
        code="report-edit",
        what=what,
    )
