"""A program at the API: it has a token, sends JSON, and reads what comes."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import TYPE_CHECKING, Any

import httpx2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from web.page import Page

PROBLEM = "application/problem+json"
SECONDS = 60


@dataclasses.dataclass
class Event:
    """One server-sent event."""

    id: str
    name: str
    data: dict[str, Any]


@dataclasses.dataclass
class Api:
    """The API as one token sees it; `said` is everything that was answered, to search it for secrets."""

    page: Page
    token: str
    said: list[str] = dataclasses.field(default_factory=list)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def ask(self, method: str, path: str, body: object = None) -> httpx2.Response:
        """One request below /api/v1."""
        headers, data = self.headers, b""
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        answer = self.page.ask(method, f"/api/v1{path}", headers, data)
        self.said += [answer.text, str(answer.headers)]
        return answer

    def good(self, method: str, path: str, body: object = None, status: int = 200) -> dict[str, Any]:
        """A request that works; what was answered."""
        answer = self.ask(method, path, body)
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def problem(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """A request that does not; the problem."""
        answer = self.ask(method, path, body)
        assert answer.status_code >= 400, answer.text
        assert answer.headers["content-type"] == PROBLEM
        found: dict[str, Any] = answer.json()
        assert found["status"] == answer.status_code and found["title"] and found["code"] and found["type"]
        return found

    @contextlib.contextmanager
    def stream(self, path: str, last: str = "") -> Iterator[httpx2.Response]:
        """An open answer."""
        headers = {**self.headers, "Host": self.page.host} | ({"Last-Event-ID": last} if last else {})
        base = f"http://127.0.0.1:{self.page.port}"
        with (
            httpx2.Client(base_url=base, timeout=SECONDS, trust_env=False) as client,
            client.stream("GET", f"/api/v1{path}", headers=headers) as answer,
        ):
            yield answer

    def events(self, path: str, last: str = "") -> Iterator[Event]:
        """Each event, until the stream ends."""
        with self.stream(path, last) as answer:
            assert answer.status_code == 200, answer.read()
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield from parsed(self, answer.iter_lines())


def parsed(api: Api, lines: Iterator[str]) -> Iterator[Event]:
    """The events in the lines of a stream."""
    found: dict[str, str] = {}
    for line in lines:
        api.said.append(line)
        if line:
            name, _, value = line.partition(": ")
            found[name] = value
        elif "data" in found:
            yield Event(found["id"], found["event"], json.loads(found["data"]))
            found = {}
