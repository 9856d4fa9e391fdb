"""The scripted browser: against the sandbox's pages, against npm oidc-provider's, and as the system's browser."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from datapallas.sandbox import Sandbox, person
from datapallas.sandbox.person import Lost, browse
from sandbox.program import REDIRECT, Program
from strangers.identity_provider import CLIENT, identity_provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from strangers.identity_provider import IdentityProvider


def test_the_login_comes_from_the_environment(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """DATAPALLAS_SANDBOX_LOGIN names the person when nobody else does; the page's suggestion comes last."""
    monkeypatch.setenv(person.LOGIN_VARIABLE, "reports@sandbox.example")
    assert program.redeem(program.callback()["code"]).status == 200
    users = [code.grant.user for code in program.sandbox.provider.ledger.codes.values()]
    monkeypatch.delenv(person.LOGIN_VARIABLE)
    program.callback(login_hint="bob@sandbox.example")
    program.callback()
    users = [code.grant.user for code in program.sandbox.provider.ledger.codes.values()]
    assert users == ["reports@sandbox.example", "bob@sandbox.example", "alice@sandbox.example"]


def test_pages_that_do_not_end_are_told(sandbox: Sandbox) -> None:
    """A page that always asks again, an address that is no web page, a server that is not there."""
    program = Program(sandbox)
    with pytest.raises(Lost, match="do not come to an end"):
        browse(program.address(), login="nobody@x.example")
    with pytest.raises(Lost, match="not a web address"):
        browse("file:///etc/passwd")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Lost, match="cannot open"):
        browse(f"http://127.0.0.1:{port}/?secret=1")


def test_it_returns_at_once_and_brings_the_code(program: Program) -> None:
    """As BROWSER it comes back before the pages are done, and the callback arrives by itself."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        redirect = f"http://127.0.0.1:{listening.getsockname()[1]}/callback"
        url = program.address(redirect_uri=redirect)
        command = [sys.executable, "-m", "datapallas.sandbox.person", url]
        environment = {**os.environ, person.LOGIN_VARIABLE: "bob@sandbox.example"}
        started = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=True)
        assert (started.stdout, started.stderr) == (b"", b"")
        listening.settimeout(60)
        link, _ = listening.accept()
        with link:
            asked = link.recv(65536)
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        assert asked.startswith(b"GET /callback?code=")


def test_it_can_be_waited_for(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    """With --wait it prints where it ended, without the code, and fails when it got lost."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = program.address(redirect_uri=f"http://127.0.0.1:{port}/callback")
    assert person.main(["--wait", address]) == 1
    said = capsys.readouterr()
    assert "cannot open" in said.err and "refused" in said.err
    assert "code=" not in said.err + said.out
    assert person.main(["--wait", f"{program.sandbox.issuer}/"]) == 0
    assert capsys.readouterr().out == f"{program.sandbox.issuer}/\n"


@pytest.fixture(scope="module")
def npm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityProvider]:
    """npm oidc-provider with its devInteractions pages."""
    with identity_provider(tmp_path_factory.mktemp("npm")) as provider:
        yield provider


def ask_npm(npm: IdentityProvider, **more: str) -> str:
    """An authorization request for it."""
    asked = {
        "client_id": CLIENT,
        "response_type": "code",
        "scope": "openid offline_access smtp",
        "redirect_uri": REDIRECT,
        "state": "s",
        "prompt": "consent",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
        **more,
    }
    return f"{npm.authorize_url}?{urlencode(asked)}"


@pytest.mark.strangers
def test_it_finds_its_way_through_a_strangers_pages(npm: IdentityProvider) -> None:
    """oidc-provider's login and consent pages lead to a code, or to access_denied."""
    back = dict(parse_qsl(urlsplit(browse(ask_npm(npm), login="a@b.example", stop_at=REDIRECT).url).query))
    assert back["code"] and back["state"] == "s" and back["iss"] == npm.issuer
    denied = dict(parse_qsl(urlsplit(browse(ask_npm(npm), deny=True, stop_at=REDIRECT).url).query))
    assert denied["error"] == "access_denied"
