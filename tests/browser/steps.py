"""What a person does on the pages, and at the provider: by the words they see, never by what is behind them."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, cast

from playwright.sync_api import expect

from datapallas.connection.model import OAuth2Client, Provider

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator, Page

    from datapallas.connection.model import Connection, Server
    from datapallas.secret import Secret

ALICE = "alice@sandbox.example"
BUTTONS = {
    Provider.MICROSOFT: "Sign in with Microsoft",
    Provider.GOOGLE: "Sign in with Google",
    Provider.GENERIC: "Sign in with your provider",
}
CARDS = {
    Provider.MICROSOFT: "Connect Microsoft 365",
    Provider.GOOGLE: "Connect Gmail",
    Provider.GENERIC: "Connect another provider",
}


def field(page: Page, label: str) -> Locator:
    """The field with this label on the tab that is shown."""
    return page.get_by_role("tabpanel").get_by_label(label, exact=True)


def fill(page: Page, **texts: str) -> None:
    """Type into fields; `_` in a name is a blank, and its first letter is large."""
    for name, text in texts.items():
        field(page, name.replace("_", " ").capitalize()).fill(text)


def tab(page: Page, name: str) -> None:
    """Go to a tab of the editor."""
    page.get_by_role("tab", name=name).click()


_ANSWERED = """() => { window.answered = new Promise((done) =>
  document.addEventListener("htmx:afterRequest", () => done(), {once: true})); }"""


def answered(page: Page) -> Callable[[], object]:
    """To be called after what asks the server something: waits until its next answer is on the page, or was left out."""
    page.evaluate(_ANSWERED)
    return lambda: page.evaluate("() => window.answered")


def seldom(page: Page) -> None:
    """Open what is seldom needed on the tab that is shown."""
    part = page.get_by_role("tabpanel").locator("details").filter(has=page.get_by_text("Seldom needed"))
    if part.get_attribute("open") is None:
        part.locator("summary").press("Enter")  # by key: what a check has to say may move it under a mouse
    expect(part).to_have_attribute("open", "")


def fill_smtp(page: Page, name: str, server: Server, sender: str = ALICE) -> None:
    """The tab SMTP."""
    fill(page, connection_name=name, from_address=sender, host=server.host, port=server.port)
    field(page, "Security").select_option(server.security.value)
    seldom(page)
    fill(page, certificate_authority=server.root_certificate)


def fill_client(page: Page, client: OAuth2Client, issuer: str = "") -> None:
    """The tab Advanced; a GENERIC provider's addresses are found by its issuer."""
    fill(page, client_id=client.client_id)
    if client.client_secret:
        fill(page, client_secret=cast("Secret", client.client_secret).reveal())
    if client.provider is Provider.MICROSOFT:
        fill(page, tenant_id=client.tenant_id)
    if client.provider is Provider.GENERIC:
        fill(page, scope=client.scope, issuer_address=issuer)
        page.get_by_role("button", name="Find").click()
        expect(field(page, "Token URL")).to_have_value(client.token_url)
        expect(field(page, "Authorize URL")).to_have_value(client.authorize_url)
    else:
        seldom(page)
        field(page, "Authorize URL").fill(client.authorize_url)
        field(page, "Token URL").fill(client.token_url)


@dataclasses.dataclass
class Person:
    """Who signs in at the sandbox's pages, in a tab of the same browser."""

    login: str = ALICE
    accepts: bool = True

    def __call__(self, tab: Page) -> None:
        """Sign in, and allow or decline; the tab ends where the provider sends it."""
        tab.get_by_label("Email address").fill(self.login)
        tab.get_by_role("button", name="Next").click()
        tab.get_by_role("button", name="Accept" if self.accepts else "Decline").click()


def sign_in_button(page: Page) -> Locator:
    """The button of the third step."""
    return page.locator("#sign-in-buttons").get_by_role("button").first


def start_sign_in(page: Page) -> Page:
    """Press the button; the provider's tab."""
    with page.context.expect_page() as opened:
        sign_in_button(page).click()
    return opened.value


def sign_in(page: Page, person: Callable[[Page], None], account: str = ALICE) -> None:
    """Press the button, be the person in the tab that opens, and see who is connected."""
    provider = start_sign_in(page)
    with provider.expect_event("close"):  # the last page closes itself
        person(provider)
    expect_connected(page, account)


def expect_connected(page: Page, account: str = ALICE) -> None:
    """The third step says who is connected."""
    expect(page.locator("#sign-in").get_by_text(f"Connected as {account}")).to_be_visible()


def send_test(page: Page) -> None:
    """Press the button; see every step done, or needless, and the server's answer."""
    page.get_by_role("button", name="Send Test Email").click()
    state = page.locator("#test-state")
    expect(state.get_by_role("heading")).to_have_text("The mail server took the test email")
    expect(state.get_by_text("Accepted: 250")).to_be_visible()
    for step in state.get_by_role("listitem").all():
        expect(step).to_contain_text(re.compile(r"\((done|skipped)\)"))


def confirm(page: Page, word: str) -> None:
    """Answer the page's question with its button `word`."""
    page.get_by_role("dialog").get_by_role("button", name=word).click()


def row(page: Page, name: str) -> Locator:
    """A line of the list."""
    return page.get_by_role("listitem").filter(has=page.get_by_role("link", name=name, exact=True))


def more(page: Page, name: str, choice: str) -> None:
    """Choose something from the menu of a line."""
    line = row(page, name)
    line.get_by_text("More", exact=True).click()
    line.locator(".sheet").get_by_text(choice, exact=True).click()


def client(connection: Connection) -> OAuth2Client:
    """The connection's client."""
    assert isinstance(connection.credential, OAuth2Client)
    return connection.credential
