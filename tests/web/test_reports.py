"""The pages of reports, asked as a browser asks: who may what, what is hidden, what is refused, what is shown as text."""

from __future__ import annotations

import dataclasses
import html
import re
import urllib.parse
from typing import TYPE_CHECKING

import pytest

from datapallas.connection.model import Connection, Security, Server
from datapallas.errors import ConfigurationError
from datapallas.outbox import problems
from datapallas.outbox.runs.records import Record
from datapallas.outbox.runs.tables import State
from datapallas.web.headers import ALWAYS, MAIL
from datapallas.web.services import Mode
from datapallas.web.who import Role
from strangers.process import wait_for
from web.page import Browser, Page, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx2

    from datapallas.reports.folder import Reports

FORM = "application/x-www-form-urlencoded"
EVIL = "<img src=x onerror=alert(1)>'\"&"


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page for several people, with one connection and the sample Invoices."""
    root = tmp_path_factory.mktemp("reports")
    with served(root, Mode.SERVED, proxies=frozenset({"127.0.0.0/8"})) as page:
        server = Server(host="127.0.0.1", port="1", security=Security.NONE)
        page.services.home.folder.create(
            Connection(code="eml-one", server=server, default=True, from_address="us@us.example")
        )
        yield page


@pytest.fixture
def reports(public: Page) -> Iterator[Reports]:
    """Its reports: one, from the sample Invoices."""
    found = public.services.reports.reports
    found.create("invoices", "invoices")
    yield found
    for code in found.codes():
        found.delete(code)


def post(who: Browser, path: str, **fields: str) -> httpx2.Response:
    """A form of a page of ours."""
    body = urllib.parse.urlencode(
        {
            name.replace("__", ":").replace("report_toml", "report.toml"): value
            for name, value in fields.items()
        }
    )
    return who.ask("POST", path, body.encode(), Content_Type=FORM, HX_Request="true")


def preview_id(answer: httpx2.Response) -> str:
    """The id in the address of the frame."""
    found = re.search(r"/previews/([\w-]+)/email", answer.text)
    assert found is not None, answer.text
    return found[1]


def test_a_viewer_sees_no_recipient(public: Page, reports: Reports) -> None:
    """Who may only look sees the definition, and neither previews nor lists nor documents; an operator does."""
    viewer, operator = public.entered(Role.VIEWER), public.entered(Role.OPERATOR)
    for path in ("/reports", "/reports/invoices", "/reports/invoices/run"):
        answer = viewer.ask("GET", path)
        assert answer.status_code == 200
        assert "marta@alpine-books.example" not in answer.text
    for path in ("/reports/invoices/preview", "/reports/invoices/files/invoices.csv"):
        assert viewer.ask("GET", path).status_code == 403
        answer = operator.ask("GET", path)
        assert answer.status_code == 200
        assert "marta@alpine-books.example" in answer.text
    assert post(operator, "/reports/invoices/preview").status_code == 403
    assert post(operator, "/reports/invoices/save").status_code == 403
    assert reports.codes() == ["invoices"]


def test_the_email_is_shown_where_it_can_do_nothing(public: Page, reports: Reports) -> None:
    """Its frame has no script, no origin and no network; it is shown to whoever asked, and to nobody else."""
    folder = reports.folder("invoices")
    (folder / "email.html").write_text("<script>alert(1)</script><p style='color:red'>{{ contact }}</p>")
    admin = public.entered(Role.ADMIN)
    shown = post(admin, "/reports/invoices/preview", number="2")
    assert 'sandbox title="The email as it will arrive"' in shown.text
    path = f"/previews/{preview_id(shown)}/email"
    mail = admin.ask("GET", path)
    policy = mail.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; img-src data: 'self'; style-src 'unsafe-inline';")
    assert policy.endswith("sandbox")
    assert "script-src" not in policy
    assert mail.headers["x-frame-options"] == "SAMEORIGIN"
    assert {**ALWAYS, **MAIL}.items() <= dict(mail.headers).items()
    assert "x-datapallas-mail" not in mail.headers
    assert public.entered(Role.ADMIN).ask("GET", path).status_code == 404
    assert shown.headers["content-security-policy"] == ALWAYS["content-security-policy"]
    document = admin.ask("GET", path.replace("email", "documents/1"))
    assert document.content.startswith(b"%PDF")
    assert document.headers["content-disposition"].startswith("attachment;")
    assert admin.ask("GET", path.replace("email", "documents/1/page")).content.startswith(b"\x89PNG")
    assert admin.ask("GET", path.replace("email", "documents/2")).status_code == 404


def test_what_was_typed_is_checked_saved_and_never_lost(public: Page, reports: Reports) -> None:
    """A flaw is told with file and line, and nothing is saved; a good change keeps the comments; a third tab is told."""
    admin = public.entered(Role.ADMIN)
    opened = admin.ask("GET", "/reports/invoices").text
    seen = re.search(r'name="seen:report.toml" value="([^"]+)"', opened)
    html_seen = re.search(r'name="seen:email.html" value="([^"]+)"', opened)
    assert seen is not None
    assert html_seen is not None
    source = reports.text("invoices")
    wrong = {
        "source": source,
        "f-name": "New",
        "f-subject": "{{ broken",
        "seen__report.toml": seen[1],
        "seen__email.html": html_seen[1],
        "file__email.html": "{% if",
    }
    answer = post(admin, "/reports/invoices/save", **wrong)
    assert answer.status_code == 422
    assert "email.html, line 1" in answer.text
    assert "report.toml, line" in answer.text
    assert "{{ broken" in answer.text
    assert reports.text("invoices") == source
    good = {
        **wrong,
        "f-subject": "Hello {{ contact }}",
        "file__email.html": "<p>{{ contact }}</p>",
        "f-cron": "0 7 * * 1",
    }
    answer = post(admin, "/reports/invoices/save", **good)
    assert answer.headers["hx-redirect"] == "/reports/invoices?done=saved"
    saved = reports.load("invoices")
    assert (saved.name, saved.email.subject) == ("New", "Hello {{ contact }}")
    assert saved.schedule is not None
    assert reports.text("invoices").startswith("# One email for each customer")
    assert reports.read_file("invoices", "email.html") == b"<p>{{ contact }}</p>"
    answer = post(
        admin, "/reports/invoices/save", **{**good, "source": reports.text("invoices"), "f-name": "Third"}
    )
    assert answer.status_code == 422
    assert "changed meanwhile" in answer.text
    assert reports.load("invoices").name == "New"
    admin.ask("DELETE", "/reports/invoices/files/email.html")
    answer = post(admin, "/reports/invoices/check", **good)
    assert "there is no file" in answer.text


def test_a_broken_report_is_shown_and_can_be_mended(public: Page, reports: Reports) -> None:
    """Its line and reason stand in the list and in the editor; so does a connection that is not there."""
    (reports.folder("invoices") / "report.toml").write_text('name = "x"\nfoo = [\n')
    reports.create("second")
    text = reports.text("second").replace('# connection = "eml-office365"', 'connection = "eml-gone"')
    reports.save("second", text)
    listed = public.entered(Role.VIEWER).ask("GET", "/reports").text
    assert "report.toml, line 2: it is not TOML" in listed
    assert "eml-gone" in listed
    admin = public.entered(Role.ADMIN)
    opened = admin.ask("GET", "/reports/invoices").text
    assert "foo = [" in opened
    assert "report.toml, line 2" in opened
    assert "Mend it on the tab Source" in opened
    seen = re.search(r'name="seen:report.toml" value="([^"]+)"', opened)
    assert seen is not None
    mended = (
        '[rows]\nfile = "invoices.csv"\n[email]\nto = "{{ email }}"\nsubject = "Hi"\ntext = "email.txt"\n'
    )
    answer = post(
        admin, "/reports/invoices/save", source=mended, **{"typed-in": "source"}, seen__report_toml=seen[1]
    )
    assert answer.headers["hx-redirect"]
    assert reports.load("invoices").email.subject == "Hi"


def test_secrets_of_a_report_never_reach_the_page(public: Page, reports: Reports) -> None:
    """A sealed password is not shown, and is there after saving; a file with one is neither shown nor given out."""
    folder = reports.folder("invoices")
    text = (
        '[rows]\nurl = "postgresql://reader@host/db"\nquery = "select 1"\npassword_file = "db.txt"\n'
        '# password = "ENC(v1.sealed)"\n[email]\nto = "{{ email }}"\nsubject = "x"\ntext = "email.txt"\n'
    )
    (folder / "report.toml").write_text(text)
    (folder / "db.txt").write_text("geheim")
    admin = public.entered(Role.ADMIN)
    opened = admin.ask("GET", "/reports/invoices").text
    assert "ENC(" not in opened
    assert "geheim" not in opened
    assert "db.txt</a>" not in opened
    for name in ("db.txt", "./db.txt", "report.toml", "../invoices/db.txt"):
        assert admin.ask("GET", f"/reports/invoices/files/{urllib.parse.quote(name)}").status_code in {
            400,
            404,
        }
    source = re.search(r'<textarea id="source".*?>\n(.*?)</textarea>', opened, re.DOTALL)
    seen = re.search(r'name="seen:report.toml" value="([^"]+)"', opened)
    assert source is not None
    assert seen is not None
    typed = html.unescape(source[1])
    answer = post(
        admin, "/reports/invoices/save", source=typed, **{"typed-in": "source"}, seen__report_toml=seen[1]
    )
    assert answer.headers.get("hx-redirect"), answer.text
    assert reports.text("invoices") == text


def test_everything_foreign_is_shown_as_text(public: Page, reports: Reports) -> None:
    """Names, files, columns, values, problems and errors of a report stand on every page as they are, escaped."""
    folder = reports.folder("invoices")
    quoted = EVIL.replace('"', '\\"')
    (folder / "report.toml").write_text(
        f'name = "{quoted}"\n[rows]\nfile = "list.csv"\n[email]\nto = "{{{{ email }}}}"\n'
        f'subject = "{quoted} {{{{ row[\'email\'] }}}}"\ntext = "email.txt"\n'
    )
    (folder / "email.txt").write_text(EVIL)
    (folder / f"{EVIL.replace('/', '')}.csv").write_text("x")
    (folder / "list.csv").write_text(
        "email,<script>alert(1)</script>\n<img src=x onerror=alert(1)>@x,1\n", "utf-8"
    )
    admin = public.entered(Role.ADMIN)
    pages = [admin.ask("GET", path) for path in ("/reports", "/reports/invoices", "/reports/invoices/run")]
    pages.append(post(admin, "/reports/invoices/preview"))
    pages.append(
        post(admin, "/reports/invoices/check", source=reports.text("invoices"), **{"typed-in": "source"})
    )
    pages.append(post(admin, "/reports/invoices/looks", what="check"))
    look = re.search(r"/looks/([\w-]+)", pages[-1].text)
    assert look is not None
    wait_for(
        lambda: "was checked" in admin.ask("GET", f"/looks/{look[1]}").text, "the list to be checked", 60
    )
    pages.append(admin.ask("GET", f"/looks/{look[1]}"))
    assert "says error" in pages[-1].text
    for answer in pages:
        assert answer.status_code == 200, answer.text
        assert "<img src=x" not in answer.text
        assert "<script>alert" not in answer.text


def test_files_are_brought_and_taken(public: Page, reports: Reports) -> None:
    """A file goes up in pieces and comes down as it was; names that lead elsewhere and other kinds of body are refused."""
    admin, kind = public.entered(Role.ADMIN), "application/octet-stream"
    data = b"name;email\n" * 100_000
    one = "/reports/invoices/files/own%20list.csv"
    answer = admin.ask("PUT", one, data, Content_Type=kind)
    assert answer.status_code == 200
    assert "own list.csv" in answer.text
    taken = admin.ask("GET", one)
    assert taken.content == data
    assert taken.headers["content-type"] == kind
    assert admin.ask("PUT", one, b"x", Content_Type=FORM).status_code == 415
    for name in ("..%2f..%2fx", ".x", "report.toml", "%2e%2e/x"):
        answer = admin.ask("PUT", f"/reports/invoices/files/{name}", b"x", Content_Type=kind)
        assert answer.status_code in {400, 404, 405, 415}, name
    answer = admin.ask("PUT", "/reports/invoices/files/email.html", b"{{ broken", Content_Type=kind)
    assert answer.status_code == 409
    assert public.entered(Role.OPERATOR).ask("PUT", one, b"x", Content_Type=kind).status_code == 403
    assert admin.ask("DELETE", one).status_code == 200
    assert admin.ask("GET", one).status_code == 400
    assert "own list.csv" not in reports.files("invoices")
    assert "report.toml" not in reports.files("invoices")


def test_a_connection_that_reports_use_says_so(public: Page, reports: Reports) -> None:
    """The list of connections names them, the question before deleting too; programs are refused without force."""
    assert reports.codes() == ["invoices"]
    admin = public.entered(Role.ADMIN)
    listed = admin.ask("GET", "/connections").text
    assert 'Used by <a href="/reports/invoices">invoices</a>' in listed
    assert "These reports use it: invoices." in listed
    assert 'Used by <a href="/reports/invoices">' in admin.ask("GET", "/connections/eml-one").text
    public.services.home.folder.create(
        Connection(code="eml-two", server=Server(host="127.0.0.1", port="1", security=Security.NONE))
    )
    text = reports.text("invoices")
    reports.save("invoices", 'connection = "eml-two"\n' + text)
    answer = admin.ask("DELETE", "/api/v1/connections/eml-two")
    assert answer.status_code == 409
    assert answer.json()["code"] == "connection-in-use"
    assert admin.ask("DELETE", "/api/v1/connections/eml-two?force=true").status_code == 204
    assert "eml-two" in admin.ask("GET", "/reports").text


def test_nothing_of_a_preview_stays(tmp_path: Path) -> None:
    """What a preview kept is deleted when others follow, and with the server."""
    with served(tmp_path) as page:
        page.services.reports.reports.create("one")
        who = page.entered()
        for number in range(1, 6):
            assert who.ask("GET", f"/reports/one/preview?number={number}").status_code == 200
        place = page.services.reports.previews.place
        assert len(list(place.iterdir())) == 3
    assert not place.exists()


def test_a_run_that_needs_a_person_is_seen_in_the_list(public: Page, reports: Reports) -> None:
    """A scheduled run that stopped is told with what to do, also behind a test; who got nothing is counted."""
    records = public.services.reports.runs.records
    gone = ConfigurationError("There is no file invoices.csv.", code="rows-file")
    facts = {"scheduled": 1.0, "total": 5}
    records.add(Record(id="stopped-run", work="report", subject="invoices", state=State.STOPPED, facts=facts))
    records.move("stopped-run", [State.STOPPED], State.STOPPED, problem=problems.dump(gone))
    try:
        test = Record(id="test-run", work="report", subject="invoices", state=State.DONE, created=4e9)
        records.add(dataclasses.replace(test, facts={"test_to": "me@x.example", "outcomes": {"accepted": 1}}))
        viewer = public.entered(Role.VIEWER)
        listed = viewer.ask("GET", "/reports").text
        assert "By schedule: Stopped" in listed and "There is no file invoices.csv." in listed
        assert "/reports/invoices/runs/stopped-run" in listed and "press Check" in listed
        some = {"outcomes": {"accepted": 5}, "total": 5, "left_out": {"rows": 2, "parts": 1}}
        records.add(dataclasses.replace(test, id="some-run", created=5e9, facts=some))
        listed = viewer.ask("GET", "/reports").text
        assert "did not reach everybody: 5 accepted, 2 rows and 1 part of the PDF left out." in listed
        assert "There is no file" not in listed and "Done, not for all" in listed
        shown = viewer.ask("GET", "/reports/invoices/runs/some-run").text
        assert "2 rows and 1 part of the PDF belong to no recipient" in shown
        records.add(Record(id="waits", work="report", subject="invoices", created=6e9))
        records.move("waits", [State.QUEUED], State.QUEUED, place="another")
        assert (
            "It waits: it belongs to another machine"
            in viewer.ask("GET", "/reports/invoices/runs/waits").text
        )
    finally:
        records.delete(["stopped-run", "test-run", "some-run", "waits"])
