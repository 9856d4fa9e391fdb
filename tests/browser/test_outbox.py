"""The page Outbox: what was sent and what was not, live, by mouse and keyboard, wide and narrow, light and dark."""

from __future__ import annotations

import contextlib
import csv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from browser import steps
from browser.filled_outbox import NASTY, fill
from browser.served import served
from browser.test_for_everybody import problems
from datapallas.home.outbox import open_outbox
from datapallas.mail.message import Message
from datapallas.outbox.accept import Job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from browser.served import Served
    from browser.visit import Visit
    from datapallas.sandbox import Sandbox

pytestmark = pytest.mark.browser
BOB = "bob@sandbox.example"


@pytest.fixture(scope="module")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of its own: what is sent here stays in its outbox."""
    with served(tmp_path_factory.mktemp("outbox")) as server:
        yield server


def promise(server: Served, code: str, job: str, *messages: Message) -> None:
    """As another process would."""
    with contextlib.closing(open_outbox(server.home)) as outbox:
        outbox.accept(Job(connection=code, id=job, name=f"Job {job}"), messages)


def test_from_nothing_to_everything_done(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """An empty page says what it is for; what is promised appears, moves and is done without a reload.

    Why somebody did not get it stands two clicks away, with what to do.
    """
    code = server.add(sandbox.connection(signed_in=True))
    page = visit.goto("/outbox")
    expect(page.get_by_text("Nothing was sent yet")).to_be_visible()
    promise(server, code, "november", Message(to=[BOB, "550-x@x.example"], subject="Figures", text="..."))
    line = page.get_by_role("listitem").filter(has=page.get_by_role("link", name="Job november"))
    expect(line.get_by_text("Done, not for all")).to_be_visible()
    expect(line.get_by_text("1 refused")).to_be_visible()
    assert len(sandbox.wait(1)) == 1
    page.get_by_role("link", name="Job november").click()
    page.get_by_role("link", name="Refused", exact=True).click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="550-x@x.example").click()
    expect(page.locator(".diagnosis").get_by_text("Do this")).to_be_visible()
    expect(page.get_by_role("region", name="Attempts").get_by_text("mixed")).to_be_visible()
    page.get_by_role("button", name="Try refused ones again").click()
    steps.confirm(page, "Try again")
    expect(page.locator("#said")).to_contain_text("It is tried again")


def test_hold_release_cancel_and_pause(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """A mailbox is paused and resumed from the list; a message is held, released, cancelled; a job is exported."""
    code = server.add(sandbox.connection(signed_in=True))
    promise(server, code, "first", Message(to=BOB))
    sandbox.wait(1)
    page = visit.goto("/outbox")
    page.get_by_role("button", name=f"Pause {code}", exact=True).click()
    expect(page.get_by_role("button", name=f"Resume {code}", exact=True)).to_be_visible()
    sandbox.inbox.clear()
    promise(server, code, "second", Message(to=BOB), Message(to="ann@sandbox.example"))
    page.get_by_label("Find a recipient").fill("ann@")
    page.get_by_role("button", name="Find").click()
    page.get_by_role("link", name="ann@sandbox.example").click()
    for name, said in (("Hold", "It is held"), ("Release", "It waits"), ("Cancel", "It is done")):
        page.get_by_role("button", name=name, exact=True).click()
        if name == "Cancel":
            steps.confirm(page, "Cancel it")
        expect(page.get_by_text(said)).to_be_visible()
    page.get_by_role("link", name="second").click()
    expect(page.get_by_text("Waits: its mailbox is paused")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV").click()
    rows = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
    assert [row["outcome"] for row in rows] == ["queued", "parked"]
    visit.goto(f"/outbox/mailboxes/{code}")
    page.get_by_label("A minute").fill("30")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("30 a minute")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    assert sandbox.wait(1)[0].recipients == (BOB,)


def test_for_everybody(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """Every page of it for screen readers, narrow and dark; what strangers wrote is text and nothing else."""
    code, stopped = (server.add(sandbox.connection(signed_in=True)) for _ in range(2))
    fill(server.home, code, stopped)
    found: list[str] = []
    page = visit.goto("/outbox")
    words = "The last hour: 1170 accepted, 36 deferred, 14 refused; the limit, 29 in 1 min"
    expect(page.get_by_role("img", name=words)).to_be_visible()
    found += problems(page, "outbox")
    for path in (
        "/outbox/jobs/under-way",
        f"/outbox/mailboxes/{code}?span=day",
        "/outbox/search?address=%3Cscript%3E",
    ):
        visit.goto(path)
        for summary in page.locator("main summary").all():
            summary.click()
        found += problems(page, path)
    page.get_by_role("link", name=NASTY).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(NASTY)
    found += problems(page, "message")
    assert not found, "\n".join(found)
    assert "run" not in page.title()
