"""A page for several people: who gets in, what each role can do, and ten who sign in at once."""

from __future__ import annotations

import contextlib
import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from browser import steps
from browser.served import environ, served
from browser.steps import Person
from browser.test_sign_ins import waiting
from browser.visit import visiting
from datapallas.connection.model import Provider
from datapallas.sandbox import Sandbox
from datapallas.sandbox.person import browse
from datapallas.web.access import Access
from web.command import run, with_tls
from web.page import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from browser.served import Served
    from browser.visit import Visit

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`datapallas serve --public-url` with a certificate of its own; anna is admin, otto operator, vera viewer."""
    folder = tmp_path_factory.mktemp("public")
    root = folder / "home"
    root.mkdir()
    tls = with_tls(environ(root), folder)
    for name, role in (("otto", "operator"), ("vera", "viewer")):
        done = run(environ(root), "user", "add", name, "--role", role, "--password", "-", stdin=PASSWORD)
        assert done.returncode == 0, done.stderr
    with served(folder, *tls.words) as server:
        yield server


@contextlib.contextmanager
def logged_in(chromium: Browser, public: Served, name: str) -> Iterator[Visit]:
    with visiting(chromium, public.origin, ignore_https_errors=True) as visit:
        log_in(visit.goto("/"), name)
        expect(visit.page.get_by_role("navigation", name="Pages")).to_be_visible()
        yield visit


def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_in_and_out(chromium: Browser, public: Served) -> None:
    """A wrong password is told without saying what was wrong; the right one leads to where one wanted to go; out is out."""
    with visiting(chromium, public.origin, ignore_https_errors=True) as visit:
        visit.foresees(401)
        page = visit.goto("/explain")
        log_in(page, "vera", "a wrong password")
        expect(page.get_by_role("alert")).to_contain_text("do not fit together")
        log_in(page, "vera")
        expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
        page.locator("summary", has_text="vera").click()
        page.get_by_role("button", name="Sign out", exact=True).click()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        page.go_back()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_a_viewer_only_looks(chromium: Browser, public: Served, sandbox: Sandbox) -> None:
    """Vera sees every state, and no button that changes something."""
    code = public.add(sandbox.connection(signed_in=True))
    with logged_in(chromium, public, "vera") as visit:
        page = visit.goto("/connections")
        expect(steps.row(page, public.stored(code).name)).to_contain_text("Connected as")
        expect(page.get_by_text("New connection")).to_have_count(0)
        visit.goto(f"/connections/{code}")
        for name in ("Save", "Send Test Email", "Sign in again", "Disconnect"):
            expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
        expect(page.locator("#editor input:not([type=hidden]):enabled")).to_have_count(0)
        visit.foresees(403)
        visit.goto("/connections/new")
        expect(page.locator("#main")).to_contain_text("viewer")


def test_an_operator_signs_in_and_tests(chromium: Browser, public: Served, sandbox: Sandbox) -> None:
    """Otto signs in to a mailbox by pasting the address, and sends a test email; its settings are not his."""
    code = public.add(sandbox.connection())
    with logged_in(chromium, public, "otto") as visit:
        page = visit.goto(f"/connections/{code}")
        expect(page.get_by_role("button", name="Save", exact=True)).to_have_count(0)
        expect(steps.field(page, "Client id")).to_be_disabled()
        with visit.context.expect_page() as opened:
            steps.sign_in_button(page).click()
        with visit.context.expect_event("requestfailed", lambda request: "code=" in request.url) as ended:
            Person()(opened.value)
        page.get_by_label("The address the browser ended at").fill(ended.value.url)
        page.get_by_role("button", name="Go on").click()
        steps.expect_connected(page)
        steps.send_test(page)
        sandbox.wait(1)


def test_the_provider_leads_back_to_the_public_address(
    chromium: Browser, public: Served, sandbox: Sandbox
) -> None:
    """With a client secret the browser comes back to this page by itself, and Anna is told where to look."""
    sandbox.settings.redirects = (f"{public.origin}/oauth/generic/callback",)
    client = dataclasses.replace(sandbox.client(Provider.GENERIC), client_secret=sandbox.client_secret)
    code = public.add(dataclasses.replace(sandbox.connection(), credential=client))
    with logged_in(chromium, public, "anna") as visit:
        page = visit.goto(f"/connections/{code}")
        expect(page.locator("#panel-advanced")).to_contain_text(sandbox.settings.redirects[0])
        shown = steps.start_sign_in(page)
        waiting(page)
        Person()(shown)
        expect(shown.get_by_role("heading", level=1)).to_contain_text("Go back to the tab you came from")
        steps.expect_connected(page)
        steps.send_test(page)


def address_shown(page: Page) -> str:
    """The provider's address in the tab that opens; the tab is closed, it is somebody else's work."""
    shown = steps.start_sign_in(page)
    url = shown.url
    shown.close()
    return url


def test_ten_people_at_once(chromium: Browser, server: Served) -> None:
    """Ten sign-ins, begun before the first has ended, each end with their own mailbox connected."""
    people = [f"person{number}@sandbox.example" for number in range(10)]
    with Sandbox(users=people) as sandbox, contextlib.ExitStack() as stack:
        codes = [server.add(sandbox.connection(person)) for person in people]
        visits = [stack.enter_context(visiting(chromium, server.origin)) for _ in people]
        for visit in visits:  # each has a session of their own
            visit.page.goto(f"{server.origin}/open?key={Access(server.root).links.make().reveal()}")
        pages = [visit.goto(f"/connections/{code}") for visit, code in zip(visits, codes, strict=True)]
        shown = [address_shown(page) for page in pages]
        with ThreadPoolExecutor(len(people)) as crowd:  # all at the provider at the same moment
            list(crowd.map(lambda url, person: browse(url, login=person), shown, people))
        for page, person in zip(pages, people, strict=True):
            steps.expect_connected(page, person)
    assert [server.home.row(code).account for code in codes] == people
