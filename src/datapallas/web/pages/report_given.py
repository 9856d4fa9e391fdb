"""What came with the editor of a report: report.toml as text, templates, and the fields that people change most.

Must stay true: nothing that was typed is lost when it cannot be used; a secret that the page never had goes back in
where the page shows its place.
"""

from __future__ import annotations

import dataclasses
import tomllib
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request
from starlette.datastructures import UploadFile

from datapallas.connection.record import fingerprint
from datapallas.errors import DataPallasError, UsageError
from datapallas.reports.flaws import FILE
from datapallas.reports.masking import masked, password_files, unmasked
from datapallas.reports.toml_edit import changed
from datapallas.reports.workbench import Draft
from datapallas.web.pages import report_rows as rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datapallas.reports.folder import Reports
    from datapallas.reports.toml_edit import Value
    from datapallas.secret import Secret

FIELDS = {
    "name": ("", "name"),
    "connection": ("", "connection"),
    "file": ("rows", "file"),
    "url": ("rows", "url"),
    "query": ("rows", "query"),
    "to": ("email", "to"),
    "cc": ("email", "cc"),
    "bcc": ("email", "bcc"),
    "reply-to": ("email", "reply_to"),
    "from": ("email", "from"),
    "subject": ("email", "subject"),
    "cron": ("schedule", "cron"),
    "time-zone": ("schedule", "time_zone"),
    "missed": ("schedule", "missed"),
    "recipients": ("limits", "recipients"),
    "on-problem": ("limits", "on_problem"),
    "test-to": ("test", "to"),
}
"""The fields of the page, and where they stand in report.toml."""
_NEEDED = frozenset({"to", "subject"})
_WHOLE = frozenset({"recipients"})
_TEMPLATES = (".html", ".htm", ".txt", ".typ", ".md")
_MOST_TEMPLATES, _LARGEST_TEMPLATE = 20, 256 * 1024
_LONGEST_FIELD, _LONGEST_QUERY = 4000, 100_000
SOURCE = "source"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GivenReport:
    """What stands in the editor.

    Attributes:
        text: report.toml, secrets in it.
        fields: as they were typed.
        files: templates by their names.
        seen: the fingerprints of what was stored when the page was filled, by the names of files.
        typed_in: where something was typed last: the source, which is right then, else the fields are.
        edit_problem: why a field could not be written into the text.
        rows_from: where its rows come from, as `report_rows` names it.
        password: of its database, when one was typed.
        seal_lost: the sealed password would not open any more, and no other one was typed.
    """

    code: str
    text: str
    fields: Mapping[str, str]
    files: Mapping[str, str]
    seen: Mapping[str, str]
    typed_in: str = ""
    edit_problem: str = ""
    rows_from: str = rows.FILE
    password: Secret | None = None
    seal_lost: bool = False

    @property
    def draft(self) -> Draft:
        """What would be saved."""
        return Draft(self.text, self.files, self.password if self.rows_from == rows.DATABASE else None)

    @property
    def shown(self) -> str:
        """The text without its secrets."""
        return masked(self.text)


def stored(reports: Reports, code: str) -> GivenReport:
    """The report as it is stored. Raises ConfigurationError (code `unknown-report`), StorageError."""
    text = _text(reports, code)
    files = templates(reports, code, text)
    return GivenReport(
        code=code,
        text=text,
        fields=fields_of(text),
        files=files,
        seen=_marks(text, files),
        rows_from=rows.source_of(text),
    )


def templates(reports: Reports, code: str, text: str) -> dict[str, str]:
    """The templates beside report.toml that are text and not too large to be changed on a page."""
    hidden = password_files(text)
    found: dict[str, str] = {}
    for name in reports.files(code):
        if not name.lower().endswith(_TEMPLATES) or name in hidden or len(found) == _MOST_TEMPLATES:
            continue
        try:
            data = reports.read_file(code, name)
            if len(data) <= _LARGEST_TEMPLATE:
                found[name] = data.decode("utf-8-sig").replace("\r\n", "\n")
        except (DataPallasError, UnicodeDecodeError):
            continue  # it is in the list of files, to be brought anew
    return found


def fields_of(text: str) -> dict[str, str]:
    """The fields as the text has them, whatever is wrong with it; none when it is no TOML."""
    try:
        data: dict[str, Any] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}
    found = {}
    for name, (section, key) in FIELDS.items():
        table = data.get(section, {}) if section else data
        value = table.get(key, "") if isinstance(table, dict) else ""
        found[name] = str(value) if isinstance(value, str | int | float) else ""
    return found


async def read(request: Request) -> dict[str, str]:
    """The texts of a form; a FastAPI dependency. Raises UsageError for one that no page of ours sends."""
    posted = await request.form(max_files=0, max_fields=100)
    texts: dict[str, str] = {}
    for name, value in posted.multi_items():
        if isinstance(value, UploadFile) or name in texts:
            raise UsageError("This form cannot be read. Reload the page and try again.", code="bad-form")
        texts[name] = value.replace("\r\n", "\n")
    return texts


Texts = Annotated[dict[str, str], Depends(read)]
"""The texts of a form, as a parameter of a route."""


def given(reports: Reports, code: str, texts: Mapping[str, str]) -> GivenReport:
    """What the form says; fields that differ from the text are written into it. Raises as `stored`, UsageError."""
    before = _text(reports, code)
    text = unmasked(texts.get(SOURCE, masked(before)), before)
    typed = {name: texts[f"f-{name}"][: _longest(name)] for name in FIELDS if f"f-{name}" in texts}
    files = {name.removeprefix("file:"): value for name, value in texts.items() if name.startswith("file:")}
    known = templates(reports, code, before)
    files = {name: value for name, value in files.items() if name in known}  # one that was deleted stays so
    typed_in, problem = texts.get("typed-in", ""), ""
    wanted = texts.get(rows.ROWS_FROM, "") if typed_in != SOURCE else ""
    if typed_in != SOURCE and typed:
        text, problem = _with_fields(text, typed, wanted)
    password = rows.typed_password(texts)
    return GivenReport(
        code=code,
        text=text,
        fields=typed if problem else {**fields_of(text), **_odd(typed, typed_in)},
        files=files,
        seen={name: texts.get(f"seen:{name}", "") for name in (FILE, *files)},
        typed_in=typed_in,
        edit_problem=problem,
        rows_from=wanted if wanted in {rows.FILE, rows.DATABASE} else rows.source_of(text),
        password=password,
        seal_lost=password is None and rows.seal_lost(text, before),
    )


def same_as_stored(reports: Reports, one: GivenReport) -> bool:
    """Whether nobody changed the report since the page was filled."""
    text = _text(reports, one.code)
    now = _marks(text, templates(reports, one.code, text))
    return all(now.get(name) == mark for name, mark in one.seen.items())


def _longest(name: str) -> int:
    return _LONGEST_QUERY if name == "query" else _LONGEST_FIELD


def _with_fields(text: str, typed: Mapping[str, str], wanted: str) -> tuple[str, str]:
    """`wanted`: where the rows come from; empty: from where they do."""
    now = fields_of(text)
    if not now:
        return text, ""
    values: dict[tuple[str, str], Value] = rows.other_source(text, wanted)
    for name, value in typed.items():
        if value != now[name] and rows.belongs(name, wanted or rows.source_of(text)):
            values[FIELDS[name]] = _value(name, value.strip())
    if typed.get("cron", "x").strip() == "" and now["cron"]:
        values |= {FIELDS[name]: None for name in ("cron", "time-zone", "missed")}
    elif not typed.get("cron", "").strip():
        values = {place: value for place, value in values.items() if place[0] != "schedule"}
    if not values:
        return text, ""
    try:
        return changed(text, values), ""
    except UsageError as problem:
        return text, f"{problem.message} Change it on the tab Source."


def _value(name: str, text: str) -> Value:
    if not text:
        return "" if name in _NEEDED else None
    if name in _WHOLE and text.isascii() and text.isdecimal():
        return int(text)
    return text


def _odd(typed: Mapping[str, str], typed_in: str) -> dict[str, str]:
    """What was typed into fields and stands nowhere in the text yet: a time zone without a schedule."""
    if typed_in == SOURCE or typed.get("cron", "").strip():
        return {}
    return {name: typed[name] for name in ("time-zone", "missed") if name in typed}


def _text(reports: Reports, code: str) -> str:
    """report.toml, also one that is not UTF-8: it is shown with marks in the place of what cannot be read."""
    try:
        return reports.text(code).replace("\r\n", "\n")
    except DataPallasError as problem:
        if problem.code != "report-definition":
            raise
        return (reports.folder(code) / FILE).read_bytes().decode("utf-8", "replace")


def _marks(text: str, files: Mapping[str, str]) -> dict[str, str]:
    return {name: fingerprint(value) for name, value in {**files, FILE: text}.items()}
