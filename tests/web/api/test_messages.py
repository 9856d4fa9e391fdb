"""Mail of programs: promised by POST /messages, sent by the server, looked at and changed by number and job."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from datapallas.home.sending import Sending
from datapallas.sandbox import Sandbox
from datapallas.web.who import Role
from web.api.client import Api
from web.page import Page, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CODE = "eml-sandbox"
BOB = "bob@sandbox.example"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def page(tmp_path: Path, sandbox: Sandbox) -> Iterator[Page]:
    """A page whose home can send."""
    with served(tmp_path) as page:
        connection = dataclasses.replace(sandbox.connection(signed_in=True), default=True)
        page.services.home.folder.create(connection)
        yield page


@pytest.fixture
def api(page: Page) -> Api:
    return Api(page, page.token(Role.OPERATOR))


@pytest.fixture
def sending(page: Page) -> Iterator[None]:
    """What `serve` does in the background."""
    failures: list[BaseException] = []
    with Sending(page.services.home, failures.append):
        yield
    assert not failures


def test_promised_at_once(api: Api, sandbox: Sandbox) -> None:
    """202 with the message and where it is; nothing was sent yet; it can be held, released, cancelled, retried."""
    body = {"to": [f"Bob <{BOB}>"], "subject": "Figures", "text": "..."}
    answer = api.ask("POST", "/messages", body)
    assert answer.status_code == 202, answer.text
    found = answer.json()
    one = f"/messages/{found['id']}"
    assert answer.headers["location"] == f"/api/v1{one}" and found["state"] == "queued"
    assert found["recipients"][0]["address"] == BOB and found["connection"] == CODE
    assert api.good("GET", one) == found
    for word, state, outcome in (
        ("hold", "held", "queued"),
        ("release", "queued", "queued"),
        ("cancel", "done", "parked"),
        ("retry", "queued", "queued"),
    ):
        changed = api.good("POST", f"{one}/{word}")
        assert (changed["state"], changed["recipients"][0]["outcome"]) == (state, outcome)
    assert not sandbox.messages


@pytest.mark.usefixtures("sending")
def test_sent_by_the_server(api: Api, sandbox: Sandbox) -> None:
    """`now` waits for the outcome; attachments arrive as they were; each recipient is told."""
    file = {"name": "figures.bin", "content": base64.b64encode(bytes(range(256)) * 600).decode()}
    body = {"to": [BOB], "cc": ["550-x@x.example"], "html": "<p>x</p>", "attachments": [file], "now": True}
    found = api.good("POST", "/messages", body)
    assert [one["outcome"] for one in found["recipients"]] == ["accepted", "refused"]
    assert found["recipients"][1]["problem"]["fix"] and found["attempts"][0]["outcome"] == "mixed"
    parts = {part.get_filename(): part for part in sandbox.wait(1)[0].message.walk()}
    assert parts["figures.bin"].get_payload(decode=True) == bytes(range(256)) * 600
    job = api.good("GET", f"/jobs/{found['job']}")
    assert job["recipients"]["accepted"] == job["recipients"]["refused"] == 1 and not job["open"]
    assert api.good("GET", "/jobs")["jobs"] == [job]
    rows = api.good("GET", f"/jobs/{found['job']}/recipients?outcome=refused")["recipients"]
    assert [row["address"] for row in rows] == ["550-x@x.example"]
    assert len(api.good("GET", f"/messages?address={BOB}")["recipients"]) == 1
    assert api.good("GET", "/outbox")["mailboxes"][0]["connection"] == CODE


def test_the_same_request_twice(api: Api) -> None:
    """An Idempotency-Key is one message; another body with it is refused; another program's key is its own."""
    body = {"to": [BOB], "text": "..."}

    def ask(api: Api, body: object) -> tuple[int, dict[str, object]]:
        headers = api.headers | {"Content-Type": "application/json", "Idempotency-Key": "4711"}
        answer = api.page.ask("POST", "/api/v1/messages", headers, json.dumps(body).encode())
        return answer.status_code, answer.json()

    first, again = ask(api, body), ask(api, body)
    assert first == again and first[0] == 202
    status, problem = ask(api, body | {"text": "other"})
    assert (status, problem["code"]) == (422, "key-reused")
    assert ask(Api(api.page, api.page.token(Role.OPERATOR)), body)[1]["id"] != first[1]["id"]
    keyed = body | {"job": "november", "key": "1"}
    ids = [api.good("POST", "/messages", keyed, 202)["id"] for _ in range(2)]
    assert ids[0] == ids[1]
    assert api.problem("POST", "/messages", keyed | {"text": "other"})["code"] == "key-reused"
    assert api.problem("POST", "/messages", body | {"key": "1"})["code"] == "key-without-job"


def test_jobs_and_mailboxes(api: Api, sandbox: Sandbox) -> None:
    """Pause, resume, cancel and retry a job; pause and resume a mailbox; each is in the audit."""
    job = api.good("POST", "/messages", {"to": [BOB]}, 202)["job"]
    for word in ("pause", "resume", "cancel"):
        assert api.good("POST", f"/jobs/{job}/{word}") == {"count": 1}
    assert api.problem("POST", f"/jobs/{job}/resume")["status"] == 409
    assert api.good("POST", f"/jobs/{job}/retry") == {"count": 1}
    assert api.good("POST", f"/outbox/{CODE}/pause")["mailboxes"][0]["pause"] == "person"
    assert api.good("POST", f"/outbox/{CODE}/resume")["mailboxes"][0]["pause"] == ""
    events = {line["what"] for line in api.page.audit()}
    assert events >= {"message-promised", "job-paused", "job-cancelled", "job-retried", "outbox-paused"}
    assert not sandbox.messages


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"to": ["nobody"]}, 422),
        ({"to": [BOB], "subject": "a\r\nBcc: x@x.example"}, 422),
        ({"to": [BOB], "attachments": [{"name": "a", "content": "/etc/passwd!"}]}, 422),
        ({"to": [BOB], "connection": "eml-nobody"}, 404),
        ({"to": [BOB], "colour": "red"}, 422),
        ({"to": "nobody"}, 422),
        ({"to": 7}, 422),
    ],
)
def test_what_cannot_be_sent(api: Api, body: dict[str, object], status: int) -> None:
    """A problem that says why; nothing is promised, and no outbox is made."""
    assert api.problem("POST", "/messages", body)["status"] == status
    assert not api.good("GET", "/jobs")["jobs"]


def test_what_is_not_there_and_who_may(api: Api) -> None:
    """404 for what nobody knows, also before there is an outbox; a viewer looks and does not send."""
    for path in ("/jobs/none", "/jobs/none/recipients", "/messages/1"):
        assert api.problem("GET", path)["status"] == 404
    assert api.good("GET", "/messages?address=x")["recipients"] == []
    viewer = Api(api.page, api.page.token(Role.VIEWER))
    assert viewer.problem("POST", "/messages", {"to": [BOB]})["status"] == 403
    assert viewer.good("GET", "/outbox") == {"mailboxes": []}
    assert not (api.page.services.home.root / "data" / "outbox.db").exists()


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("POST", "/messages", None, "The body is missing: send a JSON object with Content-Type: application/json."),
        ("POST", "/messages", [], "The body must be a JSON object, such as {}."),
        ("POST", "/explain", {"text": ""}, "text: It is empty."),
        ("GET", "/jobs/x/recipients?after=x", None, "after: Leave it out, or give it as an answer gave it to you."),
        ("GET", "/nothing", None, "There is nothing at this address. `GET /api/v1` names what there is."),
        ("DELETE", "/outbox", None, "This address cannot be asked in this way. It takes GET."),
    ],
)  # fmt: skip
def test_every_refusal_is_a_sentence_of_ours(
    api: Api, method: str, path: str, body: object, said: str
) -> None:
    """Which value, what is wrong and what to give: also where the framework is the one that refuses."""
    headers = api.headers | {"Content-Type": "application/json"}
    data = b"" if body is None else json.dumps(body).encode()
    answer = api.page.ask(method, f"/api/v1{path}", headers, data)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == said


def test_one_recipient_as_a_text(api: Api) -> None:
    """`to` may be one address; what is wrong with a body is said in words of ours."""
    found = api.good("POST", "/messages", {"to": BOB, "cc": "eve@x.example"}, 202)
    assert [one["address"] for one in found["recipients"]] == [BOB, "eve@x.example"]
    for body, said in (
        ({"to": BOB, "subjct": "x"}, "subjct: There is no such name here; look for a misspelt one."),
        ({"to": 7}, "to: Give a list."),
        ({"to": BOB, "bulk": "yes"}, "bulk: Give true or false."),
        ({"to": BOB, "key": "k" * 201}, "key: It is too long: 200 is the most."),
    ):
        assert api.problem("POST", "/messages", body)["detail"] == said
