"""`system oauth2 ...`: look after sign-ins. Signing in is `sign_in`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from datapallas.cli.options import Chosen, connection_options
from datapallas.cli.output import json_option, plain, say, show_json, show_pairs
from datapallas.errors import EX_CONFIG, EX_NOPERM

if TYPE_CHECKING:
    from datapallas.oauth.status import Status


@click.command("status", help="Say who is signed in, since when, and what was last refused. Asks nobody.")
@connection_options
@click.option(
    "--check",
    is_flag=True,
    help="End with 77 when a person must sign in, with 78 when something else is refused.",
)
@json_option
def status(chosen: Chosen, check: bool, as_json: bool) -> int:  # noqa: FBT001
    """What is known on this machine."""
    home = chosen.home()
    found = home.tokens(chosen.code(home)).status()
    code = _checked(found) if check else 0
    if as_json:
        show_json({"ok": not code, **_status_facts(found)})
    else:
        show_pairs(_status_facts(found))
    return code


def _checked(found: Status) -> int:
    """The exit code of --check."""
    if found.state not in {"signed-in", "password"}:
        return EX_NOPERM
    return EX_CONFIG if found.refusal else 0


def _status_facts(found: Status) -> dict[str, Any]:
    facts = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    facts["scopes"], facts["missing"] = list(found.scopes), list(found.missing)
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
