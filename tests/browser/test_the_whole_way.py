"""From an empty list to a test email in the inbox, by clicks and typing alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from browser import steps
from browser.steps import ALICE, Person
from datapallas.connection.model import Provider

if TYPE_CHECKING:
    from browser.served import Served
    from browser.visit import Visit
    from datapallas.sandbox import Sandbox

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("provider", [Provider.MICROSOFT, Provider.GOOGLE, Provider.GENERIC])
def test_from_an_empty_list_to_a_mail_that_arrived(
    visit: Visit, server: Served, sandbox: Sandbox, provider: Provider
) -> None:
    """Connect, fill in, sign in, send a test email, save: the list shows who is connected."""
    page = visit.goto("/connections")
    expect(page.get_by_role("heading", level=1)).to_have_text("Connect your first mailbox")
    page.get_by_role("link", name=steps.CARDS[provider]).click()
    steps.fill_smtp(page, "Reports", sandbox.server())
    steps.tab(page, "Advanced")
    client = sandbox.client(provider)
    steps.fill_client(page, client, sandbox.issuer)
    button = steps.sign_in_button(page)
    expect(button).to_have_text(steps.BUTTONS[provider])
    assert server.home.folder.list() == []
    steps.sign_in(page, Person())
    expect(page).to_have_url(f"{server.origin}/connections/eml-reports")

    steps.send_test(page)
    (mail,) = sandbox.wait(1)
    assert (mail.sender, mail.recipients, mail.user) == (ALICE, (ALICE,), ALICE)

    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    page.get_by_role("link", name="Connections").first.click()
    line = steps.row(page, "Reports")
    expect(line).to_contain_text(f"Connected as {ALICE}")
    expect(line).to_contain_text("Default")
    expect(line).to_contain_text("eml-reports")


def test_the_sandbox_from_the_first_visit(visit: Visit, server: Served) -> None:
    """Whoever has no provider at hand presses one button, signs in, and reads the mail that arrived."""
    page = visit.goto("/connections")
    page.get_by_role("button", name="Try with the sandbox").click()
    expect(page).to_have_url(f"{server.origin}/connections/eml-sandbox-trial#sign-in")
    steps.sign_in(page, Person())
    steps.send_test(page)
    with page.context.expect_page() as opened:
        page.get_by_role("button", name="See the mail that arrived").click()
    expect(opened.value.get_by_role("heading", level=1)).to_have_text("Arrived mail (1)")
