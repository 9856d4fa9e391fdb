"""`report schedule`: when a report runs by itself."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from datapallas.cli.options import current_home
from datapallas.cli.output import json_option, note, say, show_json, show_table
from datapallas.cli.report.base import about_report
from datapallas.cli.report.last import run_facts, say_scheduled, say_trouble, words
from datapallas.home.reporting.past import past

if TYPE_CHECKING:
    from datapallas.home import Home
    from datapallas.home.reporting.past import Past
    from datapallas.reports.model import Report, Schedule

_NEXT = 5
_LAST = 5
_LIST = "list"


@click.command("schedule", help="Show or change when a report runs by itself; `list` shows all of them.")
@click.argument("code", metavar="CODE|list", callback=about_report)
@click.option("--cron", metavar="EXPRESSION", help="Five fields: minute hour day month weekday.")
@click.option("--time-zone", metavar="ZONE", help="Such as Europe/Berlin. Default: UTC.")
@click.option(
    "--missed",
    type=click.Choice(["skip", "once", "all"]),
    help="What to do about times that passed while nothing ran. Default: once.",
)
@click.option("--off", is_flag=True, help="Do not run it by itself any more.")
@json_option
def schedule(  # noqa: PLR0913 - one for each option
    code: str,
    *,
    cron: str | None,
    time_zone: str | None,
    missed: str | None,
    off: bool,
    as_json: bool,
) -> None:
    """Written into report.toml; whoever serves this home notices within a minute."""
    home = current_home()
    given = {"cron": cron, "time_zone": time_zone, "missed": missed}
    changed = {name: value for name, value in given.items() if value is not None}
    if off and changed:
        raise click.UsageError("--off goes with none of the others.")
    if code == _LIST:
        if off or changed:
            raise click.UsageError("`list` takes no options.")
        _list(home, as_json=as_json)
        return
    from datapallas.reports.folder import Reports

    _fit(changed)
    report = Reports(home.root).load(code)
    if off or changed:
        report = _saved(home, report, None if off else changed)
    with past(home) as past_of:
        _show(report, past_of(code), as_json=as_json)


def _fit(changed: dict[str, str]) -> None:
    """Refuse what is no time, as a mistake in the command and not in report.toml."""
    from datapallas.reports.timing import cron_flaw, zone_flaw

    for name, option, flaw in (("cron", "--cron", cron_flaw), ("time_zone", "--time-zone", zone_flaw)):
        if name in changed and (reason := flaw(changed[name])):
            raise click.UsageError(f"{option}: {reason}.")


def _saved(home: Home, report: Report, changed: dict[str, str] | None) -> Report:
    import dataclasses

    from datapallas.reports.folder import Reports
    from datapallas.reports.model import Missed, Schedule
    from datapallas.reports.scheduling import with_schedule

    found: Schedule | None = None
    if changed is not None:
        if report.schedule is None and "cron" not in changed:
            raise click.UsageError("Give --cron: the report has no schedule yet.")
        base = report.schedule or Schedule(cron="")
        found = dataclasses.replace(
            base,
            cron=changed.get("cron", base.cron),
            time_zone=changed.get("time_zone", base.time_zone),
            missed=Missed(changed.get("missed", base.missed.value)),
        )
    reports = Reports(home.root)
    return reports.save(report.code, with_schedule(reports.text(report.code), found))


def _show(report: Report, before: Past, *, as_json: bool) -> None:
    times = _next(report)
    found = report.schedule
    if as_json:
        facts = (
            {"cron": found.cron, "time_zone": found.time_zone, "missed": found.missed.value} if found else {}
        )
        runs = [run_facts(one) for one in before.scheduled[:_LAST]]
        about = {"schedule": facts or None, "next": times, "runs": runs}
        show_json({"ok": True, "report": report.code, **about})
    elif found is None:
        say(f"{report.code} does not run by itself.")
    else:
        from datapallas.outbox.runs import cron

        say(f"{report.code}: {found.cron} in {found.time_zone}; missed: {found.missed.value}. It runs next:")
        for at in times:
            say(f"  {cron.words(at, found.time_zone)}")
        say_scheduled(before)
        note("A running `datapallas serve` or `datapallas worker` runs it.")


def _next(report: Report) -> list[float]:
    from datapallas.outbox.runs import cron

    if report.schedule is None:
        return []
    upcoming = cron.upcoming(report.schedule.cron, report.schedule.time_zone, time.time())
    return list(islice(upcoming, _NEXT))


def _list(home: Home, *, as_json: bool) -> None:
    from datapallas.errors import DataPallasError
    from datapallas.outbox.runs import cron
    from datapallas.reports.folder import Reports

    reports = Reports(home.root)
    rows: list[tuple[str, ...]] = []
    facts: list[dict[str, Any]] = []
    with past(home) as past_of:
        pasts = {code: past_of(code) for code in reports.codes()}
    for code, before in pasts.items():
        last = next(iter(before.scheduled), None)
        ran = run_facts(last) if last is not None else None
        try:
            report = reports.load(code)
        except DataPallasError:
            rows.append((code, "", "", f"cannot run: datapallas report check {code}", words(last)))
            facts.append({"report": code, "usable": False, "cron": None, "next": [], "last": ran})
            continue
        times, found = _next(report), report.schedule
        shown = cron.words(times[0], found.time_zone) if found and times else "not by itself"
        cells = (found.cron, found.missed.value) if found else ("", "")
        rows.append((code, *cells, shown, words(last)))
        named = found.cron if found else None
        facts.append({"report": code, "usable": True, "cron": named, "next": times, "last": ran})
    if as_json:
        show_json({"ok": True, "reports": facts})
    elif rows:
        show_table(("REPORT", "CRON", "MISSED", "NEXT", "LAST BY SCHEDULE"), rows)
        say_trouble({code: one for code, one in pasts.items() if one.scheduled})
    else:
        note("There are no reports.")
