"""`user ...`: the people who may log in to a served page."""

from __future__ import annotations

import functools

import click

from datapallas.cli.accounts import access, note_change, role_option
from datapallas.cli.output import json_option, note, read_secret, say, show_json, show_table
from datapallas.secret import Secret

_password_option = click.option(
    "--password",
    "source",
    metavar="FROM",
    default="ask",
    help="The password: a FILE, - or ask (the default).",
)


def _password(source: str) -> Secret:
    return Secret(read_secret(source, "password", functools.partial(click.prompt, confirmation_prompt=True)))


@click.command("add", help="Add somebody who may log in to a served page.")
@click.argument("name")
@role_option
@_password_option
@json_option
def add(name: str, role: str, source: str, as_json: bool) -> None:  # noqa: FBT001
    """A running server knows the user at once."""
    from datapallas.web.who import Role

    user = access().users.add(name, Role(role), _password(source))
    note_change("user-added", user=user.name, role=role)
    if as_json:
        show_json({"ok": True, "user": user.name, "role": role})
    else:
        say(f"Added {user.name} with the role {role}.")


@click.command("list", help="List who may log in to a served page.")
@json_option
def list_(as_json: bool) -> None:  # noqa: FBT001
    """Names, roles and since when."""
    from datapallas.oauth.clock import iso

    rows = [(one.name, one.role.value, iso(one.created)) for one in access().users.all()]
    if as_json:
        show_json(
            {"ok": True, "users": [{"name": name, "role": role, "created": at} for name, role, at in rows]}
        )
    elif rows:
        show_table(("NAME", "ROLE", "CREATED"), rows)
    else:
        say("There is no user yet. Add one: datapallas user add NAME --role admin")


@click.command("remove", help="Remove somebody; their sessions end now.")
@click.argument("name")
@json_option
def remove(name: str, as_json: bool) -> None:  # noqa: FBT001
    """A running server refuses them at their next request."""
    from datapallas.web.who import Role

    found = access()
    found.users.remove(name)
    ended = found.sessions.end_all(name.lower())
    note_change("user-removed", user=name.lower(), sessions=ended)
    _done(name, f"Removed {name}.", ended, as_json=as_json)
    if not any(one.role is Role.ADMIN for one in found.users.all()):
        note("Nobody is an administrator now. Add one: datapallas user add NAME --role admin")


@click.command("password", help="Change somebody's password; their sessions end now.")
@click.argument("name")
@_password_option
@json_option
def password(name: str, source: str, as_json: bool) -> None:  # noqa: FBT001
    """They log in again with the new one."""
    found = access()
    found.users.set_password(name, _password(source))
    ended = found.sessions.end_all(name.lower())
    note_change("user-password", user=name.lower(), sessions=ended)
    _done(name, f"The password of {name} is changed.", ended, as_json=as_json)


def _done(name: str, sentence: str, ended: int, *, as_json: bool) -> None:
    if as_json:
        show_json({"ok": True, "user": name.lower(), "sessions_ended": ended})
    else:
        say(f"{sentence} Sessions ended: {ended}.")
