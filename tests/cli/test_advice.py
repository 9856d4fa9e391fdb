"""What a person is told when something goes wrong, with the real commands: the next step is the right one."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from cli.shell import CODE
from datapallas.connection.model import Password, Provider
from datapallas.home import Home
from datapallas.oauth.browser import open_address
from datapallas.secret import Secret

if TYPE_CHECKING:
    from pathlib import Path

    from cli.shell import Shell
    from datapallas.sandbox import Sandbox

TO = ("--to", "bob@sandbox.example")


def plain(shell: Shell, password: Secret | None) -> None:
    """A connection with a user and a password."""
    found = shell.sandbox.connection(provider=Provider.NONE)
    found = dataclasses.replace(found, credential=Password(user=shell.sandbox.users[0], password=password))
    Home(shell.root, os.environ).folder.create(dataclasses.replace(found, default=True))


@pytest.mark.parametrize("password", ["wrong", ""])
def test_a_password_that_is_wrong_or_missing(shell: Shell, password: str) -> None:
    """The advice is to set the password, not to sign in in a browser."""
    plain(shell, Secret(password) if password else None)
    done = shell.call("send", *TO, "--json")
    assert done.code in {77, 78} and "--password ask" in done.json["error"]["fix"]
    assert "sign-in" not in done.json["error"]["fix"]


def test_a_refused_from_is_named(shell: Shell) -> None:
    """Another From than the mailbox may use is explained with that address, not with the connection's."""
    shell.signed_in()
    error = shell.call("send", *TO, "--from", "boss@sandbox.example", "--json").json["error"]
    assert error["id"] == "send-as-denied"
    assert "boss@sandbox.example" in error["cause"]
    assert (
        "Send as alice@sandbox.example" in error["fix"] and "-Identity boss@sandbox.example" in error["fix"]
    )


def test_a_broken_default_connection_is_named(shell: Shell) -> None:
    """Sending without naming a connection says which file is broken, and where."""
    shell.signed_in()
    shell.file.write_bytes(shell.file.read_bytes().replace(b"</documentburster>", b""))
    done = shell.call("send", *TO, "--json")
    assert done.code == 78 and done.json["error"]["id"] == "broken-connection"
    assert str(shell.file) in done.json["error"]["title"] and str(shell.file) in done.json["error"]["fix"]
    shell.file.write_bytes(b"<")
    done = shell.call("send", *TO, "--json")
    assert done.json["error"]["id"] == "no-default-connection"
    assert f"Not readable: {shell.file}" in done.json["error"]["title"]


def test_a_sandbox_that_was_started_again(shell: Shell) -> None:
    """Its recipe deletes the connection to the one before, and who leaves that out is told so."""
    shell.signed_in()
    with shell.start("sandbox") as running:
        assert running.stderr and running.stdout
        assert any("Ctrl-C" in line for line in iter(running.stderr.readline, ""))
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate(timeout=60)
    lines = [line.strip() for line in out.splitlines() if line.startswith("  datapallas")]
    assert lines[0].startswith("datapallas connection delete eml-sandbox --force")
    assert lines[1].startswith("datapallas connection create sandbox")
    again = shell.call("connection", "create", "sandbox", "--json")
    assert again.json["error"]["id"] == "sandbox-connection-exists"
    assert "connection delete eml-sandbox --force" in again.json["error"]["fix"]
    assert shell.call("connection", "delete", "eml-sandbox", "--force").code == 0
    assert shell.call("connection", "create", "sandbox").code == 0


def test_a_sandbox_that_is_gone(shell: Shell) -> None:
    """Nothing listens on this machine any more: told as such, not as a firewall."""
    shell.signed_in()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
    url = f"token-url=http://127.0.0.1:{port}/token"
    assert shell.call("connection", "set", CODE, url, "--drop-sign-in").code == 0
    done = shell.call("oauth2", "sign-in", "--issuer", f"http://127.0.0.1:{port}", "--json")
    assert done.code == 75 and done.json["error"]["id"] == "loopback-refused"


def test_a_body_that_cannot_be_read(shell: Shell, tmp_path: Path) -> None:
    """A missing file and a file in another encoding are two things to do."""
    shell.signed_in()
    done = shell.call("send", *TO, "--text-file", "gone.txt", "--json")
    assert done.code == 65 and done.json["error"]["id"] == "body-file"
    assert "ls -l gone.txt" in done.json["error"]["fix"]
    (tmp_path / "old.txt").write_bytes(b"Gr\xfc\xdfe")
    done = shell.call("send", *TO, "--text-file", "old.txt", "--json")
    assert done.code == 65 and done.json["error"]["id"] == "body-encoding"


def test_a_generic_provider_without_addresses(shell: Shell) -> None:
    """A sign-in that does not know where to go says how to tell it."""
    words = ["--provider", "GENERIC", "--client-id", "x", "--scope", "smtp"]
    assert shell.call("connection", "create", "other", *words).code == 0
    error = shell.call("oauth2", "sign-in", "--connection", "eml-other", "--json").json["error"]
    assert error["id"] == "no-provider-address"
    assert "--issuer URL" in error["fix"] and "authorize-url=URL token-url=URL" in error["fix"]


def test_no_encryption(shell: Shell) -> None:
    """Security NONE where the server wants TLS: the advice is to switch it on."""
    shell.signed_in()
    assert shell.call("connection", "set", CODE, "security=NONE").code == 0
    error = shell.call("send", *TO, "--json").json["error"]
    assert error["id"] == "no-encryption" and "security=STARTTLS" in error["fix"]


def test_an_empty_key_file(shell: Shell) -> None:
    """An empty key is told as empty, with what to do where nothing was sealed and where something was."""
    key = shell.root / "empty.key"
    key.touch(0o600)
    shell.put(DATAPALLAS_KEY_SOURCE=f"file:{key}")
    done = shell.call("keys", "init", "--json")
    assert done.code == 78 and done.json["error"]["id"] == "key-empty"
    assert f"rm {key}" in done.json["error"]["fix"] and "backup" in done.json["error"]["fix"]


def test_a_browser_that_cannot_start(shell: Shell, sandbox: Sandbox) -> None:
    """BROWSER names something that fails: the person is asked to open the address."""
    for browser in (
        "/nowhere/browser %s",
        f"{sys.executable} -c 'raise SystemExit(3)' %s",
        "/nowhere/browser",
    ):
        assert not open_address("https://login.example/", {**os.environ, "BROWSER": browser})
    shell.create()
    shell.put(BROWSER="/nowhere/browser %s")
    done = shell.run("oauth2", "sign-in", "--connection", CODE, "--seconds", "1")
    assert done.code == 77
    assert "Open this address in a browser on this machine:" in done.err and sandbox.authorize_url in done.err


def test_every_json_answer_says_ok(shell: Shell) -> None:
    """Each document of a command that worked begins with ok, and it is true."""
    shell.signed_in()
    for words in (
        ("connection", "list"),
        ("connection", "show", CODE),
        ("connection", "set", CODE, "from-name=Reports"),
        ("connection", "default", CODE),
        ("connection", "duplicate", CODE, "copy"),
        ("oauth2", "status"),
        ("oauth2", "refresh"),
        ("keys", "verify"),
        ("send", *TO),
        ("explain", "invalid_grant"),
        ("oauth2", "sign-out"),
    ):
        done = shell.call(*words, "--json")
        assert done.code == 0 and done.json["ok"] is True, words
    done = shell.call("oauth2", "status", "--check", "--json")
    assert done.code == 77 and done.json["ok"] is False
