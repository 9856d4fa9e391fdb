"""`report run` and `report resume`: look at what would be sent, say how long it takes, send, say how it went."""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datapallas.cli.options import current_home
from datapallas.cli.output import json_option, note, say, show_json
from datapallas.cli.report.base import code_argument
from datapallas.errors import DataPallasError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from datapallas.home import Home
    from datapallas.home.reporting.prepare import Prepared
    from datapallas.home.reporting.runs import Progress, ReportRuns

_MOST = 20
_INTERRUPTED = 130


@click.command("run", help="Send a report: one email to each recipient of its rows.")
@code_argument
@click.option("--test-to", default="", metavar="ADDRESS", help="Send every email to this address instead.")
@click.option("--sample", type=click.IntRange(1), metavar="N", help="Only N recipients, at random.")
@click.option(
    "--only", multiple=True, metavar="KEY", help="Only the recipient with this key; may be repeated."
)
@click.option("--rows", default="", metavar="FILE", help="Other rows than the report's; - is standard input.")
@click.option("--connection", default="", metavar="CODE", help="Another connection than the report's.")
@click.option("--dry-run", is_flag=True, help="Write the emails and documents, and send nothing.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="With --dry-run: the folder they are written to. Default: CODE-dry-run.",
)
@click.option("--queue", is_flag=True, help="Only promise it: a running `serve` or `worker` sends it.")
@click.option("--now", is_flag=True, help="Send it now and wait for the outcomes; that is the default.")
@click.option("--yes", is_flag=True, help="Do not ask before it begins.")
@json_option
def run(as_json: bool, code: str, **given: Any) -> int:  # noqa: FBT001
    """Exit codes: 0 all accepted, 65 problems, 69 some refused, 75 some still wait, 78 the report is wrong."""
    from datapallas.home.reporting.runs import open_runs
    from datapallas.reports.run import Wanted

    if given["queue"] and given["now"]:
        raise click.UsageError("Give --queue or --now, not both.")
    if given["out"] and not given["dry_run"]:
        raise click.UsageError("--out goes with --dry-run.")
    _address(given["test_to"])
    wanted = Wanted(
        test_to=given["test_to"],
        sample=given["sample"] or 0,
        only=given["only"],
        rows=given["rows"],
        connection=given["connection"],
    )
    home = current_home()
    with open_runs(home) as runs:
        if given["dry_run"]:
            from datapallas.cli.report.dry_run import dry_run

            return dry_run(runs, (code, wanted), given["out"] or Path(f"{code}-dry-run"), as_json=as_json)
        prepared = runs.prepare(code, wanted, sys.stdin.buffer if sys.stdin else None)
        asks = not given["yes"] and not as_json and sys.stdin and sys.stdin.isatty() and wanted.rows != "-"
        with _dropped(runs, prepared.run):
            _show(runs, prepared, as_json=as_json)
            if not as_json and (asks or prepared.stops is not None or given["queue"]):
                _show_problems(prepared)
            if prepared.stops is not None:
                raise prepared.stops
            if asks and not _agreed():
                note("Nothing was sent.")
                return _INTERRUPTED
            runs.start(prepared.run)
        if given["queue"]:
            return _queued(prepared, as_json=as_json)
        return _attended(home, runs, prepared.run, as_json=as_json)


def _agreed() -> bool:
    """Whether a person says yes; Ctrl-C is a no."""
    try:
        return click.confirm("Send it?", err=True)
    except click.Abort:
        note("")
        return False


def _address(text: str) -> None:
    """Refuse a test address that is none before any row is read."""
    from datapallas.errors import AddressError
    from datapallas.mail.address import parse_one

    if not text:
        return
    try:
        parse_one(text)
    except AddressError as problem:
        raise click.UsageError(f"--test-to: {problem.message}") from None


@click.command("resume", help="Go on with a run that stopped or was left, and watch it.")
@click.argument("run_id", metavar="RUN")
@json_option
def resume(as_json: bool, run_id: str) -> int:  # noqa: FBT001
    """It begins where it was; nobody gets anything twice."""
    from datapallas.home.reporting.runs import open_runs

    home = current_home()
    with open_runs(home) as runs:
        runs.resume(run_id)
        return _attended(home, runs, run_id, as_json=as_json)


@contextlib.contextmanager
def _dropped(runs: ReportRuns, run_id: str) -> Iterator[None]:
    """Forget the run when it does not begin."""
    try:
        yield
    finally:
        runs.drop(run_id)  # does nothing to one that has begun


def _show(runs: ReportRuns, prepared: Prepared, *, as_json: bool) -> None:
    """What a person should know before it begins."""
    if as_json:
        return
    from datapallas.home.reporting.lines import mailbox_words

    for other in runs.under_way(prepared.report.code)[:1] if not prepared.report.test_to else ():
        note(
            f"A run of this report is under way already: {other}. This one sends to its recipients once more."
        )
    if words := mailbox_words(runs.home, str(prepared.facts["connection"])):
        note(words)
    found = runs.estimate(prepared)
    note(f"{prepared.report.name} through {prepared.facts['connection']}: {found.words}")
    if found.advice:
        note(found.advice)
    if prepared.report.test_to:
        note(f"Test: everything goes to {prepared.report.test_to}.")


def _show_problems(prepared: Prepared) -> None:
    """What was found in the list; of a run that goes on at once, the end says it."""
    from datapallas.cli.report.watch import say_problem

    for number, one in enumerate(prepared.noted.values()):
        if number == _MOST:
            say(
                f"  ... and {len(prepared.noted) - _MOST:,} more: datapallas report check {prepared.report.code}"
            )
            return
        assert isinstance(one, dict)  # noqa: S101 - a problem as a record keeps it
        say_problem(one)


def _queued(prepared: Prepared, *, as_json: bool) -> int:
    if as_json:
        show_json({"ok": True, "run": prepared.run, "recipients": prepared.recipients})
        return 0
    say(f"Run: {prepared.run}")
    say("It is promised: a running `datapallas serve` or `datapallas worker` sends it, and so does")
    say(f"  datapallas report resume {prepared.run}")
    return 0


def _attended(home: Home, runs: ReportRuns, run_id: str, *, as_json: bool) -> int:
    """Do it here, or watch who does it; Ctrl-C leaves it to be resumed."""
    from datapallas.cli.report.watch import exit_code, say_summary, watch
    from datapallas.home.reporting.runs import over
    from datapallas.home.runs import Running
    from datapallas.outbox.background import draining

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service manager ends it as Ctrl-C does
    failures: list[BaseException] = []

    def tell(problem: BaseException) -> None:
        failures.append(problem)
        if not _for_good(failures):
            note(f"The run cannot go on here just now, and is tried again in a minute: {problem}")

    running = Running(home, tell, lambda _: None, schedules=False)
    try:
        with running, draining(runs.outbox.courier()) as failed:
            progress = watch(runs, run_id, lambda: failed() or _for_good(failures), quiet=as_json)
    except KeyboardInterrupt:
        return _left(runs, run_id, as_json=as_json)
    if _for_good(failures) and not over(progress.record):
        note(f"Nothing is lost. To go on: datapallas report resume {run_id}")
        raise _told(failures[-1], run_id)
    code = exit_code(progress)
    if as_json:
        problems = list(runs.problems(run_id, limit=1000))
        show_json({"ok": not code, "exit_code": code, **progress.to_dict(), "problems": problems})
    else:
        say_summary(runs, progress)
        if progress.open or not over(progress.record):
            say(
                f"The rest is tried again by a running `serve` or `worker`, or: datapallas report resume {run_id}"
            )
    return code


def _told(problem: BaseException, run_id: str) -> DataPallasError:
    if isinstance(problem, DataPallasError):
        return problem
    said = f"{type(problem).__name__}: {problem}"
    return DataPallasError("What does the runs met a fault of ours.", code="run-fault", raw=said, run=run_id)


def _left(runs: ReportRuns, run_id: str, *, as_json: bool) -> int:
    progress: Progress = runs.progress(run_id)
    if as_json:
        show_json({"ok": False, "exit_code": _INTERRUPTED, **progress.to_dict()})
    else:
        note(
            "",
            f"Interrupted. Nothing is lost, and nobody gets anything twice. To go on: datapallas report resume {run_id}",
        )
    return _INTERRUPTED


def _for_good(failures: Sequence[BaseException]) -> bool:
    """Whether what does the runs here has met something that does not pass by itself."""
    return any(not isinstance(one, DataPallasError) or not one.transient for one in failures)
