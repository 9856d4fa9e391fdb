"""`token ...`: how programs prove who they are at the JSON API."""

from __future__ import annotations

import click

from datapallas.cli.accounts import access, note_change, role_option
from datapallas.cli.output import json_option, note, say, show_json, show_table


@click.command("create", help="Make an API token and print it, this one time.")
@click.argument("name")
@role_option
@json_option
def create(name: str, role: str, as_json: bool) -> None:  # noqa: FBT001
    """Stdout holds the token alone, for a script to keep."""
    from datapallas.web.who import Role

    token, secret = access().tokens.create(name, Role(role))
    note_change("token-created", token=token.name, role=role)
    if as_json:
        show_json({"ok": True, "name": token.name, "role": role, "token": secret.reveal()})
    else:
        note("Keep it now: it is stored hashed, and not shown again.")
        say(secret.reveal())


@click.command("list", help="List the API tokens; of each, the last four characters.")
@json_option
def list_(as_json: bool) -> None:  # noqa: FBT001
    """Names, roles and since when."""
    from datapallas.oauth.clock import iso

    rows = [
        (one.name, one.role.value, f"...{one.ends_with}", iso(one.created)) for one in access().tokens.all()
    ]
    if as_json:
        keys = ("name", "role", "ends_with", "created")
        show_json({"ok": True, "tokens": [dict(zip(keys, row, strict=True)) for row in rows]})
    elif rows:
        show_table(("NAME", "ROLE", "TOKEN", "CREATED"), rows)
    else:
        say("There is no token yet. Make one: datapallas token create NAME --role viewer")


@click.command("remove", help="Remove an API token; whoever uses it is refused from now on.")
@click.argument("name")
@json_option
def remove(name: str, as_json: bool) -> None:  # noqa: FBT001
    """A running server refuses it at its next request."""
    access().tokens.remove(name)
    note_change("token-removed", token=name)
    if as_json:
        show_json({"ok": True, "name": name})
    else:
        say(f"Removed the token {name}.")
