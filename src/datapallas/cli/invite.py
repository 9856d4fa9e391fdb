"""`connection invite`: a link for the mailbox's owner, who sits elsewhere."""

from __future__ import annotations

import click

from datapallas.cli.accounts import access, note_change
from datapallas.cli.options import current_home
from datapallas.cli.output import json_option, note, say, show_json, the_run
from datapallas.errors import ConfigurationError


@click.command(
    "invite", help="Print a link with which the mailbox's owner signs in from anywhere; it works once."
)
@click.argument("code")
@click.option(
    "--hours",
    type=click.FloatRange(0.1, 168),
    default=24.0,
    show_default=True,
    help="How long the link works.",
)
@json_option
def invite(code: str, hours: float, as_json: bool) -> None:  # noqa: FBT001
    """For a served page only: the owner's browser must reach it."""
    from datapallas.oauth.client import refuse_where_nobody_signs_in
    from datapallas.web import serving
    from datapallas.web.services import Mode

    home = current_home()
    the_run().about(lambda: home.facts(code))
    connection = home.folder.load(code)
    refuse_where_nobody_signs_in(connection)
    running = serving.running(home.root)
    if running is None or running.mode is not Mode.SERVED:
        raise ConfigurationError(
            "Nobody elsewhere can reach a page of this home: it is not served under a public address.",
            code="not-served",
            connection=code,
        )
    link = f"{running.origin}/invite?key={access().invites.make(connection.code, hours).reveal()}"
    note_change("invited", connection=connection.code, hours=hours)
    if as_json:
        show_json({"ok": True, "connection": connection.code, "link": link, "hours": hours})
        return
    say(link)
    note(
        f"Send it to the owner of {connection.mailbox or connection.code}. It works once, for {hours:g} hours."
    )
