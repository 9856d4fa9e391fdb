"""`report check`: everything that is wrong with a report and its list, found before anything is sent."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from datapallas.cli.options import current_home
from datapallas.cli.output import json_option, note, plain, say, show_json
from datapallas.cli.report import code_argument, the_reports
from datapallas.errors import EX_DATAERR

if TYPE_CHECKING:
    from datapallas.home import Home
    from datapallas.reports.checking import Checking
    from datapallas.reports.model import Problem, Report

_EVERY = 0.5  # seconds between two counts on a terminal
_KEPT = 1000  # problems in a JSON document; all are counted


@click.command("check", help="Read the whole list of a report and say what is wrong with it; sends nothing.")
@code_argument
@click.option(
    "--show", type=click.IntRange(0), default=50, show_default=True, help="How many problems to show."
)
@json_option
def check(code: str, show: int, as_json: bool) -> int:  # noqa: FBT001
    """Exit code 65 when somebody would get nothing as it is; warnings alone end with 0."""
    from datapallas.reports.checking import Checking

    home, report = current_home(), the_reports().load(code)
    connection = _connection(home, report)
    kept: list[Problem] = []
    with Checking(report) as checking:
        told = _Count(checking)
        for problem in checking:
            if len(kept) < max(show, _KEPT):
                kept.append(problem)
            told.now()
        told.over()
    exit_code = EX_DATAERR if checking.errors else 0
    if as_json:
        show_json(
            _as_dict(report, connection, checking, kept) | {"ok": not exit_code, "exit_code": exit_code}
        )
    else:
        _say(report, checking, kept[:show])
    return exit_code


def _connection(home: Home, report: Report) -> str:
    """The code of the connection it sends through. Raises UnknownConnection, NoDefaultConnection, BrokenConnection."""
    if report.connection:
        return home.folder.load(report.connection).code
    return home.folder.default().code


def _say(report: Report, checking: Checking, shown: list[Problem]) -> None:
    for problem in shown:
        where = f"{problem.place}: " if problem.place else ""
        say(plain(f"{problem.severity.value:<8} {where}{problem.text}"))
    count = checking.errors + checking.warnings
    if count > len(shown):
        say(f"... and {count - len(shown):,} more.")
    how = ", ".join(f"{name} {value}" for name, value in checking.about.items())
    source = report.rows.file if report.rows else report.burst.file if report.burst else ""
    note(
        plain(
            f"Read {source or 'the query'}{f' ({how})' if how else ''}; columns: {', '.join(checking.columns)}."
        )
    )
    say(f"{checking.recipients:,} recipients, {checking.errors:,} errors, {checking.warnings:,} warnings.")


def _as_dict(report: Report, connection: str, checking: Checking, kept: list[Problem]) -> dict[str, Any]:
    return {
        "report": report.code,
        "connection": connection,
        "recipients": checking.recipients,
        "errors": checking.errors,
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
