"""A real browser at the page: it gets in, stays in, and pages of others get nothing."""

from __future__ import annotations

import contextlib
import http.server
import threading
from typing import TYPE_CHECKING

import pytest

from browser import chromium as chromiums
from web.command import started, with_tls
from web.page import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import playwright.sync_api as playwright
    from playwright.sync_api import Browser

    from web.page import Page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for which every name ending in .example is this machine."""
    with chromiums.chromium() as browser:
        yield browser


def inside(page: playwright.Page) -> playwright.Locator:
    """What only those see who are logged in: the menu."""
    return page.get_by_role("navigation", name="Pages").get_by_role("link", name="Connections")


@contextlib.contextmanager
def page_of_others(html: str) -> Iterator[int]:
    """Somebody else's page, on another port of this machine."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(60)


def test_the_link_opens_the_page(chromium: Browser, local: Page) -> None:
    """The link leads to the page at a clean address; nothing on it breaks the policy; another browser gets nothing."""
    link = f"{local.origin}/open?key={local.services.access.links.make().reveal()}"
    said: list[str] = []
    with chromium.new_context() as context:
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.goto(link)
        assert "key=" not in page.url
        inside(page).wait_for()
        assert not [text for text in said if "Content Security Policy" in text]
    with chromium.new_context() as other:
        page = other.new_page()
        answer = page.goto(link)
        assert answer is not None and answer.status == 401
        assert page.get_by_text("datapallas serve --new-link").is_visible()


def test_a_link_on_another_page_leads_in(chromium: Browser, local: Page) -> None:
    """Whoever is logged in and follows a link from another site, or opens the link from one, gets in."""
    link = f"{local.origin}/open?key={local.services.access.links.make().reveal()}"
    html = f'<a id="first" href="{link}">open</a> <a id="second" href="{local.origin}/?again">again</a>'
    with page_of_others(html) as port, chromium.new_context() as context:
        page = context.new_page()
        for name in ("first", "second"):
            page.goto(f"http://other.example:{port}/")
            page.click(f"#{name}")
            inside(page).wait_for()
            assert page.url.startswith(local.origin)


def test_a_page_of_others_changes_and_reads_nothing(chromium: Browser, local: Page) -> None:
    """Forms, scripts, pictures and frames of another port of this machine neither act nor read in our session."""
    browser = local.entered()
    html = f"""
      <form id="form" method="post" action="{local.origin}/logout-all" target="_blank"></form>
      <iframe id="frame" src="{local.origin}/"></iframe>
      <script>
        window.read = async () => {{
          const got = [];
          for (const how of [{{}}, {{mode: "no-cors"}}, {{credentials: "include"}}, {{method: "POST", mode: "no-cors",
              credentials: "include"}}]) {{
            try {{ const answer = await fetch("{local.origin}/logout-all", how); got.push(await answer.text()); }}
            catch (error) {{ got.push("refused"); }}
          }}
          return got.join("");
        }};
      </script>"""
    with page_of_others(html) as port, chromium.new_context() as context:
        context.add_cookies(
            [
                {
                    "name": local.settings.cookie,
                    "value": browser.secret,
                    "url": local.origin,
                    "sameSite": "Strict",
                }
            ]
        )
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        assert "Connections" not in page.evaluate("read()")
        with context.expect_page() as opened:
            page.evaluate("document.querySelector('#form').submit()")
        opened.value.wait_for_load_state()
        assert browser.csrf  # the session is still there
        page.goto(local.origin)
        inside(page).wait_for()
    assert {line["what"] for line in local.audit()} == {"request-refused"}


def test_a_name_that_points_here_reads_nothing(chromium: Browser, local: Page) -> None:
    """DNS rebinding: a name of somebody else that leads to this machine gets a refusal, and no page."""
    with chromium.new_context() as context:
        page = context.new_page()
        answer = page.goto(f"http://evil.example:{local.port}/")
        assert answer is not None and answer.status == 421
        assert "DataPallas" not in page.content()


def test_somebody_logs_in_and_out_again(chromium: Browser, environ: dict[str, str], tmp_path: Path) -> None:
    """The form of a served page works in a browser: wrong, then right, then out everywhere."""
    tls = with_tls(environ, tmp_path)
    with started(environ, *tls.words), chromium.new_context(ignore_https_errors=True) as context:
        page = context.new_page()
        page.goto(tls.url)
        assert page.url == f"{tls.url}/login?next=%2F"
        for password in ("a wrong password", PASSWORD):
            page.get_by_label("Name").fill("anna")
            page.get_by_label("Password").fill(password)
            page.get_by_role("button", name="Log in").click()
            if password != PASSWORD:
                assert "do not fit together" in page.get_by_role("alert").inner_text()
        inside(page).wait_for()
        page.locator("summary", has_text="anna").click()
        page.get_by_role("button", name="Sign out everywhere").click()
        page.get_by_role("heading", name="Log in").wait_for()
