"""`job ...`: what became of the messages of one command or report."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from typing import TYPE_CHECKING, Any

import click

from datapallas.cli.options import current_home, for_this_home
from datapallas.cli.output import counted, json_option, note, plain, say, show_json, show_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from datapallas.diagnosis.explain import Diagnosis
    from datapallas.home.outbox import Outbox
    from datapallas.outbox.overview import JobLine, RecipientLine

_job_argument = click.argument("job", metavar="JOB")


@contextlib.contextmanager
def opened() -> Iterator[Outbox]:
    """The outbox of the current home."""
    from datapallas.home.outbox import open_outbox

    with contextlib.closing(open_outbox(current_home())) as outbox:
        yield outbox


@click.command("list", help="List the jobs of the outbox, the newest first.")
@click.option("--newest", type=click.IntRange(1), default=100, show_default=True, help="How many.")
@json_option
def list_(as_json: bool, newest: int) -> None:  # noqa: FBT001
    """A line for each."""
    from datapallas.outbox.overview import job_lines

    with opened() as outbox:
        lines = job_lines(outbox.database, newest=newest)
    if as_json:
        show_json({"ok": True, "jobs": [dataclasses.asdict(line) for line in lines]})
        return
    if not lines:
        note("The outbox has no jobs.")
        return
    rows = [(line.id, line.shown, line.connection, _fates(line), line.name) for line in lines]
    show_table(("JOB", "STATE", "CONNECTION", "RECIPIENTS", "NAME"), rows)


@click.command("show", help="Show one job and every recipient that was not simply accepted.")
@_job_argument
@json_option
def show(as_json: bool, job: str) -> None:  # noqa: FBT001
    """Counts first, then those a person may have to look at."""
    from datapallas.outbox.overview import job_lines, mailbox_lines, recipient_lines

    with opened() as outbox:
        (line,) = job_lines(outbox.database, job)
        rest = list(recipient_lines(outbox.database, job, only_open_ends=True))
        mailboxes = mailbox_lines(outbox.database, outbox.room.known_limits)
    if as_json:
        people = [as_dict(one) for one in rest]
        show_json({"ok": True, **dataclasses.asdict(line), "open": line.open, "not_simply_accepted": people})
        return
    say(f"{line.id}  {line.shown}  {line.connection}  {line.created}  {plain(line.name)}".rstrip())
    say(f"{counted(line.messages, 'message', 'messages')}: {_fates(line)}")
    for one in rest:
        double = "  (may have been sent twice)" if one.may_be_double else ""
        say(plain(f"  {one.outcome:<9} {one.address}  {said(one)}{double}").rstrip())
    say("Accepted means that the mail server took it over; it does not mean delivered.")
    explain_lines(rest, line, next((one.pause for one in mailboxes if one.code == line.connection), ""))


@click.command("pause", help="Hold what a job has not sent yet.")
@_job_argument
@json_option
def pause(as_json: bool, job: str) -> None:  # noqa: FBT001
    """What is being sent this moment still goes out."""
    from datapallas.outbox import jobs

    with opened() as outbox:
        _told(job, jobs.pause(outbox.database, job), "message is held|messages are held", as_json=as_json)


@click.command("resume", help="Let a paused job go on.")
@_job_argument
@json_option
def resume(as_json: bool, job: str) -> None:  # noqa: FBT001
    """They wait for a courier, as before."""
    from datapallas.outbox import jobs

    with opened() as outbox:
        _told(
            job,
            jobs.resume(outbox.database, job),
            "message waits to be sent|messages wait to be sent",
            as_json=as_json,
        )


@click.command("cancel", help="Send nothing more of a job; what waits is parked.")
@_job_argument
@json_option
def cancel(as_json: bool, job: str) -> None:  # noqa: FBT001
    """Nothing is deleted: `job retry` brings it back."""
    from datapallas.outbox import jobs

    with opened() as outbox:
        count = jobs.cancel(outbox.database, job)
        going = jobs.under_way(outbox.database, job)
    _told(job, count, "message will not be sent|messages will not be sent", as_json=as_json, under_way=going)
    if going and not as_json:
        note(f"{counted(going, 'message is', 'messages are')} on the way already and may still go out.")


@click.command(
    "retry",
    help="Try again what was deferred, parked or unknown; of a cancelled job with --refused, only the refused ones.",
)
@_job_argument
@click.option("--refused", is_flag=True, help="Those the server refused for good as well.")
@json_option
def retry(as_json: bool, job: str, refused: bool) -> None:  # noqa: FBT001
    """What is unknown may then arrive twice, with the same Message-ID."""
    from datapallas.outbox import jobs

    with opened() as outbox:
        count = jobs.retry(outbox.database, job, refused=refused)
        _told(job, count, "recipient is tried again|recipients are tried again", as_json=as_json)


@click.command("export", help="Write every recipient and its outcome as CSV to standard output.")
@_job_argument
@json_option
def export(as_json: bool, job: str) -> None:  # noqa: FBT001
    """Read and written as it comes: a job may have a million recipients."""
    from datapallas.outbox.exporting import csv_lines
    from datapallas.outbox.overview import job_lines, recipient_lines

    with opened() as outbox:
        job_lines(outbox.database, job)
        if as_json:
            lines = recipient_lines(outbox.database, job)
            show_json({"ok": True, "recipients": [as_dict(one) for one in lines]})
            return
        for text in csv_lines(outbox.database, job):
            sys.stdout.write(text)


def _fates(line: JobLine) -> str:
    return ", ".join(f"{count:,} {fate}" for fate, count in line.fates.items() if count) or "nothing"


def as_dict(one: RecipientLine) -> dict[str, Any]:
    """A recipient, for scripts."""
    from datapallas.outbox.exporting import COLUMNS

    found: dict[str, Any] = {name: getattr(one, name) for name in COLUMNS}
    return found | {"error": one.problem.code if one.problem else None}


def said(one: RecipientLine) -> str:
    """What the server said, or what we did before it could."""
    return one.reply or (one.problem.message if one.problem is not None else "")


def explain_lines(lines: Iterable[RecipientLine], job: JobLine, pause: str) -> None:
    """Each cause once; where its mailbox waits for a person's word, how to give it."""
    from datapallas.diagnosis.explain import explain, until_resumed
    from datapallas.outbox.verdict import UNTIL_RESUMED

    facts = {**current_home().facts(job.connection), "job": job.id}
    waiting = {"queued", "deferred"} if pause in UNTIL_RESUMED else set()
    found: dict[str, Diagnosis] = {}
    for line in lines:
        if line.problem is not None:
            one = explain(line.problem, facts)
            if line.outcome in waiting:
                one = until_resumed(one, for_this_home(f"outbox resume {job.connection}"))
            found[one.id] = one
    for diagnosis in found.values():
        note("", plain(diagnosis.render()))


def _told(job: str, count: int, what: str, *, as_json: bool, **more: int) -> None:
    """`what`: the words for one, a bar, the words for several."""
    if as_json:
        show_json({"ok": True, "job": job, "count": count, **more})
        return
    one, _, many = what.partition("|")
    say(f"{job}: {counted(count, one, many)}.")
