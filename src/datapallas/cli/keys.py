"""`keys ...`: the key that seals secrets."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from datapallas.cli.options import current_home
from datapallas.cli.output import json_option, say, show_json, show_table
from datapallas.errors import EX_CONFIG

if TYPE_CHECKING:
    from datapallas.home import Home
    from datapallas.reports.sealing import SealedReports


@click.command(
    "init", help="Make the key that seals secrets on this installation. An existing key is never replaced."
)
@click.option(
    "--abandon",
    is_flag=True,
    help="Make a new key although values sealed with a lost one exist; they stay closed.",
)
@json_option
def init(abandon: bool, as_json: bool) -> None:  # noqa: FBT001
    """Refused when sealed values exist whose key is missing: a new key could not open them."""
    from datapallas.connection import keys

    home = current_home()
    made = keys.init(home.root, home.environ, abandon=abandon, sealed=home.folder.store.sealed_texts)
    if as_json:
        show_json({"ok": True, "kid": made.primary, "source": made.source})
    else:
        say(f"Made key {made.primary} in {made.source}.")
        say(
            "Back it up apart from the connections: with both, the secrets can be read; without it, they cannot."
        )


@click.command("verify", help="Check that every sealed value opens. Ends with 78 when one does not.")
@json_option
def verify(as_json: bool) -> int:  # noqa: FBT001
    """One line for each secret."""
    from datapallas.connection import rotation

    home = current_home()
    checked = rotation.verify(home.folder, _reports(home))
    bad = [one for one in checked if one.problem]
    if as_json:
        show_json({"ok": not bad, "values": [dataclasses.asdict(one) for one in checked]})
    elif checked:
        rows = [(one.connection, one.field, one.kid, one.problem or "opens") for one in checked]
        show_table(("CONNECTION", "SECRET", "KEY", "RESULT"), rows)
    else:
        say("There is no sealed value yet.")
    return EX_CONFIG if bad else 0


@click.command("rotate", help="Make a new key and seal every value with it. Can be killed and run again.")
@json_option
def rotate(as_json: bool) -> int:  # noqa: FBT001
    """After a suspected theft, sign out at the provider first: a new key helps no stolen token."""
    from datapallas.connection import rotation

    home = current_home()
    done = rotation.rotate(home.folder, home.environ, _reports(home))
    if as_json:
        show_json({"ok": not done.failed, **dataclasses.asdict(done)})
    else:
        say(f"{'Finished an earlier rotation' if done.resumed else 'Rotated'}: key {done.primary} seals now.")
        say(f"Sealed again: {done.resealed}. No longer needed: {', '.join(done.retired) or 'none'}.")
        for one in done.failed:
            say(f"Not opened, left as it was: {one.connection} {one.field}: {one.problem}")
    return EX_CONFIG if done.failed else 0


def _reports(home: Home) -> SealedReports:
    """The passwords that reports hold."""
    from datapallas.reports.folder import Reports
    from datapallas.reports.sealing import SealedReports

    return SealedReports(Reports(home.root))
