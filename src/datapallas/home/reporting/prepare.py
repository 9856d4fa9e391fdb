"""A run before it begins: its rows are read and copied aside, problems looked for, the time it takes estimated.

Must stay true: nothing is promised here; what is found is kept with the run, so that it is shown wherever it runs.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import shlex
import time
import zoneinfo
from typing import TYPE_CHECKING, Any

from datapallas.errors import MessageError
from datapallas.home.reporting import run_place
from datapallas.outbox import overview
from datapallas.outbox.estimate import estimate
from datapallas.reports.folder import Reports
from datapallas.reports.model import OnProblem, Severity
from datapallas.reports.run import Wanted, gather

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from datapallas.errors import DataPallasError
    from datapallas.home import Home
    from datapallas.home.outbox import Outbox
    from datapallas.outbox.estimate import Estimate
    from datapallas.outbox.runs.records import Record
    from datapallas.reports.frozen import Frozen
    from datapallas.reports.model import Problem, Report

_NAMED = 10  # keys in a command; more fit on no line


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A run that could begin.

    Attributes:
        facts: what its record keeps.
        problems: what was found, the first thousand of each kind.
        stops: why it must not begin as it is; None when it may.
    """

    run: str
    report: Report
    frozen: Frozen
    facts: dict[str, Any]
    problems: tuple[Problem, ...]
    stops: DataPallasError | None

    @property
    def recipients(self) -> int:
        """How many there are."""
        return int(self.facts["total"])

    @property
    def noted(self) -> dict[str, object]:
        """The problems, as a record keeps them."""
        return noted(self.problems)


def new_run_id(code: str) -> str:
    """An id that says what it is and when it began: `monthly-20261128-034759-k3`."""
    from datapallas.outbox.accept import new_job_id

    return f"{code}-{new_job_id()[:-4]}"


def prepare(home: Home, run: str, asked: tuple[str, Wanted], stdin: BinaryIO | None = None) -> Prepared:
    """Read the rows of a report and copy what the run needs; `asked` is its code and what is wanted of it.

    Raises ConfigurationError, UsageError, Unreachable, StorageError, MessageError (rows that cannot be read).
    """
    return prepare_in(home, run_place.folder(home, run), asked, stdin)


def prepare_in(
    home: Home, folder: Path, asked: tuple[str, Wanted], stdin: BinaryIO | None = None
) -> Prepared:
    """The same, copied to `folder`; its name is the run's."""
    code, wanted = asked
    report = wanted.of(Reports(home.root).load(code))
    connection = home.folder.load(report.connection or home.folder.default().code).code
    found = gather(report, wanted, folder, stdin)
    facts = {
        "wanted": wanted.to_dict(),
        "name": report.name,
        "connection": connection,
        "test_to": report.test_to,
        "total": found.recipients,
        "left_out": {"rows": found.left_out.rows, "parts": found.left_out.parts},
        "today": today(report).isoformat(),
        "begun": time.time(),
        "frozen": True,
    }
    stops = _stops(report, found.recipients, found.errors)
    return Prepared(
        run=folder.name,
        report=report,
        frozen=found.frozen,
        facts=facts,
        problems=found.problems,
        stops=stops,
    )


def today(report: Report) -> dt.date:
    """The day it is where the report is at home: in the time zone of its schedule, else here."""
    zone = zoneinfo.ZoneInfo(report.schedule.time_zone) if report.schedule else None
    return dt.datetime.now(zone).date()


def how_long(outbox: Outbox, connection: str, recipients: int) -> Estimate:
    """What a run of so many takes through a connection, behind what waits there already."""
    lines = overview.mailbox_lines(outbox.database, outbox.room.known_limits)
    line = next((one for one in lines if one.code == connection), None)
    if line is None:
        return estimate(recipients, recipients, outbox.room.known_limits(connection))
    waiting = recipients + line.messages
    found = estimate(waiting, recipients + line.waiting, line.limits, sent_today=line.last_day)
    if not line.waiting:
        return found
    words = f"{found.words}, with the {line.waiting:,} that wait already"
    return dataclasses.replace(found, words=words)


def noted(problems: Iterable[Problem]) -> dict[str, object]:
    """Problems by what makes each this one, so that it is kept once."""
    return {f"{one.code} {one.place} {one.key}": dataclasses.asdict(one) for one in problems}


def too_many_problems(errors: int, begun: str) -> MessageError:
    """Why a run stops whose report says `on_problem = "stop"`."""
    what = "recipient has a problem" if errors == 1 else "recipients or rows have problems"
    return MessageError(f"{errors:,} {what}; {begun}", code="report-problems", count=errors)


def stopped_midway(record: Record, problems: Sequence[Problem], done: int) -> MessageError:
    """Why a run stops in the middle, and how those get theirs who got nothing: a run keeps to its copy of the rows."""
    keys = [f"--only {shlex.quote(one.key)}" for one in problems if one.key]
    command = " ".join(["datapallas report run", record.subject, *keys[:_NAMED]])
    if len(keys) > _NAMED:
        command += f" (and {len(keys) - _NAMED:,} more, see report history)"
    what = "recipient has a problem" if len(problems) == 1 else "recipients have problems"
    return MessageError(
        f"{len(problems):,} {what} that showed only when the email was made; the run stopped after {done:,} "
        "recipients. It works with a copy of the rows, so these get nothing of it.",
        code="report-stopped-midway",
        count=len(problems),
        run=record.id,
        command=command,
    )


def _stops(report: Report, recipients: int, errors: int) -> MessageError | None:
    most = report.limits.recipients
    if most and recipients > most:
        return MessageError(
            f"There are {recipients:,} recipients; the report allows {most:,}.",
            code="report-too-many",
            report=report.code,
        )
    if errors and report.limits.on_problem is OnProblem.STOP:
        return too_many_problems(errors, "nothing was sent.")
    return None


def is_error(note: dict[str, Any]) -> bool:
    """Whether what was noted kept somebody from getting something."""
    return bool(note["severity"] == Severity.ERROR)
