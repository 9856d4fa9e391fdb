"""`report seal-password`: puts a database password into report.toml, sealed."""

from __future__ import annotations

import sys

import click

from datapallas.cli.output import json_option, note, read_secret, say, show_json
from datapallas.cli.report.base import code_argument, the_reports


@click.command("seal-password", help="Seal the password of a report's database into its report.toml.")
@code_argument
@click.option(
    "--password", metavar="FROM", default="", help="A FILE, - or ask; default: asked for, or standard input."
)
@json_option
def seal_password(code: str, password: str, as_json: bool) -> None:  # noqa: FBT001
    """It opens for this report, url and query only; change one of them, and it has to be sealed again."""
    from datapallas.reports.sealing import seal_password as seal
    from datapallas.secret import Secret

    reports = the_reports()
    reports.folder(code)
    asked = password or ("ask" if sys.stdin is not None and sys.stdin.isatty() else "-")
    seal(reports, code, Secret(read_secret(asked, "password of the database")))
    if as_json:
        show_json({"ok": True, "report": code})
    else:
        say(f"Sealed the password into the report {code}.")
        note("It opens for this report, url and query only. After a change of one of them seal it again.")
