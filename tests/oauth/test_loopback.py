"""The listener the browser comes back to: patient with junk, deaf to the network, gone when it is done."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from datapallas.errors import ConfigurationError, SignInAborted
from datapallas.oauth import loopback
from datapallas.oauth.addresses import Redirect
from datapallas.oauth.authorization import StrayCallback
from datapallas.oauth.clock import SystemClock
from datapallas.oauth.loopback import Loopback
from datapallas.oauth.pages import Page
from oauth.scripted import visit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLAIN = Redirect("127.0.0.1", 0, "/callback", "http://127.0.0.1/callback")
LOCALHOST = Redirect("localhost", 0, "/", "http://localhost")


def accept(query: str) -> str:
    if query != "state=right":
        raise StrayCallback("not ours")
    return query


class Waiting:
    """A listener that waits in a thread of its own, as the command does."""

    def __init__(self, redirect: Redirect = PLAIN, seconds: float = 300) -> None:
        self.listener = Loopback(redirect, SystemClock())
        self.found: list[object] = []
        self.page = Page.SIGNED_IN
        self.seconds = seconds
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with self.listener:
            try:
                self.found.append(self.listener.wait(accept, time.monotonic() + self.seconds))
                self.listener.answer(self.page)
            except SignInAborted as problem:
                self.found.append(problem)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        with contextlib.suppress(OSError):
            visit(f"{self.listener.redirect_uri}?state=right")
        self.thread.join(60)
        assert not self.thread.is_alive()

    @property
    def port(self) -> int:
        return int(self.listener.redirect_uri.split(":")[2].split("/")[0])


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    with Waiting() as one:
        yield one


def listening(port: int) -> list[str]:
    """The addresses on which this machine listens at `port`, from the system's own tables."""
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            words = line.split()
            address, _, number = words[1].partition(":")
            if words[3] == "0A" and int(number, 16) == port:
                found.append(address)
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's table of sockets")
_V4, _V6 = "0100007F", "00000000000000000000000001000000"  # 127.0.0.1 and ::1, as the table writes them


@needs_proc
def test_it_listens_on_loopback_only_and_is_gone_at_once_when_done() -> None:
    """Nobody else on the network can reach it, and after the end nothing is left."""
    with Waiting() as one:
        assert listening(one.port) == [_V4]
        assert visit(f"{one.listener.redirect_uri}?state=right")[0] == 200
        one.thread.join(60)
        assert not one.thread.is_alive()
        assert listening(one.port) == []
    assert one.found == ["state=right"]


@needs_proc
def test_localhost_is_taken_on_both_addresses() -> None:
    """A browser may choose ::1 for localhost; nobody else can be waiting there."""
    with Waiting(LOCALHOST) as one:
        assert sorted(listening(one.port)) == sorted([_V4, _V6][: 1 + loopback._has_ipv6_loopback()])
        assert one.listener.redirect_uri == f"http://localhost:{one.port}"


@pytest.mark.skipif(not loopback._has_ipv6_loopback(), reason="needs IPv6 on loopback")
@pytest.mark.parametrize("squat", ["::1", "127.0.0.1"])
def test_a_port_somebody_else_holds_on_one_address_is_refused(squat: str) -> None:
    """A program that squats localhost's port on either address gets no code: the sign-in does not start."""
    family = socket.AF_INET6 if squat == "::1" else socket.AF_INET
    with socket.create_server((squat, 0), family=family) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError) as caught:
            Loopback(Redirect("localhost", port, "/", "http://localhost"), SystemClock())
    assert caught.value.code == "port-taken" and caught.value.facts["port"] == str(port)
    Loopback(Redirect("localhost", port, "/", "http://localhost"), SystemClock()).close()


def test_without_ipv6_the_one_address_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has no ::1 signs in all the same."""
    monkeypatch.setattr(loopback, "_has_ipv6_loopback", lambda: False)
    with Loopback(LOCALHOST, SystemClock()) as listener:
        assert len(listener._listeners) == 1


def test_a_thousand_junk_requests_do_not_end_the_wait(waiting: Waiting) -> None:
    """Favicons, scanners, other pages and wrong answers are turned away; then the real one still works."""
    base = f"http://127.0.0.1:{waiting.port}"
    junk: list[tuple[int, Callable[[], int]]] = [
        (404, lambda: visit(f"{base}/favicon.ico")[0]),
        (404, lambda: visit(f"{base}/callback/?state=right")[0]),
        (400, lambda: visit(f"{base}/callback?state=wrong")[0]),
        (400, lambda: visit(f"{base}/callback?error=access_denied")[0]),
        (405, lambda: visit(f"{base}/callback?state=right", method="POST")[0]),
        (421, lambda: visit(f"{base}/callback?state=right", host="evil.example")[0]),
        (421, lambda: visit(f"{base}/callback?state=right", host="127.0.0.1")[0]),
        (421, lambda: visit(f"{base}/callback?state=right", host=f"localhost:{waiting.port}")[0]),
    ]
    for turn in range(1000):
        status, ask = junk[turn % len(junk)]
        assert ask() == status
    assert visit(f"{waiting.listener.redirect_uri}?state=right")[0] == 200
    waiting.thread.join(60)
    assert waiting.found == ["state=right"]


@pytest.mark.parametrize(
    "request_head",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /callback?state=right HTTP/2.0\r\n\r\n",
        b"GET /callback?state=right HTTP/1.1\r\n\r\n",
        b"GET /callback?state=right HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nHost: x\r\n\r\n",
        b"GET http://127.0.0.1/callback?state=right HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"\xff" * 100 + b"\r\n\r\n",
    ],
)
def test_what_is_not_a_request_for_us_is_turned_away(waiting: Waiting, request_head: bytes) -> None:
    """TLS, an old protocol, a missing or doubled Host: none of it is a callback."""
    with socket.create_connection(("127.0.0.1", waiting.port), 5) as link:
        link.sendall(request_head.replace(b"%d", str(waiting.port).encode()))
        assert link.recv(100).startswith(b"HTTP/1.1 4")
    assert waiting.found == []


def test_a_request_that_never_ends_is_cut(waiting: Waiting) -> None:
    """More than 16 KiB is not read."""
    with socket.create_connection(("127.0.0.1", waiting.port), 5) as link:
        link.sendall(b"GET /callback?state=right HTTP/1.1\r\nX: " + b"x" * 20_000)
        assert link.recv(100).startswith(b"HTTP/1.1 431")


def test_three_hundred_silent_connections_do_not_keep_the_browser_out(waiting: Waiting) -> None:
    """Connections that say nothing, or half a line, make room for the one that matters."""
    with contextlib.ExitStack() as stack:
        links = []
        for turn in range(300):
            links.append(stack.enter_context(socket.create_connection(("127.0.0.1", waiting.port), 5)))
            if turn % 2:
                links[-1].sendall(b"GET /call")
        assert links[0].recv(1) == b""  # the oldest made room
        assert visit(f"{waiting.listener.redirect_uri}?state=right")[0] == 200
    waiting.thread.join(60)
    assert waiting.found == ["state=right"]


def test_a_connection_that_says_nothing_is_dropped_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-open connection does not live as long as the wait."""
    monkeypatch.setattr(loopback, "REQUEST_SECONDS", 0.05)
    with Waiting() as one, socket.create_connection(("127.0.0.1", one.port), 5) as link:
        assert link.recv(1) == b""
        assert one.found == []


def test_the_wait_ends_when_nobody_comes() -> None:
    """A browser that was closed is a time-out, and the port is free again."""
    with Waiting(seconds=0.1) as one:
        one.thread.join(60)
    (problem,) = one.found
    assert isinstance(problem, SignInAborted) and problem.code == "sign-in-timeout"
    Loopback(Redirect("127.0.0.1", one.port, "/", "http://127.0.0.1"), SystemClock()).close()


@pytest.mark.parametrize("page", [Page.SIGNED_IN, Page.REFUSED])
def test_the_last_page_says_how_it_ended_and_holds_nothing_of_the_request(page: Page) -> None:
    """The browser waits for the outcome; the page is static, closes itself and may load nothing."""
    with Waiting() as one:
        one.page = page
        status, headers, text = visit(f"{one.listener.redirect_uri}?state=right")
    assert status == 200 and page.value[1] in text
    assert "right" not in text and "http" not in text.replace("http-equiv", "")
    assert headers["connection"] == "close" and headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    assert "window.close()" in text and "script-src 'sha256-" in policy


def test_ctrl_c_leaves_nothing_behind() -> None:
    """The wait is interrupted: every socket is closed and the browser is told."""
    listener = Loopback(PLAIN, SystemClock())

    def interrupt(query: str) -> str:
        raise KeyboardInterrupt

    port = int(listener.redirect_uri.split(":")[2].split("/")[0])
    pages: list[int] = []
    browser = threading.Thread(target=lambda: pages.append(visit(listener.redirect_uri + "?x=1")[0]))
    browser.start()
    with pytest.raises(KeyboardInterrupt), listener:
        listener.wait(interrupt, time.monotonic() + 60)
    browser.join(60)
    assert pages == [200]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)


@needs_proc
def test_stop_from_another_thread_ends_the_wait_at_once() -> None:
    """Cancelled on the web page, long before its time: the port is free; stopping again harms nothing."""
    with Waiting() as one:
        one.listener.stop()
        one.thread.join(60)
        assert not one.thread.is_alive()
        assert listening(one.port) == []
    assert one.found == [None]
    one.listener.stop()
