"""`report history`: what ran, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from datapallas.cli.options import current_home
from datapallas.cli.output import json_option, note, say, show_json, show_table
from datapallas.home.reporting.counts import Counts, plain_facts
from datapallas.oauth.clock import iso

if TYPE_CHECKING:
    from datapallas.home.reporting.runs import ReportRuns
    from datapallas.outbox.runs.records import Record

_PROBLEMS = 1000


@click.command("history", help="List the runs of reports, the newest first; of one run, what became of it.")
@click.argument("what", metavar="[CODE|RUN]", default="")
@click.option("--newest", type=click.IntRange(1), default=50, show_default=True, help="How many.")
@json_option
def history(as_json: bool, what: str, newest: int) -> None:  # noqa: FBT001
    """A report's code, a run's id, or nothing for all runs."""
    from datapallas.home.reporting.runs import open_runs
    from datapallas.reports.folder import Reports

    home = current_home()
    with open_runs(home) as runs:
        found = runs.history(what, newest=newest)
        if what and not found:
            if what not in Reports(home.root).codes():
                _one(runs, what, as_json=as_json)
                return
            note(f"{what} has not run yet.")
        if as_json:
            show_json(
                {"ok": True, "runs": [_facts(record) | {"held": runs.held(record)} for record in found]}
            )
        elif found:
            show_table(
                ("RUN", "STATE", "BEGUN", "BY", "RECIPIENTS", "OUTCOMES"),
                [_row(one, held=runs.held(one)) for one in found],
            )
        elif not what:
            note("No report has run yet.")


@click.command("cancel", help="Promise and send nothing more of a run; its copy of the rows is deleted.")
@click.argument("run", metavar="RUN")
@json_option
def cancel(as_json: bool, run: str) -> None:  # noqa: FBT001
    """What waited in the outbox is parked there; `job retry RUN` would send that much after all."""
    from datapallas.home.reporting.runs import open_runs

    with open_runs(current_home()) as runs:
        runs.cancel(run)
    if as_json:
        show_json({"ok": True, "run": run})
    else:
        say(f"{run}: cancelled.")


def _one(runs: ReportRuns, run: str, *, as_json: bool) -> None:
    from datapallas.cli.report.watch import say_summary

    progress = runs.progress(run)
    if as_json:
        problems = list(runs.problems(run, limit=_PROBLEMS))
        show_json({"ok": True, **progress.to_dict(), "problems": problems})
        return
    facts = progress.record.facts
    say(
        f"{facts.get('name') or progress.record.subject} through {facts.get('connection', '?')}, {_by(progress.record)}"
    )
    say_summary(runs, progress)


def _row(record: Record, *, held: bool) -> tuple[str, ...]:
    words = Counts.of(record.facts).words
    if record.problem is not None and not record.facts.get("outcomes"):
        words = record.problem.message
    total = record.facts.get("total")
    return (
        record.id,
        "paused" if held else record.state.value,
        iso(record.created)[:16],
        _by(record),
        "" if total is None else f"{total:,}",
        words,
    )


def _by(record: Record) -> str:
    kind = "schedule" if "scheduled" in record.facts else "by hand"
    return f"{kind}, test" if record.facts.get("test_to") else kind


def _facts(record: Record) -> dict[str, Any]:
    return {
        **plain_facts(record),
        "report": record.subject,
        "scheduled": "scheduled" in record.facts,
        "recipients": record.facts.get("total"),
        "outcomes": record.facts.get("outcomes"),
    }
