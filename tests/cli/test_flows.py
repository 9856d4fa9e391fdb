"""`oauth2 sign-in --flow`: in a browser elsewhere, by a code on another device, and where there is no desktop."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, urlsplit

import pytest

from cli.shell import CODE
from datapallas.connection.model import OAuth2Client, Provider
from datapallas.home import Home
from datapallas.sandbox.clients import TENANT_ID
from datapallas.sandbox.person import browse

if TYPE_CHECKING:
    from cli.shell import Shell
    from datapallas.sandbox import Sandbox

SIGN_IN = ("system", "oauth2", "sign-in")
ALICE = "alice@sandbox.example"
URL = re.compile(r"http://127\.0\.0\.1:\d+/\S*authorize\S+")


def client(shell: Shell) -> OAuth2Client:
    found = Home(shell.root, {}).folder.load(CODE).credential
    assert isinstance(found, OAuth2Client)
    return found


def ended_at(url: str, *, deny: bool = False) -> str:
    """The address a browser on another machine ends at."""
    redirect = parse_qs(urlsplit(url).query)["redirect_uri"][0]
    return browse(url, login=ALICE, deny=deny, stop_at=redirect).url


class Typing:
    """A person at a real terminal: reads the screen, types, and sees how it ends."""

    def __init__(self, shell: Shell, *words: str) -> None:
        self._here, there = pty.openpty()
        self.screen = ""
        command = shell.command(*words)
        self.process = subprocess.Popen(
            command, env=dict(os.environ), stdin=there, stdout=subprocess.PIPE, stderr=there, text=True
        )
        os.close(there)

    def __enter__(self) -> Self:
        self._end = threading.Timer(30, self.process.kill)
        self._end.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._end.cancel()
        assert self.process.stdout is not None
        self.process.stdout.close()
        os.close(self._here)

    def sees(self, pattern: str) -> str:
        """Wait until the screen shows it; the first group, or all of it."""
        end = time.monotonic() + 60
        while not (found := re.search(pattern, self.screen)):
            assert time.monotonic() < end and self._read(1.0), self.screen
        return found[found.re.groups and 1]

    def types(self, text: str) -> None:
        os.write(self._here, text.encode())

    def ends(self) -> tuple[int, str]:
        """Exit code and stdout."""
        while self._read(20):
            pass
        assert self.process.stdout is not None
        return self.process.wait(60), self.process.stdout.read()

    def _read(self, seconds: float) -> bool:
        if not select.select([self._here], [], [], seconds)[0]:
            return self.process.poll() is None
        try:
            piece = os.read(self._here, 65536)
        except OSError:  # Linux: the other side is closed
            return False
        self.screen += piece.decode("utf-8", "replace")
        return bool(piece)


@pytest.fixture
def headless(shell: Shell) -> Shell:
    """A server without a desktop, with a connection nobody has signed in to."""
    shell.create()
    shell.monkeypatch.delenv("BROWSER")
    return shell


def test_paste_through_a_pipe(headless: Shell, sandbox: Sandbox) -> None:
    """A script prints the address to somebody and writes back what they pasted; one JSON document is the result."""
    with headless.start(*SIGN_IN, "--flow", "paste", "--json", stdin=subprocess.PIPE) as running:
        assert running.stderr and running.stdin
        lines = iter(running.stderr.readline, "")
        url = next(found[0] for line in lines if (found := URL.search(line)))
        running.stdin.write("hello\n")
        running.stdin.flush()
        assert any("Try again" in line for line in lines)
        running.stdin.write(ended_at(url) + "\n")
        running.stdin.flush()
        out, _ = running.communicate(timeout=60)
    assert running.returncode == 0 and json.loads(out)["account"] == ALICE
    assert client(headless).refresh_token
    assert headless.call("system", "test-email").code == 0


def test_paste_where_nothing_comes(headless: Shell) -> None:
    """Standard input is at its end: told as such, and nothing is stored."""
    before = headless.file.read_bytes()
    done = headless.call(*SIGN_IN, "--flow", "paste", "--json")
    assert done.code == 64 and done.json["error"]["id"] == "pasted-answer"
    assert headless.file.read_bytes() == before


def test_paste_that_nobody_answers(headless: Shell) -> None:
    """The time runs out while standard input stays open."""
    with headless.start(*SIGN_IN, "--flow", "paste", "--seconds", "1", stdin=subprocess.PIPE) as running:
        running.wait(60)
        assert running.returncode == 77
        _, err = running.communicate()
    assert "127.0.0.1" in err and "Nobody came back" in err


def test_paste_at_a_terminal(headless: Shell) -> None:
    """No desktop: the person is asked, takes paste, pastes over several lines, and is signed in."""
    with Typing(headless, *SIGN_IN) as person:
        person.sees(r"Which")
        person.types("\n")
        url = person.sees(rf"({URL.pattern})")
        person.sees("paste it here")
        address = ended_at(url)
        person.types(f"{address[:70]}\n{address[70:]}\n")
        code, out = person.ends()
    assert code == 0, person.screen
    assert f"Signed in as {ALICE}" in out
    assert person.screen.index("must be registered") < person.screen.index("on any machine")


def test_paste_of_a_refusal(headless: Shell) -> None:
    """The person pressed Decline: the pasted address says so, and the command ends with 77."""
    with Typing(headless, *SIGN_IN, "--flow", "paste") as person:
        url = person.sees(rf"({URL.pattern})")
        person.types(ended_at(url, deny=True) + "\n")
        code, _ = person.ends()
    assert code == 77 and "declined" in person.screen


def test_device_at_a_terminal(headless: Shell, sandbox: Sandbox) -> None:
    """Code, address, a QR code and a countdown; typed on a telephone, it signs in."""
    sandbox.settings.device_interval = 1.0
    words = (*SIGN_IN, "--flow", "device", "--issuer", sandbox.issuer)
    with Typing(headless, *words) as person:
        typed = person.sees(r"type this code there:\s+([A-Z0-9-]+)")
        person.sees(r"\d:\d\d left")
        browse(f"{sandbox.issuer}/device?user_code={typed}", login=ALICE)
        code, out = person.ends()
    assert code == 0, person.screen
    assert f"Signed in as {ALICE}" in out
    assert any(block in person.screen for block in "\N{FULL BLOCK}\N{UPPER HALF BLOCK}\N{LOWER HALF BLOCK}")
    assert client(headless).refresh_token


def test_device_in_a_log(headless: Shell, sandbox: Sandbox) -> None:
    """Without a terminal there is no picture and no countdown, and stdout is one document."""
    sandbox.settings.device_interval = 1.0
    words = (*SIGN_IN, "--flow", "device", "--issuer", sandbox.issuer, "--json")
    with headless.start(*words) as running:
        assert running.stderr
        lines = iter(running.stderr.readline, "")
        assert any("type this code" in line for line in lines)
        browse(f"{sandbox.issuer}/device?user_code={next(lines).strip()}", login=ALICE)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 0 and json.loads(out)["ok"] is True
    assert "left" not in err and "\N{UPPER HALF BLOCK}" not in err


def test_a_device_code_that_nobody_types(headless: Shell, sandbox: Sandbox) -> None:
    """It expires: 77, nothing stored."""
    sandbox.settings.device_interval = 1.0
    done = headless.call(*SIGN_IN, "--flow", "device", "--issuer", sandbox.issuer, "--seconds", "1", "--json")
    assert done.code == 77 and done.json["error"]["id"] == "device-code-expired"
    assert client(headless).refresh_token is None


def test_device_where_its_address_is_not_known(headless: Shell) -> None:
    """A connection with addresses of its own and no issuer: 78, and the other way is named."""
    done = headless.call(*SIGN_IN, "--flow", "device")
    assert done.code == 78 and "--issuer" in done.err and "--flow paste" in done.err


def test_google_gives_no_device_code_for_mail(shell: Shell, sandbox: Sandbox) -> None:
    """Said as such, with the other way."""
    wanted = sandbox.client(Provider.GOOGLE)
    (shell.root / "secret").write_text(sandbox.client_secret.reveal())
    words = ["--provider", "GOOGLE", "--client-id", wanted.client_id, "--client-secret", "secret"]
    sandbox.faults.next("device", "google:scope")
    shell.monkeypatch.setattr(
        "datapallas.connection.provider.GOOGLE_DEVICE", f"{sandbox.issuer}/o/oauth2/device/code"
    )
    done = shell.call(*SIGN_IN, *words, "--flow", "device", "--json")
    assert done.code == 77 and done.json["error"]["id"] == "device-not-allowed"
    assert "--flow paste" in done.json["error"]["fix"]


def test_no_desktop_and_no_terminal(headless: Shell) -> None:
    """From cron or a service: 77 at once, with what to do; --no-browser and --flow still mean what they say."""
    done = headless.call(*SIGN_IN, "--json")
    assert done.code == 77 and done.json["error"]["id"] == "no-desktop"
    for way in ("--flow paste", "--flow device", "--no-browser"):
        assert way in done.json["error"]["fix"]
    assert f"--connection {CODE}" in done.json["error"]["fix"]
    headless.person.there = False
    assert headless.call(*SIGN_IN, "--flow", "browser", "--seconds", "1").code == 77
    assert len(headless.person.opened) == 1
    assert headless.call(*SIGN_IN, "--no-browser", "--flow", "paste").code == 64


def test_a_tenant_that_forbids_device_codes(shell: Shell, sandbox: Sandbox) -> None:
    """Microsoft's security defaults: 77, Microsoft's own words, and the way that is open."""
    wanted = sandbox.client(Provider.MICROSOFT)
    words = ["--provider", "MICROSOFT", "--tenant-id", TENANT_ID, "--client-id", wanted.client_id]
    place = f"{sandbox.issuer}/{TENANT_ID}/oauth2/v2.0"
    shell.monkeypatch.setattr(
        "datapallas.connection.provider._microsoft", lambda client, leaf: f"{place}/{leaf}"
    )
    sandbox.faults.next("device", "AADSTS530032")
    done = shell.call(*SIGN_IN, *words, "--flow", "device", "--json")
    assert done.code == 77 and done.json["error"]["id"] == "device-not-allowed"
    assert "530032" in done.json["error"]["raw"]


def test_changed_settings_and_an_old_sign_in(shell: Shell, sandbox: Sandbox) -> None:
    """Refused up front without --drop-sign-in; with it, the old sign-in works until the new one has."""
    shell.signed_in()
    before = shell.file.read_bytes()
    words = ("--client-id", "sandbox-public")
    assert shell.call(*SIGN_IN, *words).code == 78
    assert shell.person.opened == []
    shell.person.there = False
    assert shell.call(*SIGN_IN, *words, "--drop-sign-in", "--seconds", "1").code == 77
    assert shell.file.read_bytes() == before
    shell.person.there = True
    assert shell.call(*SIGN_IN, *words, "--drop-sign-in").code == 0
    assert client(shell).client_id == "sandbox-public" and client(shell).refresh_token


def test_a_refusal_that_is_not_the_sign_ins_fault_is_in_list_and_status(
    shell: Shell, sandbox: Sandbox
) -> None:
    """An expired client secret: the list says since when, `status --check` ends with 78, a success ends it."""
    shell.signed_in()
    sandbox.faults.next("token", "AADSTS7000222")
    assert shell.call("oauth2", "refresh").code == 78
    row = shell.call("connection", "list", "--json").json["connections"][0]
    assert not row["ok"] and row["health"] == "refused"
    assert row["state"].startswith(f"signed in as {ALICE}, but refused since ")
    status = shell.call("oauth2", "status", "--check", "--json")
    assert (status.code, status.json["state"]) == (78, "signed-in")
    assert status.json["refusal"]["error_codes"] == [7000222]
    assert shell.call("oauth2", "refresh").code == 0
    assert shell.call("oauth2", "status", "--check").code == 0
