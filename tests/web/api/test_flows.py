"""Sign-ins, test emails and diagnoses by the API, from the start to the end, and watched."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from datapallas.home.live import Live
from datapallas.sandbox.person import browse
from datapallas.web.api.diagnoses import MOST, _under_way
from datapallas.web.api.events import stream
from datapallas.web.api.shown import Me
from datapallas.web.services import Mode
from datapallas.web.who import Kind, Role
from web.api.client import Api, Event, parsed
from web.page import served

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from datapallas.sandbox import Sandbox
    from web.page import Page

ALICE, BOB = "alice@sandbox.example", "bob@sandbox.example"
CODE = "eml-sandbox"
ONE = f"/connections/{CODE}"


@pytest.fixture
def saved(page: Page, sandbox: Sandbox) -> str:
    """A connection nobody has signed in to."""
    return page.services.home.folder.create(sandbox.connection()).code


@pytest.fixture
def signed_in(page: Page, sandbox: Sandbox) -> str:
    return page.services.home.folder.create(sandbox.connection(signed_in=True)).code


def until(events: Iterator[Event], stage: str) -> dict[str, Any]:
    """The first state at this stage."""
    for event in events:
        if event.data["stage"] == stage:
            return event.data
    raise AssertionError(f"never {stage}")


def waiting(api: Api, id_: str) -> dict[str, Any]:
    return until(api.events(f"/sign-ins/{id_}/events"), "waiting")


def started(api: Api, way: str = "paste", **more: object) -> str:
    id_: str = api.good("POST", f"{ONE}/sign-ins", {"way": way, **more}, 202)["id"]
    return id_


def ended_at(url: str, login: str = ALICE) -> str:
    """The address a browser elsewhere ends at."""
    redirect = parse_qs(urlsplit(url).query)["redirect_uri"][0]
    return browse(url, login=login, stop_at=redirect).url


def test_a_pasted_address_signs_in(operator: Api, saved: str, page: Page) -> None:
    """Start, watch, bring the address the browser ended at, watch the end; every step is in the audit."""
    answer = operator.ask("POST", f"{ONE}/sign-ins", {"way": "paste"})
    assert answer.status_code == 202
    begun = answer.json()
    assert answer.headers["location"] == f"/api/v1/sign-ins/{begun['id']}"
    path = f"/sign-ins/{begun['id']}"
    events = operator.events(f"{path}/events")
    state = until(events, "waiting")
    assert state["ends_at"].endswith("Z") and state["redirect_uri"] and not state["finished"]
    assert operator.good("GET", path)["stage"] == "waiting"
    wrong = operator.problem("POST", f"{path}/answer", {"pasted": "https://elsewhere.example/"})
    assert wrong["status"] == 400 and wrong["code"] == "pasted-answer"
    operator.good("POST", f"{path}/answer", {"pasted": ended_at(state["url"])})
    end = until(events, "connected")
    assert end["finished"] and end["account"] == ALICE and list(events) == []
    assert operator.good("GET", ONE)["status"]["state"] == f"connected as {ALICE}"
    assert [line["what"] for line in page.audit()] == [
        "sign-in-started",
        "sign-in-answered",
        "sign-in-connected",
    ]


def test_a_device_code_signs_in(operator: Api, saved: str, sandbox: Sandbox) -> None:
    """The code and where to type it are told; the end comes by itself."""
    id_ = started(operator, "device", issuer=sandbox.issuer)
    events = operator.events(f"/sign-ins/{id_}/events")
    state = until(events, "waiting")
    assert state["user_code"] and state["verification_uri"].startswith(sandbox.issuer)
    browse(state["verification_uri_complete"], login=ALICE)
    assert until(events, "connected")["account"] == ALICE


def test_a_browser_on_this_machine_signs_in(operator: Api, saved: str) -> None:
    """The address is opened by whoever watches; the wrong account is a failure, explained."""
    id_ = started(operator, "browser")
    events = operator.events(f"/sign-ins/{id_}/events")
    browse(until(events, "waiting")["url"], login=BOB)
    problem = until(events, "failed")["problem"]
    assert problem["id"] and problem["fix"]
    id_ = started(operator, "browser", accept_account=True)
    events = operator.events(f"/sign-ins/{id_}/events")
    browse(until(events, "waiting")["url"], login=BOB)
    assert until(events, "connected")["account"] == BOB


def test_a_sign_in_with_changes_saves_both_or_nothing(api: Api, operator: Api, signed_in: str) -> None:
    """Changes that end the stored sign-in are agreed to; the old one stays until the new one has worked."""
    change = {"way": "paste", "fields": {"from": BOB}, "accept_account": True}
    assert operator.ask("POST", f"{ONE}/sign-ins", change).status_code == 403
    elsewhere = {"way": "paste", "fields": {"host": "mail.elsewhere.example"}}
    assert api.problem("POST", f"{ONE}/sign-ins", elsewhere)["code"] == "ends-sign-in"
    assert api.problem("POST", f"{ONE}/sign-ins", elsewhere | {"fields": {"port": "x"}})["status"] == 422
    before = api.good("GET", ONE)
    id_ = started(api, fields={"host": "mail.elsewhere.example"}, end_sign_in=True)
    events = api.events(f"/sign-ins/{id_}/events")
    url = until(events, "waiting")["url"]
    assert api.good("GET", ONE) == before
    api.good("POST", f"/sign-ins/{id_}/answer", {"pasted": ended_at(url)})
    until(events, "connected")
    after = api.good("GET", ONE)
    assert after["fields"]["host"] == "mail.elsewhere.example" and after["stored_secrets"]["signed_in"]


def test_what_is_not_offered_is_refused(api: Api, saved: str) -> None:
    """A redirect belongs to a browser's session; a password has no sign-in; a made-up way is none."""
    problem = api.problem("POST", f"{ONE}/sign-ins", {"way": "redirect"})
    assert problem["status"] == 409 and problem["code"] == "not-offered" and "paste" in problem["detail"]
    assert api.problem("POST", f"{ONE}/sign-ins", {"way": "magic"})["status"] == 422
    body = {"provider": "NONE", "fields": {"name": "Plain"}}
    api.good("POST", "/connections", body, 201)
    assert api.problem("POST", "/connections/eml-plain/sign-ins", {"way": "paste"})["code"] == "no-oauth2"


def test_a_public_server_offers_no_loopback(tmp_path: Path, sandbox: Sandbox) -> None:
    """Whoever is elsewhere is never sent to an address on their own machine."""
    with served(tmp_path, Mode.SERVED, proxies=frozenset({"127.0.0.0/8"}), device_code=False) as page:
        page.services.home.folder.create(sandbox.connection())
        api = Api(page, page.token(Role.ADMIN))
        assert api.good("GET", ONE)["ways"] == ["paste"]
        assert api.problem("POST", f"{ONE}/sign-ins", {"way": "browser"})["code"] == "not-offered"


def test_a_cancelled_sign_in_ends(operator: Api, saved: str, page: Page) -> None:
    """Cancel ends it, tells whoever watches, and may be repeated; a second start ends the first, too."""
    id_ = started(operator)
    events = operator.events(f"/sign-ins/{id_}/events")
    until(events, "waiting")
    assert operator.good("POST", f"/sign-ins/{id_}/cancel")["stage"] == "cancelled"
    assert until(events, "cancelled")["finished"] and list(events) == []
    assert operator.good("POST", f"/sign-ins/{id_}/cancel")["stage"] == "cancelled"
    assert [line["what"] for line in page.audit()] == ["sign-in-started", "sign-in-cancelled"]
    first = started(operator)
    events = operator.events(f"/sign-ins/{first}/events")
    started(operator)
    until(events, "replaced")


def test_a_sign_in_is_its_owners(operator: Api, api: Api, saved: str) -> None:
    """Another token, an administrator's even, finds nothing, and hears what it would of one that never was."""
    id_ = started(operator)
    never = api.problem("GET", "/sign-ins/never")
    assert never["status"] == 404 and never["code"] == "unknown-sign-in"
    for method, path, body in (
        ("GET", "", None),
        ("GET", "/events", None),
        ("POST", "/cancel", None),
        ("POST", "/answer", {"pasted": "x"}),
    ):
        assert api.problem(method, f"/sign-ins/{id_}{path}", body) == never
    assert not operator.good("GET", f"/sign-ins/{id_}")["finished"]


def test_a_stream_goes_on_where_it_ended(operator: Api, saved: str) -> None:
    """With Last-Event-ID only what is newer comes; after the last event 204, so that a browser stays away."""
    id_ = started(operator)
    path = f"/sign-ins/{id_}/events"
    state = waiting(operator, id_)
    operator.good("POST", f"/sign-ins/{id_}/cancel")
    newer = list(operator.events(path, str(state["version"])))
    assert [event.data["stage"] for event in newer] == ["cancelled"] and newer[0].name == "state"
    assert [event.id for event in newer] == [str(newer[0].data["version"])]
    with operator.stream(path, newer[0].id) as answer:
        assert answer.status_code == 204
    for odd in ("", "0", "-1", "x", "999999999"):
        with operator.stream(path, odd) as answer:
            assert answer.status_code == 200
            assert [event.data["stage"] for event in parsed(operator, answer.iter_lines())] == ["cancelled"]


def test_a_stream_ends_with_the_server(tmp_path: Path, sandbox: Sandbox) -> None:
    """Whoever watches is told the end, and the server does not wait for them."""
    heard: list[str] = []
    with served(tmp_path) as page:
        page.services.home.folder.create(sandbox.connection())
        api = Api(page, page.token(Role.OPERATOR))
        events = api.events(f"/sign-ins/{started(api)}/events")
        until(events, "waiting")
        reader = threading.Thread(target=lambda: heard.extend(event.data["stage"] for event in events))
        reader.start()
    reader.join(60)
    assert heard == ["cancelled"]


def test_whoever_goes_away_is_not_waited_for(operator: Api, saved: str, page: Page) -> None:
    """A client that closes the stream leaves nothing behind: nobody is woken for it any more."""
    id_ = started(operator)
    work = page.services.sign_ins.find(id_, page.services.access.of_token(operator.token, "").owner)  # type: ignore[union-attr]
    assert work is not None
    head = f"GET /api/v1/sign-ins/{id_}/events HTTP/1.1\r\nHost: {page.host}\r\n"
    with socket.create_connection(("127.0.0.1", page.port), timeout=60) as client:
        client.sendall(f"{head}Authorization: Bearer {operator.token}\r\n\r\n".encode())
        while b"data: " not in client.recv(65536):
            pass
        assert len(work._live._wakes) == 1
    end = time.monotonic() + 60
    while work._live._wakes:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_many_watch_and_the_rest_is_still_served(operator: Api, saved: str, page: Page) -> None:
    """Sixty open streams hold no thread: other requests are answered meanwhile."""
    id_ = started(operator)
    head = f"GET /api/v1/sign-ins/{id_}/events HTTP/1.1\r\nHost: {page.host}\r\n"
    request = f"{head}Authorization: Bearer {operator.token}\r\n\r\n".encode()
    clients = [socket.create_connection(("127.0.0.1", page.port), timeout=60) for _ in range(60)]
    try:
        for client in clients:
            client.sendall(request)
        for client in clients:
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
        assert operator.good("GET", ONE)["code"] == CODE
    finally:
        for client in clients:
            client.close()


class Counted:
    """Work whose state is a number, and ends at three."""

    def __init__(self) -> None:
        self.live: Live[Counted] = Live(self)
        self.finished = False

    def now(self) -> tuple[int, Counted]:
        return self.live.now()

    def woken(self, wake: Callable[[], None]) -> contextlib.AbstractContextManager[None]:
        return self.live.woken(wake)


def test_a_silent_stream_shows_that_it_lives() -> None:
    """A comment comes when nothing changes, so that no proxy cuts the stream."""

    async def main() -> list[bytes]:
        work, found = Counted(), []
        shown = Me(name="x", role=Role.VIEWER, kind=Kind.TOKEN)
        async for part in stream(work, 0, lambda _version, _state: shown, heartbeat=0.01):
            found.append(part)
            if part.startswith(b":"):
                work.finished = True
                work.live.put(work)
        return found

    found = asyncio.run(main())
    assert found[1] == b": still here\n\n" and found[0].startswith(b"id: 1\nevent: state\ndata: {")
    assert found[-1].startswith(b"id: 2\n")


def test_a_test_email_is_sent_and_watched(
    operator: Api, signed_in: str, sandbox: Sandbox, page: Page
) -> None:
    """The steps tick off, the mail arrives, and the report tells it all."""
    answer = operator.ask("POST", f"{ONE}/test-emails", {})
    assert answer.status_code == 202
    path = answer.headers["location"].removeprefix("/api/v1")
    *_, last = operator.events(f"{path}/events")
    assert last.data["finished"] and last.data["outcome"] == "accepted" and last.data["to"] == ALICE
    assert [step["mark"] for step in last.data["steps"]] == ["done"] * 5
    assert operator.good("GET", path) == last.data == operator.good("POST", f"{path}/cancel")
    report = operator.ask("GET", f"{path}/report")
    assert report.headers["content-type"].startswith("text/plain") and last.data["message_id"] in report.text
    assert sandbox.wait(1)[0].recipients == (ALICE,)
    assert page.audit()[-1]["facts"] == {"connection": CODE, "to": ALICE}


def test_a_draft_is_tried_and_not_saved(api: Api, operator: Api, signed_in: str, page: Page) -> None:
    """A test email goes through the connection as it would be; only an administrator brings changes."""
    before = page.services.home.folder.path_of(CODE).read_bytes()
    body = {"to": BOB, "fields": {"port": "1"}}
    assert operator.problem("POST", f"{ONE}/test-emails", body)["status"] == 403
    id_ = api.good("POST", f"{ONE}/test-emails", body, 202)["id"]
    *_, last = api.events(f"/test-emails/{id_}/events")
    assert last.data["outcome"] == "failed" and last.data["problem"]["fix"] and last.data["to"] == BOB
    assert api.problem("POST", f"{ONE}/test-emails", {"fields": {"port": "x"}})["status"] == 422
    assert page.services.home.folder.load(CODE).server.port != "1"
    assert before.count(b"<port>1</port>") == 0


def test_a_test_email_can_be_cancelled_and_is_its_owners(api: Api, operator: Api, saved: str) -> None:
    """A server that says nothing is left; nobody else sees the test email."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        body = {
            "provider": "NONE",
            "fields": {
                "name": "Silent",
                "host": "127.0.0.1",
                "port": port,
                "from": ALICE,
                "security": "NONE",
            },
        }
        api.good("POST", "/connections", body, 201)
        id_ = operator.good("POST", "/connections/eml-silent/test-emails", {}, 202)["id"]
        never = api.problem("GET", "/test-emails/never")
        assert never["code"] == "unknown-test-email"
        for method, path in (("GET", ""), ("GET", "/events"), ("GET", "/report"), ("POST", "/cancel")):
            assert api.problem(method, f"/test-emails/{id_}{path}") == never
        operator.good("POST", f"/test-emails/{id_}/cancel")
        *_, last = operator.events(f"/test-emails/{id_}/events")
        assert last.data["outcome"] == "cancelled"


@pytest.mark.parametrize("to", ["a b", "canary@@x", "a@b\r\nBcc: c@d.example", "<>"])
def test_an_address_that_is_none_is_named(operator: Api, signed_in: str, to: str) -> None:
    """422 for `to`; what stands there is not repeated, and nothing is sent."""
    problem = operator.problem("POST", f"{ONE}/test-emails", {"to": to})
    assert problem["status"] == 422 and problem["errors"][0]["field"] == "to"
    assert "canary" not in "".join(operator.said)


def test_too_much_at_once_is_told(operator: Api, api: Api) -> None:
    """Five under way are enough for one program: 429."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        fields = {"name": "Silent", "host": "127.0.0.1", "port": port, "from": ALICE, "security": "NONE"}
        api.good("POST", "/connections", {"provider": "NONE", "fields": fields}, 201)
        ids = [operator.good("POST", "/connections/eml-silent/test-emails", {}, 202)["id"] for _ in range(5)]
        problem = operator.problem("POST", "/connections/eml-silent/test-emails", {})
        assert problem["status"] == 429 and problem["code"] == "too-many"
        for id_ in ids:
            operator.good("POST", f"/test-emails/{id_}/cancel")


def test_a_text_is_explained(page: Page) -> None:
    """Every known thing in it, or the nearest family; a viewer may ask."""
    api = Api(page, page.token(Role.VIEWER))
    found = api.good(
        "POST",
        "/explain",
        {"text": "AADSTS50011: mismatch\n535 5.7.139 SmtpClientAuthentication is disabled for the Tenant"},
    )
    assert {"microsoft-redirect", "exchange-smtp-auth-off-tenant"} <= {
        one["id"] for one in found["diagnoses"]
    }
    assert len(api.good("POST", "/explain", {"text": "nothing anybody knows"})["diagnoses"]) == 1
    assert api.problem("POST", "/explain", {"text": ""})["status"] == 422


def test_the_doctor_examines_a_connection(
    operator: Api, signed_in: str, saved_password: str, page: Page
) -> None:
    """Every check in its order; the first cause with one thing to do."""
    found = operator.good("POST", f"{ONE}/doctor")
    assert found["ok"] and found["problem"] is None and found["connection"] == CODE
    assert {check["mark"] for check in found["checks"]} <= {"ok", "skipped"}
    assert page.audit()[-1]["what"] == "doctor"
    sick = operator.good("POST", f"/connections/{saved_password}/doctor")
    assert not sick["ok"] and sick["problem"]["fix"]
    assert [check["mark"] for check in sick["checks"]].count("failed") == 1


def test_the_doctor_sees_four_at_once(operator: Api, signed_in: str) -> None:
    """More are asked to wait: 429; afterwards there is room again."""
    for _ in range(MOST):
        assert _under_way.acquire(blocking=False)
    try:
        assert operator.problem("POST", f"{ONE}/doctor")["status"] == 429
    finally:
        for _ in range(MOST):
            _under_way.release()
    assert operator.good("POST", f"{ONE}/doctor")["ok"]


@pytest.fixture
def saved_password(api: Api) -> str:
    """A connection whose mail server is not there."""
    fields = {"name": "Away", "host": "127.0.0.1", "port": "1", "from": ALICE, "security": "NONE"}
    code: str = api.good("POST", "/connections", {"provider": "NONE", "fields": fields}, 201)["code"]
    return code
