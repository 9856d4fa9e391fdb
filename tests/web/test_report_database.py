"""A report that asks a database, as the form of its editor has it: address, query, and a password that is never shown."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from typing import TYPE_CHECKING

import pytest

from datapallas.errors import ConfigurationError
from datapallas.reports.passwords import password_of
from datapallas.web.who import Role
from web.test_reports import post, public, reports  # noqa: F401 - the fixtures

if TYPE_CHECKING:
    import httpx2

    from datapallas.reports.folder import Reports
    from web.page import Browser, Page

FORM = {
    "f-name": "Sales",
    "f-rows-from": "database",
    "f-to": "{{ email }}",
    "f-subject": "Hello {{ name }}",
    "tab": "report",
}
QUERY = "SELECT name, email\nFROM people"
WORD = "s3cret of the database"


def form(admin: Browser, path: str, **more: str) -> httpx2.Response:
    """What the editor sends, with the marks of what was stored."""
    opened = admin.ask("GET", "/reports/invoices").text
    seen = {f"seen:{name}": mark for name, mark in re.findall(r'name="seen:([^"]+)" value="([^"]+)"', opened)}
    return post(admin, f"/reports/invoices/{path}", **(FORM | seen | more))


def password(reports: Reports) -> str:  # noqa: F811
    """The password the report would use."""
    source = reports.load("invoices").rows
    assert source is not None
    found = password_of(source, reports.folder("invoices"))
    return found.reveal() if found is not None else ""


def test_the_rows_come_from_a_database(public: Page, reports: Reports) -> None:  # noqa: F811
    """Address and query are fields; what belonged to the file goes, and comes back with the other choice."""
    with contextlib.closing(sqlite3.connect(reports.folder("invoices") / "sales.db")) as database:
        database.execute("CREATE TABLE people (name, email)")
        database.execute("INSERT INTO people VALUES ('Anna', 'anna@x.example')")
        database.commit()
    admin = public.entered(Role.ADMIN)
    wanted = {"f-url": "sqlite:///sales.db", "f-query": QUERY}
    (reports.folder("invoices") / "email.txt").write_text("Dear {{ name }}")
    (reports.folder("invoices") / "email.html").unlink()
    text = '[rows]\nfile = "invoices.csv"\n[email]\nto = "{{ a }}"\nsubject = "x"\ntext = "email.txt"\n'
    reports.save("invoices", text)
    shown = form(admin, "preview", **wanted).text
    assert "anna@x.example" in shown, shown
    assert "Hello Anna" in shown
    answer = form(admin, "save", **wanted)
    assert answer.headers.get("hx-redirect"), answer.text
    source = reports.load("invoices").rows
    assert source is not None
    assert (source.url, source.query, source.file) == ("sqlite:///sales.db", QUERY, "")
    opened = admin.ask("GET", "/reports/invoices").text
    assert '<option value="database" selected>' in opened and QUERY in opened
    assert form(admin, "save", **wanted | {"f-query": ""}).status_code == 422
    back = form(admin, "save", **wanted, **{"f-rows-from": "file", "f-file": "invoices.csv"})
    assert back.headers.get("hx-redirect"), back.text
    assert "sqlite" not in reports.text("invoices")


def test_the_password_is_sealed_and_never_shown(public: Page, reports: Reports) -> None:  # noqa: F811
    """It is kept sealed for address and query; when one of them changes, nothing is saved before it is typed again."""
    admin = public.entered(Role.ADMIN)
    wanted = {"f-url": "postgresql://reader@127.0.0.1:1/db", "f-query": QUERY}
    answer = form(admin, "save", **wanted, **{"db-password": WORD})
    assert answer.headers.get("hx-redirect"), answer.text
    assert "ENC(v1" in reports.text("invoices") and WORD not in reports.text("invoices")
    assert password(reports) == WORD
    opened = admin.ask("GET", "/reports/invoices").text
    assert "One is kept, sealed" in opened and WORD not in opened and "ENC(" not in opened
    assert form(admin, "save", **wanted, **{"f-cc": "c@x.example"}).headers.get("hx-redirect")
    assert password(reports) == WORD
    other = wanted | {"f-url": "postgresql://reader@evil.example/db"}
    refused = form(admin, "save", **other)
    assert refused.status_code == 422 and "Type the password again" in refused.text
    assert "Type the password again" in form(admin, "check", **other).text
    assert "evil.example" not in reports.text("invoices")
    assert form(admin, "save", **other, **{"db-password": "another"}).headers.get("hx-redirect")
    assert password(reports) == "another"
    text = reports.text("invoices")
    reports.save("invoices", text.replace("FROM people", "FROM payroll"))
    with pytest.raises(ConfigurationError):
        password(reports)
