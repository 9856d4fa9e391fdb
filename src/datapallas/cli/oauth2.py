"""`system oauth2 ...`: look after sign-ins. Signing in is `sign_in`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from datapallas.cli.options import Chosen, connection_options
from datapallas.cli.output import json_option, note, plain, say, show_json, show_pairs
from datapallas.errors import EX_CONFIG, EX_NOPERM
from datapallas.home.warnings import REFUSED, notices
from datapallas.oauth.clock import iso
from datapallas.oauth.endings import What

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datapallas.home.warnings import Notice
    from datapallas.oauth.status import Status


@click.command("status", help="Say who is signed in, since when, and what was last refused. Asks nobody.")
@connection_options
@click.option(
    "--check",
    is_flag=True,
    help="End with 77 when a person must sign in, with 78 when something else is refused; two weeks before, too.",
)
@json_option
def status(chosen: Chosen, check: bool, as_json: bool) -> int:  # noqa: FBT001
    """What is known on this machine."""
    home = chosen.home()
    found = home.tokens(chosen.code(home)).status()
    warned = notices(found, home.endpoint.clock.wall())
    code = _checked(found, warned) if check else 0
    facts = _status_facts(found)
    if as_json:
        show_json({"ok": not code, **facts, "warnings": [one.to_dict() for one in warned]})
    else:
        show_pairs(facts)
        note(*(one.sentence for one in warned))
    return code


def _checked(found: Status, warned: Sequence[Notice]) -> int:
    """The exit code of --check; what is about to end counts as ended, so that somebody hears of it in time."""
    if found.state not in {"signed-in", "password", "app-only"}:
        return EX_CONFIG if found.flow in {"APPONLY", "SERVICEACCOUNT"} else EX_NOPERM
    ends = {one.what for one in warned if one.what != REFUSED}
    if What.SIGN_IN.value in ends:
        return EX_NOPERM
    return EX_CONFIG if found.refusal or ends else 0


def _status_facts(found: Status) -> dict[str, Any]:
    facts = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    facts["scopes"], facts["missing"] = list(found.scopes), list(found.missing)
    facts["endings"] = [{"what": one.what.value, "at": iso(one.at)} for one in found.endings]
    facts["problem"] = found.problem.message if found.problem else None
    facts["refusal"] = dataclasses.asdict(found.refusal) if found.refusal else None
    return facts


@click.command(
    "refresh", help="Get a new access token now, and store what comes with it. Un-parks on success."
)
@connection_options
@json_option
def refresh(chosen: Chosen, as_json: bool) -> None:  # noqa: FBT001
    """The access token itself is not shown."""
    home = chosen.home()
    code = chosen.code(home)
    tokens = home.tokens(code)
    tokens.refresh()
    found = tokens.status()
    if as_json:
        show_json({"ok": True, **_status_facts(found)})
    else:
        say(f"{code} works: the provider gave a new token for {plain(found.account)}.")


@click.command("sign-out", help="Forget the stored sign-in, and revoke it where the provider can.")
@connection_options
@json_option
def sign_out(chosen: Chosen, as_json: bool) -> None:  # noqa: FBT001
    """Forgotten here in any case; what the provider did is said."""
    home = chosen.home()
    code = chosen.code(home)
    done = home.tokens(code).sign_out()
    if as_json:
        show_json({"ok": True, "connection": code, **dataclasses.asdict(done)})
    elif not done.forgotten:
        say(f"Nobody was signed in to {code}.")
    else:
        say(f"Signed out of {code}: the sign-in is gone from this machine.")
        say(
            "The provider has ended it too."
            if done.revoked
            else f"Not revoked at the provider: {done.reason}."
        )
