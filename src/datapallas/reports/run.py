"""A run of a report, but for where its messages go: what was asked for, its recipients, its messages in chunks.

    gathered -> frozen -> chunks -> (the outbox)

Must stay true: recipients are streamed; a chunk says where the next one begins, so that a run goes on there; a
recipient that cannot be rendered is a problem of its own and stops nobody else.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datapallas.errors import UsageError
from datapallas.outbox.runs.records import Ended
from datapallas.reports import paths
from datapallas.reports.agreeing import agree
from datapallas.reports.frozen import Choice, Frozen, freeze
from datapallas.reports.left_out import LeftOut, left_out
from datapallas.reports.model import Kind, OnProblem, Problem, Source
from datapallas.reports.sink import MOST

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from datapallas.mail.message import Message
    from datapallas.reports.model import Recipient, Rendered, Report

SKIPPED = "skipped"
"""The code of a problem that was told before the run began."""
WHOLE = 500
"""Recipients up to which everything is made once before the run begins, so that no problem shows only then."""
MESSAGES = 100
"""Messages of one chunk, at most."""
_OCTETS = 8 * 1024 * 1024
_SECONDS = 2.0  # a chunk is not kept longer: progress is seen, and little is done again after a kill
_FILLED = re.compile(r"\{[{%#]")
_KINDS = {
    ".xlsx": Kind.EXCEL,
    ".xls": Kind.EXCEL,
    ".xlsb": Kind.EXCEL,
    ".ods": Kind.EXCEL,
    ".jsonl": Kind.JSONL,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a person asks of a run, over what the report says.

    Attributes:
        test_to: everything goes to this address.
        sample: so many recipients at random; 0: all.
        only: these keys; empty: all.
        rows: another file of rows; `-`: standard input.
        connection: another connection.
    """

    test_to: str = ""
    sample: int = 0
    only: tuple[str, ...] = ()
    rows: str = ""
    connection: str = ""

    def of(self, report: Report) -> Report:
        """The report as it is asked for."""
        changed = dataclasses.replace(
            report, test_to=self.test_to or report.test_to, connection=self.connection or report.connection
        )
        return dataclasses.replace(changed, rows=self._source(report)) if self.rows else changed

    def _source(self, report: Report) -> Source:
        """Another file, read as its ending says; what only fits the report's own file is left out."""
        source = report.rows or Source(kind=Kind.CSV)
        file = self.rows if self.rows == "-" else str(Path(self.rows).expanduser().absolute())
        same = Kind.CSV if source.kind is Kind.SQL else source.kind
        kind = same if file == "-" else _KINDS.get(Path(file).suffix.lower(), Kind.CSV)
        if kind is source.kind:
            return dataclasses.replace(source, file=file)
        return Source(kind=kind, file=file, group_by=source.group_by)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Wanted:
        """From JSON."""
        return cls(**{**value, "only": tuple(value.get("only", ()))})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What was frozen, with what was found on the way.

    Attributes:
        recipients: how many there are.
        errors: how many recipients and rows have a problem that keeps them from being sent to.
        left_out: rows and parts of the PDF from which no recipient came; they are among the errors.
        problems: the first thousand, with warnings.
    """

    frozen: Frozen
    recipients: int
    errors: int
    problems: tuple[Problem, ...]
    left_out: LeftOut


def gather(report: Report, wanted: Wanted, target: Path, stdin: BinaryIO | None = None) -> Gathered:
    """Read all rows and copy what a run needs to `target`. `report` is `wanted.of(...)` already.

    Raises ConfigurationError, RowsError, Unreachable, StorageError, UsageError (a key that is not there).
    """
    from datapallas.reports.recipients import recipients as recipients_of

    seen: set[str] = set()
    with contextlib.ExitStack() as stack:
        rows = _rows(report, stack, stdin)
        agree(report, () if rows is None else rows.columns)
        found = recipients_of(report, rows, _parts(report))
        choice = Choice(only=frozenset(wanted.only), sample=wanted.sample)
        frozen = freeze(report, target, choice.of(found, seen), _left(report))
        left = left_out(rows, found, choice.only if choice.only or choice.sample else None)
        columns = rows.columns if rows is not None else ()
    missing = sorted(choice.only - seen - left.keys)
    if missing:
        frozen.remove()
        raise UsageError(
            f"No recipient has the key {missing[0]!r}.", code="report-key", key=missing[0], report=report.code
        )
    try:
        return _checked(report, frozen, (columns, left))
    except BaseException:
        frozen.remove()
        raise


def _checked(report: Report, frozen: Frozen, given: tuple[Sequence[str], LeftOut]) -> Gathered:
    """Look at every envelope: what is wrong with an address is known before the first email leaves.

    Where one problem is to stop everything and the list is short, at the emails and documents too.
    """
    from datapallas.reports.letters import complete
    from datapallas.reports.problems import Check
    from datapallas.reports.rendering import Renderer

    columns, left = given
    check, first = Check(report, columns, left.sinks), list[Problem]()
    count = frozen.about()["recipients"]
    whole = count <= WHOLE and report.limits.on_problem is OnProblem.STOP
    with Renderer(frozen.report(report), envelope_only=not whole) as renderer:
        everybody = (recipient for recipient, _ in frozen.recipients())
        with contextlib.closing(renderer.render(everybody)) as results:
            for problem in check.problems(complete(report, results) if whole else results):
                if len(first) < MOST:
                    first.append(problem)
    return Gathered(
        frozen=frozen, recipients=count, errors=check.errors, problems=tuple(first), left_out=left
    )


def _rows(report: Report, stack: contextlib.ExitStack, stdin: BinaryIO | None) -> Any:
    if report.rows is None:
        return None
    from datapallas.reports.rows import open_rows

    return stack.enter_context(open_rows(report.rows, report.folder, stdin=stdin))


def _parts(report: Report) -> Any:
    if report.burst is None:
        return ()
    from datapallas.reports.burst import parts

    return parts(report.burst, report.folder)


def _left(report: Report) -> Collection[Path]:
    """The files that are used while the run goes on and are not in the report's folder, as far as they are known."""
    names = [one.file for one in report.attachments if one.file and not _FILLED.search(one.file)]
    names += [report.burst.file] if report.burst else []
    found = [paths.data_file(report.folder, name) for name in names]
    return [path for path in found if not path.is_relative_to(report.folder)]


@dataclasses.dataclass(frozen=True, slots=True)
class Cursor:
    """How far a run is: the octet where the next recipient begins, recipients done, how many of them in vain."""

    offset: int = 0
    done: int = 0
    failed: int = 0


@dataclasses.dataclass(slots=True)
class Chunk:
    """Some recipients that are ready, and where the next ones begin."""

    after: Cursor
    messages: list[Message] = dataclasses.field(default_factory=list)
    keys: list[str] = dataclasses.field(default_factory=list)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    octets: int = 0
    begun: float = dataclasses.field(default_factory=time.monotonic)

    @property
    def full(self) -> bool:
        """Whether it is time to hand it over."""
        late = time.monotonic() - self.begun > _SECONDS
        return len(self.keys) + len(self.problems) >= MESSAGES or self.octets > _OCTETS or late

    def add(self, recipient: Recipient, result: Message | Problem, end: int) -> None:
        """Take one in."""
        failed = isinstance(result, Problem)
        self.after = Cursor(end, self.after.done + 1, self.after.failed + failed)
        if isinstance(result, Problem):
            self.problems.append(result)
            return
        self.messages.append(result)
        self.keys.append(recipient.key)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """What is rendered.

    Attributes:
        report: the frozen one.
        today: what templates see as `today`: the day the run began.
        skip: keys of recipients whose problem is known already.
        ending: asked often: whether this process is to end.
    """

    report: Report
    frozen: Frozen
    today: dt.date
    skip: Collection[str] = ()
    ending: Callable[[], bool] = lambda: False


def chunks(run: Rendering, begin: Cursor) -> Iterator[Chunk]:
    """The messages from `begin` on, in the order of the recipients.

    Raises ConfigurationError (a template that ends every process, a file that has changed), StorageError; Ended when
    this process is to end.
    """
    from datapallas.reports.rendering import Renderer

    run.frozen.check_left()
    ends: collections.deque[int] = collections.deque()

    def fed() -> Iterator[Recipient]:
        for recipient, end in run.frozen.recipients(begin.offset):
            ends.append(end)
            yield recipient

    with Renderer(run.report, today=run.today) as renderer:
        chunk = Chunk(begin)
        for recipient, rendered in renderer.render(fed()):
            if run.ending():
                raise Ended
            chunk.add(recipient, _message(run, recipient, rendered), ends.popleft())
            if not isinstance(rendered, Problem):
                chunk.octets += sum(len(one.data) for one in rendered.documents) + len(rendered.html)
            if chunk.full:
                yield chunk
                chunk = Chunk(chunk.after)
        if chunk.keys or chunk.problems:
            yield chunk


def _message(run: Rendering, recipient: Recipient, rendered: Rendered | Problem) -> Message | Problem:
    from datapallas.reports.letters import message_or_problem

    if isinstance(rendered, Problem):
        return rendered
    if recipient.key in run.skip:
        return Problem(code=SKIPPED, text="It was left out.", place=recipient.place, key=recipient.key)
    if run.report.test_to:
        subject = f"[Test for {rendered.to.strip()}] {rendered.subject}"
        rendered = dataclasses.replace(rendered, subject=subject)
    return message_or_problem(run.report, recipient, rendered)
