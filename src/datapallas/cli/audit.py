"""`audit ...`: who changed what."""

from __future__ import annotations

import click

from datapallas.cli.options import current_home
from datapallas.cli.output import json_option, say, show_json
from datapallas.errors import EX_CONFIG


@click.command(
    "verify", help="Check that no line of the audit was changed or taken out. Ends with 78 when one was."
)
@json_option
def verify(as_json: bool) -> int:  # noqa: FBT001
    """A cut-off end cannot be seen here: compare the number of lines with a copy."""
    from datapallas.web import audit

    path = audit.Audit(current_home().root).path
    there = path.exists()
    found = audit.verify(path) if there else audit.Verdict(0)
    if as_json:
        show_json({"ok": not found.problem, "there": there, "lines": found.lines, "problem": found.problem})
    elif not there:
        say(f"{path} is not there: nothing was changed through `serve` yet, or somebody took the file away.")
    elif found.problem:
        say(f"{path} is not as it was written: {found.problem}.")
    else:
        say(f"{path}: {found.lines} lines, each as it was written.")
    return EX_CONFIG if found.problem else 0
