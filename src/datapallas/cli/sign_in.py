"""`system oauth2 sign-in`: in a browser here, in a browser elsewhere, or by a code typed on another device."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from datapallas.cli.options import Chosen, connection_options
from datapallas.cli.output import json_option, note, plain, read_secret, say, show_json, the_run
from datapallas.connection.advice import findings
from datapallas.connection.fields import with_fields, with_provider
from datapallas.connection.finding import Severity
from datapallas.connection.model import Connection, OAuth2Client, Provider
from datapallas.oauth.client import refuse_where_nobody_signs_in
from datapallas.secret import Secret

if TYPE_CHECKING:
    from datapallas.home import Home
    from datapallas.oauth.sign_in import SignIn

_CLIENT_FIELDS = ("client-id", "tenant-id", "cloud", "authorize-url", "token-url", "scope", "login-hint")
_FLOWS = ("browser", "paste", "device")


@click.command("sign-in", help="Sign in to a mailbox and store the sign-in.")
@connection_options
@click.option(
    "--provider",
    type=click.Choice([k.value for k in Provider if k is not Provider.NONE]),
    help="Who signs people in.",
)
@click.option("--client-id", help="The application's id at the provider.")
@click.option("--client-secret", metavar="FROM", help="The client secret: a FILE, - or ask.")
@click.option("--tenant-id", help="Microsoft: tenant id or domain, organizations, consumers or common.")
@click.option("--cloud", help="Microsoft: GLOBAL, USGOV, USGOVDOD or CHINA.")
@click.option("--authorize-url", help="GENERIC: where people sign in.")
@click.option("--token-url", help="GENERIC: where tokens are given.")
@click.option("--scope", help="GENERIC: the rights to ask for.")
@click.option("--issuer", help="GENERIC: find the addresses by OpenID discovery.")
@click.option("--login-hint", help="The account the provider's page offers.")
@click.option(
    "--redirect-uri", default="", help="Where the browser comes back to: this machine; with paste also https."
)
@click.option(
    "--accept-account", is_flag=True, help="Another account than the connection's mailbox is meant."
)
@click.option("--drop-sign-in", is_flag=True, help="Agree that changed options end the stored sign-in first.")
@click.option(
    "--seconds", default=300.0, type=click.FloatRange(1, 3600), show_default=True, help="How long to wait."
)
@click.option(
    "--flow",
    type=click.Choice(_FLOWS),
    help="browser: on this machine. paste: in any browser; you paste the address it ends at. device: type a code on "
    "any device. Default: browser where there is a desktop; else you are asked.",
)
@click.option(
    "--no-browser", is_flag=True, help="Only print the address, and wait for a browser on this machine."
)
@json_option
def sign_in(chosen: Chosen, as_json: bool, **given: Any) -> None:  # noqa: FBT001
    """With a connection: store it there. With --provider alone: print the token, and nothing else on stdout."""
    from datapallas.cli.terminal import Terminal, chosen_way
    from datapallas.oauth.sign_in import SignIn

    home = chosen.home()
    code = chosen.code(home) if chosen.named or not given["provider"] else ""
    wanted = _checked(home, code, given) if code else None  # told before anything about browsers
    way = chosen_way(given["flow"], no_browser=given["no_browser"])
    with Terminal(way, given["seconds"]) as terminal:
        sign_in = SignIn(
            endpoint=home.endpoint,
            guide=terminal,
            way=way,
            accept_account=given["accept_account"],
            redirect_uri=given["redirect_uri"],
            issuer=given["issuer"] or "",
            seconds=given["seconds"],
            fetch=terminal.fetch,
        )
        if given["no_browser"]:
            sign_in = dataclasses.replace(sign_in, open_browser=lambda _: False)
        if wanted is not None:
            _into_connection(home, wanted, sign_in, given, as_json=as_json)
        else:
            _to_stdout(home, sign_in, given, as_json=as_json)


def _checked(home: Home, code: str, given: dict[str, Any]) -> Connection:
    """The connection as it is to be; what is wrong with it is told, since a provider shows that only in the browser.

    Raises UsageError where nobody signs in.
    """
    wanted = _with_options(home, home.folder.load(code), given)
    refuse_where_nobody_signs_in(wanted)
    for one in findings(wanted):
        if one.severity is Severity.ERROR:
            note(f"Check {one.field}: {one.sentence}")
    return wanted


def _into_connection(
    home: Home, wanted: Connection, way: SignIn, given: dict[str, Any], *, as_json: bool
) -> None:
    state = home.sign_in(way, wanted, drop_sign_in=given["drop_sign_in"])
    code, path = wanted.code, home.folder.path_of(wanted.code)
    if as_json:
        scopes = state.granted_scope.split()
        show_json(
            {"ok": True, "connection": code, "account": state.account, "path": str(path), "scopes": scopes}
        )
        return
    say(f"Signed in as {plain(state.account)}")
    say(f"Saved to {path} (the refresh token is sealed).")
    note(f"Next, try it:\n  datapallas system test-email --connection {code}")


def _to_stdout(home: Home, way: SignIn, given: dict[str, Any], *, as_json: bool) -> None:
    from datapallas.home import facts_of

    draft = Connection(code="eml-unsaved", credential=OAuth2Client(provider=Provider(given["provider"])))
    wanted = _with_options(home, draft, given)
    client = wanted.credential
    the_run().about(lambda: {**facts_of(wanted), "connection": ""})
    if not isinstance(client, OAuth2Client):
        raise click.UsageError("A sign-in needs provider MICROSOFT, GOOGLE or GENERIC.")
    state = way.run(client)
    if as_json:
        show_json({"ok": True, "userEmail": state.account, "refreshToken": state.refresh_token.reveal()})
    else:
        say(f"userEmail: {plain(state.account)}")
        say(f"refreshToken: {state.refresh_token.reveal()}")


def _with_options(home: Home, connection: Connection, given: dict[str, Any]) -> Connection:
    if given["provider"]:
        connection = with_provider(connection, Provider(given["provider"]))
    if given["issuer"]:
        connection = home.discovered(connection, given["issuer"])
    fields = [(name, given[name.replace("-", "_")]) for name in _CLIENT_FIELDS]
    connection = with_fields(connection, [(name, value) for name, value in fields if value is not None])
    if given["client_secret"] and isinstance(connection.credential, OAuth2Client):
        secret = Secret(read_secret(given["client_secret"], "client secret"))
        credential = dataclasses.replace(connection.credential, client_secret=secret)
        connection = dataclasses.replace(connection, credential=credential)
    return connection
