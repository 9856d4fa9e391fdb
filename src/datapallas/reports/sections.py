"""The sections and keys of report.toml, each with the shape the schema gives it. Pure.

Must stay true: what is not in the schema is a flaw that names the nearest known key; a value of another shape is
never turned into the right one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from datapallas.reports.flaws import Flaw, Flaws, nearest
from datapallas.reports.model import Burst, Kind, Missed, OnProblem
from datapallas.reports.names import mistake
from datapallas.reports.schema import LISTS, SECTIONS, Key, Shape, home_of, section_name
from datapallas.reports.toml_lines import nearest_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datapallas.reports.toml_lines import Path

_ENUMS = {("rows", "kind"): Kind, ("burst", "by"): Burst, ("schedule", "missed"): Missed, ("limits", "on_problem"): OnProblem}  # fmt: skip
_WORDS = {
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "a section",
}


class Sections:
    """One report.toml."""

    def __init__(self, data: dict[str, Any], lines: Mapping[Path, int], flaws: Flaws) -> None:
        self._data, self._lines = data, lines
        self.flaws = flaws
        self.present = frozenset(data)
        self._flawed: set[Path] = set()

    def read(self) -> dict[str, Any]:
        """Section to its values by the names of `model`; a list of them for `[[attachments]]`."""
        found: dict[str, Any] = {"": self._top(), "email": {}}
        for name, value in self._data.items():
            if name in SECTIONS and self._right_kind(name, value):
                if name in LISTS:
                    found[name] = [self._section((name, i), one) for i, one in enumerate(value)]
                else:
                    found[name] = value if name == "values" else self._section((name,), value)
        known = {*SECTIONS, *(key.name for key in SECTIONS[""])}
        if not known.issuperset(self._data):
            return found  # one of these is probably what would be missing
        if "email" not in self._data:
            self.flaw((), "the section [email] is missing: it needs to, subject, and text or html", "email")
        if "rows" not in self._data and "burst" not in self._data:
            self.flaw((), "there are no recipients: add a section [rows], or [burst]", "rows")
        return found

    def flaw(self, path: Path, reason: str, key: str = "") -> None:
        """Note what is wrong at `path`."""
        self._flawed.update((path[:1], path[:2]))
        at = nearest_line(self._lines, path)
        self.flaws.append(Flaw(reason, at, key=key or ".".join(str(p) for p in path if isinstance(p, str))))

    def is_right(self, path: Path) -> bool:
        """Whether nothing is wrong with a section so far, so that what is missing in it is really missing."""
        return path not in self._flawed

    def _top(self) -> dict[str, Any]:
        keys = {key.name: key for key in SECTIONS[""]}
        found = {}
        for name, value in self._data.items():
            if name in keys:
                if self._fits((name,), keys[name], value):
                    found[name] = value
            elif name not in SECTIONS:
                known = [*keys, *(one for one in SECTIONS if one)]
                self._unknown((name,), known, "")
        return found

    def _right_kind(self, name: str, value: Any) -> bool:
        good = (
            isinstance(value, list) and all(isinstance(one, dict) for one in value)
            if name in LISTS
            else isinstance(value, dict)
        )
        if not good and name:
            self.flaw((name,), f"{name} is a section: write {section_name(name)} on a line of its own")
        return good and bool(name)

    def _section(self, path: Path, data: dict[str, Any]) -> dict[str, Any]:
        section = str(path[0])
        keys = {key.name: key for key in SECTIONS[section]}
        found: dict[str, Any] = {}
        for name, value in data.items():
            key = keys.get(name)
            if key is None:
                self._unknown((*path, name), list(keys), section)
            elif self._fits((*path, name), key, value):
                found[key.field or name] = self._as_model(section, key, value)
        for key in keys.values():
            if key.needed and key.name not in data and self.is_right(path):
                self.flaw(
                    path, f"{section_name(section)} needs the key {key.name!r}", f"{section}.{key.name}"
                )
        return found

    def _unknown(self, path: Path, known: list[str], section: str) -> None:
        name = str(path[-1])
        where = section_name(section) if section else "the top of the file"
        other = [one for one in home_of(name) if one != section]
        if other:
            place = " or ".join(section_name(one) if one else "the top of the file" for one in other)
            self.flaw(path, f"{name!r} belongs into {place}, not into {where}")
        else:
            self.flaw(path, f"{where} has no key {name!r}{nearest(name, known)}")

    def _fits(self, path: Path, key: Key, value: Any) -> bool:
        reason = self._why_not(key, value)
        if reason:
            self.flaw(path, reason)
            return False
        if key.shape is Shape.TEMPLATE and (wrong := mistake(value)):
            at = nearest_line(self._lines, path) + wrong.line - 1
            self._flawed.update((path[:1], path[:2]))
            self.flaws.append(Flaw(f"{key.name}: {wrong.reason}", at, key=".".join(map(str, path))))
            return False
        return True

    @staticmethod
    def _why_not(key: Key, value: Any) -> str:
        if not _is(key.shape, value):
            got = _WORDS.get(type(value), "something else")
            return f"{key.name!r} is {key.shape.value}, not {got}"
        if key.choices and value not in key.choices:
            return f"{key.name!r} cannot be {value!r}{nearest(value, key.choices)}"
        if isinstance(value, int | float) and value < key.least:
            return f"{key.name!r} is at least {key.least:g}"
        if key.needed and not str(value).strip():
            return f"{key.name!r} is empty"
        return ""

    @staticmethod
    def _as_model(section: str, key: Key, value: Any) -> Any:
        if (section, key.name) in _ENUMS:
            return _ENUMS[section, key.name](value)
        if key.shape is Shape.TEXTS:
            return (value,) if isinstance(value, str) else tuple(value)
        if key.shape is Shape.SHEET:
            return str(value)
        return float(value) if key.shape is Shape.NUMBER else value


def _is(shape: Shape, value: Any) -> bool:
    match shape:
        case Shape.TEXT | Shape.TEMPLATE:
            return isinstance(value, str)
        case Shape.WHOLE:
            return type(value) is int
        case Shape.NUMBER:
            return type(value) in {int, float}
        case Shape.SHEET:
            return isinstance(value, str) or (type(value) is int and value > 0)
        case Shape.TEXTS:
            return isinstance(value, str) or (
                isinstance(value, list) and all(isinstance(one, str) for one in cast("list[object]", value))
            )
