"""The web page with servers that are not ours: from an empty list to a mail that Postfix has delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from browser import steps
from browser.chromium import chromium
from browser.served import served
from browser.visit import visiting
from datapallas.connection.model import OAuth2Client, Provider
from strangers.identity_provider import CLIENT, SCOPE
from strangers.installation import ALICE, server

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from strangers.identity_provider import IdentityProvider
    from strangers.mail_server import MailServer

pytestmark = [pytest.mark.browser, pytest.mark.strangers]


def alice(tab: Page) -> None:
    """Alice, at the provider's own pages."""
    tab.locator("[name=login]").fill(ALICE)
    tab.locator("[name=password]").fill("any")
    tab.get_by_role("button", name="Sign-in").click()
    tab.get_by_role("button", name="Continue").click()


def test_the_whole_way(provider: IdentityProvider, mail: MailServer, tmp_path: Path) -> None:
    """Found by its issuer, signed in at a certified provider, sent through Postfix, which asks it about the token."""
    client = OAuth2Client(
        provider=Provider.GENERIC,
        client_id=CLIENT,
        scope=SCOPE,
        authorize_url=provider.authorize_url,
        token_url=provider.token_url,
    )
    with (
        chromium() as browser,
        served(tmp_path) as page_server,
        visiting(browser, page_server.origin) as visit,
    ):
        page = visit.page
        page.goto(page_server.told["link"])
        page.get_by_role("link", name="Connect another provider").click()
        steps.fill_smtp(page, "Strangers", server(mail, "xoauth2"), ALICE)
        steps.tab(page, "Advanced")
        steps.fill_client(page, client, provider.issuer)
        steps.sign_in(page, alice, ALICE)
        steps.send_test(visit.page)
        (delivered,) = mail.delivered(1)
        assert delivered["To"] == ALICE
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("Saved.")).to_be_visible()
        visit.goto("/connections")
        expect(steps.row(page, "Strangers")).to_contain_text(f"Connected as {ALICE}")
