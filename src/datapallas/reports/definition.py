"""Reads report.toml into a `Report`, or says everything that is wrong with it.

Must stay true: a Report that comes from here can be rendered: its templates are there and are Jinja2, its keys are
known, its schedule has a next time. Whether its rows, its PDF and its connection are there is seen when they are used,
because they may come later. A password in clear is refused, and is in no error.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from datapallas.reports.flaws import FILE, Flaw, Flaws
from datapallas.reports.meaning import Meaning
from datapallas.reports.model import Attachment, BurstPlan, Email, Limits, Report, Schedule, Source
from datapallas.reports.sections import Sections
from datapallas.reports.toml_lines import lines_of

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 1024 * 1024
_LINE = re.compile(r"\(at line (\d+), column \d+\)|\(at end of document\)")


def read(text: str, folder: Path) -> Report:
    """The report whose report.toml is `text`, in `folder`, whose name is its code.

    Raises ConfigurationError (code `report-definition`) that tells every flaw.
    """
    report, flaws = looked_at(text, folder)
    if report is None:
        raise flaws.error(folder)
    return report


def looked_at(text: str, folder: Path) -> tuple[Report | None, Flaws]:
    """The report, or None and what is wrong: for a page that shows it beside the lines."""
    flaws = Flaws()
    if len(text) > MAX_BYTES:
        flaws.append(Flaw("it is larger than 1 MB"))
        return None, flaws
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        flaws.append(_not_toml(text, str(problem)))
        return None, flaws
    except RecursionError:
        flaws.append(Flaw("it is nested too deep"))
        return None, flaws
    sections = Sections(data, lines_of(text), flaws)
    found = sections.read()
    Meaning(found, sections, folder).check()
    if flaws:
        flaws.sort(key=lambda flaw: (flaw.file != FILE, flaw.file, flaw.line))
        return None, flaws
    return _report(found, folder), flaws


def connection_in(text: str) -> str:
    """The connection that a report.toml names, whatever else is wrong with it; empty when it names none."""
    try:
        value = tomllib.loads(text).get("connection", "")
    except (tomllib.TOMLDecodeError, RecursionError):
        head = re.split(r"(?m)^[ \t]*\[", text, maxsplit=1)[0]
        found = re.search(r"""(?m)^[ \t]*["']?connection["']?[ \t]*=[ \t]*["']([^"'\n]*)""", head)
        value = found[1] if found else ""
    return value if isinstance(value, str) else ""


def _not_toml(text: str, said: str) -> Flaw:
    at = _LINE.search(said)
    line = int(at[1]) if at and at[1] else text.rstrip().count("\n") + 1
    reason = _LINE.sub("", said).strip()
    return Flaw(f"it is not TOML: {reason[:1].lower()}{reason[1:]}", line)


def _report(found: dict[str, Any], folder: Path) -> Report:
    top = found[""]
    rows, burst, schedule = found.get("rows"), found.get("burst"), found.get("schedule")
    return Report(
        code=folder.name,
        folder=folder,
        name=top.get("name") or folder.name,
        connection=top.get("connection", ""),
        email=Email(**found["email"]),
        rows=Source(**rows) if rows else None,
        burst=BurstPlan(**burst) if burst else None,
        attachments=tuple(Attachment(**one) for one in found.get("attachments", ())),
        schedule=Schedule(**schedule) if schedule else None,
        limits=Limits(**found.get("limits", {})),
        test_to=found.get("test", {}).get("to", ""),
        values=found.get("values", {}),
    )


def renamed(text: str, name: str) -> str:
    """A report.toml with another `name`; everything else stays as it was written."""
    import json

    line = f"name = {json.dumps(name, ensure_ascii=False)}"
    head, mark, rest = _cut_at_first_section(text)
    found = re.compile(r"(?m)^[ \t]*name[ \t]*=.*$")
    head = found.sub(lambda _: line, head, count=1) if found.search(head) else f"{line}\n{head}"
    return head + mark + rest


def _cut_at_first_section(text: str) -> tuple[str, str, str]:
    found = re.search(r"(?m)^[ \t]*\[", text)
    return (text[: found.start()], found[0], text[found.end() :]) if found else (text, "", "")
