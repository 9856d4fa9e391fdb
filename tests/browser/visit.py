"""One person's browser, of which everything is noted: what it complained about, what it loaded, from where.

Must stay true: nothing is forgiven silently. What a test brings about on purpose it names by `foresees`.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from browser.chromium import WAIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, WebError

_TELL_VIOLATIONS = """document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile} ${event.sample}`));"""
_STATUS = "Failed to load resource: the server responded with a status of "
# What the browser and htmx say of a server that does not answer.
_NO_ANSWER = ("Failed to load resource: net::", "htmx:sendError")
# A check of what was typed gives way to a newer request; each word of htmx's about a failure comes with `afterRequest`.
_GAVE_WAY = ("htmx:sendAbort", "htmx:afterRequest")
OFFLINE = 0
"""To foresee: the server does not answer."""


@dataclasses.dataclass
class Visit:
    """One browser context at the page `origin`."""

    origin: str
    context: BrowserContext
    page: Page
    complaints: list[str] = dataclasses.field(default_factory=list)
    statuses: list[int] = dataclasses.field(default_factory=list)
    elsewhere: list[str] = dataclasses.field(default_factory=list)
    foreseen: set[int] = dataclasses.field(default_factory=set)

    def foresees(self, *statuses: int) -> None:
        """Answers of ours with these statuses are what the test wants to see."""
        self.foreseen.update(statuses)

    def goto(self, path: str) -> Page:
        """Open a page of ours."""
        self.page.goto(self.origin + path)
        return self.page

    def watch(self) -> None:
        """Note everything from now on."""
        self.context.on("console", self._console)
        self.context.on("weberror", self._error)
        self.context.on("request", self._request)
        self.context.on("response", self._response)

    def _ours(self, url: str) -> bool:
        return url.startswith(self.origin + "/")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type not in {"error", "warning"}:
            return
        shown = message.page.url if message.page else ""
        if message.text.startswith(
            (_STATUS, *_GAVE_WAY)
        ):  # the browser's own word for a status, which `statuses` has
            return
        if message.text.startswith(_NO_ANSWER) and OFFLINE in self.foreseen:
            return
        if self._ours(shown) or message.text.startswith("policy: "):
            self.complaints.append(f"{shown}: {message.text}")

    def _error(self, problem: WebError) -> None:
        self.complaints.append(f"{problem.page.url if problem.page else ''}: {problem.error}")

    def _request(self, request: Request) -> None:
        if request.is_navigation_request() or request.url.startswith(("data:", "blob:")):
            return
        if self._ours(request.frame.page.url) and not self._ours(request.url):
            self.elsewhere.append(request.url)

    def _response(self, response: Response) -> None:
        if self._ours(response.url) and response.status >= 400:
            self.statuses.append(response.status)

    def check(self) -> None:
        """Nothing broke the policy, no script failed, nothing came from elsewhere, no answer was refused."""
        assert not self.complaints, self.complaints
        assert not self.elsewhere, self.elsewhere
        assert set(self.statuses) <= self.foreseen


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a browser received: one answer, whole."""

    url: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def traffic(har: Path) -> list[Answer]:
    """Every answer of a visit that has ended, from its record."""
    entries: list[dict[str, Any]] = json.loads(har.read_text())["log"]["entries"]
    found = []
    for entry in entries:
        answer = entry["response"]
        content = answer["content"]
        text = content.get("text", "")
        body = base64.b64decode(text) if content.get("encoding") == "base64" else text.encode()
        headers = tuple((header["name"].lower(), header["value"]) for header in answer["headers"])
        found.append(Answer(entry["request"]["url"], answer["status"], headers, body))
    return found


@contextlib.contextmanager
def visiting(browser: Browser, origin: str, **settings: Any) -> Iterator[Visit]:
    """A person's browser until the block ends; then nothing may have gone wrong in it."""
    context = browser.new_context(service_workers="block", **settings)
    try:
        context.set_default_timeout(WAIT)
        context.add_init_script(_TELL_VIOLATIONS)
        visit = Visit(origin, context, context.new_page())
        visit.watch()
        yield visit
        visit.check()
    finally:
        context.close()
