"""`report check`: everything that is wrong with a report and its list, found before anything is sent."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from datapallas.cli.options import current_home
from datapallas.cli.output import json_option, note, plain, say, show_json
from datapallas.cli.report.base import code_argument, the_reports
from datapallas.errors import EX_CONFIG, EX_DATAERR, ConfigurationError

if TYPE_CHECKING:
    from datapallas.reports.checking import Checking
    from datapallas.reports.model import Problem, Report

_EVERY = 0.5  # seconds between two counts on a terminal
_KEPT = 1000  # problems in a JSON document; all are counted


@click.command("check", help="Read the whole list of a report and say what is wrong with it; sends nothing.")
@code_argument
@click.option(
    "--show", type=click.IntRange(0), default=50, show_default=True, help="How many problems to show."
)
@click.option("--full", is_flag=True, help="Make every email and document too, as a run does.")
@json_option
def check(code: str, show: int, full: bool, as_json: bool) -> int:  # noqa: FBT001
    """Exit code 65 when somebody would get nothing as it is, 78 when only the connection is wrong; warnings end with 0."""
    from datapallas.reports.checking import Checking

    report = the_reports().load(code)
    connection, kept = _connection(report)
    begun = len(kept)
    with Checking(report, full=full) as checking:
        told = _Count(checking)
        for problem in checking:
            if len(kept) < max(show, _KEPT):
                kept.append(problem)
            told.now()
        told.over()
    exit_code = EX_DATAERR if checking.errors else EX_CONFIG if begun else 0
    if as_json:
        show_json(
            _as_dict(report, connection, checking, kept) | {"ok": not exit_code, "exit_code": exit_code}
        )
    else:
        _say(report, checking, kept[:show], begun)
    return exit_code


def _connection(report: Report) -> tuple[str, list[Problem]]:
    """The code of the connection it sends through, or why there is none; the list is checked all the same."""
    from datapallas.home.reporting.lines import mailbox_words
    from datapallas.reports.sink import error, warning

    home = current_home()
    folder = home.folder
    try:
        found = folder.load(report.connection) if report.connection else folder.default()
    except ConfigurationError as problem:
        return report.connection, [error("connection", problem.message, "report.toml")]
    words = mailbox_words(home, found.code)
    return found.code, [warning("connection", words)] if words else []


def _say(report: Report, checking: Checking, shown: list[Problem], begun: int) -> None:
    for problem in shown:
        where = f"{problem.place}: " if problem.place else ""
        say(plain(f"{problem.severity.value:<8} {where}{problem.text}"))
    errors = checking.errors + begun
    count = errors + checking.warnings
    if count > len(shown):
        say(f"... and {count - len(shown):,} more.")
    how = ", ".join(f"{name} {value}" for name, value in checking.about.items())
    source = report.rows.file if report.rows else report.burst.file if report.burst else ""
    note(
        plain(
            f"Read {source or 'the query'}{f' ({how})' if how else ''}; columns: {', '.join(checking.columns)}."
        )
    )
    counts = {"recipient": checking.recipients, "error": errors, "warning": checking.warnings}
    say(", ".join(f"{many:,} {word}{'' if many == 1 else 's'}" for word, many in counts.items()) + ".")


def _as_dict(report: Report, connection: str, checking: Checking, kept: list[Problem]) -> dict[str, Any]:
    return {
        "report": report.code,
        "connection": connection,
        "recipients": checking.recipients,
        "errors": checking.errors + sum(one.code == "connection" for one in kept),
        "warnings": checking.warnings,
        "columns": checking.columns,
        "read": checking.about,
        "problems": [
            {"code": p.code, "severity": p.severity, "place": p.place, "key": p.key, "text": p.text}
            for p in kept[:_KEPT]
        ],
    }


class _Count:
    """The count on a terminal while a long list is read."""

    def __init__(self, checking: Checking) -> None:
        self._checking = checking
        self._next = (
            time.monotonic() + _EVERY if sys.stderr is not None and sys.stderr.isatty() else float("inf")
        )
        self._shown = False

    def now(self) -> None:
        """Show it, when it is time."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY
            self._shown = True
            print(f"\r{self._checking.recipients:,} recipients", end="", file=sys.stderr, flush=True)

    def over(self) -> None:
        """Wipe it away."""
        if self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
