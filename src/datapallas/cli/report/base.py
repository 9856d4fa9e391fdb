"""`report new`, `report list`: the reports of a home. The other commands are in modules beside this one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from datapallas.cli.options import current_home
from datapallas.cli.output import json_option, note, say, show_json, show_table, the_run

if TYPE_CHECKING:
    from datapallas.connection.model import Connection
    from datapallas.home import Home
    from datapallas.reports.folder import Reports
    from datapallas.reports.model import Report


def about_report(_: click.Context, __: click.Parameter, code: str) -> str:
    """Note which report the command is about, so that a failure is explained with its code."""
    the_run().about(lambda: {"report": code})
    return code


code_argument = click.argument("code", metavar="CODE", callback=about_report)


def the_reports() -> Reports:
    """The reports of the home every command works in."""
    from datapallas.reports.folder import Reports

    return Reports(current_home().root)


def reports_through(home: Home, connection: Connection) -> list[str]:
    """The reports that send through a connection; of the default one, those that name none too."""
    from datapallas.home.used_by import used_by

    return used_by(home).get(connection.code, [])


@click.command("new", help="Make a report: a small one to start from, or one of the samples.")
@code_argument
@click.option("--sample", metavar="NAME", default="", help="invoices, price-list or statements.")
@click.option("--name", default="", help="What people call it.")
@json_option
def new(code: str, sample: str, name: str, as_json: bool) -> None:  # noqa: FBT001
    """Its folder is complete: it can be checked at once, and sent when its rows are real."""
    report = the_reports().create(code, sample, name)
    if as_json:
        show_json({"ok": True, "report": code, "folder": report.folder})
        return
    say(f"Made the report {code} in {report.folder}")
    note(f"Look at its list: datapallas report check {code}")


@click.command("list", help="List the reports, and what is wrong with those that cannot run.")
@json_option
def list_(as_json: bool) -> None:  # noqa: FBT001
    """One line for each, broken ones among them."""
    from datapallas.cli.report.last import facts_of, say_trouble
    from datapallas.home.reporting.past import past

    reports = the_reports()
    with past(current_home()) as past_of:
        pasts = {code: past_of(code) for code in reports.codes()}
    found = [_line(reports, code) | facts_of(one) for code, one in pasts.items()]
    if as_json:
        show_json({"ok": True, "reports": found})
    elif found:
        keys = ("report", "name", "connection", "rows", "next", "last")
        headings = ("CODE", "NAME", "CONNECTION", "ROWS", "NEXT RUN", "LAST RUN")
        show_table(headings, [[one[key] for key in keys] for one in found])
        for one in found:
            if one["problem"]:
                note(one["problem"])
        say_trouble(pasts)
    else:
        say("There is no report yet. Make one: datapallas report new CODE --sample invoices")


def _line(reports: Reports, code: str) -> dict[str, Any]:
    from datapallas.errors import DataPallasError

    line = {
        "report": code,
        "name": "",
        "connection": "",
        "rows": "",
        "schedule": "",
        "next": "",
        "problem": "",
    }
    try:
        report = reports.load(code)
    except DataPallasError as problem:
        return line | {"name": "(broken)", "problem": problem.message}
    source = report.rows.file or report.rows.kind.value if report.rows else ""
    return line | {
        "name": report.name,
        "connection": report.connection or "(default)",
        "rows": source or (report.burst.file if report.burst else ""),
        "schedule": f"{report.schedule.cron} {report.schedule.time_zone}" if report.schedule else "",
        "next": _next(report),
    }


def _next(report: Report) -> str:
    """When it runs by itself."""
    from datapallas.outbox.runs import cron

    found = report.schedule
    at = next(cron.upcoming(found.cron, found.time_zone, time.time()), 0.0) if found else 0.0
    return cron.words(at, found.time_zone) if found and at else ""
