"""`system oauth2 ...`: sign in, and look after sign-ins."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from datapallas.cli.options import Chosen, connection_options
from datapallas.cli.output import json_option, note, plain, read_secret, say, show_json, show_pairs, the_run
from datapallas.connection.fields import with_fields, with_provider
from datapallas.connection.model import Connection, OAuth2Client, Provider
from datapallas.errors import EX_NOPERM
from datapallas.secret import Secret

if TYPE_CHECKING:
    from datapallas.connection.provider import ProviderHelp
    from datapallas.home import Home
    from datapallas.oauth.sign_in import SignIn
    from datapallas.oauth.status import Status

_CLIENT_FIELDS = ("client-id", "tenant-id", "cloud", "authorize-url", "token-url", "scope", "login-hint")


class _Terminal:
    """Shows a person what to do, on stderr: stdout belongs to the result."""

    def register(self, redirect_uri: str, help_: ProviderHelp) -> None:
        """The address the provider must know, and where it is entered."""
        if redirect_uri:
            note(
                "Before the first sign-in, this redirect address must be registered, character for character:"
            )
            note(f"  {redirect_uri}")
        if help_.link:
            note(f"Where: {help_.link}")
        for number, step in enumerate(help_.steps, 1):
            note(f"  {number}. {step}")

    def visit(self, url: str, *, opened: bool) -> None:
        """The address to sign in at."""
        note(
            "",
            "Your browser opens this address:"
            if opened
            else "Open this address in a browser on this machine:",
        )
        note(f"  {url}", "")

    def waiting(self, seconds: float) -> None:
        """How long, and what the browser may show instead of coming back."""
        shown = f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"  # noqa: PLR2004
        note(
            f"Waiting for the sign-in, {shown} at most (Ctrl-C ends it).",
            "If the browser shows AADSTS50011, redirect_uri_mismatch or invalid redirect_uri, the address above is not",
            "registered: the provider does not tell us, so register it and start again.",
        )

    def notice(self, sentence: str) -> None:
        """Something worth knowing."""
        note(f"Note: {sentence}")


@click.command("sign-in", help="Sign in to a mailbox through the browser and store the sign-in.")
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
@click.option("--redirect-uri", default="", help="Where the browser comes back to; on this machine.")
@click.option(
    "--accept-account", is_flag=True, help="Another account than the connection's mailbox is meant."
)
@click.option("--drop-sign-in", is_flag=True, help="Agree that changed options end the stored sign-in first.")
@click.option(
    "--seconds", default=300.0, type=click.FloatRange(1, 3600), show_default=True, help="How long to wait."
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@json_option
def sign_in(chosen: Chosen, as_json: bool, **given: Any) -> None:  # noqa: FBT001
    """With a connection: store it there. With --provider alone: print the token, and nothing else on stdout."""
    from datapallas.oauth.sign_in import SignIn

    home = chosen.home()
    way = SignIn(
        endpoint=home.endpoint,
        guide=_Terminal(),
        accept_account=given["accept_account"],
        redirect_uri=given["redirect_uri"],
        issuer=given["issuer"] or "",
        seconds=given["seconds"],
    )
    if given["no_browser"]:
        way = dataclasses.replace(way, open_browser=lambda _: False)
    if chosen.named or not given["provider"]:
        _into_connection(home, chosen.code(home), way, given, as_json=as_json)
    else:
        _to_stdout(home, way, given, as_json=as_json)


def _into_connection(home: Home, code: str, way: SignIn, given: dict[str, Any], *, as_json: bool) -> None:
    wanted = _with_options(home, home.folder.load(code), given)
    state = home.sign_in(way, code, wanted, drop_sign_in=given["drop_sign_in"])
    path = home.folder.path_of(code)
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
        show_json({"userEmail": state.account, "refreshToken": state.refresh_token.reveal()})
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


@click.command("status", help="Say who is signed in, since when, and what was last refused. Asks nobody.")
@connection_options
@click.option("--check", is_flag=True, help="End with 77 when mail cannot be sent until a person signs in.")
@json_option
def status(chosen: Chosen, check: bool, as_json: bool) -> int:  # noqa: FBT001
    """What is known on this machine."""
    home = chosen.home()
    found = home.tokens(chosen.code(home)).status()
    if as_json:
        show_json(_status_facts(found))
    else:
        show_pairs(_status_facts(found))
    return EX_NOPERM if check and found.state not in {"signed-in", "password"} else 0


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
