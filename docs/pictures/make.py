"""`make pictures`: draws the pages of a real `datapallas serve` for the guides, in every state worth showing.

    python docs/pictures/make.py                  the pictures that the documents use
    python docs/pictures/make.py --all FOLDER     each of them light, dark and narrow, to look at
    python docs/pictures/make.py --only list      some of them

The providers are the sandbox: see world.py. Addresses of this machine are replaced on the page before it is drawn.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import segno
from playwright.sync_api import Error, sync_playwright

from png import smaller
from world import CLIENT_ID, PASSWORD, REPORTS, TENANT_ID, World, world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

HERE = Path(__file__).parent
WIDE, NARROW, HEIGHT = 1120, 390, 700
MAIN = ("first-visit", "list", "connected", "test-email")
DEVICE_PAGE = "https://login.microsoft.com/device"
REFUSED = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant."
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
MARGIN = 20
_REPLACE = """([from, to]) => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) walker.currentNode.data = walker.currentNode.data.replaceAll(from, to);
  for (const place of document.querySelectorAll("[data-until]")) place.textContent = "4:52";
}"""
Scheme = Literal["light", "dark"]


class Camera:
    """Draws pages into files."""

    def __init__(self, folder: Path, only: list[str], sandbox: str, *, everything: bool) -> None:
        self.folder, self.only, self.sandbox, self.everything = folder, only, sandbox, everything

    def draw(self, page: Page, name: str, part: str = "") -> None:
        """Draw the page, or its `part` with a margin, as `name`: light, and dark and narrow where that is wanted."""
        if self.only and name not in self.only:
            return
        kinds: list[tuple[str, Scheme, int]] = [("", "light", WIDE)]
        if self.everything or name in MAIN:
            kinds += [("-dark", "dark", WIDE), ("-narrow", "light", NARROW)]
        if self.everything:
            kinds.append(("-narrow-dark", "dark", NARROW))
        for ending, scheme, width in kinds:
            self._draw(
                page, self.folder / f"{name}{ending}.png", part if width == WIDE else "", (scheme, width)
            )
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": WIDE, "height": HEIGHT})

    def _draw(self, page: Page, file: Path, part: str, how: tuple[Scheme, int]) -> None:
        scheme, width = how
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size({"width": width, "height": HEIGHT})
        page.evaluate(
            "document.activeElement.blur(); document.querySelector('#said').classList.remove('shown')"
        )
        page.mouse.move(0, 0)
        height = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": width, "height": max(height, HEIGHT if width == WIDE else 0)})
        page.evaluate(_REPLACE, [f"{self.sandbox}/device", DEVICE_PAGE])
        if part:
            box = page.locator(part).bounding_box()
            assert box is not None
            taken = page.screenshot(
                clip={
                    "x": box["x"] - MARGIN,
                    "y": box["y"] - MARGIN,
                    "width": box["width"] + 2 * MARGIN,
                    "height": box["height"] + 2 * MARGIN,
                },
            )
        else:
            taken = page.screenshot()
        file.write_bytes(taken if self.everything else smaller(taken))
        print(f"{file.name}: {file.stat().st_size // 1024} KB")


class Walk:
    """A person's way from the first visit to the test email, with a picture at each step."""

    def __init__(self, camera: Camera, page: Page, here: World) -> None:
        self.camera, self.page, self.world = camera, page, here

    def first_connection(self) -> None:
        """From the empty list to the two tabs, filled."""
        page = self.page
        self.camera.draw(page, "first-visit")
        page.get_by_role("link", name="Connect Microsoft 365").click()
        page.get_by_role("tab", name="SMTP").click()
        for label, text in (
            ("Connection name", "Office 365"),
            ("From address", REPORTS),
            ("From name", "Reports"),
        ):
            page.get_by_label(label, exact=True).fill(text)
        self._checked()
        self.camera.draw(page, "editor-smtp")
        page.get_by_role("tab", name="Advanced").click()
        page.get_by_label("Tenant id").fill(TENANT_ID)
        page.get_by_label("Client id").fill(CLIENT_ID)
        self._checked()
        self.camera.draw(page, "editor-advanced")

    def sign_in(self) -> None:
        """Wait, cancel, try a code, cancel, sign in."""
        page = self.page
        with page.context.expect_page() as opened:
            page.get_by_role("button", name="Sign in with Microsoft").click()
        page.get_by_text("Waiting for you to sign in").wait_for()
        self.camera.draw(page, "waiting", "#sign-in")
        opened.value.close()
        page.locator("#sign-in").get_by_role("button", name="Cancel the sign-in").click()
        page.get_by_text("or the browser, is somewhere else?").click()
        picture = io.BytesIO()
        segno.make(DEVICE_PAGE).save(picture, kind="svg", border=2, scale=4)
        page.route(
            "**/qr.svg*", lambda route: route.fulfill(body=picture.getvalue(), content_type="image/svg+xml")
        )
        page.get_by_role("button", name="Sign in with a code").click()
        page.locator("#user-code").wait_for()
        self.camera.draw(page, "device-code", "#sign-in")
        page.locator("#sign-in").get_by_role("button", name="Cancel the sign-in").click()
        with page.context.expect_page() as opened:
            page.get_by_role("button", name="Sign in with Microsoft").click()
        provider = opened.value
        provider.get_by_label("Email address").fill(REPORTS)
        provider.get_by_role("button", name="Next").click()
        provider.get_by_role("button", name="Accept").click()
        page.get_by_text(f"Connected as {REPORTS}").first.wait_for()
        provider.close()
        page.reload()
        self.camera.draw(page, "connected")
        self.camera.draw(page, "connected-step", "#sign-in")

    def test_email(self) -> None:
        """One that is taken, and one that is not."""
        page, send = self.page, self.page.get_by_role("button", name="Send Test Email")
        page.goto(page.url.partition("/connections")[0] + "/connections/eml-office-365/test")
        send.click()
        page.get_by_role("heading", name="The mail server took").wait_for()
        self.camera.draw(page, "test-email")
        self.world.sandbox.faults.next("auth", REFUSED, times=0)
        send.click()
        page.get_by_role("heading", name="was not sent").wait_for()
        self.camera.draw(page, "test-email-failed")
        self.world.sandbox.faults.clear()

    def rest(self) -> None:
        """The list with every state, what saving would end, and an error explained."""
        page, origin = self.page, self.page.url.partition("/connections")[0]
        page.goto(f"{origin}/connections/eml-office-365")
        page.get_by_role("tab", name="SMTP").click()
        page.get_by_label("Host").fill("smtp-legacy.office365.com")
        self._checked()
        page.get_by_role("button", name="Save").click()
        page.get_by_role("button", name="Save and end the sign-in").wait_for()
        self.camera.draw(page, "save-warning")
        self.world.fill(self.world.folder / "home")
        page.goto(f"{origin}/connections")
        self.camera.draw(page, "list")
        page.goto(f"{origin}/explain")
        page.get_by_label("What was said").fill(REFUSED)
        page.get_by_role("button", name="Explain").click()
        page.locator("#found .diagnosis").first.wait_for()
        self.camera.draw(page, "explain")

    def report(self) -> None:
        """From a sample to its first email, and what a check of its list finds."""
        page, origin = self.page, self.page.url.partition("/explain")[0]
        page.goto(f"{origin}/new-report?sample=invoices")
        page.get_by_role("button", name="Make it").click()
        page.frame_locator("#preview iframe").get_by_text("Dear Marta Keller").wait_for()
        page.get_by_role("tab", name="Source").click()
        page.get_by_role("img", name="The first page of").scroll_into_view_if_needed()
        page.wait_for_load_state("networkidle")
        self.camera.draw(page, "report-editor")
        page.get_by_role("button", name="Test, run, history").click()
        page.get_by_role("button", name="Prepare the run").click()
        page.get_by_role("heading", name="Ready").wait_for()
        self.camera.draw(page, "report-run")

    def _checked(self) -> None:
        """Wait until the page has heard what the server thinks of the fields."""
        with self.page.expect_response(lambda answer: "/connections/check" in answer.url):
            self.page.evaluate("document.activeElement.dispatchEvent(new Event('change', {bubbles: true}))")
        busy = self.page.locator(".htmx-request, .htmx-settling, .htmx-swapping").first
        busy.wait_for(state="detached")


def local(camera: Camera, context: BrowserContext, here: World) -> None:
    """The page of one person."""
    home = here.folder / "home"
    home.mkdir()
    with here.served(home, "--port", "0") as told:
        page = context.new_page()
        page.goto(told["link"])
        walk = Walk(camera, page, here)
        walk.first_connection()
        walk.sign_in()
        walk.test_email()
        walk.rest()
        walk.report()


def served(camera: Camera, context: BrowserContext, here: World) -> None:
    """The page of several people."""
    home = here.folder / "several"
    home.mkdir()
    url, words = here.several_people(home)
    with here.served(home, *words):
        page = context.new_page()
        page.goto(url)
        page.get_by_label("Name").fill("anna")
        page.get_by_label("Password").fill(PASSWORD)
        camera.draw(page, "login")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The installed Chromium, or playwright's own."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


def main() -> int:
    """Draw; 0 when every picture was drawn."""
    parser = argparse.ArgumentParser(description="Draw the pictures of the web page.")
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="each in every kind, into this folder")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="these only")
    given = parser.parse_args()
    folder: Path = given.all or HERE
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with world() as here, chromium() as browser, browser.new_context(ignore_https_errors=True) as context:
            context.set_default_timeout(30_000)
            camera = Camera(folder, given.only, here.sandbox.issuer, everything=given.all is not None)
            local(camera, context, here)
            served(camera, context, here)
    except Error as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
