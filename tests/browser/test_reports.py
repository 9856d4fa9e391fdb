"""Reports on the page: from a sample to mail that arrived; what is typed is seen at once, and never lost."""

from __future__ import annotations

import dataclasses
import re
import shutil
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from browser import steps
from browser.test_for_everybody import press_until, problems
from datapallas.reports.folder import Reports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from browser.served import Served
    from browser.visit import Visit
    from datapallas.sandbox import Sandbox

pytestmark = pytest.mark.browser
TESTER = "tester@sandbox.example"


@pytest.fixture
def reports(server: Served, sandbox: Sandbox) -> Iterator[Reports]:
    """The reports of the home, none yet; its default connection sends to the sandbox."""
    server.add(dataclasses.replace(sandbox.connection(signed_in=True), default=True))
    yield Reports(server.root)
    shutil.rmtree(server.root / "config" / "reports", ignore_errors=True)


def send(page: Page, count: int) -> None:
    """Say yes to what was prepared, and see that it is done."""
    page.get_by_role("button", name=f"Send {count} email").click()
    expect(page.get_by_role("dialog")).to_contain_text(f"Send {count} email")
    steps.confirm(page, "Send")
    expect(page.locator("#run-state h2")).to_have_text("Done")


def count(page: Page, name: str) -> str:
    """One of the counts of a run."""
    return page.locator("#run-state .counts div").filter(has_text=name).locator("dd").inner_text()


def test_from_a_sample_to_mail_that_arrived(visit: Visit, reports: Reports, sandbox: Sandbox) -> None:
    """Start from a sample, see an email, change it, send a test, run it, and see what became of it."""
    page = visit.goto("/reports")
    expect(page.get_by_role("heading", level=1)).to_have_text("Make your first report")
    page.get_by_role("link", name="Invoices").click()
    page.get_by_label("Name", exact=True).fill("November invoices")
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("November invoices")
    mail = page.frame_locator("#preview iframe")
    expect(mail.get_by_text("Dear Marta Keller")).to_be_visible()
    expect(page.get_by_role("img", name="The first page of Invoice")).to_be_visible()
    page.get_by_role("button", name="Next").click()
    expect(page.locator(".steps-row b")).to_have_text("2")
    expect(mail.get_by_text("Dear Marta Keller")).to_be_hidden()
    page.get_by_role("searchbox", name="Find a recipient").fill("marta")
    expect(mail.get_by_text("Dear Marta Keller")).to_be_visible()
    page.get_by_label("Subject").fill("Pay {{ invoice }} soon")
    expect(page.locator(".envelope")).to_contain_text("Pay 2026-1041 soon")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert reports.load("november-invoices").email.subject == "Pay {{ invoice }} soon"

    page.get_by_role("button", name="Test, run, history").click()
    page.get_by_label("To this address only").fill(TESTER)
    page.get_by_label("How many emails").select_option("1")
    page.get_by_role("button", name="Prepare the test").click()
    send(page, 1)
    (arrived,) = sandbox.wait(1)
    assert arrived.recipients == (TESTER,)

    page.get_by_role("button", name="All runs").click()
    page.get_by_role("button", name="Prepare the run").click()
    ready = page.locator("#look-state h2")
    expect(ready).to_contain_text("Ready: ")
    people = int(ready.inner_text().split()[1])
    send(page, people)
    assert len(sandbox.wait(people + 1)) == people + 1
    assert count(page, "Accepted") == str(people)
    expect(page.get_by_role("button", name="See each message in the Outbox")).to_be_visible()
    page.get_by_role("link", name="Reports", exact=True).first.click()
    expect(steps.row(page, "November invoices")).to_contain_text(f"by hand: {people} accepted")


def test_what_is_typed_is_checked_and_never_lost(visit: Visit, reports: Reports, tmp_path: Path) -> None:
    """A field and the source are one text; what is wrong has its line; a refusal and a second tab lose nothing."""
    visit.foresees(422)
    reports.create("mine")
    page = visit.goto("/reports/mine")
    source = page.get_by_label("report.toml")
    page.get_by_label("Times", exact=True).fill("0 7 * * 1")
    page.get_by_label("Time zone").fill("Europe/Berlin")
    expect(page.locator("#next-runs li")).to_have_count(5)
    steps.tab(page, "Source")
    text = reports.text("mine") + '\n[schedule]\ncron = "0 7 * * 1"\ntime_zone = "Europe/Berlin"\n'
    expect(source).to_have_value(text)
    source.press("Control+Home")
    source.type('colour = "red"\n')
    expect(page.locator("#editor-says")).to_contain_text("report.toml, line 1")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was saved")
    expect(source).to_have_value('colour = "red"\n' + text)
    source.fill(text.replace("A new report", "Changed here"))
    expect(page.locator("#editor-says")).to_have_text("")
    steps.tab(page, "Report")
    expect(page.get_by_label("Name", exact=True)).to_have_value("Changed here")

    steps.tab(page, "Templates")
    page.get_by_label("email.html", exact=True).fill("<p>Hello {{ nmae }}</p>")
    expect(page.locator("#preview")).to_contain_text(
        "email.html, line 1: there is no 'nmae'; did you mean 'name'?"
    )
    page.get_by_label("email.html", exact=True).fill("<p>Good day {{ name }}</p>")
    expect(page.frame_locator("#preview iframe").get_by_text("Good day")).to_be_visible()

    other = visit.context.new_page()
    other.goto(f"{visit.origin}/reports/mine")
    other.get_by_label("Name", exact=True).fill("Changed there")
    other.get_by_role("button", name="Save").click()
    expect(other.get_by_text("Saved.")).to_be_visible()
    other.close()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("changed meanwhile")
    expect(page.get_by_label("email.html", exact=True)).to_have_value("<p>Good day {{ name }}</p>")
    assert reports.load("mine").name == "Changed there"

    steps.tab(page, "Files")
    (tmp_path / "more people.csv").write_text("email,name\na@b.example,A\n")
    page.get_by_label("Bring files").set_input_files(tmp_path / "more people.csv")
    expect(page.locator("#files")).to_contain_text("more people.csv")
    assert "more people.csv" in reports.files("mine")


def test_what_was_typed_last_is_right(visit: Visit, reports: Reports) -> None:
    """A tab pressed right after typing takes nothing back: the source has what the field said, and the other way round."""
    reports.create("mine")
    page = visit.goto("/reports/mine")
    source, subject = page.get_by_label("report.toml"), page.get_by_label("Subject")
    subject.fill("Said in the field")
    steps.tab(page, "Source")
    expect(source).to_have_value(re.compile('subject = "Said in the field"'))
    source.fill(source.input_value().replace("in the field", "in the source"))
    steps.tab(page, "Report")
    expect(subject).to_have_value("Said in the source")
    expect(source).to_have_value(re.compile('subject = "Said in the source"'))


def scenes(visit: Visit, reports: Reports) -> Iterator[str]:
    """The pages of reports, in the states that look different."""
    page = visit.goto("/reports")
    yield "no report"
    reports.create("statements", "statements")
    reports.create("broken", "invoices")
    (reports.folder("broken") / "report.toml").write_text('name = "x"\nfoo = [\n')
    visit.goto("/reports")
    yield "list"
    page = visit.goto("/reports/statements")
    expect(page.locator("#preview iframe")).to_be_visible()
    yield "editor"
    steps.tab(page, "Source")
    yield "source"
    visit.goto("/reports/statements/run")
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("The list was checked")).to_be_visible()
    yield "checked list"
    page.get_by_role("button", name="Prepare the run").click()
    page.get_by_role("button", name="Send 6 emails").click()
    steps.confirm(page, "Send")
    expect(page.locator("#run-state h2")).to_have_text("Done")
    yield "run"


def test_reports_keep_nobody_out(visit: Visit, reports: Reports) -> None:
    """No fault that axe-core knows, in light and dark, wide and on a telephone."""
    found = [problem for scene in scenes(visit, reports) for problem in problems(visit.page, scene)]
    assert not found, "\n".join(found)


def test_a_report_by_keyboard(visit: Visit, reports: Reports) -> None:
    """Tabs by the arrows, the next recipient by Enter; the focus is always to be seen."""
    reports.create("mine")
    page = visit.goto("/reports/mine")
    expect(page.locator("#preview iframe")).to_be_visible()
    press_until(page, lambda at: at["id"] == "tab-report")
    for name in ("Templates", "Files", "Source"):
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("tab", name=name)).to_be_focused()
        expect(page.get_by_role("tabpanel", name=name)).to_be_visible()
    press_until(page, lambda at: at["words"] == "Next")
    page.keyboard.press("Enter")
    expect(page.locator(".steps-row b")).to_have_text("2")
