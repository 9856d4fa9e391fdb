"""A person at a browser, as a script: opens a sign-in page, types a login, allows or declines, follows every redirect.

For tests and the demo. `BROWSER="python -m datapallas.sandbox.person %s"` makes it the system's browser: it returns at
once, as browsers do, and goes on in the background. The login comes from `--login`, else DATAPALLAS_SANDBOX_LOGIN, else
what the page suggests. It knows the sandbox's pages and those of npm oidc-provider's devInteractions.
Must stay true: standard library only; nothing it reads is printed but the last address without its query.
"""

from __future__ import annotations

import html.parser
import os
import sys
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode, urljoin, urlsplit

if TYPE_CHECKING:
    from http.client import HTTPMessage, HTTPResponse
    from typing import IO
    from urllib.request import OpenerDirector, Request

LOGIN_VARIABLE = "DATAPALLAS_SANDBOX_LOGIN"
_STEPS = 12
_SECONDS = 20.0
_PAGE = 1 << 20


class Ended(NamedTuple):
    """Where the browser ended up: the last address, its HTTP status (0 when it was not opened) and its page."""

    url: str
    status: int
    page: str


class Lost(RuntimeError):
    """The pages did not come to an end, or could not be opened."""


class _Page(html.parser.HTMLParser):
    """The first form of a page, and what else a person can press or pick."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.buttons: dict[str, list[str]] = {}
        self.options: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what matters."""
        values = {name: value or "" for name, value in attrs}
        name = values.get("name", "")
        if tag == "form" and self.action is None:
            self.action = values.get("action", "")
        elif tag == "input" and name:
            self.fields.setdefault(name, values.get("value", ""))
        elif tag == "button" and name:
            self.buttons.setdefault(name, []).append(values.get("value", ""))
        elif tag == "option":
            self.options.append(values.get("value", ""))
        elif tag == "a":
            self.links.append(values.get("href", ""))


def browse(url: str, *, login: str = "", deny: bool = False, stop_at: str = "") -> Ended:
    """Go through the pages from `url` to the end.

    Args:
        url: the address a program asks the browser to open.
        login: the address to type; empty takes DATAPALLAS_SANDBOX_LOGIN, else what the page suggests.
        deny: decline instead of allowing.
        stop_at: an address that is not opened, when nothing listens there; the beginning is enough.

    Raises Lost.
    """
    who = login or os.environ.get(LOGIN_VARIABLE, "")
    opener = _opener(stop_at)
    data: bytes | None = None
    for _ in range(_STEPS):
        ended = _open(opener, url, data)
        page = _Page(ended.page)
        if page.action is None or ended.status == 0:
            return ended
        url, data = _next(ended.url, page, who, deny=deny)
    raise Lost("the pages do not come to an end: " + url.partition("?")[0])


def _next(url: str, page: _Page, who: str, *, deny: bool) -> tuple[str, bytes | None]:
    """What a person does on this page: the address to open, and the form to send."""
    fields = dict(page.fields)
    if deny:
        abort = next((link for link in page.links if link.endswith("/abort")), None)
        if abort and fields.get("prompt") == "consent":
            return urljoin(url, abort), None
        if "abort" in page.buttons or "abort" in fields:
            fields["abort"] = "yes"
    if "login" in fields:
        suggested = fields["login"] or next(iter(page.options), "alice@sandbox.example")
        fields.update(login=who or suggested, password="any")
    if "decision" in page.buttons:
        fields["decision"] = "decline" if deny else "accept"
    return urljoin(url, page.action), urlencode(fields).encode()


def _opener(stop_at: str) -> OpenerDirector:
    import http.cookiejar
    import urllib.request

    class Redirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(  # noqa: PLR0913, PLR0917 - urllib's signature
            self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
        ) -> Request | None:
            if stop_at and newurl.startswith(stop_at):
                raise _Stop(newurl)
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), Redirects, jar)


class _Stop(Exception):
    pass


def _open(opener: OpenerDirector, url: str, data: bytes | None) -> Ended:
    import http.client
    import urllib.error

    if urlsplit(url).scheme not in {"http", "https"}:
        raise Lost(f"not a web address: {url.partition('?')[0]}")
    try:
        reply: HTTPResponse = opener.open(url, data, timeout=_SECONDS)
    except _Stop as stop:
        return Ended(str(stop), 0, "")
    except urllib.error.HTTPError as problem:
        with problem:
            return Ended(problem.geturl(), problem.code, problem.read(_PAGE).decode("utf-8", "replace"))
    except (OSError, http.client.HTTPException) as problem:
        raise Lost(f"cannot open {url.partition('?')[0]} or where it leads: {problem}") from problem
    with reply:
        return Ended(reply.geturl(), reply.status, reply.read(_PAGE).decode("utf-8", "replace"))


def main(arguments: list[str]) -> int:
    """Run as a browser: ``[--login ADDRESS] [--deny] [--wait] URL``."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m datapallas.sandbox.person", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--login", default="")
    parser.add_argument("--deny", action="store_true")
    parser.add_argument("--wait", action="store_true", help="stay until the pages have come to an end")
    asked = parser.parse_args(arguments)
    if not asked.wait:
        import subprocess

        command = [sys.executable, "-m", "datapallas.sandbox.person", "--wait", *arguments]
        subprocess.Popen(  # noqa: S603 - ourselves, with our own arguments
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return 0
    try:
        ended = browse(asked.url, login=asked.login, deny=asked.deny)
    except Lost as lost:
        print(lost, file=sys.stderr)  # noqa: T201 - this is a program
        return 1
    print(ended.url.partition("?")[0])  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
