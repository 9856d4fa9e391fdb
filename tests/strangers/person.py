"""The person at the browser: opens a page, types a login, says yes or no, and is led wherever the pages lead.

Knows HTML forms and links, cookies and redirects; no script runs. `oidc-provider`'s own pages need none.
"""

from __future__ import annotations

import dataclasses
import http.cookiejar
import threading
import urllib.error
import urllib.request
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urljoin

if TYPE_CHECKING:
    from collections.abc import Callable
    from http.client import HTTPResponse

_MOST_PAGES = 12


@dataclasses.dataclass(slots=True)
class Page:
    """Where the browser stands and what it shows."""

    url: str
    text: str
    status: int
    action: str | None = None
    fields: dict[str, str] = dataclasses.field(default_factory=dict)
    links: list[str] = dataclasses.field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self, page: Page) -> None:
        super().__init__()
        self.page = page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.page.action = urljoin(self.page.url, given.get("action", ""))
        elif tag in {"input", "button"} and given.get("name"):
            self.page.fields[given["name"]] = given.get("value", "")
        elif tag == "a" and "href" in given:
            self.page.links.append(urljoin(self.page.url, given["href"]))


class _Trail(urllib.request.BaseHandler):
    """Remembers where the browser was led, in case nobody is there."""

    last = ""

    def http_request(self, request: urllib.request.Request) -> urllib.request.Request:
        self.last = request.full_url
        return request


class Person:
    """One person, whose browser remembers cookies from page to page.

    Args:
        login: what is typed where a page asks who it is.
        denies: presses "Cancel" where the application's rights are shown.
    """

    def __init__(self, login: str = "alice@example.test", *, denies: bool = False) -> None:
        self.login, self.denies = login, denies
        self._trail = _Trail()
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
            self._trail,
        )

    def browse(self, url: str) -> Page:
        """Go where `url` leads, until a page asks nothing more."""
        page = self._get(url)
        for _ in range(_MOST_PAGES):
            cancel = [link for link in page.links if link.endswith("/abort")]
            if self.denies and cancel and page.fields.get("prompt") == "consent":
                page = self._get(cancel[0])
            elif page.action is not None:
                page = self._get(page.action, self._filled(page.fields))
            else:
                return page
        raise AssertionError(f"the pages do not end: {page.url}")

    def open_browser(self, then: Callable[[Page], None] = lambda page: None) -> Callable[[str], bool]:
        """What a program calls to open an address: the person browses in a thread of its own; `then` has the last page."""

        def open_browser(url: str) -> bool:
            threading.Thread(target=lambda: then(self.browse(url)), name="person", daemon=True).start()
            return True

        return open_browser

    def _filled(self, fields: dict[str, str]) -> dict[str, str]:
        if "login" in fields:
            return {**fields, "login": self.login, "password": "any"}
        return {name: value for name, value in fields.items() if name != "abort" or self.denies}

    def _get(self, url: str, form: dict[str, str] | None = None) -> Page:
        data = None if form is None else urlencode(form).encode()
        try:
            answer: HTTPResponse = self._opener.open(url, data, timeout=60)
        except urllib.error.HTTPError as refusal:
            answer = refusal  # type: ignore[assignment]  # a page like any other to a person
        except (
            urllib.error.URLError
        ):  # "this site can't be reached"; its address stands in the browser all the same
            return Page(self._trail.last, "", 0)
        with answer:
            page = Page(answer.url, answer.read().decode("utf-8", "replace"), answer.status or 0)
        _Reader(page).feed(page.text)
        return page
