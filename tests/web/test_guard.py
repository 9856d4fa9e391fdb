"""What the guard does beside the matrix: odd requests, proxies, links from elsewhere, bodies of unknown length."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import TYPE_CHECKING, Annotated, Any, cast

import pytest
from fastapi import APIRouter, Body, Depends
from starlette.responses import StreamingResponse

from datapallas.errors import UnknownConnection
from datapallas.web import app as application
from datapallas.web import body, patience
from datapallas.web.app import make_app
from datapallas.web.guard import needs
from datapallas.web.guard import public as open_to_all
from datapallas.web.headers import with_security
from datapallas.web.services import Mode
from datapallas.web.who import Role
from web.page import PASSWORD, Page, served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from starlette.types import Message

CANARY = "the inside of it"
LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.mark.parametrize(
    "request_",
    [
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: {host}\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: {host}.\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: user@{host}\r\nConnection: close\r\n\r\n",
    ],
)
def test_odd_hosts_are_refused(request_: str, local: Page) -> None:
    """No Host, two of them, or one that only looks like ours: nothing is answered but a refusal."""
    answer = local.raw(request_.format(host=local.host).encode())
    assert answer.split(b"\r\n")[0].split()[1] in {b"400", b"421"}
    assert b"DataPallas" not in answer


@pytest.mark.parametrize("name", ["Origin", "Sec-Fetch-Site", "X-CSRF-Token"])
def test_a_header_that_stands_twice_is_none(name: str, local: Page) -> None:
    """What must stand once and stands twice is refused: a proxy may look at the one and we at the other."""
    browser = local.entered()
    head = browser.headers(change=True) | {"Host": local.host, "Connection": "close"}
    other = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "X-CSRF-Token": "other"}[name]
    lines = "".join(f"{key}: {value}\r\n" for key, value in head.items())
    answer = local.raw(f"POST /logout HTTP/1.1\r\n{lines}{name}: {other}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert browser.csrf


def test_both_names_of_this_machine_work(local: Page) -> None:
    """127.0.0.1 and localhost are ours, each with the port and each as an origin of its own."""
    host = f"localhost:{local.port}"
    browser = local.entered()
    assert browser.ask("GET", "/", Host=host.upper()).status_code != 421
    assert browser.ask("POST", "/logout", Host=host, Origin=f"http://{host}").status_code == 303


def test_a_plain_form_of_ours_passes_although_its_origin_is_hidden(public: Page) -> None:
    """Under no-referrer a browser sends Origin null with a plain form; that it is ours, Sec-Fetch-Site says."""
    body = f"name=admin&password={PASSWORD.replace(' ', '+')}".encode()
    kind = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "null"}
    assert public.ask("POST", "/login", kind | {"Sec-Fetch-Site": "same-origin"}, body).status_code == 303
    for site in ({}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "cross-site"}):
        assert public.ask("POST", "/login", kind | site, body).status_code == 403


def test_a_link_from_elsewhere_is_asked_again_from_here(local: Page) -> None:
    """The browser leaves our cookie out when somebody follows a link from another page; asked again, it comes."""
    answer = local.ask("GET", "/connections?x=1", LINK)
    assert answer.status_code == 401
    assert answer.headers["refresh"] == "0; url=/connections?x=1"
    for part in ({"Sec-Fetch-Mode": "cors"}, {"Sec-Fetch-Dest": "iframe"}, {"Sec-Fetch-Dest": "image"}):
        assert local.entered().page.ask("GET", "/", LINK | part).status_code == 403
    again = local.ask("GET", "/connections?x=1", LINK | {"Sec-Fetch-Site": "same-origin"})
    assert "refresh" not in again.headers
    assert local.ask("POST", "/logout", LINK).status_code == 403


def test_a_part_of_a_page_is_told_where_to_go(local: Page, public: Page) -> None:
    """When the session ends while a page is open, htmx is told to load the way in."""
    for page, where in ((local, "/"), (public, "/login")):
        answer = page.stranger().ask("POST", "/logout", HX_Request="true")
        assert (answer.status_code, answer.headers["hx-redirect"]) == (401, where)
        assert "<html" not in answer.text


def test_an_unknown_page_looks_like_every_other_to_strangers(local: Page) -> None:
    """Who is not logged in does not learn which pages there are; who is, is told that there is none."""
    stranger = local.stranger()
    assert stranger.ask("GET", "/nothing-here").status_code == stranger.ask("GET", "/").status_code == 401
    assert stranger.ask("GET", "/api/nothing-here").status_code == 401
    assert local.entered().ask("GET", "/nothing-here").status_code == 404
    answer = local.entered().ask("GET", "/api/nothing-here")
    assert answer.status_code == 404
    assert answer.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "code": "not-found",
        "detail": "There is nothing at this address. `GET /api/v1` names what there is.",
    }


def test_a_body_of_unknown_length_is_counted(public: Page) -> None:
    """A chunked body ends at 64 KiB, whatever comes behind."""
    browser = public.stranger()
    head = browser.headers(change=True) | {
        "Host": public.host,
        "Content-Type": "application/x-www-form-urlencoded",
        "Transfer-Encoding": "chunked",
        "Connection": "close",
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    chunk = b"1000\r\n" + b"a" * 4096 + b"\r\n"
    start = f"POST /login HTTP/1.1\r\n{lines}\r\n".encode()
    assert public.raw(start + chunk * 17 + b"0\r\n\r\n").startswith(b"HTTP/1.1 413 ")
    assert public.raw(start + chunk * 15 + b"0\r\n\r\n").startswith(b"HTTP/1.1 401 ")


def dripping(line: socket.socket) -> bytes:
    """What comes while an octet at a time is sent, until the other side hangs up."""
    line.settimeout(0.05)
    said = b""
    for _ in range(1000):
        try:
            piece = line.recv(65536)
            if not piece:
                return said
            said += piece
        except TimeoutError:
            with contextlib.suppress(ConnectionError):
                line.sendall(b"X")
        except ConnectionError:
            return said
    raise AssertionError("nobody hung up")


def test_a_head_that_does_not_end_holds_no_connection(public: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a connection and sends nothing, or drop by drop, or stops in a second request, is hung up on."""
    monkeypatch.setattr(patience, "HEAD_SECONDS", 0.3)
    whole = f"GET /healthz HTTP/1.1\r\nHost: {public.host}\r\n\r\n".encode()
    for start in (b"", b"GET / HT", whole + b"GET / HT"):
        with socket.create_connection(("127.0.0.1", public.port), 20) as line:
            line.sendall(start)
            said = dripping(line)
        assert said.startswith(b"HTTP/1.1 ") is (whole in start)


def test_a_body_that_does_not_end_holds_no_connection(public: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that comes too slowly is answered 408, and the connection ends though its rest never comes."""
    monkeypatch.setattr(patience, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(body, "SECONDS", 0.3)
    monkeypatch.setattr(body, "SLOWEST", 10**9)
    head = public.stranger().headers(change=True) | {
        "Host": public.host,
        "Content-Type": "application/x-www-form-urlencoded",
        "Content-Length": "100",
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    assert public.raw(f"POST /login HTTP/1.1\r\n{lines}\r\nname=a".encode()).startswith(b"HTTP/1.1 408 ")


def test_a_token_that_asks_too_often_waits(local: Page) -> None:
    """The 301st request within a minute is answered 429, with the time to wait; another token goes on."""
    bearer, other = ({"Authorization": f"Bearer {local.token(Role.VIEWER)}"} for _ in range(2))
    who = local.services.access.of_token(bearer["Authorization"].split()[1], "")
    assert who is not None
    for _ in range(299):
        assert local.services.access.requests.take(who.owner) == 0
    assert local.ask("GET", "/api/openapi.json", bearer).status_code == 200
    answer = local.ask("GET", "/api/openapi.json", bearer)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert answer.json()["status"] == 429
    assert local.ask("GET", "/api/openapi.json", other).status_code == 200


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[Page]:
    """A page behind proxies: on this machine, and in a network behind it."""
    with served(tmp_path, Mode.SERVED, proxies=frozenset({"127.0.0.1", "10.0.0.0/8"})) as page:
        yield page


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, 10.1.2.3", "203.0.113.9"),
        ("203.0.113.9, nonsense, 10.1.2.3", "10.1.2.3"),
        ("", "127.0.0.1"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_the_client_is_the_nearest_that_is_no_proxy(forwarded: str, address: str, proxied: Page) -> None:
    """A named proxy says who came to it; what the client itself has written there before is not believed."""
    proxied.ask("GET", "/", {"Host": "evil.example", "X-Forwarded-For": forwarded})
    assert proxied.audit()[-1]["from"] == address


def test_only_the_proxy_is_answered(tmp_path: Path) -> None:
    """Behind a proxy, whoever comes past it is refused: what they send was not protected by TLS."""
    with served(tmp_path, Mode.SERVED, proxies=frozenset({"10.0.0.0/8"})) as page:
        forged = {"X-Forwarded-For": "10.0.0.1"}
        for path in ("/", "/healthz", "/login", "/api/openapi.json"):
            assert page.ask("GET", path, forged).status_code == 403
        assert page.audit()[-1] | {"at": "", "before": ""} == {
            "at": "",
            "who": "",
            "from": "127.0.0.1",
            "what": "request-refused",
            "facts": {"why": "not by the proxy"},
            "before": "",
        }


def test_refused_requests_are_in_the_audit_but_do_not_fill_it(local: Page) -> None:
    """Each refusal by Host or Origin is a line, up to twenty in a minute."""
    local.entered().ask("POST", "/logout", Origin="https://evil.example")
    for _ in range(30):
        local.ask("GET", "/?secret=canary", {"Host": "evil.example"})
    lines = local.audit()
    assert len(lines) == 20
    assert lines[0]["facts"] == {
        "why": "another origin",
        "origin": "https://evil.example",
        "method": "POST",
        "path": "/logout",
    }
    assert lines[1]["facts"] == {"why": "wrong host", "host": "evil.example"}
    assert "canary" not in json.dumps(lines)


def test_a_websocket_is_closed(local: Page) -> None:
    """There are no websockets: one is closed before a route sees it, though its Host and Origin are ours."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(make_app(local.services)({"type": "websocket", "path": "/", "headers": []}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_no_route_can_open_what_is_closed() -> None:
    """A header of a route neither replaces one of ours nor lets another origin read; each stands once."""
    loose = [
        (b"Content-Security-Policy", b"default-src *"),
        (b"Access-Control-Allow-Origin", b"*"),
        (b"X-Frame-Options", b"ALLOWALL"),
        (b"Server", b"uvicorn"),
        (b"Content-Type", b"text/plain"),
    ]
    made = with_security(loose, secure=False)
    assert (b"content-type", b"text/plain") in made
    assert {value for _, value in made}.isdisjoint({b"default-src *", b"*", b"ALLOWALL", b"uvicorn"})
    assert len({name for name, _ in made}) == len(made)


def test_a_role_is_looked_at_before_the_request_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may not do something is told which role it needs, not what is wrong in the form."""
    router = APIRouter()

    @router.post("/api/v1/things", dependencies=[Depends(needs(Role.ADMIN))])
    def make(count: Annotated[int, Body()]) -> int:
        return count

    monkeypatch.setattr(application, "ROUTERS", (*application.ROUTERS, router))
    with served(tmp_path, Mode.SERVED, proxies=frozenset({"127.0.0.1"})) as page:
        answers = [
            page.entered(role).ask("POST", "/api/v1/things", b'"x"', Content_Type="application/json")
            for role in Role
        ]
    assert [answer.status_code for answer in answers] == [403, 403, 403, 422]
    assert answers[2].json()["title"] == "Not allowed"
    assert "needs the role admin; operator has the role operator" in answers[2].json()["detail"]
    assert "whole number" in answers[3].json()["detail"]


@pytest.mark.parametrize("said", [[], [open_to_all, needs(Role.ADMIN)]])
def test_a_route_that_does_not_say_what_it_needs_stops_the_start(
    said: list[Callable[..., object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that somebody forgot to protect is never served."""
    router = APIRouter(dependencies=[Depends(one) for one in said])

    @router.get("/forgotten")
    def forgotten() -> str:
        return "open"

    monkeypatch.setattr(application, "ROUTERS", (*application.ROUTERS, router))
    with pytest.raises(TypeError, match="/forgotten must say what it needs"):
        make_app(cast("Any", None))


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A page with routes that fail: with an error of ours, an unexpected one, and in the middle of an answer."""
    router = APIRouter(dependencies=[Depends(needs(Role.VIEWER))])

    @router.get("/api/v1/fails/{how}")
    @router.get("/fails/{how}")
    def fails(how: str) -> StreamingResponse:
        if how == "unknown":
            raise UnknownConnection("There is no connection eml-x.")
        if how == "inside":
            raise RuntimeError(CANARY)

        def half() -> Iterator[bytes]:
            yield b"half"
            raise RuntimeError(CANARY)

        return StreamingResponse(half())

    monkeypatch.setattr(application, "ROUTERS", (*application.ROUTERS, router))
    with served(tmp_path) as page:
        yield page


def test_an_error_of_ours_is_explained(faulty: Page) -> None:
    """What failed, why and what to do: as a page, as a part of one, as problem+json, with the status that fits."""
    browser = faulty.entered()
    page = browser.ask("GET", "/fails/unknown")
    assert page.status_code == 404
    assert "There is no connection eml-x." in page.text and "<html" in page.text
    part = browser.ask("GET", "/fails/unknown", HX_Request="true")
    assert part.status_code == 404
    assert "There is no connection eml-x." in part.text and "<html" not in part.text
    problem = browser.ask("GET", "/api/v1/fails/unknown").json()
    assert problem["type"] == "urn:datapallas:unknown-connection"
    assert problem["title"] == "There is no connection eml-x."
    assert problem["status"] == 404
    assert problem["diagnosis"]["fix"]


def test_a_fault_of_ours_shows_nothing_of_the_inside(
    faulty: Page, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected error is a calm answer; whoever runs the server is told, without a traceback."""
    monkeypatch.delenv("DATAPALLAS_DEBUG", raising=False)
    for path in ("/fails/inside", "/api/v1/fails/inside"):
        answer = faulty.entered().ask("GET", path)
        assert answer.status_code == 500
        assert "Traceback" not in answer.text
        assert CANARY not in answer.text
        assert answer.headers["content-security-policy"]
    err = capfd.readouterr().err
    assert "RuntimeError" in err
    assert "Traceback" not in err


def test_half_an_answer_is_cut_off(faulty: Page, capfd: pytest.CaptureFixture[str]) -> None:
    """A failure in the middle of an answer ends the connection, so that nobody takes the half for the whole."""
    browser = faulty.entered()
    head = browser.headers(change=False) | {"Host": faulty.host}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    answer = faulty.raw(f"GET /fails/half HTTP/1.1\r\n{lines}\r\n".encode())
    assert answer.endswith(b"half\r\n")  # and not the 0 that ends a chunked body
    assert "Traceback" not in capfd.readouterr().err
