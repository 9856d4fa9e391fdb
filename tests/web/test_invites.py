"""The owner of a mailbox sits elsewhere: an invitation lets them sign in to it, once, and see nothing else."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from datapallas.connection.model import OAuth2Client, Password
from datapallas.sandbox import Sandbox
from datapallas.sandbox.person import browse
from datapallas.web.app import ROUTERS
from datapallas.web.roles import need_of
from datapallas.web.services import Mode
from datapallas.web.who import Role
from web.page import Browser, Page, filled, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx2

CODE = "eml-sandbox"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def page(tmp_path: Path, sandbox: Sandbox) -> Iterator[Page]:
    """A served page with two connections, to one of which somebody is invited."""
    with served(tmp_path, Mode.SERVED) as found:
        first = dataclasses.replace(sandbox.connection(), default=True)
        found.services.home.folder.create(first)
        found.services.home.folder.create(
            dataclasses.replace(first, code="eml-other", name="Other", default=False)
        )
        yield found


def invited(page: Page, key: str) -> httpx2.Response:
    """Open an invitation, and press the button it leads to."""
    looked = page.ask("GET", f"/invite?key={key}", {"Sec-Fetch-Site": "none"})
    assert looked.status_code == 200 and "Go on" in looked.text
    return page.stranger().ask("POST", "/invite", f"key={key}".encode(), content_type=FORM)


def guest(page: Page) -> Browser:
    """The owner's browser, once the link was opened."""
    answer = invited(page, page.services.access.invites.make(CODE).reveal())
    assert answer.status_code == 303 and answer.headers["location"] == "/invited"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower() and "Secure" in cookie
    return Browser(page, cookie.partition("=")[2].partition(";")[0])


def test_the_owner_signs_in_by_pasting_and_sees_done(page: Page, sandbox: Sandbox) -> None:
    """From the link to "Connected as": the sign-in is stored, and the audit says who did what."""
    owner = guest(page)
    shown = owner.ask("GET", "/invited").text
    assert ("alice@sandbox.example" in shown and "Sign in with your provider" in shown) or "paste" in shown
    assert "Other" not in shown and "/connections" not in shown
    box = owner.ask("POST", "/invited/sign-in?way=paste", content_type=FORM)
    assert box.status_code == 200
    work = page.services.sign_ins.all_of(CODE)[-1]
    _, state = work.wait(1, 60)
    (back,) = parse_qs(urlsplit(state.url).query)["redirect_uri"]
    ended = browse(state.url, login="alice@sandbox.example", stop_at=back)
    body = f"pasted={ended.url}".replace("&", "%26").replace("+", "%2B").encode()
    owner.ask("POST", f"/sign-ins/{work.id}/offer", body, content_type=FORM)
    while not work.finished:
        work.wait(work.now()[0], 10)
    done = owner.ask("GET", f"/sign-ins/{work.id}").text
    assert "Connected as alice@sandbox.example" in done and "You can close this page" in done
    client = page.services.home.folder.load(CODE).credential
    assert isinstance(client, OAuth2Client) and client.user_email == "alice@sandbox.example"
    said = [(line["who"], line["what"]) for line in page.audit()]
    assert ("invited:eml-sandbox", "invitation-used") in said
    assert ("invited:eml-sandbox", "sign-in-started") in said
    last = next(line for line in page.audit() if line["what"] == "sign-in-connected")
    assert last["who"] == "invited:eml-sandbox" and "alice@sandbox.example" in str(last)
    assert owner.ask("GET", "/invite?key=any").headers["location"] == "/invited"


def test_an_invitation_works_once_and_for_its_time(page: Page) -> None:
    """Used, replaced by a newer one, or too old: a page says to ask for a new one."""
    invites = page.services.access.invites
    used = invites.make(CODE).reveal()
    for _ in range(3):  # programs look at links in a mail before the person does
        page.ask("GET", f"/invite?key={used}", {"Sec-Fetch-Site": "none"})
    assert invited(page, used).status_code == 303
    again = invited(page, used)
    assert again.status_code == 401 and "Ask for a new one" in again.text
    replaced, newer = invites.make(CODE, 1).reveal(), invites.make(CODE, 1).reveal()
    assert invited(page, replaced).status_code == 401
    page.clock.ahead += 3601
    assert invited(page, newer).status_code == 401
    assert invited(page, "guess").status_code == 401
    stored = (page.services.access.folder / "invites.json").read_text()
    assert used not in stored and newer not in stored


def test_nobody_is_invited_where_nobody_signs_in(page: Page) -> None:
    """A connection with a password has no sign-in to invite to: the button's answer says what to do instead."""
    folder = page.services.home.folder
    plain = dataclasses.replace(folder.load("eml-other"), code="eml-plain", credential=Password(user="anna"))
    folder.create(plain)
    answer = page.entered(Role.ADMIN).ask("POST", "/connections/eml-plain/invite", content_type=FORM)
    assert answer.status_code == 400 and "signs in with a password" in answer.text
    assert "/invite?key=" not in answer.text


def test_whoever_was_invited_reaches_nothing_else(page: Page) -> None:
    """Every other page and every route of the API refuses the owner's session."""
    owner = guest(page)
    tried = 0
    for router in ROUTERS:
        for route in router.routes:
            methods = getattr(route, "methods", None) or set()
            need = need_of(route)  # type: ignore[arg-type]
            if need is None or need is Role.OWNER:
                continue
            for method in sorted(methods):
                tried += 1
                kind = "application/json" if "/api/" in route.path else FORM  # type: ignore[attr-defined]
                answer = owner.ask(method, filled(route.path), content_type=kind)  # type: ignore[attr-defined]
                assert answer.status_code == 403, (method, route.path)  # type: ignore[attr-defined]
    assert tried > 20


def test_only_its_own_sign_in_can_be_watched(page: Page) -> None:
    """A sign-in that somebody else began is not known to whoever was invited, and the other way round."""
    admin, owner = page.entered(Role.ADMIN), guest(page)
    admin.ask("POST", "/sign-ins?way=paste", f"code={CODE}".encode(), content_type=FORM)
    work = page.services.sign_ins.all_of(CODE)[-1]
    assert "is gone" in owner.ask("GET", f"/sign-ins/{work.id}").text
    owner.ask("POST", f"/sign-ins/{work.id}/cancel", content_type=FORM)
    assert not work.finished
    work.cancel()


def test_the_editor_gives_the_link_to_an_administrator(page: Page) -> None:
    """The button shows a link that works; it stands in no log."""
    shown = page.entered(Role.ADMIN).ask("POST", f"/connections/{CODE}/invite", content_type=FORM).text
    found = re.search(r"https://mail\.example/invite\?key=([\w-]+)", shown)
    assert found is not None
    assert found[1] not in str(page.audit())
    assert invited(page, found[1]).status_code == 303
