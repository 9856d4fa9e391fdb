"""Report runs for those who ask for them: begin, watch, resume, cancel; what ran and when it runs next.

Must stay true: nothing is promised before `start`; a run that was started goes on whoever watches; the counts come
from the outbox, which is the truth about mail.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any

from datapallas.errors import UsageError
from datapallas.home.reporting import WORK, run_place
from datapallas.home.reporting.counts import Counts, plain_facts
from datapallas.home.reporting.prepare import Prepared, how_long, new_run_id, prepare
from datapallas.home.reporting.steps import outcomes
from datapallas.home.reporting.waits import Waiting, waiting
from datapallas.outbox import jobs, overview
from datapallas.outbox.runs.records import Record
from datapallas.outbox.runs.tables import ENDED, State
from datapallas.outbox.statements import OPEN
from datapallas.outbox.tables import JobState
from datapallas.reports.folder import Reports
from datapallas.reports.frozen import Frozen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from datapallas.home import Home
    from datapallas.home.outbox import Outbox
    from datapallas.outbox.estimate import Estimate
    from datapallas.outbox.overview import MailboxLine
    from datapallas.outbox.runs.records import Records
    from datapallas.reports.run import Wanted


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is.

    Attributes:
        total: recipients; None as long as nobody has read the rows.
        done: recipients that were promised or have a problem.
        failed: those with a problem.
        outcomes: how many recipients of the outbox's job there are of each fate.
        mailbox: what they leave through, with its pause and how long the rest takes.
        held: a person paused the run's job in the outbox.
        waiting: what it waits for before its messages are promised.
    """

    record: Record
    total: int | None
    done: int
    failed: int
    outcomes: dict[str, int]
    mailbox: MailboxLine | None
    held: bool = False
    waiting: Waiting = dataclasses.field(default_factory=Waiting)

    @property
    def counts(self) -> Counts:
        """What became of everybody so far."""
        return Counts.of(self.record.facts, self.outcomes)

    @property
    def open(self) -> int:
        """Promised recipients without an outcome."""
        return sum(self.outcomes.get(one.value, 0) for one in OPEN)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        record = self.record
        return {
            **plain_facts(record),
            "report": record.subject,
            "scheduled": "scheduled" in record.facts,
            "connection": record.facts.get("connection", ""),
            "recipients": self.total,
            "done": self.done,
            "not_sent": self.failed,
            "outcomes": self.outcomes,
            "open": self.open,
            "paused": self.mailbox.pause if self.mailbox else "",
            "held": self.held,
            "waits": self.waiting.why,
        }


class ReportRuns:
    """The runs of a home's reports."""

    def __init__(self, home: Home, records: Records, outbox: Outbox) -> None:
        self.home, self.records, self.outbox = home, records, outbox

    def prepare(self, code: str, wanted: Wanted, stdin: BinaryIO | None = None) -> Prepared:
        """Read the rows, copy what the run needs, look for problems. `start` begins it, `drop` forgets it."""
        found = prepare(self.home, new_run_id(code), (code, wanted), stdin)
        record = Record(
            id=found.run,
            work=WORK,
            subject=code,
            state=State.PREPARED,
            place=run_place.place(self.home),
            bound=True,
            facts=found.facts,
        )
        self.records.add(record)
        self.records.note(found.run, found.noted)
        return found

    def estimate(self, prepared: Prepared) -> Estimate:
        """How long it will take."""
        return how_long(self.outbox, str(prepared.facts["connection"]), prepared.recipients)

    def start(self, run: str) -> None:
        """Promise it; an engine does it. Raises UsageError when it has begun already."""
        if not self.records.move(run, [State.PREPARED], State.QUEUED):
            raise UsageError(f"The run {run} has begun already.", code="run-begun", run=run)

    def begin(self, code: str, wanted: Wanted) -> str:
        """Promise a run whose rows the engine reads; its id."""
        record = Record(id=new_run_id(code), work=WORK, subject=code, facts={"wanted": wanted.to_dict()})
        Reports(self.home.root).load(code)
        self.records.add(record)
        return record.id

    def drop(self, run: str) -> None:
        """Forget a run that was prepared only."""
        if self.records.move(run, [State.PREPARED], State.CANCELLED):
            self.records.delete([run])
            self._frozen(run).remove()

    def resume(self, run: str) -> Record:
        """Go on with a run that stopped or was prepared; one that goes on anyway is left alone.

        Raises UsageError: unknown, or ended for good.
        """
        record = self.records.load(run)
        if record.state in {State.DONE, State.CANCELLED}:
            raise UsageError(f"The run {run} is {record.state.value}.", code="run-ended", run=run)
        if not self.records.move(run, [State.PREPARED], State.QUEUED):
            self.records.again(run, [State.STOPPED], problem="", crashes=0, tries=0)
        return record

    def cancel(self, run: str) -> None:
        """Promise nothing more and send nothing more of it. Raises UsageError: unknown, or ended already."""
        if (state := self.records.load(run).state) in {State.DONE, State.CANCELLED}:
            raise UsageError(f"The run {run} is {state.value}.", code="run-ended", run=run)
        alive = [state for state in State if state not in {State.DONE, State.CANCELLED}]
        self.records.move(run, alive, State.CANCELLED, owner="")
        with contextlib.suppress(UsageError):  # nothing was promised yet
            jobs.cancel(self.outbox.database, run)
        self._frozen(run).remove()

    def progress(self, run: str) -> Progress:
        """How far it is. Raises UsageError (code ``unknown-run``)."""
        record = self.records.load(run)
        facts = record.facts
        connection = facts.get("connection", "")
        lines = overview.mailbox_lines(self.outbox.database, self.outbox.room.known_limits)
        return Progress(
            record=record,
            total=facts.get("total"),
            done=int(facts.get("done", 0)),
            failed=int(facts.get("failed", 0)),
            outcomes=outcomes(self.outbox, run),
            mailbox=next((line for line in lines if line.code == connection), None),
            held=self.held(record),
            waiting=waiting(self.home, self.records, record),
        )

    def held(self, record: Record) -> bool:
        """Whether a person paused its job, so that what is promised waits."""
        if record.state in ENDED:
            return False
        try:
            (line,) = overview.job_lines(self.outbox.database, record.id)
        except UsageError:  # nothing is promised yet
            return False
        return line.state == JobState.PAUSED.value

    def problems(self, run: str, *, limit: int = 0) -> Iterator[dict[str, Any]]:
        """What was found in the list and the templates."""
        return self.records.noted(run, limit=limit)

    def history(self, code: str = "", *, newest: int = 50) -> list[Record]:
        """Runs, the newest first."""
        return self.records.find(work=WORK, subject=code, newest=newest)

    def under_way(self, code: str) -> list[str]:
        """The ids of the report's runs that have begun or are about to, and are not over; the newest first."""
        begun = [state for state in State if state not in ENDED and state is not State.PREPARED]
        return [one.id for one in self.records.find(*begun, work=WORK, subject=code)]

    def _frozen(self, run: str) -> Frozen:
        return Frozen(run_place.folder(self.home, run))


@contextlib.contextmanager
def open_runs(home: Home) -> Iterator[ReportRuns]:
    """The runs of a home, for a command."""
    from datapallas.home.outbox import open_outbox

    with (
        contextlib.closing(open_outbox(home)) as outbox,
        contextlib.closing(run_place.open_records(home)) as records,
    ):
        yield ReportRuns(home, records, outbox)


def over(record: Record) -> bool:
    """Whether nothing more happens by itself."""
    return record.state in ENDED
