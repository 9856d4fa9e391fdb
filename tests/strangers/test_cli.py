"""What a user types, from an empty folder to a delivered mail, against servers that are not ours."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from strangers.identity_provider import CLIENT, SCOPE
from strangers.installation import ALICE
from strangers.link import Link
from strangers.person import Person

if TYPE_CHECKING:
    from pathlib import Path

    from strangers.identity_provider import IdentityProvider
    from strangers.mail_server import MailServer

pytestmark = pytest.mark.strangers
SECONDS = 180  # only against a hang


class Shell:
    """Runs `datapallas` in a home, as a user with no desktop does."""

    def __init__(self, home: Path) -> None:
        self._environ = {"PATH": os.environ["PATH"], "DATAPALLAS_HOME": str(home), "HOME": str(home)}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "datapallas", *words]
        return subprocess.run(
            command, env=self._environ, capture_output=True, text=True, timeout=SECONDS, check=False
        )

    def sign_in(self, person: Person, *words: str) -> tuple[int, str]:
        """Sign in with a person who opens the address the command prints; exit code and stdout."""
        command = [sys.executable, "-m", "datapallas", "system", "oauth2", "sign-in", "--no-browser", *words]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, env=self._environ, stdout=pipe, stderr=pipe, text=True) as process:
            deadline = threading.Timer(SECONDS, process.kill)
            deadline.start()
            assert process.stderr is not None and process.stdout is not None
            for line in process.stderr:
                if found := re.search(r"http\S+/auth\?\S+", line):
                    person.open_browser()(found[0])
                    break
            stdout = process.stdout.read()
            process.stderr.read()
            code = process.wait()
            deadline.cancel()
        return code, stdout


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path / "home")


def create(shell: Shell, provider: IdentityProvider, mail: MailServer, token_url: str = "") -> None:
    made = shell.run(
        *("connection", "create", "office", "--provider", "GENERIC", "--client-id", CLIENT, "--scope", SCOPE),
        *("--authorize-url", provider.authorize_url, "--token-url", token_url or provider.token_url),
        *(
            "--from",
            ALICE,
            "--from-name",
            "Reports",
            "--host",
            "localhost",
            "--port",
            str(mail.ports["xoauth2"]),
        ),
        *("--security", "STARTTLS", "--root-certificate", str(mail.ca), "--default"),
    )
    assert made.returncode == 0, made.stderr


def test_from_nothing_to_a_delivered_mail(
    provider: IdentityProvider, mail: MailServer, shell: Shell, tmp_path: Path
) -> None:
    """Create, sign in, test email, send with an attachment, status: each command ends with 0."""
    create(shell, provider, mail)
    code, out = shell.sign_in(Person(ALICE), "--connection", "eml-office")
    assert code == 0
    assert f"Signed in as {ALICE}" in out

    tried = shell.run("system", "test-email", "--connection", "eml-office", "--to", "me@any.test")
    assert tried.returncode == 0, tried.stderr
    (tmp_path / "body.html").write_text("<p>Grüße</p>")
    (tmp_path / "figures.pdf").write_bytes(b"%PDF-1.7 " + bytes(range(256)))
    sent = shell.run(
        *(
            "send",
            "--connection",
            "eml-office",
            "--to",
            "a@x.example",
            "--cc",
            "b@x.example",
            "--subject",
            "Figures",
        ),
        *("--html-file", str(tmp_path / "body.html"), "--attach", str(tmp_path / "figures.pdf")),
    )
    assert sent.returncode == 0, sent.stderr
    figures = [one for one in mail.delivered(3) if one["Subject"] == "Figures"]
    assert {one["Delivered-To"] for one in figures} == {"a@x.example", "b@x.example"}
    (attachment,) = figures[0].iter_attachments()
    assert attachment.get_filename() == "figures.pdf"
    assert figures[0]["From"] == f"Reports <{ALICE}>"

    listed = shell.run("connection", "list", "--json")
    assert ALICE in listed.stdout
    status = shell.run("system", "oauth2", "status", "--connection", "eml-office", "--json")
    assert json.loads(status.stdout)["state"] == "signed-in"


def test_without_a_connection_the_token_is_all_there_is_on_stdout(
    provider: IdentityProvider, shell: Shell
) -> None:
    """For the Java product and for scripts: two lines, nothing else."""
    options = ["--provider", "GENERIC", "--client-id", CLIENT, "--scope", SCOPE, "--issuer", provider.issuer]
    code, out = shell.sign_in(Person(ALICE), *options)
    assert code == 0
    account, token = out.splitlines()
    assert account == f"userEmail: {ALICE}"
    answer = provider.token(
        grant_type="refresh_token", client_id=CLIENT, refresh_token=token.removeprefix("refreshToken: ")
    )
    assert "access_token" in answer


def test_a_script_can_tell_later_from_never(
    provider: IdentityProvider, mail: MailServer, shell: Shell
) -> None:
    """While the provider is down mail is promised, 77 when a person must sign in, 0 after that; no token in any output."""
    send = ["send", "--to", "bob@any.test", "--subject", "x", "--text", "x"]
    with Link(provider.port) as link:
        create(shell, provider, mail, f"http://127.0.0.1:{link.port}/token")
        assert shell.run(*send).returncode == 77, "nobody has signed in yet"
        assert shell.sign_in(Person(ALICE), "--connection", "eml-office")[0] == 0
        link.down()
        later = shell.run(*send, "--wait", "2")
        assert later.returncode == 0 and "It is promised; do not run this again." in later.stderr
        link.up()
        assert shell.run("outbox", "run").returncode == 0
        provider.revoke_everything()
        parked = shell.run(*send)
        assert parked.returncode == 77
        assert "sign in" in parked.stderr.lower()
        assert shell.sign_in(Person(ALICE), "--connection", "eml-office")[0] == 0
        assert shell.run(*send).returncode == 0
    assert len(mail.delivered(2)) == 2


def test_mixed_answers_reach_the_script(provider: IdentityProvider, mail: MailServer, shell: Shell) -> None:
    """With --json each recipient's outcome can be read, and the exit code says that not all went well."""
    create(shell, provider, mail)
    shell.sign_in(Person(ALICE), "--connection", "eml-office")
    to = ["--to", "bob@any.test", "--to", "452-x@any.test", "--to", "550-x@any.test"]
    sent = shell.run("send", *to, "--subject", "x", "--text", "x", "--json")
    receipt = json.loads(sent.stdout)
    outcomes = {one["address"]: one["outcome"] for one in receipt["recipients"]}
    assert outcomes == {"bob@any.test": "accepted", "452-x@any.test": "deferred", "550-x@any.test": "refused"}
    assert sent.returncode != 0
