"""Reports for programs: from the list to a run that reached everybody."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from datapallas.home.runs import Running
from datapallas.home.sending import Sending
from datapallas.sandbox import Sandbox
from datapallas.web.who import Role
from strangers.process import wait_for
from web.api.client import Api
from web.page import Page, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from datapallas.reports.folder import Reports

TESTER = "tester@sandbox.example"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def page(tmp_path: Path, sandbox: Sandbox) -> Iterator[Page]:
    """A page whose home can send, with the sample Statements."""
    with served(tmp_path) as page:
        connection = dataclasses.replace(sandbox.connection(signed_in=True), default=True)
        page.services.home.folder.create(connection)
        page.services.reports.reports.create("statements", "statements")
        yield page


@pytest.fixture
def api(page: Page) -> Api:
    return Api(page, page.token(Role.OPERATOR))


@pytest.fixture
def reports(page: Page) -> Reports:
    return page.services.reports.reports


@pytest.fixture
def running(page: Page) -> Iterator[None]:
    """What `serve` does in the background."""
    failures: list[BaseException] = []
    home = page.services.home
    with Running(home, failures.append, lambda _: None), Sending(home, failures.append):
        yield
    assert not failures


@pytest.mark.usefixtures("running")
def test_a_run_is_begun_watched_and_told(api: Api, page: Page, sandbox: Sandbox) -> None:
    """A test goes to one address, a run to everybody; both are in the list of runs with what became of them."""
    begun = api.ask("POST", "/reports/statements/runs", {"test_to": TESTER, "sample": 2})
    assert begun.status_code == 202, begun.text
    run = begun.json()["run"]
    assert begun.headers["location"] == f"/api/v1/runs/{run}"
    wait_for(lambda: api.good("GET", f"/runs/{run}")["state"] == "done", "the test to end", 60)
    assert [mail.recipients for mail in sandbox.wait(2)] == [(TESTER,)] * 2
    whole = api.good("POST", "/reports/statements/runs", {}, status=202)["run"]
    wait_for(lambda: api.good("GET", f"/runs/{whole}")["state"] == "done", "the run to end", 60)
    assert api.good("GET", f"/runs/{whole}")["outcomes"]["accepted"] == 6
    assert api.good("GET", f"/runs/{whole}/problems") == {"problems": []}
    runs = api.good("GET", "/reports/statements/runs")["runs"]
    assert [one["run"] for one in runs] == [whole, run]
    (line,) = api.good("GET", "/reports")["reports"]
    assert (line["usable"], line["rows"], line["last_run"]["run"]) == (True, "csv", whole)
    assert api.problem("POST", f"/runs/{whole}/resume")["status"] == 409
    viewer = Api(page, page.token(Role.VIEWER))
    assert viewer.problem("POST", "/reports/statements/runs", {})["status"] == 403
    assert viewer.problem("GET", f"/runs/{whole}/problems")["status"] == 403


def test_a_report_is_checked_and_previewed(api: Api, reports: Reports) -> None:
    """Problems with their places; one recipient's email by words in the row; nothing is sent, no database is made."""
    path = reports.folder("statements") / "customers.csv"
    path.write_text(path.read_text("utf-8").replace("accounts@harperstone.example", "accounts@"), "utf-8")
    look = api.good("POST", "/reports/statements/checks", status=202)
    wait_for(lambda: api.good("GET", f"/checks/{look['id']}")["finished"], "the check to end", 60)
    found = api.good("GET", f"/checks/{look['id']}")
    assert (found["state"], found["recipients"], found["errors"]) == ("checked", 6, 1)
    assert (found["problems"][0]["code"], found["problems"][0]["place"]) == ("address", "line 2")
    second = api.good("POST", "/reports/statements/preview", {"number": 2})
    assert second["documents"][0]["name"].endswith(".pdf")
    again = api.good("POST", "/reports/statements/preview", {"words": second["to"].upper()})
    assert (again["key"], again["number"]) == (second["key"], 1)
    assert api.problem("POST", "/reports/statements/preview", {"words": "nobody at all"})["status"] == 400
    assert not (reports.root / "data" / "runs.db").exists()


def test_what_is_not_there_is_told(api: Api, reports: Reports) -> None:
    """Unknown reports, runs and checks; a broken report is in the list with its lines."""
    for method, path, body in (
        ("GET", "/reports/none", None),
        ("GET", "/reports/none/runs", None),
        ("POST", "/reports/none/runs", {}),
        ("POST", "/reports/none/preview", {}),
        ("POST", "/reports/none/checks", None),
        ("GET", "/runs/none", None),
        ("GET", "/runs/none/problems", None),
        ("POST", "/runs/none/stop", None),
        ("GET", "/checks/none", None),
    ):
        assert api.problem(method, path, body)["status"] == 404, path
    (reports.folder("statements") / "report.toml").write_text("name = [\n")
    broken = api.good("GET", "/reports/statements")
    assert not broken["usable"]
    assert broken["flaws"][0].startswith("report.toml, line 1: ")
    assert api.problem("POST", "/reports/statements/runs", {})["code"] == "report-definition"
    assert (
        api.problem("POST", "/reports/statements/runs", {"test_to": "nobody"})["code"] == "bad-test-address"
    )
