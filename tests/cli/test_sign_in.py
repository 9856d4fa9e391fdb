"""`system oauth2 ...`: signing in through the browser, and looking after the sign-in."""

from __future__ import annotations

import json
import signal
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from cli.shell import CODE, PERSON
from datapallas.connection.model import OAuth2Client, Provider
from datapallas.home import Home

if TYPE_CHECKING:
    from cli.shell import Shell
    from datapallas.sandbox import Sandbox

SIGN_IN = ("system", "oauth2", "sign-in")


def client(shell: Shell) -> OAuth2Client:
    """What the file says about the sign-in."""
    found = Home(shell.root, {}).folder.load(CODE).credential
    assert isinstance(found, OAuth2Client)
    return found


def contents(root: Path) -> dict[Path, bytes]:
    """Every file of the home but the locks, which say who held them last."""
    found = (path for path in root.rglob("*") if path.is_file() and path.parent.name != "locks")
    return {path: path.read_bytes() for path in found}


def point_at(shell: Shell, provider: Provider) -> None:
    """Make the connection speak to the sandbox in a provider's dialect, by commands a person can type."""
    wanted = shell.sandbox.client(provider)
    words = ["--client-id", wanted.client_id, "--authorize-url", wanted.authorize_url]
    words += ["--token-url", wanted.token_url, "--from", "alice@sandbox.example"]
    words += ["--host", shell.sandbox.smtp_host, "--port", str(shell.sandbox.smtp_port)]
    words += ["--root-certificate", str(shell.sandbox.ca_file)]
    if wanted.tenant_id:
        words += ["--tenant-id", wanted.tenant_id]
    if wanted.client_secret:
        words += ["--client-secret", "-"]
    secret = shell.sandbox.client_secret.reveal().encode()
    done = shell.call("connection", "create", "sandbox", "--provider", provider.value, *words, stdin=secret)
    assert done.code == 0, done.err


def test_a_person_signs_in_with_a_real_browser_and_sends(shell: Shell, sandbox: Sandbox) -> None:
    """The whole way with real processes: what to register is printed first, the token is sealed, mail goes out."""
    shell.create()
    shell.put(DATAPALLAS_SANDBOX_LOGIN="alice@sandbox.example")
    before = shell.file.read_bytes()
    done = shell.run(*SIGN_IN, "--connection", CODE)
    assert done.code == 0, done.err
    assert f"Signed in as alice@sandbox.example\nSaved to {shell.file}" in done.out
    order = ["must be registered", "http://127.0.0.1/callback", "Your browser opens", sandbox.authorize_url]
    places = [done.err.index(part) for part in order]
    assert places == sorted(places)
    assert shell.file.read_bytes() != before and b"<oauth2refreshtoken>ENC(v1" in shell.file.read_bytes()
    assert stat.S_IMODE(shell.file.stat().st_mode) == 0o600
    assert shell.run("system", "test-email", "--to", "bob@sandbox.example").code == 0
    assert sandbox.wait(1)[0].recipients == ("bob@sandbox.example",)


@pytest.mark.parametrize("provider", [Provider.MICROSOFT, Provider.GOOGLE])
def test_the_dialects_of_the_big_providers(shell: Shell, sandbox: Sandbox, provider: Provider) -> None:
    """Sign-in, refresh, test email and sign-out work as with Microsoft and with Google (whose client has a secret)."""
    point_at(shell, provider)
    done = shell.call(*SIGN_IN)
    assert done.code == 0, done.err
    asked = parse_qs(urlsplit(shell.person.opened[0]).query)
    assert asked["code_challenge_method"] == ["S256"]
    wanted = "http://localhost" if provider is Provider.MICROSOFT else "http://127.0.0.1"
    assert asked["redirect_uri"][0].startswith(wanted)
    assert shell.call("oauth2", "refresh").code == 0
    assert shell.call("system", "test-email").code == 0
    assert len(sandbox.messages) == 1
    shell.call("oauth2", "sign-out")
    assert shell.call("send", "--to", "bob@sandbox.example").code == 77


def test_the_command_of_the_manual_with_a_file(shell: Shell, sandbox: Sandbox) -> None:
    """All options given again beside --email-connection-file, as the guide shows it, is what it says."""
    point_at(shell, Provider.MICROSOFT)
    wanted = sandbox.client(Provider.MICROSOFT)
    words = ["--provider", "MICROSOFT", "--tenant-id", wanted.tenant_id, "--client-id", wanted.client_id]
    file = "config/connections/eml-sandbox.xml"
    done = shell.call(*SIGN_IN, *words, "--email-connection-file", file, "--json")
    assert done.code == 0, done.err
    assert done.json["account"] == "alice@sandbox.example" and done.json["connection"] == CODE
    assert done.json["path"] == str(shell.file)


def test_without_a_file_only_the_two_values_are_printed(shell: Shell, sandbox: Sandbox) -> None:
    """`--provider` and no connection: stdout has userEmail and refreshToken, and nothing is stored anywhere."""
    wanted = sandbox.client(Provider.MICROSOFT)
    words = ["--provider", "MICROSOFT", "--tenant-id", wanted.tenant_id, "--client-id", wanted.client_id]
    words += ["--authorize-url", wanted.authorize_url, "--token-url", wanted.token_url]
    shell.person.login = "alice@sandbox.example"
    done = shell.call(*SIGN_IN, *words, watched=False)
    email, token = done.out.splitlines()
    assert email == "userEmail: alice@sandbox.example"
    assert token.removeprefix("refreshToken: ") in sandbox.provider.ledger.refreshes
    assert token.removeprefix("refreshToken: ") not in done.err
    assert [path for path in shell.root.rglob("*") if path.is_file()] == []
    done = shell.call(*SIGN_IN, *words, "--json", watched=False)
    assert done.json.keys() == {"ok", "userEmail", "refreshToken"}


def test_a_client_secret_comes_from_a_file_and_never_from_the_command_line(
    shell: Shell, sandbox: Sandbox
) -> None:
    """Google's desktop client has a secret; it is read from a file, and a wrong one is told as such."""
    wanted = sandbox.client(Provider.GOOGLE)
    (shell.root / "secret").write_text(sandbox.client_secret.reveal() + "\n")
    (shell.root / "wrong").write_text("canary-of-a-secret\n")
    shell.secrets.add("canary-of-a-secret")
    words = ["--provider", "GOOGLE", "--client-id", wanted.client_id]
    words += ["--authorize-url", wanted.authorize_url, "--token-url", wanted.token_url]
    assert shell.call(*SIGN_IN, *words, "--client-secret", "secret", watched=False).code == 0
    done = shell.call(*SIGN_IN, *words, "--client-secret", "wrong", "--json")
    assert done.code == 78
    assert shell.call(*SIGN_IN, *words, "--client-secret", "nowhere").code == 64


def test_no_desktop(shell: Shell) -> None:
    """With --no-browser the address is printed for a person to open, and the command waits for it."""
    shell.create()
    with shell.start(*SIGN_IN, "--no-browser") as running:
        assert running.stderr
        lines = iter(running.stderr.readline, "")
        assert any("Open this address in a browser on this machine" in line for line in lines)
        url = next(lines).strip()
        shell.person(url, {})
        out, _ = running.communicate(timeout=60)
    assert running.returncode == 0 and "Signed in as alice@sandbox.example" in out


def test_wrong_client(shell: Shell, sandbox: Sandbox) -> None:
    """A client id the provider does not know: nobody comes back from the browser, and the advice names the id."""
    shell.create("--client-id", "canary-client")
    before = shell.file.read_bytes()
    done = shell.call(*SIGN_IN, "--seconds", "1")
    assert done.code == 77
    assert shell.file.read_bytes() == before


def test_wrong_tenant(shell: Shell, sandbox: Sandbox) -> None:
    """A tenant Microsoft does not know is shown in the browser; here the wait ends and the redirect is named."""
    point_at(shell, Provider.MICROSOFT)
    authorize = f"{sandbox.issuer}/nowhere.example/oauth2/v2.0/authorize"
    token = f"{sandbox.issuer}/nowhere.example/oauth2/v2.0/token"
    changes = [f"authorize-url={authorize}", f"token-url={token}", "tenant-id=nowhere.example"]
    assert shell.call("connection", "set", CODE, *changes).code == 0
    done = shell.call(*SIGN_IN, "--seconds", "1", "--json")
    assert done.code == 77 and done.json["error"]["id"] == "sign-in-timeout"


def test_consent_refused(shell: Shell) -> None:
    """The person presses Decline: told at once, nothing stored, and who can help."""
    shell.create()
    shell.person.deny = True
    before = shell.file.read_bytes()
    done = shell.call(*SIGN_IN, "--json")
    assert done.code == 77 and done.json["exit_code"] == 77
    assert done.json["error"]["fix"]
    assert shell.file.read_bytes() == before


def test_another_account_needs_a_yes(shell: Shell, sandbox: Sandbox) -> None:
    """Signed in as somebody else: refused with both names, nothing stored; --accept-account agrees."""
    shell.create()
    shell.person.login = "bob@sandbox.example"
    before = shell.file.read_bytes()
    done = shell.call(*SIGN_IN)
    assert done.code == 77
    assert "bob@sandbox.example" in done.err and "alice@sandbox.example" in done.err
    assert "--accept-account" in done.err
    assert shell.file.read_bytes() == before
    assert shell.call(*SIGN_IN, "--accept-account").code == 0
    assert client(shell).user_email == "bob@sandbox.example"


@pytest.mark.parametrize("what", ["narrower-scope", "no-refresh-token"])
def test_less_than_was_asked_for(shell: Shell, sandbox: Sandbox, what: str) -> None:
    """A right that was not granted, or a sign-in that would not last, is told at once, with the fix."""
    shell.create()
    sandbox.faults.next("token:authorization_code", what)
    done = shell.call(*SIGN_IN, "--json")
    assert done.code == 77 and done.json["error"]["id"] in {"narrow-scope", "no-refresh-token"}
    assert "sign in again" in done.json["error"]["fix"]
    assert not client(shell).refresh_token


@pytest.mark.parametrize(("what", "code"), [("AADSTS7000218", 78), ("AADSTS50196", 75), ("503", 75)])
def test_the_provider_refuses_the_code(shell: Shell, sandbox: Sandbox, what: str, code: int) -> None:
    """What the provider answers decides the exit code, and its own words are shown."""
    point_at(shell, Provider.MICROSOFT)
    sandbox.faults.next("token", what)
    done = shell.call(*SIGN_IN, "--json")
    assert (done.code, done.json["exit_code"]) == (code, code)
    assert not client(shell).refresh_token


def test_nobody_comes_back(shell: Shell) -> None:
    """The person closes the browser: the wait ends, and the advice names the address that may not be registered."""
    shell.create()
    shell.person.there = False
    before = shell.file.read_bytes()
    done = shell.call(*SIGN_IN, "--seconds", "1")
    assert done.code == 77 and "http://127.0.0.1" in done.err
    assert shell.file.read_bytes() == before


def test_options_of_a_failed_sign_in_leave_no_trace(shell: Shell) -> None:
    """Settings that were tried with a sign-in are kept only when it worked."""
    shell.create()
    shell.person.there = False
    was = client(shell)
    assert shell.call(*SIGN_IN, "--seconds", "1", "--client-id", "sandbox-public").code == 77
    assert client(shell) == was
    shell.person.there = True
    assert shell.call(*SIGN_IN, "--client-id", "sandbox-public").code == 0
    assert client(shell).client_id == "sandbox-public"


def test_ctrl_c_leaves_nothing_behind(shell: Shell, tmp_path: Path) -> None:
    """Ctrl-C while waiting: 130, the file as before, the port free, no file left; and no secret in any argument."""
    shell.call("keys", "init")
    shell.create()
    files = contents(shell.root)
    with shell.start(*SIGN_IN, "--no-browser") as running:
        assert running.stderr
        lines = iter(running.stderr.readline, "")
        url = next(line.strip() for line in lines if line.strip().startswith(shell.sandbox.issuer))
        assert any("Waiting for the sign-in" in line for line in lines)
        port = urlsplit(parse_qs(urlsplit(url).query)["redirect_uri"][0]).port
        assert port
        arguments = Path(f"/proc/{running.pid}/cmdline")
        if arguments.exists():
            assert arguments.read_bytes().split(b"\0")[3:-1] == [
                b"system",
                b"oauth2",
                b"sign-in",
                b"--no-browser",
            ]
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 130 and out == "" and "Interrupted" in err
    assert contents(shell.root) == files
    with socket.socket() as free:
        free.bind(("127.0.0.1", port))


def test_ctrl_c_with_json(shell: Shell) -> None:
    """A script that interrupts the command gets a document too."""
    shell.create()
    with shell.start(*SIGN_IN, "--no-browser", "--json") as running:
        assert running.stderr
        assert any("Waiting" in line for line in iter(running.stderr.readline, ""))
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate(timeout=60)
    assert running.returncode == 130 and json.loads(out)["exit_code"] == 130


def test_a_port_that_is_taken(shell: Shell) -> None:
    """A fixed port another program holds: told before the browser opens, with the port; other ports are offered."""
    shell.create()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = shell.call(*SIGN_IN, "--redirect-uri", f"http://127.0.0.1:{port}/callback")
    assert done.code == 78 and str(port) in done.err and "--redirect-uri" in done.err
    assert shell.person.opened == []


@pytest.mark.parametrize("uri", ["https://127.0.0.1/callback", "http://contoso.example/callback", "nonsense"])
def test_a_redirect_address_nobody_can_listen_on(shell: Shell, uri: str) -> None:
    """An address that is not plain http on this machine is refused with the reason."""
    shell.create()
    done = shell.call(*SIGN_IN, "--redirect-uri", uri)
    assert done.code == 78 and uri in done.err
    assert shell.person.opened == []


@pytest.mark.parametrize("option", ["--authorize-url", "--token-url"])
def test_a_provider_address_must_be_https(shell: Shell, option: str) -> None:
    """Plain http to another machine is refused when it is typed."""
    done = shell.call(*SIGN_IN, "--provider", "GENERIC", option, "http://login.example/x")
    assert done.code == 64 and "https" in done.err


def test_a_token_the_provider_refuses_parks_until_a_new_sign_in(shell: Shell, sandbox: Sandbox) -> None:
    """Refused once: 77, the list and the status say so, nothing is deleted; a new sign-in sends again."""
    shell.create()
    assert shell.call(*SIGN_IN).code == 0
    sandbox.faults.next("token:refresh_token", "AADSTS50173")
    sealed = client(shell).refresh_token
    done = shell.call("send", "--to", "bob@sandbox.example", "--json")
    assert done.code == 77 and "password" in done.json["error"]["cause"]
    again = shell.call("send", "--to", "bob@sandbox.example")
    assert again.code == 77 and f"--connection {CODE}" in again.err
    assert client(shell).refresh_token == sealed
    row = shell.call("connection", "list", "--json").json["connections"][0]
    assert (
        not row["ok"]
        and row["state"].startswith("parked: the provider refuses it since")
        and "sign in again" in row["state"]
    )
    status = shell.call("oauth2", "status", "--check", "--json")
    assert status.code == 77 and status.json["state"] == "parked"
    assert status.json["refusal"]["error"] == "invalid_grant"
    assert shell.call(*SIGN_IN).code == 0
    assert shell.call("send", "--to", "bob@sandbox.example").code == 0
    assert shell.call("oauth2", "status", "--check").code == 0


def test_refresh_and_sign_out(shell: Shell, sandbox: Sandbox) -> None:
    """A refresh takes the next token of the chain; a sign-out ends it here and at the provider's, and says which."""
    assert shell.call("oauth2", "status").code == 78  # no connection at all
    shell.create()
    assert shell.call("oauth2", "status", "--check", "--json").json["state"] == "signed-out"
    assert shell.call("oauth2", "refresh").code == 77
    assert shell.call(*SIGN_IN).code == 0
    sealed = client(shell).refresh_token
    assert shell.call("oauth2", "refresh", "--json").json["state"] == "signed-in"
    assert client(shell).refresh_token != sealed
    done = shell.call("oauth2", "sign-out", "--json")
    assert done.json["forgotten"] and not client(shell).refresh_token
    assert "Nobody was signed in" in shell.call("oauth2", "sign-out").out
    assert shell.call("send", "--to", "bob@sandbox.example").code == 77


def test_a_refusal_is_explained_with_real_names(shell: Shell, sandbox: Sandbox) -> None:
    """The advice names this mailbox, this client and this connection, not CODE or MAILBOX."""
    point_at(shell, Provider.MICROSOFT)
    assert shell.call(*SIGN_IN).code == 0
    reply = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant"
    sandbox.faults.next("auth", reply, times=2)
    done = shell.call("send", "--to", "bob@sandbox.example")
    assert done.code == 77
    assert "-Identity alice@sandbox.example" in done.err and reply[12:] in done.err
    sandbox.faults.next("token", "AADSTS65001")
    done = shell.call("oauth2", "refresh")
    assert not {"CODE", "MAILBOX", "CLIENT", "TENANT"} & set(done.err.replace("`", " ").split())


def test_secrets_stay_out_of_tracebacks(shell: Shell, sandbox: Sandbox) -> None:
    """DATAPALLAS_DEBUG shows where it failed, and still no secret."""
    shell.signed_in()
    shell.put(DATAPALLAS_DEBUG="1")
    sandbox.faults.next("token", "AADSTS70000", times=0)
    for words in (("oauth2", "refresh"), ("send", "--to", "bob@sandbox.example")):
        done = shell.call(*words)
        assert done.code == 77 and "Traceback" in done.err
    sandbox.faults.clear()
    shell.call(*SIGN_IN)
    sandbox.faults.next("auth", "535 5.7.8 no", times=0)
    done = shell.call("send", "--to", "bob@sandbox.example", "--show-dialogue")
    assert done.code == 77 and "******" in done.err


def test_the_browser_is_told_no_secret(shell: Shell, tmp_path: Path) -> None:
    """What stands in the arguments of the browser is the address and nothing that stays secret."""
    seen = tmp_path / "seen"
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\nprintf \'%s\' "$1" > {seen}\nexec {PERSON.removesuffix(" %s")} "$1"\n')
    script.chmod(0o700)
    shell.put(BROWSER=f"{script} %s", DATAPALLAS_SANDBOX_LOGIN="alice@sandbox.example")
    shell.create()
    assert shell.run(*SIGN_IN).code == 0
    url = seen.read_text()
    assert "code_challenge=" in url and "code_verifier" not in url
    assert not [secret for secret in shell.known_secrets() if secret in url]
