"""`connection migrate`: from the files of a home into the database that a fleet shares, and back."""

from __future__ import annotations

import dataclasses

import click

from datapallas.cli.options import current_home
from datapallas.cli.output import json_option, note, say, show_json


@click.command(
    "migrate", help="Move all connections into the database of DATAPALLAS_DATABASE, or back into files."
)
@click.option(
    "--to-database", is_flag=True, help="From the files of this home into the database (the default)."
)
@click.option("--to-files", is_flag=True, help="From the database into files of this home.")
@click.option("--dry-run", is_flag=True, help="Only say what would be moved, and what is in the way.")
@json_option
def migrate(to_database: bool, to_files: bool, dry_run: bool, as_json: bool) -> None:  # noqa: FBT001
    """Everything is moved as it is, sealed; cut off anywhere, the same command goes on."""
    from datapallas.home import stores

    if to_database and to_files:
        raise click.UsageError("Give --to-database or --to-files, not both.")
    done = stores.migrate(current_home(), into_database=not to_files, dry_run=dry_run)
    if as_json:
        show_json({"ok": True, "dry_run": dry_run, **dataclasses.asdict(done)})
        return
    for code in done.moved:
        say(code)
    if done.resumed:
        note(f"Moved before, when it was cut off: {', '.join(done.resumed)}.")
    count = len(done.moved)
    what = f"{count} connection{'' if count == 1 else 's'}"
    say(f"Would move {what} into {done.place}." if dry_run else f"Moved {what} into {done.place}.")
    if not to_files and not dry_run:
        note("Every machine with this DATAPALLAS_DATABASE and the same key uses them now.")
