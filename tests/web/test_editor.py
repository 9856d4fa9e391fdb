"""The editor: what it asks stays asked, and what it makes can be used at once."""

from __future__ import annotations

import html
import re
import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from datapallas.connection import form
from datapallas.sandbox.person import browse

if TYPE_CHECKING:
    from datapallas.connection.model import Connection
    from datapallas.sandbox import Sandbox
    from web.page import Browser, Page

_FORM = "application/x-www-form-urlencoded"


def _fields(connection: Connection, **others: str) -> bytes:
    return urlencode({**form.as_fields(connection), **others}).encode()


def test_the_question_stays_when_a_check_comes_after_it(local: Page, datapallas_sandbox: Sandbox) -> None:
    """Whoever presses Save is asked before a sign-in ends, also when the check of the last change answers later."""
    stored = local.services.home.folder.create(datapallas_sandbox.connection(signed_in=True))
    browser = local.entered()
    changed = {"code": stored.code, "kind": "generic", "host": "elsewhere.example"}
    body = _fields(stored, **changed)
    asked = browser.ask("POST", "/connections/save", body, Content_Type=_FORM)
    assert asked.status_code == 422
    assert "Save and end the sign-in" in asked.text
    assert "Save and end" not in browser.ask("POST", "/connections/check", body, Content_Type=_FORM).text
    [marker] = re.findall(r'<input type="hidden" name="(\w+)" value="yes">', asked.text)
    later = browser.ask(
        "POST", "/connections/check", _fields(stored, **changed, **{marker: "yes"}), Content_Type=_FORM
    )
    assert "Save and end the sign-in" in later.text


def test_the_first_connection_is_the_default_one(local: Page, datapallas_sandbox: Sandbox) -> None:
    """A mailbox that is connected first by signing in is used when a command names none."""
    browser = local.entered()
    body = _fields(datapallas_sandbox.connection(), kind="generic")
    page = browser.ask("POST", "/sign-ins?way=browser", body, Content_Type=_FORM).text
    [work] = re.findall(r'hx-get="/sign-ins/([^?"]+)\?', page)
    [address] = re.findall(r'href="([^"]+)"[^>]* data-open', _once(browser, work, "data-open"))
    browse(html.unescape(address), login="alice@sandbox.example")
    _once(browser, work, "Connected as alice@sandbox.example")
    assert local.services.home.folder.default().mailbox == "alice@sandbox.example"


def test_two_tabs_do_not_overwrite_each_other(local: Page, datapallas_sandbox: Sandbox) -> None:
    """The second tab's save is refused and loses nothing; loaded again, it saves."""
    stored = local.services.home.folder.create(datapallas_sandbox.connection(signed_in=True))
    browser, about = local.entered(), {"code": stored.code, "kind": "generic"}

    def seen() -> str:
        page = browser.ask("GET", f"/connections/{stored.code}").text
        [found] = re.findall(r'name="seen" id="seen" value="(\w+)"', page)
        return str(found)

    def save(**changed: str) -> int:
        body = _fields(stored, **about, **changed)
        return browser.ask("POST", "/connections/save", body, Content_Type=_FORM).status_code

    both = seen()
    assert save(name="Tab one", seen=both) == 200
    assert save(**{"from-name": "Tab two"}, seen=both) == 422
    kept = local.services.home.folder.load(stored.code)
    assert (kept.name, kept.from_name) == ("Tab one", stored.from_name)
    assert save(**{"from-name": "Tab two", "name": "Tab one"}, seen=seen()) == 200
    assert local.services.home.folder.load(stored.code).from_name == "Tab two"


def test_disconnect_says_so_everywhere_on_the_page(local: Page, datapallas_sandbox: Sandbox) -> None:
    """After Disconnect nothing says Connected any more, and the next step is to sign in."""
    stored = local.services.home.folder.create(datapallas_sandbox.connection(signed_in=True))
    browser = local.entered()
    assert "Connected as" in browser.ask("GET", f"/connections/{stored.code}").text
    after = browser.ask("POST", f"/connections/{stored.code}/sign-out", Content_Type=_FORM).text
    assert "Disconnected" in after and "Sign in with your provider. That saves" in after
    assert "Connected" not in after.replace("Disconnected", "")
    [line] = [line for line in local.audit() if line["what"] == "signed-out"]
    assert stored.code in str(line)


def test_how_a_sign_in_ended_stands_in_the_audit(local: Page, datapallas_sandbox: Sandbox) -> None:
    """Who began it, and that and why it did not work; a new connection is not made then."""
    browser = local.entered()
    body = _fields(datapallas_sandbox.connection(), kind="generic")
    page = browser.ask("POST", "/sign-ins?way=browser", body, Content_Type=_FORM).text
    [work] = re.findall(r'hx-get="/sign-ins/([^?"]+)\?', page)
    [address] = re.findall(r'href="([^"]+)"[^>]* data-open', _once(browser, work, "data-open"))
    browse(html.unescape(address), login="alice@sandbox.example", deny=True)
    _once(browser, work, "declined")
    ends = [line for line in local.audit() if line["what"].startswith("sign-in-")]
    assert [line["what"] for line in ends] == ["sign-in-started", "sign-in-failed"]
    assert "access-denied" in str(ends[-1]) and local.services.home.overview() == []


def _once(browser: Browser, work: str, words: str) -> str:
    """The third step, once these words are in it."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        page = browser.ask("GET", f"/sign-ins/{work}").text
        if words in page:
            return page
        time.sleep(0.05)
    raise AssertionError(page)
