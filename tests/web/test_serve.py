"""The command `serve`: where it listens, the link, how it ends, and what it refuses to start with."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from fastapi import APIRouter, Depends
from starlette.responses import StreamingResponse

from datapallas.errors import ConfigurationError, UsageError
from datapallas.home import Home
from datapallas.web import app as application
from datapallas.web import serving
from datapallas.web.address import Wanted, take
from datapallas.web.guard import needs
from datapallas.web.serve import serve
from datapallas.web.services import Mode, Settings
from datapallas.web.who import Role
from strangers.process import free_ports
from web.command import run, started, with_tls
from web.page import PASSWORD, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PUBLIC = "https://mail.example"


def test_the_page_is_served_and_opened_by_the_link(environ: dict[str, str]) -> None:
    """`serve` prints a link; it opens the page, once; a new one comes from `serve --new-link`; SIGTERM ends it."""
    with started(environ, "--port", "0") as page:
        address = page.told["url"]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
        with httpx2.Client(base_url=address, trust_env=False, follow_redirects=True) as browser:
            assert browser.get("/").status_code == 401
            assert browser.get(page.told["link"]).status_code == 200
            assert browser.get("/").status_code == 200
            head = browser.get("/healthz")
            assert head.text == "ok\n"
            assert "server" not in head.headers
        again = json.loads(run(environ, "serve", "--new-link", "--json").stdout)
        assert again["url"] == address
        assert page.get(again["link"]).status_code == 303
        assert page.get(again["link"]).status_code == 401
        other = run(environ, "serve", "--json")
        assert other.returncode == 78
        assert json.loads(other.stdout)["error"]["id"] == "already-serving"
        page.process.send_signal(signal.SIGTERM)
        out, err = page.process.communicate(timeout=60)
        assert page.process.returncode == 0
        assert out == ""
        assert "Traceback" not in err
        assert "key=" not in err
    gone = run(environ, "serve", "--new-link", "--json")
    assert gone.returncode == 78
    assert json.loads(gone.stdout)["error"]["id"] == "not-serving"


def test_a_killed_server_is_not_believed_to_run(environ: dict[str, str]) -> None:
    """After kill -9 the next `serve` starts, with the sessions of the one before."""
    port = str(free_ports(1)[0])
    with started(environ, "--port", port) as page:
        cookie = page.get(page.told["link"]).headers["set-cookie"].partition(";")[0]
        page.process.kill()
        page.process.wait(60)
        assert (
            json.loads(run(environ, "serve", "--new-link", "--json").stdout)["error"]["id"] == "not-serving"
        )
    with started(environ, "--port", port) as page:
        answer = page.get(page.told["url"] + "/connections", headers={"Cookie": cookie})
        assert answer.status_code == 200


@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="the system does not tell")  # noqa: PTH110
def test_only_loopback_is_listened_on(environ: dict[str, str]) -> None:
    """Nobody on the network reaches a local page, not even to be refused."""
    with started(environ, "--port", "0") as page:
        port = int(page.told["url"].rpartition(":")[2])
        inodes = set()
        for fd in os.listdir(f"/proc/{page.process.pid}/fd"):  # noqa: PTH208
            with contextlib.suppress(OSError):
                inodes.add(os.readlink(f"/proc/{page.process.pid}/fd/{fd}"))  # noqa: PTH115
        listening = []
        for table in ("tcp", "tcp6"):
            with open(f"/proc/net/{table}", encoding="ascii") as file:  # noqa: PTH123
                rows = [line.split() for line in file][1:]
            listening += [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]
        assert listening == [f"0100007F:{port:04X}"]


def test_a_taken_port_is_told_or_avoided(tmp_path: Path) -> None:
    """A port that was asked for and is taken is an error; without asking, a free one is found."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError) as problem:
            take(Wanted(port=port))
        assert problem.value.code == "serve-address"
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            place = take(Wanted())
            stack.enter_context(place.socket)
        assert place.socket.getsockname()[1] != 8125
        assert place.settings.origin == f"http://127.0.0.1:{place.socket.getsockname()[1]}"


def test_a_home_that_is_served_already_says_where(tmp_path: Path) -> None:
    """Also when the port of the first server was asked for: the way to it is told, not that its port is taken."""
    with socket.create_server(("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        settings = Settings(origin=f"http://127.0.0.1:{port}", hosts=frozenset())
        with serving.registered(tmp_path, settings), pytest.raises(ConfigurationError) as problem:
            serve(Home(tmp_path, {}), Wanted(port=port), lambda _: None, lambda: None)
    assert problem.value.code == "already-serving" and f":{port}" in problem.value.message


_STUCK = """
import sys, threading
from fastapi import APIRouter, Depends
from datapallas.cli import main
from datapallas.web import app
from datapallas.web.guard import public
router = APIRouter()
@router.get("/stuck", dependencies=[Depends(public)])
def stuck() -> None:
    print("stuck", file=sys.stderr, flush=True)
    threading.Event().wait(600)
app.ROUTERS = (*app.ROUTERS, router)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_although_a_thread_is_stuck(environ: dict[str, str], how: signal.Signals) -> None:
    """A request that waits for a server that never answers does not keep the command from ending."""
    words = (sys.executable, "-c", _STUCK, "serve", "--json", "--port", "0")
    with started(environ, words=words) as page, socket.socket() as connection:
        connection.connect(("127.0.0.1", int(page.told["url"].rpartition(":")[2])))
        host = page.told["url"].removeprefix("http://")
        connection.sendall(f"GET /stuck HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert page.process.stderr is not None
        while page.process.stderr.readline() != "stuck\n":
            assert page.process.poll() is None
        page.process.send_signal(how)
        assert page.process.wait(60) == 0  # the thread is stuck for ten minutes


def test_it_ends_while_somebody_watches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that streams for ever does not hold up the end; whoever watches work is told how it ended, before."""
    router = APIRouter(dependencies=[Depends(needs(Role.VIEWER))])
    ended = threading.Event()

    @router.get("/watch")
    def watch() -> StreamingResponse:
        def lines() -> Iterator[bytes]:
            yield b"data: 1\n\n"
            ended.wait(600)
            yield b"data: 2\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")

    @router.get("/for-ever")
    async def for_ever() -> StreamingResponse:
        import asyncio

        async def lines() -> Any:
            while True:
                yield b"data: 1\n\n"
                await asyncio.sleep(0.01)

        return StreamingResponse(lines(), media_type="text/event-stream")

    monkeypatch.setattr(application, "ROUTERS", (*application.ROUTERS, router))
    with socket.socket() as watched, socket.socket() as other:
        with served(tmp_path) as page:
            monkeypatch.setattr(type(page.services.sign_ins), "close", lambda _: ended.set())
            sent = page.entered().headers(change=False) | {"Host": page.host}
            lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
            for connection, path in ((watched, "/watch"), (other, "/for-ever")):
                connection.settimeout(60)
                connection.connect(("127.0.0.1", page.port))
                connection.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
                head = b""
                while b"data: 1" not in head:
                    head += connection.recv(65536)
                assert head.startswith(b"HTTP/1.1 200 ")
        assert b"data: 2" in watched.recv(65536)


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (Wanted(public_url=PUBLIC), "serve-without-tls"),
        (Wanted(public_url="http://mail.example", proxies=("127.0.0.1",)), "usage"),
        (Wanted(public_url="https://mail.example/mail", proxies=("127.0.0.1",)), "usage"),
        (Wanted(public_url="https://user@mail.example", proxies=("127.0.0.1",)), "usage"),
        (Wanted(public_url="https://mail.example?x", proxies=("127.0.0.1",)), "usage"),
        (Wanted(public_url="https://mail.example:99999", proxies=("127.0.0.1",)), "usage"),
        (Wanted(public_url="https://", proxies=("127.0.0.1",)), "usage"),
        (Wanted(public_url="https://maíl.example", proxies=("127.0.0.1",)), "usage"),
        (Wanted(public_url=PUBLIC, proxies=("proxy.example",)), "usage"),
        (Wanted(public_url=PUBLIC, proxies=("127.0.0.1",), listen="8125"), "usage"),
        (Wanted(public_url=PUBLIC, proxies=("127.0.0.1",), listen="here:8125"), "usage"),
        (Wanted(public_url=PUBLIC, proxies=("127.0.0.1",), listen="127.0.0.1:99999"), "usage"),
        (Wanted(public_url=PUBLIC, proxies=("127.0.0.1",), port=1), "usage"),
        (Wanted(proxies=("127.0.0.1",)), "usage"),
        (Wanted(listen="0.0.0.0:8125"), "usage"),
    ],
)
def test_what_does_not_fit_together_is_refused(wanted: Wanted, code: str) -> None:
    """No page for several people without TLS or a named proxy, and no public URL that is not just a host."""
    with pytest.raises(UsageError) as problem:
        take(wanted)
    assert problem.value.code == code


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://mail.example", "https://mail.example"),
        ("https://MAIL.example/", "https://mail.example"),
        ("https://mail.example:443", "https://mail.example"),
        ("https://mail.example:8443/", "https://mail.example:8443"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
    ],
)
def test_the_public_url_says_the_one_host(url: str, origin: str) -> None:
    """Host and origin come from the public URL alone; a device code is not offered."""
    place = take(Wanted(public_url=url, proxies=("127.0.0.1",), listen="127.0.0.1:0"))
    with place.socket:
        assert place.settings.origin == origin
        assert place.settings.hosts == {origin.removeprefix("https://")}
        assert place.settings.mode is Mode.SERVED
        assert not place.settings.device_code


def test_nobody_is_served_before_there_is_an_admin(environ: dict[str, str]) -> None:
    """A page for several people starts once there is a user with the role admin."""
    words = ("serve", "--json", "--public-url", PUBLIC, "--proxy", "127.0.0.1", "--listen", "127.0.0.1:0")
    assert (
        run(
            environ, "user", "add", "otto", "--role", "operator", "--password", "-", stdin=PASSWORD
        ).returncode
        == 0
    )
    done = run(environ, *words)
    assert done.returncode == 78
    assert json.loads(done.stdout)["error"]["id"] == "no-admin"


def test_a_page_with_tls_of_its_own(environ: dict[str, str], tmp_path: Path) -> None:
    """With a certificate the page is https, with HSTS and a Secure cookie; people log in with their password."""
    tls = with_tls(environ, tmp_path)
    url, port = tls.url, tls.url.rpartition(":")[2]
    trust = ssl.create_default_context()
    tls.authority.configure_trust(trust)
    with started(environ, *tls.words) as page:
        assert page.told == {"ok": True, "url": url}
        with httpx2.Client(base_url=url, verify=trust, trust_env=False) as browser:
            answer = browser.get("/")
            assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2F")
            assert answer.headers["strict-transport-security"]
            form = {"name": "anna", "password": PASSWORD}
            answer = browser.post("/login", data=form, headers={"Origin": url})
            assert answer.status_code == 303
            assert answer.headers["set-cookie"].startswith(f"__Host-datapallas-{port}=")
            assert browser.get("/", follow_redirects=True).status_code == 200
        link = run(environ, "serve", "--new-link", "--json")
        assert json.loads(link.stdout)["error"]["id"] == "no-link-here"


def test_a_certificate_that_cannot_be_used_is_told(environ: dict[str, str], tmp_path: Path) -> None:
    """A file that is missing, or is no certificate, is an error with a next step, not a traceback."""
    (tmp_path / "nonsense.pem").write_text("nonsense")
    run(environ, "user", "add", "anna", "--role", "admin", "--password", "-", stdin=PASSWORD)
    for name in ("missing.pem", "nonsense.pem"):
        file = str(tmp_path / name)
        words = ("--public-url", PUBLIC, "--tls-cert", file, "--tls-key", file, "--listen", "127.0.0.1:0")
        done = run(environ, "serve", "--json", *words)
        assert done.returncode == 78
        assert json.loads(done.stdout)["error"]["id"] == "serve-certificate"


def test_the_browser_is_opened_with_a_link_of_its_own(environ: dict[str, str], tmp_path: Path) -> None:
    """With a desktop the browser opens; the link in its arguments is not the printed one."""
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.next && mv {opened}.next {opened}\n')
    browser.chmod(0o755)
    with started(environ | {"BROWSER": f"{browser} %s"}, "--port", "0") as page:
        deadline = time.monotonic() + 60
        while not opened.exists():
            assert time.monotonic() < deadline
            threading.Event().wait(0.02)
        link = opened.read_text().strip()
        assert link.startswith(page.told["url"] + "/open?key=")
        assert link != page.told["link"]
        assert page.get(link).status_code == 303
        assert page.get(page.told["link"]).status_code == 303
