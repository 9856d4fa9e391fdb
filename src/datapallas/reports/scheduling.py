"""Writes the schedule into a report.toml, and leaves everything else in it as a person wrote it. Pure.

Must stay true: comments, order and spelling of all other lines stay; what cannot be changed so is refused, and the
person is told to do it.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING

from datapallas.errors import UsageError

if TYPE_CHECKING:
    from datapallas.reports.model import Schedule

_HEADER = re.compile(r"[ \t]*\[[ \t]*schedule[ \t]*\][ \t]*(#.*)?")
_ANY_HEADER = re.compile(r"[ \t]*\[")
_KEY = re.compile(r"([ \t]*)([A-Za-z0-9_-]+)([ \t]*=[ \t]*)(\"[^\"]*\"|'[^']*')([ \t]*(?:#.*)?)")


def with_schedule(text: str, schedule: Schedule | None) -> str:
    """The text with this schedule, or without one. Raises UsageError (code ``report-edit``)."""
    wanted = {} if schedule is None else _values(schedule)
    lines = text.splitlines()
    at = next((number for number, line in enumerate(lines) if _HEADER.fullmatch(line)), None)
    if at is None:
        changed = [*lines, "", "[schedule]", *_new(wanted)] if wanted else lines
    else:
        end = next((n for n in range(at + 1, len(lines)) if _ANY_HEADER.match(lines[n])), len(lines))
        section = _changed(lines[at:end], wanted)
        changed = [*lines[:at], *section, *lines[end:]]
    found = "\n".join(changed) + "\n"
    _check(text, found, wanted)
    return found


def _values(schedule: Schedule) -> dict[str, str]:
    return {"cron": schedule.cron, "time_zone": schedule.time_zone, "missed": schedule.missed.value}


def _new(values: dict[str, str]) -> list[str]:
    return [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()]


def _changed(section: list[str], wanted: dict[str, str]) -> list[str]:
    """The lines of [schedule], its header first: values in their place, new ones after the last one."""
    left, found, last = dict(wanted), [], 0
    for line in section if wanted else section[1:]:
        key = _KEY.fullmatch(line)
        if key is None:
            found.append(line)
            continue
        indent, name, equals, _, rest = key.groups()
        if name in left:
            found.append(f"{indent}{name}{equals}{json.dumps(left.pop(name), ensure_ascii=False)}{rest}")
            last = len(found) - 1
        elif wanted:
            found.append(line)
    return [*found[: last + 1], *_new(left), *found[last + 1 :]]


def _check(before: str, after: str, wanted: dict[str, str]) -> None:
    """Only the schedule is another one now."""
    try:
        was, now = tomllib.loads(before), tomllib.loads(after)
    except tomllib.TOMLDecodeError:
        was, now = {}, {"unreadable": True}
    was.pop("schedule", None)
    if now.pop("schedule", {}) != wanted or was != now:
        raise UsageError(
            "The schedule of this report.toml is written in a way that cannot be changed here.",
            code="report-edit",
        )
