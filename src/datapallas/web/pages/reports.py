"""The list of reports, and what is done from it: make one, duplicate, delete."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Request, Response
from fastapi import Form as Field

from datapallas.connection.codes import MAX_CODE, PREFIX, kebab
from datapallas.diagnosis.explain import explain
from datapallas.errors import DataPallasError, UsageError
from datapallas.home.reporting.counts import Counts
from datapallas.home.reporting.past import explained
from datapallas.outbox.runs import cron
from datapallas.web.guard import needs
from datapallas.web.pages.answers import go, page
from datapallas.web.pages.times import ago
from datapallas.web.services import Asking, Parts
from datapallas.web.who import Role

if TYPE_CHECKING:
    from datapallas.diagnosis.explain import Diagnosis
    from datapallas.home.reporting.lines import Line
    from datapallas.outbox.runs.records import Record
    from datapallas.reports.folder import Reports

router = APIRouter()


class Sample(NamedTuple):
    """Something to begin with."""

    name: str
    title: str
    words: str


SAMPLES = (
    Sample(
        "invoices",
        "Invoices",
        "A CSV file with several rows for each customer; a table in the email, a PDF made with Typst.",
    ),
    Sample(
        "price-list",
        "Price list",
        "An Excel workbook; each customer gets their own prices as a table and as a workbook.",
    ),
    Sample(
        "statements", "Statements of account", "One long PDF is cut, and each customer gets their own pages."
    ),
)
SAID = {
    "saved": "Saved.",
    "deleted": "Deleted. What it has sent stays in the outbox.",
    "duplicated": "Copied, without its schedule. A sealed database password has to be sealed anew.",
    "created": "Here it is. Change what you like, look at the preview, then send a test.",
}
"""What a page may say when it opens, by the word in its address."""
COLOURS = {"done": "good", "stopped": "bad", "cancelled": "calm"}


@dataclasses.dataclass(frozen=True, slots=True)
class RunView:
    """A run as a line shows it."""

    record: Record
    now: float

    @property
    def id(self) -> str:
        """What it is found by."""
        return self.record.id

    @property
    def when(self) -> str:
        """When it began, from now."""
        return ago(self.record.created, self.now)

    @property
    def at(self) -> str:
        """When it began, where the server is."""
        return time.strftime("%Y-%m-%d %H:%M %Z", time.localtime(self.record.created))

    @property
    def by(self) -> str:
        """Who asked for it."""
        kind = "by schedule" if "scheduled" in self.record.facts else "by hand"
        return f"{kind}, a test" if self.record.facts.get("test_to") else kind

    @property
    def state(self) -> str:
        """Its state, as a sentence begins."""
        if self.colour == "warn":
            return "Done, not for all"
        words = {
            "queued": "Waits to begin",
            "handed": "Begins",
            "running": "Runs",
            "waiting": "Is being sent",
        }
        return words.get(self.record.state.value, self.record.state.value.capitalize())

    @property
    def counts(self) -> str:
        """What became of its recipients, in words."""
        return Counts.of(self.record.facts).words

    @property
    def colour(self) -> str:
        """good, calm, warn or bad."""
        colour = COLOURS.get(self.record.state.value, "calm")
        return "warn" if colour == "good" and not Counts.of(self.record.facts).good else colour

    @property
    def why(self) -> str:
        """What stopped it, as it was said; empty when nothing did."""
        return self.record.problem.message if self.record.problem else ""

    @property
    def problem(self) -> Diagnosis | None:
        """What stopped it, explained; None when nothing did."""
        return explained(self.record)


@dataclasses.dataclass(frozen=True, slots=True)
class ReportLine:
    """A row of the list as the template shows it."""

    line: Line
    now: float

    def __getattr__(self, name: str) -> Any:
        return getattr(self.line, name)

    @property
    def run(self) -> RunView | None:
        """Its last run."""
        return RunView(self.line.last, self.now) if self.line.last is not None else None

    @property
    def by_itself(self) -> RunView | None:
        """Its last run by schedule, where another one came after it."""
        found = next(iter(self.line.past.scheduled), None)
        return RunView(found, self.now) if found is not None and found is not self.line.last else None

    @property
    def trouble(self) -> RunView | None:
        """The last run that was no test, when a person should look at it."""
        found = self.line.past.trouble
        return RunView(found, self.now) if found is not None else None

    @property
    def source(self) -> str:
        """Where its rows come from."""
        report = self.line.report
        if report is None:
            return ""
        if report.rows is None:
            return f"the pages of {report.burst.file}" if report.burst else ""
        return report.rows.file or "a database"

    @property
    def next_words(self) -> str:
        """When it runs by itself."""
        report = self.line.report
        if report is None or report.schedule is None or not self.line.next_at:
            return ""
        return (
            f"{ago(self.line.next_at, self.now)}, {cron.words(self.line.next_at, report.schedule.time_zone)}"
        )

    @property
    def problem(self) -> Diagnosis | None:
        """Why it cannot run."""
        return explain(self.line.flaw) if self.line.flaw is not None else None

    @property
    def flaw_lines(self) -> list[str]:
        """What is wrong with its definition: file, line, reason."""
        flaw = self.line.flaw
        return str(flaw.facts.get("problems", "")).splitlines() if flaw is not None else []


@router.get("/reports", dependencies=[Depends(needs(Role.VIEWER))], include_in_schema=False)
def reports(request: Request, parts: Parts, done: str = "") -> Response:
    """Every report, broken ones too."""
    now = time.time()
    lines = [ReportLine(line, now) for line in parts.reports.lines()]
    said = SAID.get(done, "")
    return page(request, "reports.html", active="reports", lines=lines, samples=SAMPLES, said=said)


@router.get("/new-report", dependencies=[Depends(needs(Role.ADMIN))], include_in_schema=False)
def new(request: Request, sample: str = "") -> Response:
    """What is it called, and what is it made from?"""
    chosen = sample if sample in {one.name for one in SAMPLES} else ""
    name = next((one.title for one in SAMPLES if one.name == chosen), "")
    return page(
        request, "report_new.html", active="reports", samples=SAMPLES, chosen=chosen, name=name, problem=""
    )


@router.post("/new-report", dependencies=[Depends(needs(Role.ADMIN))], include_in_schema=False)
def create(
    request: Request,
    parts: Parts,
    asking: Asking,
    name: Annotated[str, Field(max_length=200)] = "",
    sample: Annotated[str, Field(max_length=60)] = "",
) -> Response:
    """Make it, and go to its editor."""
    try:
        code = code_of(parts.reports.reports, name)
        made = parts.reports.reports.create(code, sample, name.strip())
    except DataPallasError as problem:
        context = {"samples": SAMPLES, "chosen": sample, "name": name, "problem": problem.message}
        return page(request, "_report_new.html", status=422, active="reports", **context)
    parts.audit.write(asking, "report-created", report=made.code, sample=sample)
    return go(f"/reports/{made.code}?done=created")


@router.post("/reports/{code}/duplicate", dependencies=[Depends(needs(Role.ADMIN))], include_in_schema=False)
def duplicate(code: str, parts: Parts, asking: Asking) -> Response:
    """Copy it with its files, under the next free name."""
    name = f"{parts.reports.line(code).name} copy"
    copy = code_of(parts.reports.reports, f"{code} copy")
    parts.reports.duplicate(code, copy, name)
    parts.audit.write(asking, "report-duplicated", report=code, copy=copy)
    return go(f"/reports/{copy}?done=duplicated")


@router.post("/reports/{code}/delete", dependencies=[Depends(needs(Role.ADMIN))], include_in_schema=False)
def delete(code: str, parts: Parts, asking: Asking) -> Response:
    """Delete it with its files; the page has asked."""
    parts.reports.reports.delete(code)
    parts.audit.write(asking, "report-deleted", report=code)
    return go("/reports?done=deleted")


def code_of(reports: Reports, name: str) -> str:
    """The first free code for a report called `name`. Raises UsageError when it gives none."""
    try:
        base = kebab(name).removeprefix(PREFIX)[: MAX_CODE - 4].rstrip("-")
    except UsageError:
        raise UsageError(
            "Give the report a name with letters a-z or digits in it.", code="report-code"
        ) from None
    taken = {path.name for path in reports.place.iterdir()} if reports.place.is_dir() else set()
    codes = (base, *(f"{base}-{number}" for number in range(2, 1000)))
    return next(one for one in codes if one not in taken)
