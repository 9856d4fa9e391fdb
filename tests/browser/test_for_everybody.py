"""The pages for everybody: screen readers, keyboards, telephones, dark rooms, people who see no colours."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import DEFAULT_OPTIONS, Axe  # type: ignore[import-untyped]
from playwright.sync_api import expect

from browser import steps
from browser.steps import Person
from browser.test_sign_ins import changed, device_page, waiting
from datapallas.connection.model import Provider, Security

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page, Route

    from browser.served import Served
    from browser.visit import Visit
    from datapallas.sandbox import Sandbox

pytestmark = pytest.mark.browser
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
_SCROLLS = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
_TOO_WIDE = """Array.from(document.querySelectorAll("main *")).filter((one) =>
  one.getBoundingClientRect().right > innerWidth + 1).slice(0, 3).map((one) => one.outerHTML.slice(0, 120))"""


# All that another scheme changes: the rest of a page is the same in the dark.
_COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"], "resultTypes": ["violations"]}


def problems(page: Page, scene: str) -> Iterator[str]:
    """What axe-core finds, light and dark, wide and narrow; and whether the narrow page scrolls sideways."""
    axe = Axe()
    for size in (WIDE, NARROW):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        if size is NARROW and page.evaluate(_SCROLLS):
            yield f"{scene}: scrolls sideways at 390 px: {page.evaluate(_TOO_WIDE)}"
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            options = _COLOURS if scheme == "dark" else DEFAULT_OPTIONS
            found: dict[str, Any] = axe.run(page, options=options).response
            for violation in found["violations"]:
                nodes = [
                    node["html"][:160] + " " + node["failureSummary"][:200] for node in violation["nodes"]
                ]
                yield f"{scene} {scheme} {size['width']}: {violation['id']}: {json.dumps(nodes[:3])}"
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]


def no_connection(visit: Visit, server: Served, sandbox: Sandbox) -> Iterator[str]:
    visit.goto("/connections")
    yield "first visit"
    for kind in ("microsoft", "google", "generic", "password"):
        page = visit.goto(f"/connections/new?kind={kind}")
        yield f"new {kind}, SMTP"
        steps.seldom(page)
        steps.tab(page, "Advanced")
        if kind != "password":
            steps.seldom(page)
        yield f"new {kind}, Advanced"


def in_the_list(visit: Visit, server: Served, sandbox: Sandbox) -> Iterator[str]:
    server.add(sandbox.connection(signed_in=True))
    server.add(sandbox.connection(provider=Provider.MICROSOFT))
    server.add(sandbox.connection(provider=Provider.NONE))
    parked = server.add(sandbox.connection(signed_in=True))
    sandbox.faults.next("token", "AADSTS50173")
    page = visit.goto(f"/connections/{parked}/test")
    yield "test email, asked"
    page.get_by_role("button", name="Send Test Email").click()
    expect(page.locator("#test-state .diagnosis")).to_be_visible()
    page.get_by_text("The whole dialogue").click()
    yield "test email, failed"
    torn = server.home.folder.path_of(parked)
    torn.with_name("eml-torn.xml").write_text(torn.read_text()[:200])
    page = visit.goto("/connections")
    yield "list of five states"
    page.get_by_text("More", exact=True).first.click()
    yield "list, menu open"
    page.locator(".sheet:visible").get_by_text("Delete", exact=True).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    yield "question before something is lost"
    visit.goto(f"/connections/{parked}")
    yield "parked connection"


def while_typing(visit: Visit, server: Served, sandbox: Sandbox) -> Iterator[str]:
    visit.foresees(422)
    code = server.add(sandbox.connection(signed_in=True))
    page = visit.goto(f"/connections/{code}")
    yield "connected"
    page.get_by_role("button", name="Send Test Email").click()
    expect(page.get_by_text("Accepted: 250")).to_be_visible()
    yield "test email, accepted"
    steps.tab(page, "SMTP")
    steps.fill(page, from_address="nobody", port="many", host="localhost")
    expect(page.locator("#says-port")).not_to_be_empty()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert").first).to_be_visible()
    yield "fields that are wrong"
    visit.goto("/explain")
    page.get_by_label("What was said").fill("535 5.7.139 Authentication unsuccessful\nAADSTS700016")
    page.get_by_role("button", name="Explain").click()
    expect(page.locator(".diagnosis").first).to_be_visible()
    yield "explained errors"


def while_signing_in(visit: Visit, server: Served, sandbox: Sandbox) -> Iterator[str]:
    code = server.add(changed(sandbox.connection(), client_id="sandbox-app"))
    page = visit.goto(f"/connections/{code}")
    shown = steps.start_sign_in(page)
    waiting(page)
    for summary in page.locator("#sign-in-state summary").all():
        summary.click()
    yield "waiting"
    with shown.expect_event("close"):
        Person(accepts=False)(shown)
    expect(page.locator("#sign-in .diagnosis")).to_be_visible()
    yield "declined"
    device_page(visit, server, sandbox)
    yield "code and QR code"


@pytest.mark.parametrize("scenes", [no_connection, in_the_list, while_typing, while_signing_in])
def test_no_page_keeps_anybody_out(
    visit: Visit, server: Served, sandbox: Sandbox, scenes: Callable[..., Iterator[str]]
) -> None:
    """In every state of every page: no fault that axe-core knows, in light and dark, wide and on a telephone."""
    found = [problem for scene in scenes(visit, server, sandbox) for problem in problems(visit.page, scene)]
    assert not found, "\n".join(found)


def test_a_stranger_can_read_that_the_page_is_closed(visit: Visit) -> None:
    """The page without a session, and one that does not exist."""
    visit.foresees(401, 404)
    visit.goto("/connections/eml-nobody")
    found = list(problems(visit.page, "unknown connection"))
    visit.context.clear_cookies()
    visit.goto("/connections")
    found += problems(visit.page, "closed")
    assert not found, "\n".join(found)


_FOCUS = """() => { const one = document.activeElement, style = getComputedStyle(one);
  const box = one.getBoundingClientRect();
  return {seen: box.width > 0 && box.height > 0,
    marked: (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none",
    words: (one.textContent || "").trim() || one.getAttribute("aria-label") || one.name || one.id, id: one.id}; }"""


def press_until(page: Page, wanted: Callable[[dict[str, Any]], bool], key: str = "Tab") -> None:
    """Press a key until the focus is where it should be; it is visible wherever it stops."""
    for _ in range(80):
        page.keyboard.press(key)
        at = page.evaluate(_FOCUS)
        assert at["seen"] and at["marked"], f"the focus cannot be seen: {at}"
        if wanted(at):
            return
    raise AssertionError("the keyboard does not get there")


def test_the_keyboard_does_everything(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """From the first visit to a test email with Tab, Enter and the arrows alone; the focus is always to be seen."""
    page = visit.goto("/connections")

    def enter(start: str) -> None:
        press_until(page, lambda at: at["words"].startswith(start))
        page.keyboard.press("Enter")

    def type_into(name: str, text: str) -> None:
        press_until(page, lambda at: at["id"] == f"f-{name}")
        page.keyboard.press("Control+A")
        page.keyboard.type(text)

    enter("Connect another provider")
    expect(page.get_by_role("heading", level=1)).to_have_text("Connect another provider")
    smtp, client = sandbox.server(), sandbox.client(Provider.GENERIC)
    for name, text in (("name", "Keys"), ("from", steps.ALICE), ("host", smtp.host), ("port", smtp.port)):
        type_into(name, text)
    enter("Seldom needed")
    type_into("root-certificate", smtp.root_certificate)
    press_until(page, lambda at: at["id"] == "tab-smtp", "Shift+Tab")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Advanced")).to_be_focused()
    type_into("issuer", sandbox.issuer)
    page.keyboard.press("Enter")
    expect(steps.field(page, "Token URL")).to_have_value(client.token_url)
    type_into("scope", client.scope)
    type_into("client-id", client.client_id)
    expect(steps.sign_in_button(page)).to_be_enabled()
    press_until(page, lambda at: at["words"] == "Sign in with your provider")
    with visit.context.expect_page() as opened:
        page.keyboard.press("Enter")
    with opened.value.expect_event("close"):
        Person()(opened.value)
    steps.expect_connected(page)
    press_until(page, lambda at: at["id"] == "send-test")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Accepted: 250")).to_be_visible()


def test_a_check_takes_the_focus_from_nothing(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """Whoever goes on by keyboard right after typing stays where they are when what they typed is checked."""
    page = visit.goto(f"/connections/{server.add(sandbox.connection())}")
    button = steps.sign_in_button(page)
    answered = steps.answered(page)
    steps.fill(page, scope="smtp openid email")
    button.focus()
    answered()
    expect(button).to_be_focused()


def test_menus_and_questions_by_keyboard(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """A menu opens with Enter and closes with Escape; a question can be left with Escape, and the focus comes back."""
    code = server.add(sandbox.connection())
    name = server.stored(code).name
    page = visit.goto("/connections")
    press_until(page, lambda at: at["words"].startswith("More"))
    page.keyboard.press("Enter")
    delete = page.locator(".sheet:visible").get_by_text("Delete", exact=True)
    expect(delete).to_be_visible()
    page.keyboard.press("Escape")
    expect(delete).to_be_hidden()
    assert page.evaluate(_FOCUS)["words"].startswith("More")
    page.keyboard.press("Enter")
    press_until(page, lambda at: at["words"] == "Delete")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text(name)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert server.home.folder.list()


def test_states_are_read_without_colour(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """Every state in the list has words of its own, and no two states the same."""
    codes = [
        server.add(sandbox.connection(signed_in=True)),
        server.add(sandbox.connection()),
        server.add(sandbox.connection(provider=Provider.NONE)),
    ]
    page = visit.goto("/connections")
    words = [steps.row(page, server.stored(code).name).locator(".state").inner_text() for code in codes]
    assert all(words) and len(set(words)) == len(words)


def test_hands_that_are_faster_than_the_page(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """What is typed and pressed while the page's scripts are still on their way counts, and goes into no address."""
    held: list[Route] = []
    page = visit.page
    page.route("**/static/htmx.min.js*", lambda route: held.append(route), times=1)  # noqa: PLW0108
    page.goto(f"{server.origin}/connections/new?kind=password", wait_until="commit")
    smtp = sandbox.server(Security.TLS)
    steps.fill(page, connection_name="Fast", from_address=steps.ALICE, host=smtp.host, port=smtp.port)
    steps.fill(page, user_name=steps.ALICE, password="typed before anything is ready")
    steps.field(page, "Security").select_option("TLS")
    page.get_by_role("button", name="Save").click()
    expect(page).to_have_url(f"{server.origin}/connections/new?kind=password")
    held.pop().continue_()
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert server.stored("eml-fast").server.port == smtp.port


def test_what_one_types_early_is_checked(visit: Visit) -> None:
    """What was typed before the page was ready is checked as soon as it is, without another letter."""
    held: list[Route] = []
    page = visit.page
    page.route("**/static/htmx.min.js*", lambda route: held.append(route), times=1)  # noqa: PLW0108
    page.goto(f"{visit.origin}/connections/new?kind=microsoft", wait_until="commit")
    steps.fill(page, port="lots")
    steps.tab(page, "Advanced")
    held.pop().continue_()
    expect(page.locator("#says-port")).not_to_be_empty()
    expect(page.get_by_role("tabpanel", name="Advanced")).to_be_visible()
