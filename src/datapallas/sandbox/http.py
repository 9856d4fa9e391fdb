"""Requests and answers of the sandbox's web side, as values, and the headers every page gets.

Must stay true: no page loads anything from elsewhere or runs a script; a page's text is escaped by `pages`, never here.
"""

from __future__ import annotations

import dataclasses
import json
from urllib.parse import parse_qsl, urlsplit

# The style sheet is a file of its own, so that no inline style has to be allowed.
_POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
_PAGE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; header names in small letters, `path` without the query, decoded parameters.

    Attributes:
        query: parameters of the address; a repeated one is an error of the sender, the first counts.
        form: parameters of a form body.
        body: the bytes of the body, for JSON.
    """

    method: str
    path: str
    query: dict[str, str]
    form: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""


@dataclasses.dataclass(slots=True)
class Answer:
    """One HTTP answer, and what the server does besides sending it.

    Attributes:
        delay: seconds to wait before sending.
        drop: True ends the connection without an answer.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    delay: float = 0.0
    drop: bool = False


def parse(method: str, target: str, headers: dict[str, str], body: bytes) -> Request:
    """A request from its parts; ValueError when target or form cannot be read."""
    parts = urlsplit(target)
    form: dict[str, str] = {}
    if (
        headers.get("content-type", "").partition(";")[0].strip().lower()
        == "application/x-www-form-urlencoded"
    ):
        form = first_of(body.decode("utf-8"))
    return Request(method, parts.path, first_of(parts.query), form, headers, body)


def first_of(text: str) -> dict[str, str]:
    """Parameters of a query or a form; of a repeated one the first."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=200):
        found.setdefault(name, value)
    return found


def json_answer(value: object, status: int = 200) -> Answer:
    """JSON that nobody may keep (RFC 6749 section 5.1)."""
    body = json.dumps(value, ensure_ascii=False).encode()
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Cache-Control": "no-store",
        "Pragma": "no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    return Answer(status, headers, body)


def page_answer(page: str, status: int = 200, *, form_target: str = "") -> Answer:
    """A page. `form_target` is one more origin its forms may lead to: browsers check the redirect after a form too."""
    policy = f"{_POLICY} {form_target}".strip()
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        **_PAGE_HEADERS,
    }
    return Answer(status, headers, page.encode())


def redirect(address: str) -> Answer:
    """Send the browser elsewhere with a GET (RFC 9700 section 4.12: 303, so that no form is sent again)."""
    return Answer(
        303, {"Location": address, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}, b""
    )
