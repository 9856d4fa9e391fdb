"""The Jinja2 texts of one report, and the columns they name.

Must stay true: a column is missing only when a text shows it without saying what else to show.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import jinja2

from datapallas.reports import paths
from datapallas.reports.flaws import nearest
from datapallas.reports.names import OF_PART, constants, uses
from datapallas.reports.sink import error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from datapallas.reports.model import Problem, Report

_INLINE = ("to", "cc", "bcc", "reply_to", "sender", "subject")
_FIELDS = ("to", "cc", "bcc", "reply_to")
_WORDS = {"sender": "email.from"}


@dataclasses.dataclass(frozen=True, slots=True)
class _Named:
    """A column, the place of the text that names it, and what the text does without it."""

    name: str
    place: str
    optional: bool
    dispensable: bool


class Texts:
    """What a report's texts name."""

    def __init__(self, report: Report) -> None:
        found: dict[str, list[_Named]] = {}
        self._lost: dict[str, str] = {}
        given = OF_PART if report.burst is not None else frozenset()
        for place, text, is_file in _texts(report):
            for name, line in _constants(text):
                if name not in report.values:
                    where = f"{place}, line {line}" if is_file else place
                    self._lost.setdefault(name, where)
            for use in _uses(text):
                if use.name in given:
                    continue
                where = f"{place}, line {use.line}" if is_file else place
                one = _Named(use.name, where, use.optional, use.dispensable)
                found.setdefault(use.name, []).append(one)
        self._values = report.values
        self._first = {
            name: next((u for u in all_ if not u.dispensable), all_[0]) for name, all_ in found.items()
        }
        self._shown = [name for name, all_ in found.items() if not all(use.optional for use in all_)]
        self._addresses = {
            field: [use.name for use in _uses(getattr(report.email, field))] for field in _FIELDS
        }
        self._passwords = [names for text in _passwords(report) if (names := _only(text))]

    def lost(self) -> Iterator[Problem]:
        """The names that are not under `[values]`."""
        for name, where in self._lost.items():
            text = f"There is no {name!r} under [values]{nearest(name, self._values)}, and {where.partition(',')[0]} shows it."
            yield error("missing", text, where)

    def strangers(self, columns: Sequence[str]) -> Iterator[Problem]:
        """The names that are no column of any row."""
        for name, use in self._first.items():
            if name not in columns and not use.dispensable:
                text = f"There is no column {name!r}{nearest(name, columns)}, and {use.place.partition(',')[0]} shows it."
                yield error("missing", text, use.place)

    def lacking(self, row: Mapping[str, Any], place: str, key: str) -> Iterator[Problem]:
        """The names that are no column of this row."""
        for name, use in self._first.items():
            if name not in row and not use.dispensable:
                yield error(
                    "missing",
                    f"There is no {name!r} here{nearest(name, row)}, and {use.place} shows it.",
                    place,
                    key,
                )

    def empty_of(self, field: str, row: Mapping[str, Any]) -> list[str]:
        """The columns of an address that are empty in this row."""
        return [name for name in self._addresses[field] if _is_empty(row.get(name, True))]

    def without_password(self, row: Mapping[str, Any]) -> list[str]:
        """The columns that are the password of a document, and are empty in this row: nothing is sent then."""
        for names in self._passwords:
            if all(_is_empty(row.get(name, True)) for name in names):
                return names
        return []

    def empty_in(self, row: Mapping[str, Any]) -> list[str]:
        """The columns that are shown and are empty in this row."""
        return [name for name in self._shown if _is_empty(row.get(name, True))]


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _passwords(report: Report) -> Iterator[str]:
    yield from (one.password for one in report.attachments)
    if report.burst is not None:
        yield report.burst.password


def _only(text: str) -> list[str]:
    """The columns of a text that is made of columns and nothing else, such as `{{ birthday }}`."""
    found = _uses(text)
    rest = re.sub(r"\{\{[^{}]*\}\}", "", text).strip()
    return [] if rest or any(use.optional for use in found) else [use.name for use in found]


def _constants(text: str) -> list[tuple[str, int]]:
    try:
        return list(constants(text))
    except (jinja2.TemplateSyntaxError, RecursionError):
        return []  # told when the report was read


def _uses(text: str) -> Any:
    try:
        return uses(text)
    except (jinja2.TemplateSyntaxError, RecursionError):
        return ()  # told when the report was read


def _texts(report: Report) -> Iterator[tuple[str, str, bool]]:
    """Each text: its place, itself, and whether it is a file of its own."""
    for field in _INLINE:
        yield _WORDS.get(field, f"email.{field}"), getattr(report.email, field), False
    files = [report.email.text, report.email.html]
    for one in report.attachments:
        yield "attachments.name", one.name, False
        yield "attachments.file", one.file, False
        yield "attachments.password", one.password, False
        files += [one.template] if one.template.lower().endswith(".html") else []
    if report.burst is not None:
        yield "burst.name", report.burst.name, False
        yield "burst.password", report.burst.password, False
    for name in dict.fromkeys(filter(None, files)):
        try:
            yield name, paths.inside(report.folder, name).read_text("utf-8-sig"), True
        except (OSError, UnicodeDecodeError):
            continue
