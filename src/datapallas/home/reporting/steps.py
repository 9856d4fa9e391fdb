"""What the engine does for a report: copy aside, promise in chunks, see to the end.

Must stay true: a step that is done again after a kill does nothing twice: the outbox knows each recipient's key; a run
waits for its outcomes without holding anything; the rows are deleted when it is done.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING

import sqlalchemy as sa

from datapallas.errors import DataPallasError
from datapallas.home.reporting import WORK, run_place
from datapallas.home.reporting.counts import Counts
from datapallas.home.reporting.prepare import is_error, noted, prepare, stopped_midway
from datapallas.home.telling import ways
from datapallas.home.warnings import Notice
from datapallas.oauth.clock import iso
from datapallas.outbox import overview
from datapallas.outbox.accept import Job
from datapallas.outbox.runs.tables import State
from datapallas.outbox.tables import State as MessageState
from datapallas.outbox.tables import messages
from datapallas.reports import definition
from datapallas.reports.flaws import FILE
from datapallas.reports.frozen import Frozen
from datapallas.reports.model import OnProblem
from datapallas.reports.run import SKIPPED, Chunk, Cursor, Rendering, Wanted, chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from datapallas.home import Home
    from datapallas.home.outbox import Outbox
    from datapallas.outbox.runs.engine import Step
    from datapallas.outbox.runs.records import Record, Records, Task
    from datapallas.reports.model import Report

_UNDONE = [MessageState.QUEUED.value, MessageState.HELD.value, MessageState.CLAIMED.value]


class ReportSteps:
    """The steps of report runs; `log` is told one line of each end."""

    def __init__(self, home: Home, records: Records, outbox: Outbox, log: Callable[[str], None]) -> None:
        self._home, self._records, self._outbox, self._log = home, records, outbox, log

    def steps(self) -> Mapping[str, Step]:
        """By their names, in their order."""
        return {"freeze": self.freeze, "accept": self.accept, "end": self.end}

    def freeze(self, task: Task) -> None:
        """Copy aside what a scheduled run works with; the others were frozen when they were asked for."""
        record = task.record
        if record.facts.get("frozen"):
            return
        wanted = Wanted.from_dict(record.facts.get("wanted", {}))
        self._records.forget_notes(record.id)  # of an earlier look at rows that were corrected since
        found = prepare(self._home, record.id, (record.subject, wanted))
        task.save(found.facts | {"frozen": found.stops is None}, found.noted, bound=found.stops is None)
        if found.stops is not None:
            raise found.stops

    def accept(self, task: Task) -> None:
        """Promise a message to each recipient, from where the run is."""
        facts = task.record.facts
        if facts.get("accepted"):
            return
        report = self._frozen_report(task.record)
        job = Job(connection=facts["connection"], id=task.record.id, name=report.name[:200], compared=False)
        run = Rendering(
            report=report,
            frozen=self._frozen(task.record),
            today=dt.date.fromisoformat(facts["today"]),
            skip={one["key"] for one in self._records.noted(task.record.id) if is_error(one)} - {""},
            ending=task.ending,
        )
        for chunk in chunks(run, Cursor(**facts.get("cursor", {}))):
            self._take(task, job, chunk)
            fresh = [one for one in chunk.problems if one.code != SKIPPED]
            if fresh and report.limits.on_problem is OnProblem.STOP:
                raise stopped_midway(task.record, fresh, chunk.after.done)
        task.save({"accepted": True})

    def _take(self, task: Task, job: Job, chunk: Chunk) -> None:
        """The messages first, then how far we are: what is done again after a kill is known by its key."""
        if chunk.keys:
            self._outbox.accept(job, chunk.messages, chunk.keys)
        after = chunk.after
        fresh = noted([one for one in chunk.problems if one.code != SKIPPED])
        progress = {"cursor": dataclasses.asdict(after), "done": after.done, "failed": after.failed}
        task.save(progress, fresh)

    def end(self, task: Task) -> None:
        """Leave it until every recipient has an outcome; then say how it went."""
        record = task.record
        if self._open(record):
            task.become(State.WAITING)
            return
        task.save({"outcomes": outcomes(self._outbox, record.id)})
        self._tell_end(task.record)
        task.become(State.DONE)
        self._frozen(record).remove()

    def look(self) -> None:
        """Go on with the runs whose last recipient has got an outcome."""
        for record in self._records.find(State.WAITING, work=WORK):
            if not self._open(record):
                self._records.again(record.id, [State.WAITING])

    def stopped(self, record: Record, problem: DataPallasError) -> None:
        """Tell that a run has stopped."""
        how = f"See `datapallas report history {record.id}`."
        if record.work == WORK:
            name = record.facts.get("name") or record.subject
            self._tell(record, f"The report {name} stopped: {problem.message} {how}", everybody=True)
        else:
            self._log(f"{record.work}: {problem.message}")

    def _open(self, record: Record) -> bool:
        waits = sa.and_(
            messages.c.mailbox == record.facts["connection"],
            messages.c.state.in_(_UNDONE),
            messages.c.job == record.id,
        )
        with self._outbox.database.read() as tx:
            return bool(tx.execute(sa.select(sa.exists().where(waits))).scalar())

    def _frozen(self, record: Record) -> Frozen:
        return Frozen(run_place.folder(self._home, record.id))

    def _frozen_report(self, record: Record) -> Report:
        frozen = self._frozen(record)
        frozen.about()  # says so when it is gone
        folder = frozen.report_folder
        found = definition.read((folder / FILE).read_text("utf-8-sig"), folder)
        return dataclasses.replace(found, code=record.subject, test_to=record.facts["test_to"])

    def _tell_end(self, record: Record) -> None:
        counts = Counts.of(record.facts)
        said = f"The report {record.facts['name']} is done: {counts.words or 'nobody to send to'}."
        if not counts.good:
            said += f" See `datapallas report history {record.id}`."
        self._tell(record, said, everybody=not counts.good)

    def _tell(self, record: Record, sentence: str, *, everybody: bool) -> None:
        """The log always; webhook and email when somebody has to look."""
        notice = Notice(
            connection=record.subject, what="report", at=iso(record.created), days=0, sentence=sentence
        )
        if everybody:
            tell_all(self._home, self._log, notice)
        else:
            self._log(sentence)


def tell_all(home: Home, log: Callable[[str], None], notice: Notice) -> None:
    """Tell by each way; one that fails is logged, and stops nothing."""
    try:
        found = ways(home, lambda one: log(one.sentence))
    except DataPallasError as problem:
        log(notice.sentence)
        log(problem.message)
        return
    for name, tell in found.items():
        try:
            tell(notice)
        except DataPallasError as problem:
            log(f"not told by {name}: {problem.message}")


def outcomes(outbox: Outbox, job: str) -> dict[str, int]:
    """How many recipients there are of each fate; nothing when there is no such job."""
    try:
        (line,) = overview.job_lines(outbox.database, job)
    except DataPallasError as problem:
        if problem.code != "unknown-job":
            raise
        return {}
    return line.fates
