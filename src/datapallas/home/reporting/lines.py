"""The list of reports: each with what is wrong with it, when it ran last and when it runs next.

Must stay true: one report that is broken never hides the others; a connection that a report names and that is not
there is told here, before the next run would.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from datapallas.errors import DataPallasError
from datapallas.outbox.runs import cron
from datapallas.reports.folder import Reports

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.home import Home
    from datapallas.home.reporting.past import Past
    from datapallas.outbox.runs.records import Record
    from datapallas.reports.model import Report


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One report.

    Attributes:
        report: None when report.toml is wrong.
        connection: the code of the connection it sends through; empty when there is none.
        flaw: why it cannot run; None when it can.
        mailbox: why nothing would go out through its connection just now, in a sentence; empty when it would.
        past: its runs.
        next_at: seconds since 1970; 0 when it does not run by itself.
    """

    code: str
    name: str
    report: Report | None
    connection: str
    flaw: DataPallasError | None
    past: Past
    next_at: float
    mailbox: str = ""

    @property
    def last(self) -> Record | None:
        """Its newest run."""
        return self.past.last


def lines(home: Home, past_of: Callable[[str], Past], now: float) -> list[Line]:
    """Every report; `past_of` gives a report's runs."""
    reports = Reports(home.root)
    return [line(home, code, past_of(code), now) for code in reports.codes()]


def line(home: Home, code: str, past: Past, now: float) -> Line:
    """One of them."""
    report, connection, mailbox, next_at = None, "", "", 0.0
    flaw: DataPallasError | None = None
    try:
        report = Reports(home.root).load(code)
        if report.schedule is not None:
            next_at = next(cron.upcoming(report.schedule.cron, report.schedule.time_zone, now), 0.0)
        connection = report.connection
        connection = connection_of(home, report)
        mailbox = mailbox_words(home, connection)
    except DataPallasError as problem:
        flaw = problem
    name = report.name if report is not None else code
    return Line(
        code=code,
        name=name,
        report=report,
        connection=connection,
        flaw=flaw,
        mailbox=mailbox,
        past=past,
        next_at=next_at,
    )


def mailbox_words(home: Home, code: str) -> str:
    """Why nothing goes out through a connection as it is, in a sentence; empty when mail can be sent."""
    row = home.row(code)
    if row.ok:
        return ""
    return f"Nothing goes out through {code} as it is ({row.state}): what is promised waits until that is mended."


def connection_of(home: Home, report: Report) -> str:
    """The code of the connection it sends through. Raises UnknownConnection, BrokenConnection, NoDefaultConnection."""
    if report.connection:
        return home.folder.load(report.connection).code
    return home.folder.default().code
