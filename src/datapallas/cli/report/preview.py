"""`report preview`: one recipient's email and documents, written to a folder to look at."""

from __future__ import annotations

from pathlib import Path

import click

from datapallas.cli.options import current_home
from datapallas.cli.output import json_option, note, plain, say, show_json, show_pairs
from datapallas.cli.report.base import code_argument
from datapallas.errors import EX_DATAERR


@click.command("preview", help="Write one recipient's email and documents to a folder; nothing is sent.")
@code_argument
@click.option(
    "--only", metavar="KEY", default="", help="The recipient with this key; default: the first one."
)
@click.option(
    "--row", type=click.IntRange(1), metavar="N", help="The recipient that row N, from 1, belongs to."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Where to; default: preview-CODE in the current folder.",
)
@click.option("--open", "opened", is_flag=True, help="Open the email in the browser.")
@json_option
def preview(  # noqa: PLR0913 - one for each option
    code: str,
    *,
    only: str,
    row: int | None,
    out: Path | None,
    opened: bool,
    as_json: bool,
) -> int:
    """Made by the same code as what is sent."""
    from datapallas.home.reporting.preview import preview_of
    from datapallas.reports.preview import write

    if only and row:
        raise click.UsageError("Give --only or --row, not both.")
    found, eml = preview_of(current_home(), code, only=only, row=row or 0)
    made = write(found, out or Path(f"preview-{code}"), eml)
    who, email, problem = found.recipient, found.rendered, found.problem
    facts = {
        "recipient": who.key,
        "place": who.place,
        "to": email.to if email else "",
        "cc": email.cc if email else "",
        "bcc": email.bcc if email else "",
        "subject": email.subject if email else "",
        "octets": len(eml) or None,
    }
    if as_json:
        told = {"code": problem.code, "text": problem.text} if problem else None
        show_json({"ok": problem is None, **facts, "files": [str(path) for path in made], "problem": told})
    else:
        show_pairs(facts)
        for path in made:
            say(str(path))
    if problem is not None:
        note(f"{plain(problem.place)}: {plain(problem.text)}" if problem.place else plain(problem.text))
    pages = [path for path in made if path.name in {"email.html", "email.txt"}]
    if opened and pages:
        click.launch(str(pages[0].absolute()))
    return EX_DATAERR if problem is not None else 0
