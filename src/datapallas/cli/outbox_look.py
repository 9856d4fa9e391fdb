"""`outbox search` and `outbox clean`: finding what was sent, and deleting what is no longer needed."""

from __future__ import annotations

import dataclasses

import click

from datapallas.cli.job import as_dict, opened
from datapallas.cli.output import json_option, note, plain, say, show_json


@click.command("search", help="Find recipients by their address, or a part of it, in all jobs.")
@click.argument("address")
@json_option
def search(as_json: bool, address: str) -> None:  # noqa: FBT001
    """The newest first, a hundred at most."""
    from datapallas.outbox.search import MOST, find

    with opened() as outbox:
        found = find(outbox.database, address)
    if as_json:
        show_json({"ok": True, "recipients": [as_dict(one) for one in found], "more": len(found) == MOST})
        return
    for one in found:
        say(f"{one.outcome:<9} {one.address}  {one.at or '-'}  {one.job}  {plain(one.reply)}".rstrip())
    if not found:
        note("Nobody in the outbox has that address.")
    elif len(found) == MOST:
        note(f"These are the newest {MOST}.")


@click.command("clean", help="Delete what is done and older than the settings say; nothing that waits.")
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(0, 36_500),
    metavar="DAYS",
    help="Everything of jobs whose last outcome is older, instead of what the settings say.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@json_option
def clean(as_json: bool, days: float | None, dry_run: bool) -> None:  # noqa: FBT001
    """In short steps: sending goes on meanwhile."""
    with opened() as outbox:
        found = outbox.clean(days=days, dry_run=dry_run)
    if as_json:
        show_json({"ok": True, "dry_run": dry_run, **dataclasses.asdict(found)})
        return
    done = "Would delete" if dry_run else "Deleted"
    size = f"{found.octets / 1_000_000:.1f} MB"
    say(f"{done} the content of {found.contents:,} jobs and all of {found.jobs:,} jobs ({size} of content).")
