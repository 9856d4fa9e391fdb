"""Sign-ins that do not go as planned: the page says what happened and what to do, and keeps what was there."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from browser import steps
from browser.steps import ALICE, Person
from browser.visit import OFFLINE, visiting
from datapallas.connection.model import Provider
from datapallas.oauth.endpoint import Endpoint
from web.page import served as served_here

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from browser.served import Served
    from browser.visit import Visit
    from datapallas.connection.model import Connection
    from datapallas.sandbox import Sandbox

pytestmark = pytest.mark.browser


def changed(connection: Connection, **client: str) -> Connection:
    """The connection with other values for its client."""
    other = dataclasses.replace(steps.client(connection), **client)  # type: ignore[arg-type]
    return dataclasses.replace(connection, credential=other)


def at_the_third_step(visit: Visit, code: str) -> Page:
    return visit.goto(f"/connections/{code}#sign-in")


def waiting(page: Page) -> None:
    expect(page.locator("#sign-in-state").get_by_text("Waiting for you to sign in")).to_be_visible()


@pytest.mark.parametrize(
    "mistake",
    [
        (Provider.MICROSOFT, {"authorize_url": "{issuer}/11111111-0000-4000-8000-000000000000/oauth2/v2.0/authorize"}, "AADSTS90002"),
        (Provider.MICROSOFT, {"client_id": "22222222-0000-4000-8000-000000000000"}, "AADSTS700016"),
        (Provider.GOOGLE, {"client_id": "nobody.apps.googleusercontent.com"}, "invalid_client"),
        (Provider.GENERIC, {"client_id": "nobody"}, "no such client"),
    ],
    ids=["wrong-tenant", "unknown-application", "unknown-client-google", "unknown-client"],
)  # fmt: skip
def test_a_provider_that_never_comes_back(
    visit: Visit, server: Served, sandbox: Sandbox, mistake: tuple[Provider, dict[str, str], str]
) -> None:
    """The provider shows its error in its own tab only; the page goes on waiting, says where to look, and can be cancelled."""
    provider, wrong, told = mistake
    filled = {name: text.format(issuer=sandbox.issuer) for name, text in wrong.items()}
    code = server.add(changed(sandbox.connection(provider=provider), **filled))
    before = server.stored(code)
    page = at_the_third_step(visit, code)
    shown = steps.start_sign_in(page)
    expect(shown.locator("body")).to_contain_text(told)
    waiting(page)
    page.get_by_text("The provider shows an error?").click()
    expect(page.get_by_text("never tells us, so this page goes on waiting")).to_be_visible()
    page.get_by_role("button", name="Cancel the sign-in").click()
    expect(page.get_by_text("The sign-in was cancelled. Nothing was changed.")).to_be_visible()
    expect(steps.sign_in_button(page)).to_be_enabled()
    assert server.stored(code) == before


def test_somebody_says_no(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """Whoever declines at the provider reads so on the page; the stored sign-in of before is still there."""
    code = server.add(sandbox.connection(signed_in=True))
    before = server.files()
    page = at_the_third_step(visit, code)
    shown = steps.start_sign_in(page)
    with shown.expect_event("close"):
        Person(accepts=False)(shown)
    expect(page.locator("#sign-in .diagnosis")).to_contain_text("Do this")
    expect(page.locator("#sign-in .diagnosis")).to_contain_text("declined")
    steps.expect_connected(page)
    name = next(name for name in before if name.endswith(f"{code}.xml"))
    assert server.files()[name] == before[name]


def test_somebody_else_signs_in(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """Bob at Alice's connection is turned away in words, and nothing is stored."""
    code = server.add(sandbox.connection())
    before = server.stored(code)
    page = at_the_third_step(visit, code)
    shown = steps.start_sign_in(page)
    with shown.expect_event("close"):
        Person("bob@sandbox.example")(shown)
    expect(page.locator("#sign-in .diagnosis")).to_contain_text("bob@sandbox.example")
    assert server.stored(code) == before


def test_a_code_that_has_expired(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """When the provider's answer is too old by the time it is used, the page says so; trying again works."""
    code = server.add(sandbox.connection())
    page = at_the_third_step(visit, code)
    sandbox.settings.code_seconds = 0
    try:
        shown = steps.start_sign_in(page)
        with shown.expect_event("close"):
            Person()(shown)
        expect(page.locator("#sign-in .diagnosis")).to_be_visible()
    finally:
        sandbox.settings.code_seconds = 600
    steps.sign_in(page, Person())


def test_nobody_comes_in_time(chromium: Browser, sandbox: Sandbox, tmp_path: Path) -> None:
    """A sign-in that nobody finishes ends by itself, and the page says what to look for at the provider."""
    with served_here(tmp_path) as here:
        here.services.home.endpoint = Endpoint(clock=here.clock)
        here.services.home.folder.create(sandbox.connection())
        with visiting(chromium, here.origin) as visit:
            visit.goto(f"/open?key={here.services.access.links.make().reveal()}")
            page = at_the_third_step(visit, "eml-sandbox")
            steps.start_sign_in(page)
            waiting(page)
            here.clock.ahead += 301
            diagnosis = page.locator("#sign-in .diagnosis")
            expect(diagnosis).to_contain_text("Do this")
            page.get_by_text("The provider shows an error?").click()
            expect(page.locator("#sign-in-state").get_by_text("http://127.0.0.1/callback")).to_be_visible()
            expect(steps.sign_in_button(page)).to_be_enabled()


def test_a_second_tab_replaces_the_first(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """The last sign-in counts: the tab of the first says that it has ended, the second works."""
    code = server.add(sandbox.connection())
    first = at_the_third_step(visit, code)
    second = visit.context.new_page()
    second.goto(first.url)
    old = steps.start_sign_in(first)
    waiting(first)
    steps.sign_in(second, Person())
    expect(first.locator("#sign-in-state")).to_contain_text("took the place of this one")
    expect(old.get_by_label("Email address")).to_be_visible()  # what is done there now leads nowhere
    assert server.home.row(code).account == ALICE


def test_a_double_click_begins_one_sign_in(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """Whoever presses twice gets one tab of the provider, and is connected."""
    code = server.add(sandbox.connection())
    page = at_the_third_step(visit, code)
    with visit.context.expect_page() as opened:
        steps.sign_in_button(page).dblclick()
    waiting(page)
    with opened.value.expect_event("close"):
        Person()(opened.value)
    steps.expect_connected(page)
    assert visit.context.pages == [page]


def test_a_reload_in_the_middle_of_the_first_sign_in(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """A new connection is not lost by a reload, nor by going away and back; its tab is not opened twice."""
    page = visit.goto("/connections/new?kind=generic")
    steps.fill_smtp(page, "Reports", sandbox.server())
    steps.tab(page, "Advanced")
    steps.fill_client(page, sandbox.client(Provider.GENERIC), sandbox.issuer)
    shown = steps.start_sign_in(page)
    waiting(page)
    page.reload()
    waiting(page)
    expect(steps.field(page, "Client id")).to_have_value("sandbox-app")
    page.get_by_role("link", name="Connections").first.click()
    page.get_by_role("heading", level=1).wait_for()
    page.go_back()
    waiting(page)
    assert visit.context.pages == [page, shown]
    assert server.home.folder.list() == []
    with shown.expect_event("close"):
        Person()(shown)
    steps.expect_connected(page)
    expect(page).to_have_url(f"{server.origin}/connections/eml-reports")
    page.reload()
    steps.expect_connected(page)


def test_a_reload_in_the_middle_of_a_later_sign_in(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """A stored connection shows the sign-in that is under way, after a reload and after going back."""
    code = server.add(sandbox.connection())
    page = at_the_third_step(visit, code)
    shown = steps.start_sign_in(page)
    waiting(page)
    page.reload()
    waiting(page)
    visit.goto("/explain")
    page.go_back()
    waiting(page)
    with shown.expect_event("close"):
        Person()(shown)
    steps.expect_connected(page)
    assert visit.context.pages == [page]


def test_the_server_is_killed_in_the_middle(
    visit: Visit, server: Served, sandbox: Sandbox, chromium: Browser
) -> None:
    """The page says that the server is gone, then that the sign-in is; the session lives, and a new sign-in works."""
    code = server.add(sandbox.connection())
    visit.foresees(OFFLINE)
    page = at_the_third_step(visit, code)
    steps.start_sign_in(page)
    waiting(page)
    server.end()
    offline = page.get_by_text("The server does not answer.")
    expect(offline).to_be_visible()
    server.start("--port", server.port())
    expect(offline).to_be_hidden()
    expect(page.get_by_role("alert").filter(has_text="This sign-in is gone")).to_be_visible()
    page.reload()
    steps.sign_in(page, Person())
    with visiting(chromium, server.origin) as stranger:
        stranger.foresees(401)
        stranger.goto("/connections")
        expect(stranger.page.get_by_text("datapallas serve --new-link")).to_be_visible()
        stranger.page.goto(server.link())
        expect(steps.row(stranger.page, server.stored(code).name)).to_be_visible()


def other_way(page: Page, name: str) -> None:
    page.get_by_text("is somewhere else?").click()
    page.get_by_role("button", name=name).click()


def test_the_address_of_a_page_that_does_not_load_is_pasted(
    visit: Visit, server: Served, sandbox: Sandbox
) -> None:
    """With DataPallas elsewhere, the browser's last page fails to load; its address, pasted, signs in."""
    code = server.add(sandbox.connection())
    page = at_the_third_step(visit, code)
    with visit.context.expect_page() as opened:
        other_way(page, "Sign in and paste the address")
    shown = opened.value
    with visit.context.expect_event("requestfailed", lambda request: "code=" in request.url) as ended:
        Person()(shown)
    answer = ended.value.url
    pasted = page.get_by_label("The address the browser ended at")
    for wrong in ("nonsense", answer.replace("state=", "state=x"), "https://elsewhere.example/?error=x"):
        pasted.fill(wrong)
        page.get_by_role("button", name="Go on").click()
        expect(pasted).to_have_value("")  # the box is new
        expect(page.locator("#says-pasted")).not_to_be_empty()
    pasted.fill(answer)
    page.get_by_role("button", name="Go on").click()
    steps.expect_connected(page)


def device_page(visit: Visit, server: Served, sandbox: Sandbox) -> tuple[Page, Page]:
    """A sign-in by code that has begun: our page, and the provider's in another tab."""
    page = visit.goto("/connections/new?kind=generic")
    steps.fill_smtp(page, "Reports", sandbox.server())
    steps.tab(page, "Advanced")
    steps.fill_client(page, sandbox.client(Provider.GENERIC), sandbox.issuer)
    other_way(page, "Sign in with a code")
    code = page.locator("#user-code").inner_text()
    picture = page.get_by_role("img", name="QR code")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    shown = visit.context.new_page()
    shown.goto(f"{sandbox.issuer}/device")
    shown.get_by_label("The code your device shows").fill(code)
    shown.get_by_role("button", name="Next").click()
    return page, shown


def test_a_code_on_another_device(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """The page shows a code and a QR code; whoever enters it elsewhere connects the mailbox."""
    page, shown = device_page(visit, server, sandbox)
    Person()(shown)
    expect(shown.get_by_role("heading", name="Done")).to_be_visible()
    steps.expect_connected(page)
    assert server.home.row("eml-reports").account == ALICE


def test_a_code_that_is_declined(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """Whoever declines on the other device ends the waiting here, and nothing is made."""
    page, shown = device_page(visit, server, sandbox)
    Person(accepts=False)(shown)
    expect(page.locator("#sign-in .diagnosis")).to_contain_text("declined")
    assert server.home.folder.list() == []


def test_disconnect_asks_first(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """Escape keeps the sign-in; only the answer Disconnect removes it, and one can sign in again at once."""
    code = server.add(sandbox.connection(signed_in=True))
    page = at_the_third_step(visit, code)
    steps.expect_connected(page)
    page.get_by_role("button", name="Disconnect").click()
    expect(page.get_by_role("dialog")).to_contain_text(ALICE)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert server.home.row(code).account == ALICE
    page.get_by_role("button", name="Disconnect").click()
    steps.confirm(page, "Disconnect")
    expect(steps.sign_in_button(page)).to_have_text("Sign in with your provider")
    assert server.home.row(code).account == ""
    steps.sign_in(page, Person())
