"""What programs get about reports, and how each answer is made. Must stay true: as in `shown`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field

from datapallas.diagnosis.explain import explain
from datapallas.home.reporting.counts import Counts
from datapallas.home.reporting.past import explained
from datapallas.oauth.clock import iso
from datapallas.reports.model import Problem
from datapallas.web.api.given import Given
from datapallas.web.api.shown import DiagnosisShown, Shown, diagnosis_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datapallas.home.reporting.lines import Line
    from datapallas.home.reporting.looks import Look
    from datapallas.home.reporting.runs import Progress
    from datapallas.home.reporting.shown import Shown as ShownPreview
    from datapallas.outbox.runs.records import Record


class RunStart(Given):
    """What is wanted of a run."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"test_to": "me@contoso.example", "sample": 5}, {}]}
    )

    test_to: str = Field("", max_length=320, examples=["me@contoso.example"])
    """Everything goes to this address instead; empty: to the recipients."""
    sample: int = Field(0, ge=0, le=10_000_000)
    """Only so many recipients, at random; 0: all."""
    only: list[str] = Field(default_factory=list, max_length=1000)
    """Only the recipients with these keys; empty: all."""


class PreviewWanted(Given):
    """Whose email."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"number": 1}]})

    number: int = Field(1, ge=1, le=10_000_000)
    """Which one of those that are meant, from 1."""
    words: str = Field("", max_length=200)
    """Only recipients in whose rows this stands; empty: all."""


class ProblemFound(Shown):
    """Something found in the list or the templates."""

    code: str
    """One word: address, missing, duplicate, limit, part, size, template, document, row."""
    severity: str
    """`error`: the recipient gets nothing as it is. `warning`: probably not what was meant."""
    place: str
    """Where, such as `line 7`; empty: everywhere."""
    key: str
    """The recipient's; empty: none in particular."""
    text: str
    """One sentence."""


class RunShown(Shown):
    """A run of a report."""

    run: str
    """Its id, which is the id of its job in the outbox too."""
    report: str
    """The report's code."""
    state: str
    """`queued`, `handed`, `running`, `waiting` (for outcomes), `done`, `stopped`, `cancelled`."""
    created: str
    """When it was asked for, ISO 8601 UTC."""
    ended: str
    """When it ended; empty before."""
    scheduled: bool
    """It ran by its schedule."""
    connection: str
    """Through which connection; empty before its rows were read."""
    test_to: str
    """Where everything goes instead; empty: to the recipients."""
    recipients: int | None
    """How many there are; null before the rows were read."""
    done: int
    """Recipients that were promised or have a problem."""
    not_sent: int
    """Those with a problem."""
    left_out: dict[str, int]
    """`rows` and `parts` (of the PDF that is cut) from which no recipient came."""
    outcomes: dict[str, int]
    """How many recipients of the outbox there are of each outcome."""
    waits: str
    """What it waits for before anything is sent; empty: it goes on, or has ended."""
    problem: DiagnosisShown | None
    """What stopped it."""


class Runs(Shown):
    """The runs of a report."""

    runs: list[RunShown]
    """The newest first."""


class Problems(Shown):
    """Problems of a run."""

    problems: list[ProblemFound]
    """The first thousand."""


class ReportShown(Shown):
    """A report."""

    code: str
    """Its code."""
    name: str
    """What a person calls it."""
    usable: bool
    """It could run as it is."""
    connection: str
    """The connection it sends through; empty when that is not known."""
    rows: str
    """Where its rows come from: `csv`, `excel`, `jsonl`, `sql` or `pdf`; empty when its definition is wrong."""
    cron: str
    """Its schedule; empty: it runs only when somebody runs it."""
    time_zone: str
    """The schedule's."""
    next: str
    """When it runs by itself, ISO 8601 UTC; empty: not."""
    test_to: str
    """Its test mode: where everything goes instead."""
    flaws: list[str]
    """What is wrong with its definition: file, line and reason."""
    problem: DiagnosisShown | None
    """Why it cannot run."""
    last_run: RunShown | None
    """Its newest run, with the counts it had when it ended."""


class Reports(Shown):
    """All reports."""

    reports: list[ReportShown]
    """By their codes."""


class ListCheckShown(Shown):
    """A look at the whole list of a report, as far as it has come."""

    id: str
    """What it is found by."""
    report: str
    """The report's code."""
    finished: bool
    """Nothing will change any more."""
    state: str
    """`reading`, `checked`, `failed` or `stopped`."""
    recipients: int
    """Recipients read so far."""
    errors: int
    """Errors so far."""
    warnings: int
    """Warnings so far."""
    problems: list[ProblemFound]
    """The first 300; errors first when it has finished."""
    problem: DiagnosisShown | None
    """Why it failed."""


class PreviewDocument(Shown):
    """A document of the email."""

    name: str
    """What it is called."""
    octets: int
    """Its size."""


class PreviewShown(Shown):
    """One recipient's email, with everything filled in; nothing was sent."""

    key: str
    """The recipient's."""
    place: str
    """Where the list has it."""
    number: int
    """Which one of those asked for."""
    more: bool
    """There is a next one."""
    sender: str
    """From whom."""
    to: str
    """To whom, as the row says."""
    cc: str
    """Copies."""
    bcc: str
    """Hidden copies."""
    reply_to: str
    """Where answers go."""
    subject: str
    """The subject."""
    text: str
    """The text part."""
    html: str
    """The HTML part, images in it."""
    documents: list[PreviewDocument]
    """Its documents."""
    problem: ProblemFound | None
    """Why it could not be sent as it is."""


def problem_found(one: Problem | Mapping[str, Any]) -> ProblemFound:
    """A problem, as it was found or as a record keeps it."""
    values: Mapping[str, Any] = dataclasses.asdict(one) if isinstance(one, Problem) else one
    names = ("code", "severity", "place", "key", "text")
    return ProblemFound(**{name: str(values[name]) for name in names})


def run_shown(record: Record, progress: Progress | None = None) -> RunShown:
    """A run; with `progress`, as it is now."""
    facts = record.facts
    return RunShown(
        run=record.id,
        report=record.subject,
        state=record.state.value,
        created=iso(record.created),
        ended=iso(record.ended) if record.ended else "",
        scheduled="scheduled" in facts,
        connection=facts.get("connection", ""),
        test_to=facts.get("test_to", ""),
        recipients=facts.get("total"),
        done=int(facts.get("done", 0)),
        not_sent=int(facts.get("failed", 0)),
        left_out=Counts.of(facts).left_out,
        waits=progress.waiting.why if progress is not None else "",
        outcomes=dict(progress.outcomes if progress is not None else facts.get("outcomes") or {}),
        problem=diagnosis_of(stopped) if (stopped := explained(record)) is not None else None,
    )


def report_shown(line: Line) -> ReportShown:
    """A line of the list of reports."""
    report = line.report
    schedule = report.schedule if report is not None else None
    kind = "" if report is None else report.rows.kind.value if report.rows is not None else "pdf"
    return ReportShown(
        code=line.code,
        name=line.name,
        usable=line.flaw is None,
        connection=line.connection,
        rows=kind,
        cron=schedule.cron if schedule else "",
        time_zone=schedule.time_zone if schedule else "",
        next=iso(line.next_at) if line.next_at else "",
        test_to=report.test_to if report is not None else "",
        flaws=str(line.flaw.facts.get("problems", "")).splitlines() if line.flaw is not None else [],
        problem=diagnosis_of(explain(line.flaw)) if line.flaw is not None else None,
        last_run=run_shown(line.last) if line.last is not None else None,
    )


def check_shown(look: Look) -> ListCheckShown:
    """A look, as far as it has come."""
    _, state = look.now()
    return ListCheckShown(
        id=look.id,
        report=look.code,
        finished=state.finished,
        state=state.stage.value,
        recipients=state.recipients,
        errors=state.errors,
        warnings=state.warnings,
        problems=[problem_found(one) for one in state.problems],
        problem=diagnosis_of(explain(state.failure)) if state.failure is not None else None,
    )


def preview_shown(shown: ShownPreview) -> PreviewShown:
    """A preview."""
    email = shown.email
    names = ("to", "cc", "bcc", "reply_to", "subject", "text")
    return PreviewShown(
        key=shown.key,
        place=shown.place,
        number=shown.number,
        more=shown.more,
        sender=shown.sender,
        html=shown.html,
        documents=[PreviewDocument(name=one.name, octets=one.size) for one in shown.documents],
        problem=problem_found(shown.problem) if shown.problem is not None else None,
        **{name: getattr(email, name) if email is not None else "" for name in names},
    )
