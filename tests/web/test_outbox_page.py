"""The page Outbox as the server answers it: who sees which buttons, what is not there, what cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from browser.filled_outbox import NASTY_JOB, SCRIPT, fill
from datapallas.connection.model import Connection, Security, Server
from datapallas.web.services import Mode
from datapallas.web.who import Role
from web.page import Page, served

if TYPE_CHECKING:
    from collections.abc import Iterator
CODES = ("eml-reports", "eml-payroll")
PAGES = (
    "/outbox",
    "/outbox/live",
    "/outbox/search?address=person1",
    "/outbox/jobs/under-way",
    "/outbox/jobs/under-way/live",
    f"/outbox/mailboxes/{CODES[0]}",
    "/outbox/messages/2",
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page for several people, over an outbox nobody has used until `full` is asked for."""
    root = tmp_path_factory.mktemp("home")
    with served(root, Mode.SERVED, proxies=frozenset({"127.0.0.0/8"})) as page:
        for code in CODES:
            server = Server(host="127.0.0.1", port="1", security=Security.NONE)
            made = Connection(code=code, server=server, from_address="reports@contoso.example")
            page.services.home.folder.create(made)
        yield page


@pytest.fixture(scope="module")
def full(page: Page) -> Page:
    """The same with everything in it."""
    fill(page.services.home, *CODES)
    return page


def test_what_is_not_there(page: Page) -> None:
    """An empty outbox shows that; nothing is made by looking at it; what is unknown is 404."""
    viewer = page.entered(Role.VIEWER)
    assert "Nothing was sent yet" in viewer.ask("GET", "/outbox").text
    assert viewer.ask("GET", "/outbox/search?address=x").status_code == 200
    paths = ("/outbox/jobs/none", "/outbox/jobs/none/export.csv", "/outbox/messages/1", "/outbox/mailboxes/x")
    assert [viewer.ask("GET", path).status_code for path in paths] == [404] * 4
    operator = page.entered(Role.OPERATOR)
    for path in ("/outbox/jobs/none/pause", "/outbox/messages/1/hold", "/outbox/mailboxes/x/pause"):
        assert operator.ask("POST", path).status_code == 404
    assert not (page.services.home.root / "data" / "outbox.db").exists()


@pytest.mark.parametrize("path", PAGES)
def test_a_viewer_looks_and_does_nothing(full: Page, path: str) -> None:
    """The same page for a viewer and an operator, but for the buttons; no script of a stranger in either."""
    viewer = full.entered(Role.VIEWER).ask("GET", path).text
    operator = full.entered(Role.OPERATOR).ask("GET", path)
    assert operator.status_code == 200
    assert 'hx-post="/outbox' not in viewer and SCRIPT not in viewer + operator.text
    acts = path in {"/outbox", "/outbox/live", PAGES[3], PAGES[5], PAGES[6]}
    assert ('hx-post="/outbox' in operator.text) is acts


def test_what_has_no_meaning(full: Page) -> None:
    """Words nobody knows, limits that are none, a place that is none: told, nothing changed, no fault of ours."""
    operator = full.entered(Role.OPERATOR)
    form = "application/x-www-form-urlencoded"
    assert operator.ask("POST", "/outbox/jobs/done/explode").status_code == 404
    assert operator.ask("POST", "/outbox/messages/2/explode").status_code == 404
    assert operator.ask("GET", "/outbox/jobs/done?after=x&outcome=lost").status_code == 400
    limits = f"/outbox/mailboxes/{CODES[0]}/limits"
    for body in (b"sessions=many", b"per_minute=nan", b"per_day=-1", b"sessions=0"):
        assert operator.ask("POST", limits, body, Content_Type=form).status_code == 400
    assert operator.ask("POST", limits, b"per_minute=12.5", Content_Type=form).status_code == 200
    assert "12.5 a minute" in operator.ask("GET", "/outbox").text
    assert operator.ask("POST", "/outbox/jobs/under-way/retry-refused").status_code == 200
    assert operator.ask("GET", f"/outbox/jobs/{quote(NASTY_JOB, safe='')}").status_code == 200
    assert operator.ask("GET", "/outbox/messages/99999999999999999999999").status_code in {404, 422}
