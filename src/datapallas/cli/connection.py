"""`connection ...`: make, see, change and delete connections."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from datapallas.cli.options import current_home, for_this_home
from datapallas.cli.output import json_option, note, read_secret, say, show_json, show_pairs, show_table
from datapallas.cli.report.base import reports_through
from datapallas.connection.advice import Before, findings, lacking
from datapallas.connection.fields import FIELDS, with_fields, with_provider
from datapallas.connection.finding import Severity
from datapallas.connection.model import Connection, OAuth2Client, Password, Provider
from datapallas.connection.provider import with_usual_server
from datapallas.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datapallas.connection.finding import Finding
    from datapallas.home import Home

_COLUMN = 60  # letters of a state that the table shows
_BEFORE = {Before.SIGN_IN: "the sign-in", Before.SENDING: "sending"}
_PROVIDERS = click.Choice([kind.value for kind in Provider], case_sensitive=False)
_SECRET_HELP = "read from a FILE, from standard input (-), or typed (ask); never given on the command line"


_secret_ends = click.option(
    "--secret-ends",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="The last day of the client secret, such as 2026-12-31: you are warned before.",
)


def _field_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """One option for each field a person may set, and the two secrets."""
    for name, field in reversed(FIELDS.items()):
        if name != "name":
            command = click.option(f"--{name}", help=field.help[0].upper() + field.help[1:] + ".")(command)
    command = click.option("--client-secret", metavar="FROM", help=f"The client secret: {_SECRET_HELP}.")(
        command
    )
    return click.option("--password", metavar="FROM", help=f"The password: {_SECRET_HELP}.")(command)


@click.command(
    "create", help="Make a connection: a mailbox one can send from. NAME becomes its code, eml-name."
)
@click.argument("name")
@click.option("--provider", type=_PROVIDERS, help="MICROSOFT, GOOGLE, GENERIC, or NONE for a plain password.")
@click.option("--preset", metavar="NAME", help="Host, port and security of a well-known provider.")
@click.option("--issuer", metavar="URL", help="GENERIC: find the provider's addresses by OpenID discovery.")
@click.option("--default", "make_default", is_flag=True, help="Make it the default connection.")
@_secret_ends
@_field_options
@json_option
def create(name: str, provider: str | None, make_default: bool, as_json: bool, **given: Any) -> None:  # noqa: FBT001
    """Build the value, let the folder write it, say what comes next."""
    home = current_home()
    draft = home.draft(name, Provider(provider) if provider else None, given.pop("preset"))
    issuer, ends = given.pop("issuer"), given.pop("secret_ends")
    if issuer:
        draft = home.discovered(draft, issuer)
    draft = _changed(draft, given)
    made = home.folder.create(dataclasses.replace(draft, default=make_default or not home.folder.list()))
    home.note_secret_end(made.code, ends)
    path = home.folder.path_of(made.code)
    seen = findings(made)
    if as_json:
        told = {"ok": True, "code": made.code, "path": str(path), "default": made.default}
        show_json(told | {"findings": [dataclasses.asdict(one) for one in seen]})
        return
    say(f"Created {made.code} ({path}).")
    if made.default:
        say("It is the default connection.")
    if made.app_only:
        say("Nobody signs in. Next, what the administrator has to do, and then try it:")
        say(f"  {for_this_home(f'system oauth2 setup-script --connection {made.code}')}")
        say(f"  {for_this_home(f'system test-email --connection {made.code}')}")
    elif lacking(made, Before.SIGN_IN if isinstance(made.credential, OAuth2Client) else Before.SENDING):
        say(f"Next, fill in what is missing with `{for_this_home('connection set')}`:")
    elif any(one.severity is Severity.ERROR for one in seen):
        say(f"Next, correct what is wrong with `{for_this_home('connection set')}`:")
    elif isinstance(made.credential, OAuth2Client):
        say(f"Next, sign in:\n  {for_this_home(f'system oauth2 sign-in --connection {made.code}')}")
    else:
        say(f"Next, try it:\n  {for_this_home(f'system test-email --connection {made.code}')}")
    _advise(seen)


def _advise(seen: Sequence[Finding]) -> None:
    """What can be seen wrong, and what is missing, beside the result."""
    for one in seen:
        if one.before is None:
            note(f"Check {one.field}: {one.sentence}")
        else:
            note(f"Incomplete before {_BEFORE[one.before]}: {one.sentence}")


def _changed(connection: Connection, given: dict[str, Any]) -> Connection:
    """`connection` with the given options applied, secrets read from where they are."""
    secret, password = given.pop("client_secret"), given.pop("password")
    fields = [(name.replace("_", "-"), value) for name, value in given.items() if value is not None]
    connection = with_usual_server(connection, with_fields(connection, fields))
    credential = connection.credential
    if secret:
        if not isinstance(credential, OAuth2Client):
            raise click.UsageError("A client secret has no meaning for provider NONE.")
        credential = dataclasses.replace(
            credential, client_secret=Secret(read_secret(secret, "client secret"))
        )
    if password:
        if not isinstance(credential, Password):
            raise click.UsageError("A password has no meaning for an OAuth2 connection; sign in instead.")
        credential = dataclasses.replace(credential, password=Secret(read_secret(password, "password")))
    return dataclasses.replace(connection, credential=credential)


@click.command("list", help="List the connections and the state of each sign-in.")
@json_option
def list_(as_json: bool) -> None:  # noqa: FBT001
    """Broken files are rows too; they never hide the others."""
    home = current_home()
    rows = home.overview()
    if as_json:
        show_json(
            {"ok": True, "home": str(home.root), "connections": [dataclasses.asdict(row) for row in rows]}
        )
        return
    if not rows:
        say(f"No connections in {home.root}.")
        say(
            "Make one:\n  datapallas connection create office365 --provider MICROSOFT --tenant-id ... --client-id ..."
        )
        return
    show_table(
        ("CODE", "NAME", "PROVIDER", "MAILBOX", "SIGN-IN", "DEFAULT"),
        [
            (r.code, r.name, r.provider, r.mailbox, _brief(r.state), "default" if r.default else "")
            for r in rows
        ],
    )
    for row in rows:
        if _brief(row.state) != row.state:
            say(f"{row.code}: {row.state}")
        for warning in row.warnings:
            note(f"{row.code}: {warning}")


def _brief(state: str) -> str:
    """A state that fits into a column; what a long one says after its colon stands below the table."""
    return state if len(state) <= _COLUMN else state.partition(":")[0]


@click.command("show", help="Show one connection; secrets only as set or not set.")
@click.argument("code")
@json_option
def show(code: str, as_json: bool) -> None:  # noqa: FBT001
    """Everything in the file that is not a secret."""
    home = current_home()
    connection = home.folder.load(code)
    facts = _facts(home, connection) | {"reports": reports_through(home, connection)}
    if as_json:
        show_json({"ok": True, **facts})
    else:
        show_pairs(facts)


def _facts(home: Home, connection: Connection) -> dict[str, object]:
    facts: dict[str, object] = {
        "code": connection.code,
        "file": str(home.folder.path_of(connection.code)),
        "provider": connection.provider.value,
        "default": connection.default,
        "mailbox": connection.mailbox,
    }
    parts = {"connection": connection, "server": connection.server}
    parts["oauth2" if isinstance(connection.credential, OAuth2Client) else "password"] = connection.credential
    for name, field in FIELDS.items():
        if field.part in parts:
            facts[name] = getattr(parts[field.part], field.attribute)
    match connection.credential:
        case Password(password=password):
            facts["password"] = "set" if password else "not set"
        case OAuth2Client(client_secret=secret, refresh_token=token, granted_scope=granted, issued_at=issued):
            facts["client-secret"] = "set" if secret else "not set"
            facts["refresh-token"] = "set" if token else "not set"
            facts["granted-scope"], facts["issued-at"] = granted, issued
            facts["secret-ends"] = home.secret_end(connection.code)[:10]
            facts["redirect-uri-to-register"] = home.redirect_uri_to_register(connection)
    return facts


@click.command("set", help="Change fields of a connection: FIELD=VALUE, and secrets by option.")
@click.argument("code")
@click.argument("changes", nargs=-1, metavar="FIELD=VALUE ...")
@click.option("--provider", type=_PROVIDERS, help="Another provider; the old sign-in does not carry over.")
@click.option("--client-secret", metavar="FROM", help=f"The client secret: {_SECRET_HELP}.")
@click.option("--password", metavar="FROM", help=f"The password: {_SECRET_HELP}.")
@_secret_ends
@click.option(
    "--drop-sign-in", is_flag=True, help="Agree that a change which the sign-in is bound to ends the sign-in."
)
@json_option
def set_(code: str, changes: tuple[str, ...], provider: str | None, as_json: bool, **given: Any) -> None:  # noqa: FBT001
    """A change of server, client or mailbox ends the sign-in, and is only made when that is agreed to."""
    home = current_home()
    drop = given.pop("drop_sign_in")
    connection = home.folder.load(code)
    if provider:
        connection = with_usual_server(connection, with_provider(connection, Provider(provider)))
    for change in changes:
        name, mark, value = change.partition("=")
        if not mark:
            raise click.UsageError(f"Write FIELD=VALUE, not {change!r}. Fields: {', '.join(FIELDS)}.")
        connection = with_usual_server(connection, with_fields(connection, [(name, value)]))
    ends = given.pop("secret_ends")
    saved = home.folder.save(_changed(connection, given), drop_sign_in=drop)
    home.note_secret_end(code, ends)
    seen = findings(saved)
    if as_json:
        show_json(
            {"ok": True, **_facts(home, saved)} | {"findings": [dataclasses.asdict(one) for one in seen]}
        )
    else:
        say(f"Saved {home.folder.path_of(code)}.")
        _advise(seen)


@click.command("default", help="Make a connection the one that is used when none is named.")
@click.argument("code")
@json_option
def default(code: str, as_json: bool) -> None:  # noqa: FBT001
    """Exactly one connection is the default afterwards."""
    current_home().folder.set_default(code)
    if as_json:
        show_json({"ok": True, "default": code})
    else:
        say(f"{code} is the default connection.")


@click.command("duplicate", help="Copy a connection under a new name, without its secrets.")
@click.argument("code")
@click.argument("name")
@json_option
def duplicate(code: str, name: str, as_json: bool) -> None:  # noqa: FBT001
    """The copy needs its own sign-in or password."""
    home = current_home()
    made = home.folder.duplicate(code, name)
    if as_json:
        show_json({"ok": True, "code": made.code, "path": str(home.folder.path_of(made.code))})
    else:
        say(f"Created {made.code} without secrets. Sign in, or set its password.")


@click.command("delete", help="Delete a connection and its sign-in.")
@click.argument("code")
@click.option("--force", is_flag=True, help="Delete it even though it is the default one, or reports use it.")
@json_option
def delete(code: str, force: bool, as_json: bool) -> None:  # noqa: FBT001
    """The default connection, and one that reports send through, is refused without --force."""
    from datapallas.home.used_by import check_unused

    home = current_home()
    if not force:
        check_unused(home, code)
    home.folder.delete(code, force=force)
    if as_json:
        show_json({"ok": True, "deleted": code})
    else:
        say(
            f"Deleted {code}. The sign-in was not revoked at the provider; for that, sign out before deleting."
        )
