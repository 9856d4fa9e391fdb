"""Who may reach what: every route there is, found by itself, against everything a request can get wrong.

A route that is added later is asked about here without a word in this file.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, cast

import pytest

from datapallas.connection.model import Connection, Security, Server
from datapallas.web.app import make_app
from datapallas.web.body import largest
from datapallas.web.headers import ALWAYS
from datapallas.web.roles import need_of
from datapallas.web.services import Mode
from datapallas.web.sessions import LOCAL
from datapallas.web.who import Role
from web.page import Browser, Page, filled, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx2
    from fastapi.routing import APIRoute

CHANGING = ("POST", "PUT", "PATCH", "DELETE")
ROUTES: list[APIRoute] = cast("list[APIRoute]", make_app(cast("Any", None)).routes)
CALLS = [
    pytest.param(route, method, id=f"{method} {route.path}")
    for route in ROUTES
    for method in sorted(route.methods or ())
]
PRIVATE = [one for one in CALLS if need_of(cast("APIRoute", one.values[0])) is not None]
CHANGES = [one for one in CALLS if one.values[1] in CHANGING]
PRIVATE_CHANGES = [one for one in PRIVATE if one.values[1] in CHANGING]
TOKENS = [one for one in PRIVATE if cast("APIRoute", one.values[0]).path.startswith("/api/")]
SAMPLE = Connection(code="eml-placeholder", server=Server(host="127.0.0.1", port="1", security=Security.NONE))


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page for the person at this machine."""
    with served(tmp_path_factory.mktemp("local")) as page:
        yield page


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page for several people, behind a proxy on this machine."""
    with served(tmp_path_factory.mktemp("served"), Mode.SERVED, proxies=frozenset({"127.0.0.0/8"})) as page:
        yield page


def safe(answer: httpx2.Response, page: Page) -> None:
    """Every answer has every security header, and lets no other origin read it."""
    for name, value in ALWAYS.items():
        assert answer.headers.get_list(name) == [value]
    assert ("strict-transport-security" in answer.headers) is page.settings.secure
    assert "server" not in answer.headers
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert answer.headers["cache-control"] == "no-store" or "/static/" in str(answer.url)


def refused(answer: httpx2.Response, page: Page, *status: int) -> None:
    """The answer refuses, in one of these ways, and is safe."""
    assert answer.status_code in status, answer.text
    safe(answer, page)
    if answer.url.path.startswith("/api/"):
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code


def nobody(answer: httpx2.Response, page: Page) -> None:
    """The answer to somebody who is not logged in."""
    if answer.url.path.startswith("/api/"):
        refused(answer, page, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer ")
    elif page.settings.mode is Mode.SERVED:
        refused(answer, page, 303)
        assert answer.headers["location"].startswith("/login?next=%2F")
    else:
        refused(answer, page, 401)
        assert "datapallas serve --new-link" in answer.text


@pytest.mark.parametrize(("route", "method"), CALLS)
def test_another_host_is_answered_421(route: APIRoute, method: str, local: Page) -> None:
    """A name that somebody points at this machine by DNS reads nothing, nor does the right name with another port."""
    browser = local.entered()
    for host in ("evil.example", "127.0.0.1", "127.0.0.1:1", f"evil.example:{local.port}", "localhost", ""):
        refused(browser.ask(method, filled(route.path), Host=host), local, 421)


@pytest.mark.parametrize(("route", "method"), CALLS)
def test_another_origin_is_refused(route: APIRoute, method: str, local: Page) -> None:
    """A page of another origin, port and scheme included, gets nothing, whatever it knows."""
    browser = local.entered()
    for origin in (
        "https://evil.example",
        "null",
        f"http://127.0.0.1:{local.port - 1}",
        f"https://127.0.0.1:{local.port}",
        f"http://localhost:{local.port}",
        "http://127.0.0.1",
    ):
        refused(browser.ask(method, filled(route.path), Origin=origin, Sec_Fetch_Site=None), local, 403)


@pytest.mark.parametrize(("route", "method"), CALLS)
def test_another_site_is_refused(route: APIRoute, method: str, local: Page) -> None:
    """A request that the browser says another site has made is refused; so is one of another port here."""
    browser = local.entered()
    for site in ("cross-site", "same-site", "nonsense"):
        refused(browser.ask(method, filled(route.path), Sec_Fetch_Site=site), local, 403)


@pytest.mark.parametrize(("route", "method"), CHANGES)
def test_a_change_says_where_it_comes_from(route: APIRoute, method: str, local: Page) -> None:
    """Without Origin and Sec-Fetch-Site nothing is changed, except with an API token."""
    answer = local.entered().ask(method, filled(route.path), Origin=None, Sec_Fetch_Site=None)
    refused(answer, local, 403)


@pytest.mark.parametrize(("route", "method"), PRIVATE)
def test_nobody_gets_in_without_a_session(route: APIRoute, method: str, local: Page, public: Page) -> None:
    """Without a cookie, with a made-up one and with one that is over, the answer is the same."""
    for page in (local, public):
        over = page.entered(Role.ADMIN if page is public else None)
        page.services.access.sessions.end(over.secret)
        for browser in (page.stranger(), over):
            nobody(browser.ask(method, filled(route.path)), page)
        made_up = page.stranger().ask(method, filled(route.path), Cookie=f"{page.settings.cookie}=aaaa")
        nobody(made_up, page)


@pytest.mark.parametrize(("route", "method"), PRIVATE)
def test_a_session_ends(route: APIRoute, method: str, local: Page) -> None:
    """Half an hour after the last request, and twelve hours after the login, a session is over."""
    browser = local.entered()
    local.clock.ahead += 31 * 60
    try:
        nobody(browser.ask(method, filled(route.path)), local)
    finally:
        local.clock.ahead = 0


@pytest.mark.parametrize(("route", "method"), PRIVATE)
def test_sessions_of_one_mode_are_none_in_the_other(
    route: APIRoute, method: str, local: Page, public: Page
) -> None:
    """What the one-use link began is no login to a served page, and the other way round."""
    strange = public.services.access.sessions.begin(LOCAL).reveal()
    nobody(Browser(public, strange).ask(method, filled(route.path)), public)
    strange = local.services.access.sessions.begin("admin").reveal()
    nobody(Browser(local, strange).ask(method, filled(route.path)), local)


@pytest.mark.parametrize(("route", "method"), PRIVATE_CHANGES)
def test_a_change_needs_the_sessions_own_token(route: APIRoute, method: str, local: Page) -> None:
    """A change without the session's X-CSRF-Token, or with that of another session, is refused."""
    browser, other = local.entered(), local.entered()
    for token in (None, "", other.csrf, browser.csrf[:-1], browser.csrf + "0"):
        refused(browser.ask(method, filled(route.path), X_CSRF_Token=token), local, 403)


@pytest.mark.parametrize(("route", "method"), CALLS)
def test_another_method_is_told_so(route: APIRoute, method: str, local: Page) -> None:
    """A method an address does not know is answered 405, and nothing happens."""
    known = {
        one for other in ROUTES if other.path_regex.match(filled(route.path)) for one in other.methods or ()
    }
    for other in {*CHANGING, "GET", "TRACE", "QUERY"} - known:
        refused(local.entered().ask(other, filled(route.path)), local, 405)


@pytest.mark.parametrize(("route", "method"), PRIVATE)
def test_each_role_may_do_what_it_may(route: APIRoute, method: str, public: Page) -> None:
    """A role that is too low is refused; one that is high enough is let through to the route."""
    need = need_of(route)
    assert need is not None
    for role in Role:
        answer = public.entered(role).ask(method, filled(route.path))
        safe(answer, public)
        assert (answer.status_code == 403) is not role.may(need)
        assert answer.status_code not in {401, 421}


@pytest.mark.parametrize(("route", "method"), TOKENS)
def test_each_token_may_do_what_its_role_may(route: APIRoute, method: str, local: Page, public: Page) -> None:
    """A program with a token needs no Origin and no X-CSRF-Token; its role counts; a page's origin is refused."""
    need = need_of(route)
    assert need is not None
    for page in (local, public):
        for role in Role:
            bearer = {"Authorization": f"Bearer {page.token(role)}"}
            answer = page.ask(method, filled(route.path), bearer)
            safe(answer, page)
            assert (answer.status_code == 403) is not role.may(need)
            assert answer.status_code not in {401, 421}
            refused(
                page.ask(method, filled(route.path), bearer | {"Origin": "https://evil.example"}), page, 403
            )
        for wrong in ("Bearer dp_made-up", "Bearer", "Basic YTpi", "Bearer " + page.entered().secret):
            answer = page.ask(method, filled(route.path), {"Authorization": wrong})
            nobody(answer, page)
            assert "invalid_token" in answer.headers["www-authenticate"]


@pytest.mark.parametrize(("route", "method"), [one for one in PRIVATE if one not in TOKENS])
def test_a_token_opens_no_page(route: APIRoute, method: str, local: Page) -> None:
    """An API token is for the API; a page wants a session."""
    bearer = {"Authorization": f"Bearer {local.token(Role.ADMIN)}", "Sec-Fetch-Site": "none"}
    nobody(local.ask(method, filled(route.path), bearer), local)


@pytest.mark.parametrize(("route", "method"), CALLS)
def test_what_only_a_proxy_may_say_is_not_believed(route: APIRoute, method: str, local: Page) -> None:
    """Forwarded names, addresses and schemes from anybody change nothing and come back nowhere."""
    forged: dict[str, str | None] = {
        "X_Forwarded_For": "203.0.113.9",
        "X_Forwarded_Proto": "https",
        "X_Forwarded_Host": "evil.example",
        "Forwarded": "for=203.0.113.9;host=evil.example;proto=https",
        "X_Forwarded_Prefix": "/evil",
        "X_Original_URL": "/evil",
        "X_HTTP_Method_Override": "DELETE",
    }
    plain = local.entered().ask(method, filled(route.path))
    answer = local.entered().ask(method, filled(route.path), b"", **forged)
    assert answer.status_code == plain.status_code
    safe(answer, local)
    assert "evil" not in answer.text + str(answer.headers)
    assert not any(line["from"] == "203.0.113.9" for line in local.audit())


@pytest.mark.parametrize(("route", "method"), CHANGES)
def test_a_large_body_is_not_read(route: APIRoute, method: str, local: Page) -> None:
    """More than 64 KiB (of messages, reports and files some MiB) are answered 413, before one of them is read."""
    browser = local.entered()
    kind = "application/json"
    head = browser.headers(change=True) | {"Host": local.host, "Content-Type": kind}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    start = f"{method} {filled(route.path)} HTTP/1.1\r\n{lines}Connection: close\r\n"
    most = largest({"method": method, "path": filled(route.path)})
    said = local.raw(f"{start}Content-Length: {most + 1}\r\n\r\n".encode())
    assert said.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(("route", "method"), CHANGES)
def test_another_kind_of_body_is_refused(route: APIRoute, method: str, local: Page) -> None:
    """Only the kinds of body that are expected are read; what a foreign form can send is none at the API."""
    browser, path = local.entered(), filled(route.path)
    kinds = ["text/plain", "multipart/form-data; boundary=x", "application/xml", None]
    if path.startswith("/api/"):
        kinds.append("application/x-www-form-urlencoded")
    for kind in kinds:
        refused(browser.ask(method, path, b"{}", Content_Type=kind), local, 415)
    packed = browser.ask(method, path, b"{}", Content_Type="application/json", Content_Encoding="gzip")
    refused(packed, local, 415)


@pytest.mark.parametrize(("route", "method"), CALLS)
def test_every_answer_is_safe(route: APIRoute, method: str, local: Page, public: Page) -> None:
    """The security headers are on what works, too."""
    safe(local.entered().ask(method, filled(route.path)), local)
    safe(public.entered(Role.ADMIN).ask(method, filled(route.path)), public)


@pytest.mark.parametrize(("route", "method"), [one for one in CALLS if one.values[1] == "GET"])
def test_looking_changes_nothing(route: APIRoute, method: str, tmp_path: Path) -> None:
    """After a GET every connection, key and sign-in is as it was, byte for byte."""
    with served(tmp_path) as page:
        page.services.home.folder.create(dataclasses.replace(SAMPLE, default=True))
        before = contents(tmp_path)
        assert any(name.endswith("eml-placeholder.xml") for name in before)
        page.entered().ask(method, filled(route.path))
        assert contents(tmp_path) == before


def contents(root: Path) -> dict[str, bytes]:
    """Every file of a home but the sessions and locks."""
    files = (path for path in root.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path): path.read_bytes() for path in files if path.parent.name != "web"}
