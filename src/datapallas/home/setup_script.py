"""What an administrator has to do at the provider for one connection, filled in with its values: commands, or clicks.

Must stay true: it holds no secret; a value from the connection is quoted so that it stays a value, whatever is in it.
"""

from __future__ import annotations

import dataclasses
import shlex
from typing import TYPE_CHECKING

from datapallas.connection.model import Flow, OAuth2Client, Provider
from datapallas.connection.provider import redirect_uri_to_register, scope
from datapallas.connection.provider_help import APP_ONLY_HELP, PROVIDER_HELP
from datapallas.errors import DataPallasError, UsageError
from datapallas.home import setup_microsoft
from datapallas.home.setup_microsoft import Values
from datapallas.oauth.app_only import app_key

if TYPE_CHECKING:
    from datapallas.connection.model import Connection
    from datapallas.home.home import Home

_GOOGLE_DELEGATION = "https://admin.google.com/ac/owl/domainwidedelegation"
_GOOGLE_PLACE = "Security > Access and data control > API controls > Manage domain-wide delegation"
_GOOGLE_API = "https://console.cloud.google.com/apis/library/gmail.googleapis.com"


def setup_script(home: Home, code: str) -> str:
    """The text for the connection `code`: PowerShell for Microsoft, else steps in lines that start with ``#``.

    Raises UnknownConnection, BrokenConnection, UsageError for a password.
    """
    connection = home.folder.load(code)
    client = connection.credential
    if not isinstance(client, OAuth2Client):
        raise UsageError(
            f"{code} signs in with a password; there is nothing to set up for it.", code="no-oauth2"
        )
    values = _values(home, connection, client)
    if client.provider is Provider.MICROSOFT:
        return setup_microsoft.app_only(values) if client.app_only else setup_microsoft.delegated(values)
    if client.provider is Provider.GOOGLE:
        return _delegation(connection, values) if client.app_only else _steps(connection, client)
    return _steps(connection, client)


def _values(home: Home, connection: Connection, client: OAuth2Client) -> Values:
    values = Values(
        code=connection.code,
        tenant=client.tenant_id,
        client_id=client.client_id,
        cloud=client.cloud,
        mailbox=connection.mailbox or client.login_hint,
        sender=connection.from_address,
        certificate=client.certificate,
    )
    try:
        key = app_key(home.folder, connection)
    except DataPallasError as problem:  # the steps help all the same
        return dataclasses.replace(values, key_problem=problem.message)
    if key is None:
        return values
    return dataclasses.replace(values, thumbprint=key.shown, account=key.account, account_id=key.account_id)


def _delegation(connection: Connection, values: Values) -> str:
    """developers.google.com/identity/protocols/oauth2/service-account#delegatingauthority."""
    number = values.account_id or "the number in client_id of the JSON key file"
    return _page(
        f"{connection.code}: a Google service account sends as {connection.mailbox}. For the Workspace administrator.",
        (
            f"Enable the Gmail API in the project of the service account: {_GOOGLE_API}",
            f"Open {_GOOGLE_DELEGATION} as a super administrator (Admin console > {_GOOGLE_PLACE}); press Add new.",
            f"Client ID: {number}" + (f" (the account {values.account})" if values.account else ""),
            f"OAuth scopes: {scope_of(connection)}",
            "Press Authorize. It holds for every mailbox of the domain; Google has no smaller one. It can take a day.",
            f"Try it: datapallas system doctor {connection.code}",
        ),
        values.key_problem,
    )


def _steps(connection: Connection, client: OAuth2Client) -> str:
    steps = list((APP_ONLY_HELP if client.app_only else PROVIDER_HELP)[client.provider].steps)
    redirect = redirect_uri_to_register(client)
    if redirect:
        steps.append(f"Redirect address to register: {redirect}")
    if client.client_id:
        steps.append(f"The client id in this connection is {client.client_id}")
    steps.append(f"The scope it asks for is {scope(client) or 'not set'}")
    if client.certificate:
        steps.append(
            f"The public key to register: openssl pkey -in {shlex.quote(client.certificate)} -pubout"
        )
    if client.flow is Flow.SERVICEACCOUNT:
        steps.append(f"It acts for {connection.mailbox}; allow that")
    steps.append(f"Try it: datapallas system doctor {connection.code}")
    return _page(f"{connection.code}: what to set up at the provider for {connection.mailbox}.", steps)


def scope_of(connection: Connection) -> str:
    """The rights a connection asks for."""
    return scope(connection.credential) if isinstance(connection.credential, OAuth2Client) else ""


def _page(title: str, steps: list[str] | tuple[str, ...], problem: str = "") -> str:
    lines = [title, *([f"Attention: {problem}"] if problem else []), ""]
    lines += [f"{number}. {step}" for number, step in enumerate(steps, 1)]
    return "\n".join(f"# {_one_line(line)}".rstrip() for line in lines) + "\n"


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)
