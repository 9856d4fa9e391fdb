"""`outbox workers`: who drains the outbox."""

from __future__ import annotations

import dataclasses
import datetime as dt

import click

from datapallas.cli.job import opened
from datapallas.cli.output import json_option, note, show_json, show_table


@click.command("workers", help="List who drains the outbox: which machines, since when, what they do.")
@json_option
def workers(as_json: bool) -> None:  # noqa: FBT001
    """Of the last week: running, ended, or lost."""
    from datapallas.outbox.workers import listed

    with opened() as outbox:
        lines = listed(outbox.database)
    if as_json:
        show_json({"ok": True, "workers": [dataclasses.asdict(line) for line in lines]})
        return
    if not lines:
        note("Nobody drains this outbox. Start a worker with: datapallas worker")
        return
    rows = [
        (
            line.host,
            str(line.pid),
            line.kind,
            line.version,
            line.state,
            _moment(line.started),
            _moment(line.seen),
            line.doing or ("nothing to do" if line.state == "running" else ""),
        )
        for line in lines
    ]
    show_table(("HOST", "PROCESS", "KIND", "VERSION", "STATE", "STARTED", "SEEN", "SENDS THROUGH"), rows)


def _moment(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
