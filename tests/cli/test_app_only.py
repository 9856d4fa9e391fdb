"""App-only at the terminal: made, shown, tried, and what the administrator is handed."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import pytest

from datapallas.connection.model import Flow, OAuth2Client, Provider
from datapallas.home import Home
from datapallas.home.setup_microsoft import quoted

if TYPE_CHECKING:
    from cli.shell import Shell

CODE = "eml-reports"
CLIENT, TENANT = "11111111-2222-3333-4444-555555555555", "contoso.example"
MICROSOFT = ("--provider", "MICROSOFT", "--client-id", CLIENT, "--tenant-id", TENANT)


def create(shell: Shell, *words: str) -> str:
    done = shell.call("connection", "create", "reports", "--from", "reports@contoso.example", *words)
    assert done.code == 0, done.err
    return done.out + done.err


def script(shell: Shell) -> str:
    done = shell.call("oauth2", "setup-script", "--connection", CODE)
    assert done.code == 0, done.err
    return done.out


def test_the_whole_way_without_a_person(shell: Shell) -> None:
    """Stored, listed, checked, refreshed, sent: no command asks for a sign-in, and one refuses it."""
    found = dataclasses.replace(shell.sandbox.service_connection(certificate=True), code=CODE, default=True)
    Home(shell.root, {}).folder.create(found)
    assert "app-only as service@sandbox.example" in shell.call("connection", "list").out
    status = shell.call("oauth2", "status", "--check", "--json").json
    assert status["ok"] and (status["state"], status["flow"]) == ("app-only", "APPONLY")
    assert 364 < status["days_left"] < 365
    assert "gave a new token for service@sandbox.example" in shell.call("oauth2", "refresh").out
    for way in (["--flow", "paste"], []):  # before anything about browsers and terminals
        refused = shell.call("oauth2", "sign-in", *way)
        assert refused.code == 64 and "nobody signs in" in refused.err
    assert shell.call("send", "--to", "bob@sandbox.example", "--subject", "x", "--text", "x").code == 0
    assert shell.call("system", "test-email", "--to", "bob@sandbox.example").code == 0
    assert "app-only as service@sandbox.example" in shell.call("system", "doctor").out
    assert len(shell.sandbox.wait(2)) == 2
    shell.sandbox.faults.next("token", "AADSTS7000222")
    shell.call("oauth2", "refresh")
    assert shell.call("oauth2", "status", "--check").code == 78
    assert "Nobody was signed in" in shell.call("oauth2", "sign-out").out


def test_making_one_says_what_comes_next(shell: Shell) -> None:
    """The administrator's part and a test, and no sign-in; what is missing is missing before sending."""
    told = create(shell, *MICROSOFT, "--flow", "APPONLY")
    assert "setup-script" in told and "sign-in" not in told
    assert "Incomplete before sending: App-only needs a certificate" in told


def test_the_administrator_gets_powershell_for_app_only(shell: Shell) -> None:
    """Filled in: tenant, client, mailbox, the Enterprise application's object id, the certificate's thumbprint."""
    key = shell.sandbox.service_key()
    create(shell, *MICROSOFT, "--flow", "APPONLY", "--certificate", key)
    text = script(shell)
    for words in (
        f"$tenant = '{TENANT}'",
        f"$clientId = '{CLIENT}'",
        "$mailbox = 'reports@contoso.example'",
        "Where-Object Value -eq 'SMTP.SendAsApp'",
        "New-ServicePrincipal -AppId $clientId -ObjectId $app.Id",
        "$app = Get-MgServicePrincipal",
        "Add-MailboxPermission -Identity $mailbox",
        "Set-CASMailbox -Identity $mailbox -SmtpClientAuthenticationDisabled $false",
        "-Environment Global",
        "O365Default",
    ):
        assert words in text
    assert re.search(r"thumbprint [0-9A-F]{40}\.", text)
    assert "PRIVATE KEY" not in text and "SendAs " not in text
    shell.call("connection", "set", CODE, "cloud=USGOV", "login-hint=shared@contoso.example")
    text = script(shell)
    assert "-Environment USGov" in text and "entra.microsoft.us" in text
    assert "$mailbox = 'shared@contoso.example'" in text and "-AccessRights SendAs" in text


def test_the_administrator_gets_powershell_for_a_person_too(shell: Shell) -> None:
    """Delegated: a public client, consent for SMTP.Send, SMTP AUTH on."""
    create(shell, *MICROSOFT)
    text = script(shell)
    assert "http://localhost" in text and "'SMTP.Send'" in text and "SendAsApp" not in text
    assert "Set-CASMailbox" in text


def test_a_workspace_administrator_gets_the_clicks(shell: Shell) -> None:
    """The account's number from the key file, the scope, and where to enter both."""
    shell.sandbox.service_key()
    create(
        shell,
        *("--provider", "GOOGLE", "--flow", "SERVICEACCOUNT"),
        *("--certificate", str(shell.sandbox.folder / "service-account.json")),
    )
    text = script(shell)
    assert "100000000000000000001" in text and "robot@sandbox.example" in text
    assert "https://mail.google.com/" in text and "domain-wide delegation" in text
    assert all(line.startswith("#") for line in text.splitlines())
    (shell.sandbox.folder / "service-account.json").chmod(0o644)
    assert "Attention: The app's key" in script(shell)


def test_other_providers_get_their_steps(shell: Shell) -> None:
    """Any provider: what to register, with this connection's values; a password has nothing to set up."""
    create(
        shell, "--provider", "GENERIC", "--client-id", "abc", "--token-url", "https://id.corp.example/token"
    )
    assert "http://127.0.0.1/callback" in script(shell)
    shell.call("connection", "set", CODE, "flow=APPONLY")
    assert "client credentials grant" in script(shell)
    shell.call("connection", "create", "plain", "--host", "mail.example")
    assert shell.call("oauth2", "setup-script", "--connection", "eml-plain").code == 64


@pytest.mark.parametrize("quote", ["'", "\u2018", "\u2019", "\u201a", "\u201b"])
def test_a_value_stays_a_value(quote: str) -> None:
    """Whatever is in a field, PowerShell reads it as text: every quote it knows is doubled, lines do not break."""
    assert quoted(f"a{quote}; Remove-Mailbox b\n$(x)") == f"'a{quote}{quote}; Remove-Mailbox b $(x)'"


def test_a_script_breaks_no_line_of_a_comment(shell: Shell) -> None:
    """A value with a line break, put into the file by hand, runs nothing."""
    client = OAuth2Client(
        provider=Provider.MICROSOFT, client_id=CLIENT, flow=Flow.APPONLY, certificate="a\nRemove-Mailbox"
    )
    found = dataclasses.replace(
        shell.sandbox.service_connection(), code=CODE, credential=client, default=True
    )
    Home(shell.root, {}).folder.create(found)
    assert not any(line.startswith("Remove-Mailbox") for line in script(shell).splitlines())
