"""The editor of a report as its templates see it."""

from __future__ import annotations

import dataclasses
import time
import zoneinfo
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from datapallas.errors import DataPallasError
from datapallas.outbox.runs import cron
from datapallas.reports import workbench
from datapallas.reports.flaws import FILE
from datapallas.reports.masking import password_files
from datapallas.web.pages import report_rows as rows
from datapallas.web.pages.report_given import FIELDS
from datapallas.web.pages.times import ago

if TYPE_CHECKING:
    from datapallas.home import Row
    from datapallas.reports.flaws import Flaw
    from datapallas.reports.model import Report
    from datapallas.web.pages.report_given import GivenReport
    from datapallas.web.services import Services

_NEXT = 5
_KEYS = {f"{section}.{key}" if section else key: name for name, (section, key) in FIELDS.items()}
MISSED = (
    ("", "Once, whatever passed (usual)"),
    ("once", "Once, whatever passed"),
    ("skip", "Not at all"),
    ("all", "Each of them"),
)
ROWS_FROM = ((rows.FILE, "A file"), (rows.DATABASE, "A database"))
SEAL_LOST = (
    "The address or the query of the database was changed, and its sealed password opens for what they were only. "
    "Type the password again."
)
ON_PROBLEM = (("", "Send nothing (usual)"), ("stop", "Send nothing"), ("skip", "Send to the others"))


class NextRun(NamedTuple):
    """When it runs: in its time zone, and from now."""

    words: str
    away: str


class FileShown(NamedTuple):
    """A file beside report.toml."""

    name: str
    size: str
    template: bool


class Choice(NamedTuple):
    """A connection to choose."""

    code: str
    words: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReportEditor:
    """Everything the templates of the editor ask for as `form`.

    Attributes:
        given: what stands in it.
        report: what that means; None when it is wrong.
        flaws: what is wrong with it.
        connections: what can be chosen.
        connection_problem: why it cannot send as it is.
        editable: the person may change it.
        problem: a sentence that stands above everything, or empty.
        refused: Save was pressed just now and did nothing.
        oob: parts are swapped in by themselves.
    """

    given: GivenReport
    report: Report | None
    flaws: tuple[Flaw, ...]
    connections: tuple[Choice, ...]
    connection_problem: str
    files: tuple[FileShown, ...]
    editable: bool
    problem: str = ""
    refused: bool = False
    oob: bool = False

    @property
    def code(self) -> str:
        """The report's code."""
        return self.given.code

    @property
    def title(self) -> str:
        """The heading."""
        return self.given.fields.get("name") or self.code

    @property
    def fields(self) -> dict[str, str]:
        """What stands in each field."""
        return {**self.given.fields, "rows-from": self.given.rows_from} if self.given.fields else {}

    @property
    def readable(self) -> bool:
        """The text is TOML, so that there are fields."""
        return bool(self.given.fields)

    def flaw_of(self, name: str) -> str:
        """What is wrong with a field; empty when nothing is."""
        for flaw in self.flaws:
            if flaw.file == FILE and _KEYS.get(flaw.key) == name:
                return flaw.reason[:1].upper() + flaw.reason[1:] + "."
        if name == "password":
            return SEAL_LOST if self.given.seal_lost else ""
        return self.connection_problem if name == "connection" else ""

    @property
    def flaw_lines(self) -> list[tuple[str, str]]:
        """Each flaw: its place, and why."""
        return [(f"{one.file}, line {one.line}", f"{one.reason}.") for one in self.flaws]

    @property
    def rows_from(self) -> tuple[tuple[str, str], ...]:
        """What rows can come from; none where the pages of a PDF are the rows."""
        return () if self.given.rows_from == rows.PARTS else ROWS_FROM

    @property
    def password_words(self) -> tuple[str, bool]:
        """What is known of the database's password, and whether one can be typed here."""
        return rows.password_words(self.given.text)

    @property
    def next_runs(self) -> list[NextRun]:
        """The next times, in the schedule's time zone."""
        zone = self.fields.get("time-zone") or "UTC"
        expression = self.fields.get("cron", "").strip()
        if not expression or self.cron_problem:
            return []
        now = time.time()
        times = islice(cron.upcoming(expression, zone, now), _NEXT)
        return [NextRun(cron.words(at, zone), ago(at, now)) for at in times]

    @property
    def cron_problem(self) -> str:
        """Why the schedule cannot be used."""
        expression = self.fields.get("cron", "").strip()
        return cron.fault(expression, self.fields.get("time-zone") or "UTC") if expression else ""

    @property
    def zones(self) -> list[str]:
        """Every time zone there is."""
        return sorted(name for name in zoneinfo.available_timezones() if "/" in name or name == "UTC")

    @property
    def missed(self) -> tuple[tuple[str, str], ...]:
        """What can be done about missed times."""
        return MISSED

    @property
    def on_problem(self) -> tuple[tuple[str, str], ...]:
        """What can be done about problems."""
        return ON_PROBLEM


def view(parts: Services, given: GivenReport, *, editable: bool) -> ReportEditor:
    """The editor over what stands in it. Raises StorageError."""
    reports = parts.reports.reports
    place = parts.reports.previews.place
    with workbench.laid_out(reports.folder(given.code), place, given.draft) as laid:
        report, flaws = laid.report, tuple(laid.flaws)
    connections = parts.home.overview()
    return ReportEditor(
        given=given,
        report=report,
        flaws=flaws,
        connections=_choices(connections, given.fields.get("connection", "")),
        connection_problem=_connection_problem(parts, given),
        files=files_of(parts, given),
        editable=editable,
    )


def files_of(parts: Services, given: GivenReport) -> tuple[FileShown, ...]:
    """The files beside report.toml, but for those that hold a password."""
    reports = parts.reports.reports
    folder, hidden = reports.folder(given.code), password_files(given.text)
    names = [name for name in reports.files(given.code) if name not in hidden]
    return tuple(
        FileShown(name, size_words((folder / name).stat().st_size), name in given.files) for name in names
    )


def size_words(octets: int) -> str:
    """Octets as people read them."""
    for unit, size in (("MB", 1024**2), ("kB", 1024)):
        if octets >= size:
            return f"{octets / size:.1f} {unit}"
    return f"{octets} bytes"


def _choices(rows: list[Row], chosen: str) -> tuple[Choice, ...]:
    default = next((row.name or row.code for row in rows if row.default), "")
    found = [Choice("", f"The default one{f': {default}' if default else ''}")]
    found += [Choice(row.code, f"{row.name or row.code}: {row.state}") for row in rows]
    if chosen and chosen not in {one.code for one in found}:
        found.append(Choice(chosen, f"{chosen}: there is no such connection"))
    return tuple(found)


def _connection_problem(parts: Services, given: GivenReport) -> str:
    code = given.fields.get("connection", "")
    try:
        if code:
            parts.home.folder.load(code)
        else:
            parts.home.folder.default()
    except DataPallasError as problem:
        return problem.message
    return ""
