"""`system oauth2 setup-script`: what the administrator has to do for one connection, to be handed over as it is."""

from __future__ import annotations

import click

from datapallas.cli.options import Chosen, connection_options
from datapallas.cli.output import json_option, say, show_json


@click.command("setup-script", help="Print what the administrator has to do for a connection, filled in.")
@connection_options
@json_option
def setup_script(chosen: Chosen, as_json: bool) -> None:  # noqa: FBT001
    """PowerShell for Microsoft, steps for the others; it holds no secret."""
    from datapallas.home.setup_script import setup_script as text_of

    home = chosen.home()
    code = chosen.code(home)
    text = text_of(home, code)
    if as_json:
        show_json({"ok": True, "connection": code, "script": text})
    else:
        say(text.rstrip())
