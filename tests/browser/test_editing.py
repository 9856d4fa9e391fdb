"""Connections in the list and in the editor: changed, copied, deleted, tried out; and what each of it keeps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from browser import steps
from browser.steps import ALICE
from datapallas.connection.identity import PASSWORD
from datapallas.connection.model import Connection, Password, Security, Server
from datapallas.sandbox import Sandbox

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route

    from browser.served import Served
    from browser.visit import Visit

pytestmark = pytest.mark.browser


def save(page: Page) -> None:
    page.get_by_role("button", name="Save", exact=True).click()


def saved(page: Page) -> None:
    with page.expect_navigation():
        save(page)
    expect(page.get_by_text("Saved.")).to_be_visible()


def test_a_harmless_change_keeps_the_sign_in(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """Another name of the sender is saved without a question, and the mailbox stays connected."""
    code = server.add(sandbox.connection(signed_in=True))
    page = visit.goto(f"/connections/{code}")
    steps.tab(page, "SMTP")
    steps.fill(page, from_name="Contoso Reports")
    saved(page)
    steps.expect_connected(page)
    assert server.stored(code).from_name == "Contoso Reports"
    steps.send_test(page)


def test_a_change_that_ends_the_sign_in_is_told_and_asked(
    visit: Visit, server: Served, sandbox: Sandbox
) -> None:
    """Another host is warned of while it is typed, asked about at Save, and ends the sign-in only when agreed to."""
    code = server.add(sandbox.connection(signed_in=True))
    before = server.stored(code)
    visit.foresees(422)
    page = visit.goto(f"/connections/{code}")
    steps.tab(page, "SMTP")
    steps.fill(page, host="localhost")
    warning = page.get_by_role("alert").filter(has_text="This change ends the sign-in")
    expect(warning).to_contain_text(ALICE)
    expect(warning).to_contain_text("localhost")
    save(page)
    agree = page.get_by_role("button", name="Save and end the sign-in")
    expect(agree).to_be_visible()
    assert server.stored(code) == before
    steps.fill(page, host="127.0.0.1")
    expect(warning).to_be_hidden()
    steps.fill(page, host="localhost")
    save(page)
    agree.click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    expect(steps.sign_in_button(page)).to_have_text("Sign in with your provider")
    assert server.stored(code).server.host == "localhost"
    assert server.home.row(code).account == ""
    steps.sign_in(page, steps.Person())


def test_the_list_copies_marks_and_deletes(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """Duplicate takes no secrets along, one connection is the default, Delete asks and can be thought over."""
    code = server.add(sandbox.connection(signed_in=True))
    name = server.stored(code).name
    page = visit.goto("/connections")
    steps.more(page, name, "Duplicate")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{name} copy")
    expect(steps.sign_in_button(page)).to_have_text("Sign in with your provider")
    assert [row.account for row in server.home.overview()] == [ALICE, ""]
    visit.goto("/connections")
    steps.more(page, f"{name} copy", "Make default")
    expect(steps.row(page, f"{name} copy")).to_contain_text("Default")
    steps.more(page, name, "Make default")
    expect(steps.row(page, name)).to_contain_text("Default")
    expect(steps.row(page, f"{name} copy")).not_to_contain_text("Default")
    steps.more(page, f"{name} copy", "Delete")
    steps.confirm(page, "Cancel")
    assert len(server.home.folder.list()) == 2
    steps.more(page, f"{name} copy", "Delete")
    steps.confirm(page, "Delete")
    expect(page.get_by_text("Deleted.")).to_be_visible()
    assert [row.code for row in server.home.overview()] == [code]


def test_a_broken_file_is_shown_with_its_reason(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """A file that cannot be read has a line of its own, with line number and reason, and hides no other."""
    code = server.add(sandbox.connection())
    name = server.stored(code).name
    path = server.home.folder.path_of(code)
    path.with_name("eml-torn.xml").write_text(path.read_text()[:200])
    page = visit.goto("/connections")
    torn = page.locator(".rows > li").filter(has=page.get_by_role("heading", name="eml-torn"))
    expect(torn).to_contain_text("line")
    expect(steps.row(page, name)).to_be_visible()
    torn.get_by_role("button", name="Delete").click()
    steps.confirm(page, "Delete")
    expect(torn).to_be_hidden()
    expect(steps.row(page, name)).to_be_visible()


def test_two_hundred_connections(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """A long list opens at once and is searched while one types."""
    first = server.home.folder.path_of(server.add(sandbox.connection()))
    for number in range(2, 201):
        text = first.read_text().replace(first.stem, f"eml-box-{number}")
        first.with_name(f"eml-box-{number}.xml").write_text(
            text.replace(ALICE, f"box{number}@sandbox.example")
        )
    page = visit.goto("/connections")
    lines = page.locator(".rows > li")
    expect(lines).to_have_count(200)
    timing = "performance.getEntriesByType('navigation')[0].responseEnd"
    print(f"200 connections: answered in {page.evaluate(timing):.0f} ms")  # noqa: T201 - a measurement
    page.get_by_role("searchbox").fill("box17@")
    expect(lines.filter(visible=True)).to_have_count(1)
    expect(page.get_by_role("status").filter(has_text="1 found")).to_be_visible()
    page.get_by_role("searchbox").fill("")
    expect(lines.filter(visible=True)).to_have_count(200)


@pytest.mark.parametrize(
    "fault",
    [
        ("auth", "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
         "Sign in", "SmtpClientAuthentication is disabled for the Tenant"),
        ("rcpt", "550 5.1.10 RESOLVER.ADR.RecipientNotFound", "Hand the message over", "RecipientNotFound"),
        ("token", "AADSTS50173", "Get an access token", "AADSTS50173"),
        ("ehlo", "strip-starttls", "Encrypt the connection", "STARTTLS"),
    ],
    ids=["smtp-auth-is-off", "no-such-recipient", "password-changed", "no-starttls"],
)  # fmt: skip
def test_a_test_email_that_fails(
    visit: Visit, server: Served, sandbox: Sandbox, fault: tuple[str, str, str, str]
) -> None:
    """The step that failed, the cause, one fix, and a report without secrets that can be copied."""
    code = server.add(sandbox.connection(signed_in=True))
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    where, what, step, told = fault
    sandbox.faults.next(where, what, times=0)
    page = visit.goto(f"/connections/{code}/test")
    page.get_by_role("button", name="Send Test Email").click()
    state = page.locator("#test-state")
    expect(state.get_by_role("heading", level=2)).to_have_text("The test email was not sent")
    failed = state.get_by_role("listitem").filter(has_text="(failed)")
    expect(failed).to_have_count(1)
    expect(failed).to_contain_text(step)
    expect(state.locator(".diagnosis")).to_contain_text("Do this")
    state.get_by_text("The whole dialogue").click()
    expect(state.locator("#test-report")).to_contain_text(told)
    state.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert told in copied
    assert sandbox.messages == []


def test_a_draft_is_tried_and_nothing_is_written(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """A test email with what stands in the form, unsaved, goes out and leaves every connection's file as it was."""
    code = server.add(sandbox.connection(signed_in=True))
    page = visit.goto(f"/connections/{code}")
    steps.tab(page, "SMTP")
    steps.fill(page, from_name="Not saved")
    before = server.files()
    steps.send_test(page)
    after = server.files()
    (mail,) = sandbox.wait(1)
    assert "Not saved" in dict(mail.headers)["From"]
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    file = f"config/connections/{code}.xml"
    # The refresh token the provider gave in exchange is stored, and when, whoever asked: nothing else is different.
    sealed = re.compile(rb"<oauth2(refreshtoken|issuedat)>.*?</oauth2\1>")
    assert sealed.sub(b"", after[file]) == sealed.sub(b"", before[file])
    # The server's engine writes down that it runs, by the clock and not for this.
    changed = {
        name for name in changed if not name.endswith((".lock", "audit.log")) and "/runs.db" not in name
    }
    assert changed <= {file, f"data/connections/{code}.json"}
    assert after["data/audit.log"].startswith(before["data/audit.log"])


def test_a_password_is_kept_and_never_shown(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """A connection with a password: typed once, kept while its field stays empty, replaced when typed anew."""
    page = visit.goto("/connections/new?kind=password")
    steps.fill_smtp(page, "Old server", sandbox.server(Security.TLS))
    steps.fill(page, user_name=ALICE, password=Sandbox.password.reveal())
    saved(page)
    code = "eml-old-server"
    password = steps.field(page, "Password")
    expect(password).to_have_value("")
    expect(password).to_have_attribute("placeholder", "Set. Leave empty to keep it.")
    assert Sandbox.password.reveal() not in page.content()
    steps.fill(page, from_name="Alice")
    saved(page)
    steps.send_test(page)
    sandbox.wait(1)
    steps.fill(page, password="another one")
    saved(page)
    assert server.home.folder.reveal(server.stored(code), PASSWORD).reveal() == "another one"
    page.get_by_role("button", name="Send Test Email").click()
    expect(page.locator("#test-state .diagnosis")).to_be_visible()


def test_a_password_that_is_missing_is_one_press_away(visit: Visit, server: Served) -> None:
    """The list's button leads to the field."""
    bare = Connection(
        code="eml-bare", name="Bare", server=Server(host="mail.example"), credential=Password(user=ALICE)
    )
    server.home.folder.create(bare)
    page = visit.goto("/connections")
    steps.row(page, "Bare").get_by_role("button", name="Set password").click()
    expect(steps.field(page, "Password")).to_be_focused()


def test_what_is_typed_is_checked_at_once(visit: Visit, server: Served) -> None:
    """Ids that are swapped, a port that is none, an address that is none: each field says so, in words."""
    visit.foresees(422)
    page = visit.goto("/connections/new?kind=microsoft")
    steps.fill(page, from_address="not an address", port="lots")
    expect(page.locator("#says-from")).not_to_be_empty()
    expect(page.locator("#says-port")).not_to_be_empty()
    save(page)
    expect(page.get_by_role("alert").first).to_be_visible()
    assert server.home.folder.list() == []
    steps.fill(page, from_address=ALICE, port="587")
    expect(page.locator("#says-from")).to_be_empty()
    expect(page.locator("#says-port")).to_be_empty()


def test_what_is_open_stays_open_while_one_types(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """The other ways to sign in do not close when what was typed is checked."""
    page = visit.goto(f"/connections/{server.add(sandbox.connection())}")
    page.get_by_text("is somewhere else?").click()
    with page.expect_response("**/connections/check"):
        steps.fill(page, client_id="another-app")
    expect(page.get_by_text("This change ends the sign-in")).to_be_hidden()
    expect(page.get_by_role("button", name="Sign in and paste the address")).to_be_visible()
    with page.expect_response("**/connections/check"):
        steps.fill(page, client_id="sandbox-app")
    page.get_by_role("button", name="Sign in and paste the address").click()
    expect(page.get_by_role("button", name="Cancel the sign-in")).to_be_visible()
    page.get_by_role("button", name="Cancel the sign-in").click()


def test_a_well_known_server_fills_the_fields(visit: Visit, server: Served) -> None:
    """Choosing a provider fills in host, port and security, and keeps what was typed."""
    page = visit.goto("/connections/new?kind=generic")
    steps.fill(page, connection_name="Outbox")
    steps.field(page, "Well-known providers").select_option(label="Microsoft 365 (work or school)")
    expect(steps.field(page, "Host")).to_have_value("smtp.office365.com")
    expect(steps.field(page, "Port")).to_have_value("587")
    expect(steps.field(page, "Connection name")).to_have_value("Outbox")
    steps.tab(page, "Advanced")
    steps.field(page, "OAuth2 Provider").select_option("GOOGLE")
    expect(page.get_by_role("heading", name="At Google")).to_be_visible()
    steps.field(page, "OAuth2 Provider").select_option("NONE")
    steps.tab(page, "SMTP")
    expect(steps.field(page, "User name")).to_be_visible()


def test_what_is_done_while_the_form_is_filled_anew_stays(visit: Visit) -> None:
    """A tab, a word, a choice and a fold, all while the server still fills the form in for a provider, are kept."""
    held: list[Route] = []
    page = visit.goto("/connections/new?kind=generic")
    page.route("**/connections/form", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks it
    steps.tab(page, "Advanced")
    with page.expect_request("**/connections/form"):
        steps.field(page, "OAuth2 Provider").select_option("GOOGLE")
    steps.fill(page, scope="my own")
    steps.tab(page, "SMTP")
    steps.field(page, "Security").select_option("TLS")
    steps.seldom(page)
    steps.fill(page, connection_name="Outbox")
    held.pop().continue_()
    expect(page.get_by_text("Google signs you in on the")).to_be_visible()  # the form is new
    name = steps.field(page, "Connection name")
    expect(name).to_have_value("Outbox")
    expect(name).to_be_focused()
    page.keyboard.type(" 2")
    expect(page.locator("#hint-name")).to_contain_text("eml-outbox-2")  # and what is typed is checked
    expect(steps.field(page, "Security")).to_have_value("TLS")
    expect(steps.field(page, "Certificate authority")).to_be_visible()
    expect(page.get_by_role("tab", name="SMTP")).to_have_attribute("aria-selected", "true")
    steps.tab(page, "Advanced")
    expect(page.get_by_role("heading", name="At Google")).to_be_visible()
    steps.seldom(page)
    expect(steps.field(page, "Scope")).to_have_value("my own")


def test_a_press_between_two_checks_is_not_lost(visit: Visit, sandbox: Sandbox) -> None:
    """However slowly the checks of what is typed are answered, what is pressed meanwhile is done."""
    held: list[Route] = []
    page = visit.goto("/connections/new?kind=generic")
    page.route("**/connections/check", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks it
    steps.tab(page, "Advanced")
    with page.expect_request("**/connections/check"):
        steps.fill(page, client_id="one")
    steps.fill(page, scope="smtp", issuer_address=sandbox.issuer)
    page.wait_for_timeout(400)  # until a check of that is due: its delay is what is tested
    page.get_by_role("button", name="Find").click()
    steps.fill(page, client_id="two")
    expect(steps.field(page, "Token URL")).to_have_value(sandbox.token_url)
    expect(steps.field(page, "Client id")).to_have_value("two")


def test_a_press_right_after_typing_is_not_lost(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """What was typed is checked while the mouse is down: nothing moves under it, and the check is made up."""
    page = visit.goto(f"/connections/{server.add(sandbox.connection())}")
    says = page.locator("#says-token-url")
    token_url = steps.field(page, "Token URL").input_value()

    def press(place: Locator, typed: str) -> str:
        """Type, go to the place, press, and let the answer to what was typed come; what is said of it then."""
        held: list[Route] = []
        page.route("**/connections/check", lambda route: held.append(route), times=1)  # noqa: PLW0108
        answered = steps.answered(page)
        with page.expect_request("**/connections/check"):
            steps.field(page, "Token URL").fill(typed)
        place.hover()
        page.mouse.down()
        held.pop().continue_()
        answered()
        return says.inner_text()

    assert press(page.get_by_role("heading", level=1), "nonsense") == ""
    page.mouse.up()
    expect(says).not_to_be_empty()
    steps.field(page, "Token URL").fill(token_url)
    expect(says).to_be_empty()
    assert press(steps.sign_in_button(page), token_url + "/") == ""
    with page.context.expect_page():
        page.mouse.up()
    expect(page.get_by_role("button", name="Cancel the sign-in")).to_be_visible()
