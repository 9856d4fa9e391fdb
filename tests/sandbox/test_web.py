"""The sandbox in a browser and from scripts: pages, headers, switches, and what a hostile page can do (nothing)."""

from __future__ import annotations

import smtplib
import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datapallas.sandbox.http import parse

if TYPE_CHECKING:
    from datapallas.sandbox import Sandbox
    from sandbox.program import Program

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


def deliver(sandbox: Sandbox, subject: str = "Hello", text: str = "body") -> None:
    """Hand one mail in."""
    context = ssl.create_default_context(cafile=str(sandbox.ca_file))
    with smtplib.SMTP("127.0.0.1", sandbox.smtp_port) as server:
        server.starttls(context=context)
        server.login(sandbox.users[0], sandbox.password.reveal())
        mail = f"Subject: {subject}\r\nFrom: {sandbox.users[0]}\r\n\r\n{text}\r\n"
        server.sendmail(sandbox.users[0], ["r@any.example"], mail)


def raw(sandbox: Sandbox, request: bytes) -> bytes:
    """Send octets, get octets."""
    with socket.create_connection(("127.0.0.1", urlsplit(sandbox.issuer).port or 0), 5) as link:
        link.sendall(request)
        link.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := link.recv(65536):
            answer += piece
    return answer


def test_arrived_mail_is_shown_and_everything_in_it_is_escaped(sandbox: Sandbox, program: Program) -> None:
    """The list and the mail show a hostile subject and text as text."""
    assert "Nothing yet" in program.ask("GET", "/").text
    deliver(sandbox, HOSTILE, HOSTILE)
    for path in ("/", "/mail/1"):
        page = program.ask("GET", path)
        assert page.status == 200
        assert "<script" not in page.text and "<img" not in page.text
        assert "&lt;script&gt;" in page.text
    assert program.ask("GET", "/mail/2").status == 404


def test_every_page_forbids_scripts_and_frames(sandbox: Sandbox, program: Program) -> None:
    """Each page and each error page has a policy that runs nothing and loads nothing from elsewhere."""
    for path in ("/", "/nothing", "/device", program.address().removeprefix(sandbox.issuer), "/authorize"):
        page = program.ask("GET", path)
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'")
        assert "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert "<script" not in page.text and " style=" not in page.text


def test_what_the_pages_name_is_there(program: Program) -> None:
    """The style sheet and the icon are our own, and typed so that the browser takes them."""
    for name, kind in (("style.css", "text/css"), ("icon.svg", "image/svg+xml")):
        assert f'href="/{name}"' in program.ask("GET", "/").text
        found = program.ask("GET", f"/{name}")
        assert (found.status, found.headers["content-type"]) == (200, kind)


def test_login_hints_and_device_codes_are_escaped(sandbox: Sandbox, program: Program) -> None:
    """What comes in the address is shown as text."""
    for path in (
        program.address(login_hint=HOSTILE).removeprefix(sandbox.issuer),
        "/device?user_code=%22%3E%3Cscript%3E",
    ):
        assert "<script" not in program.ask("GET", path).text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:1", "127.0.0.1.evil.example", ""])
def test_another_host_name_gets_nothing(sandbox: Sandbox, host: str) -> None:
    """A page elsewhere that points its own name at this machine reads nothing (DNS rebinding)."""
    assert raw(sandbox, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).startswith(b"HTTP/1.1 421 ")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"BREW / HTTP/1.1\r\n\r\n", 400),
        (b"GET http://x/ HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: \xff\r\n\r\n", 400),
        (b"POST /token HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /token HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /token HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"POST /token HTTP/1.1\r\nContent-Length: 70000\r\n\r\n", 413),
        (b"POST /token HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
    ],
)
def test_malformed_requests_are_refused(sandbox: Sandbox, request_: bytes, status: int) -> None:
    """What is no request, is too long or is ambiguous gets an error, and the server lives on."""
    assert raw(sandbox, request_).startswith(f"HTTP/1.1 {status} ".encode())
    assert raw(sandbox, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 421 ")


def test_half_a_request_is_no_harm(sandbox: Sandbox) -> None:
    """A client that goes away in the middle gets nothing."""
    assert raw(sandbox, b"GET / HT") == b""
    assert raw(sandbox, b"POST /token HTTP/1.1\r\nContent-Length: 5\r\n\r\nab") == b""


def test_methods_are_kept_apart(sandbox: Sandbox, program: Program) -> None:
    """Tokens are not given to a GET, pages are not posted to; HEAD gets no body."""
    assert program.ask("GET", "/token").status == 405
    assert program.post("/jwks").status == 405
    assert program.post("/").status == 405
    head = program.ask("HEAD", "/")
    assert head.status == 200 and head.body == b"" and int(head.headers["content-length"]) > 100


def test_tests_switch_faults_and_settings_over_http(sandbox: Sandbox, program: Program) -> None:
    """Everything the Python object can do is there for programs in other languages."""
    assert program.switch("faults", where="token", what="AADSTS70008", times=2).json[0]["times"] == 2
    assert program.refresh("x").json["error_codes"] == [70008]
    assert program.ask("DELETE", "/_sandbox/faults").status == 200
    assert program.ask("GET", "/_sandbox/faults").json == []
    assert program.switch("settings", access_seconds=5, rotation="NONE", mechanisms=["LOGIN"]).status == 200
    found = program.ask("GET", "/_sandbox/settings").json
    assert (found["access_seconds"], found["rotation"], found["mechanisms"]) == (5.0, "NONE", ["LOGIN"])
    tokens = program.sign_in()
    assert tokens["expires_in"] == 5
    program.switch("expire", user="alice@sandbox.example")
    assert not program.active(tokens["access_token"])
    assert program.switch("revoke", user="alice@sandbox.example").json == {"revoked": 1}
    assert program.refresh(tokens["refresh_token"]).status == 400


def test_scripts_read_and_clear_the_mail(sandbox: Sandbox, program: Program) -> None:
    """The list as JSON, the mail as it came, and an empty box again."""
    deliver(sandbox, "One")
    (mail,) = program.ask("GET", "/_sandbox/messages").json
    assert mail["subject"] == "One" and mail["recipients"] == ["r@any.example"]
    raw_mail = program.ask("GET", "/_sandbox/messages/1.eml")
    assert raw_mail.body == sandbox.messages[0].data
    assert raw_mail.headers["content-type"] == "message/rfc822"
    assert program.ask("DELETE", "/_sandbox/messages").status == 200
    assert sandbox.messages == []
    assert program.ask("GET", "/_sandbox/messages/1.eml").status == 404


def test_a_page_elsewhere_cannot_switch(sandbox: Sandbox, program: Program) -> None:
    """A form of another site is no JSON, so it switches nothing; wrong switches say what is wrong."""
    assert program.post("/_sandbox/faults", where="token", what="500").status == 415
    assert sandbox.faults.waiting == ()
    assert program.switch("faults", where="token", what="nonsense").status == 400
    assert program.switch("faults", times="many").status == 400
    assert program.switch("settings", nothing=1).status == 400
    assert program.switch("settings", challenge="yes").status == 400
    assert program.switch("elsewhere").status == 404
    assert program.ask("POST", "/_sandbox/faults", b"[1]", Content_Type="application/json").status == 400
    assert program.ask("POST", "/_sandbox/faults", b"{", Content_Type="application/json").status == 400
    assert program.ask("DELETE", "/_sandbox/settings").status == 405


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(st.characters(codec="ascii"), max_size=200),
    st.dictionaries(st.sampled_from(["content-type", "host"]), st.text(max_size=50)),
    st.binary(max_size=200),
)
def test_any_request_is_read_or_refused(target: str, headers: dict[str, str], body: bytes) -> None:
    """No target, header or form makes the reader fail in any other way than a refusal."""
    headers["content-type"] = "application/x-www-form-urlencoded"
    try:
        request = parse("POST", "/" + target, headers, body)
    except ValueError:
        return
    assert isinstance(request.form, dict)
