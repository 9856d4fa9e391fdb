"""Changing a report without losing what a person wrote: values, secrets, files, drafts."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapallas.errors import ConfigurationError, UsageError
from datapallas.reports import workbench
from datapallas.reports.finding import Pick, find
from datapallas.reports.first_page import first_page
from datapallas.reports.folder import SAMPLES, Reports
from datapallas.reports.masking import masked, password_files, unmasked
from datapallas.reports.toml_edit import changed
from datapallas.reports.uploads import Upload
from datapallas.reports.workbench import Draft

if TYPE_CHECKING:
    from pathlib import Path

    from datapallas.reports.toml_edit import Values

STATEMENTS = (SAMPLES / "statements" / "report.toml").read_text("utf-8")
SECRETS = """name = "x"
[rows]
url = "postgresql://u:geheim@host/db"   # not good
query = "select 1"
password = "ENC(v1.abcdef)"  # sealed
password_file = "db.secret"
[burst]
password = "{{ Birthday }}"
"""


@pytest.fixture
def reports(tmp_path: Path) -> Reports:
    """A home with the sample Invoices."""
    found = Reports(tmp_path)
    found.create("invoices", "invoices")
    return found


def test_a_value_is_changed_and_every_comment_stays() -> None:
    """Only the lines of the values differ; a new section comes last."""
    wanted: Values = {
        ("", "name"): 'A "new" nämé\\ \x7f',
        ("email", "cc"): "a@b.example",
        ("limits", "recipients"): 7,
        ("email", "text"): None,
        ("schedule", "cron"): "0 7 * * 1",
    }
    text = changed(STATEMENTS, wanted)
    found = tomllib.loads(text)
    assert found["name"] == 'A "new" nämé\\ \x7f'
    assert (found["email"]["cc"], found["limits"]["recipients"]) == ("a@b.example", 7)
    assert "text" not in found["email"]
    comments = [line for line in STATEMENTS.splitlines() if line.startswith("#")]
    assert [line for line in text.splitlines() if line.startswith("#")] == comments
    assert "# who has no statement gets no email" in text
    assert changed(text, {("schedule", "cron"): None, ("email", "cc"): None}).count("[schedule]") == 0


@pytest.mark.parametrize(
    "text",
    [
        'email = { to = "a@b.example" }\n',
        'email.to = "a@b.example"\n',
        "[email\n",
        '[[email]]\nto = "x"\n',
    ],
)
def test_what_cannot_be_changed_safely_is_refused(text: str) -> None:
    """Inline tables, dotted keys, no TOML: nothing is changed by guessing."""
    with pytest.raises(UsageError, match="cannot be changed here"):
        changed(text, {("email", "to"): "c@d.example"})


@pytest.mark.parametrize(
    "text",
    [
        SECRETS,
        '[rows]\npassword = """\ngeheim"""\n',
        "[rows]\npassword = geheim\n",
        "[rows]\n'password' = 'geheim'\n",
        '[rows]\nurl = "mysql://geheim:geheim@h/d"\n[values]\nx = "ENC(v1.geheim)"\n',
    ],
)
def test_secrets_are_hidden_and_come_back(text: str) -> None:
    """A database's password, sealed or in clear, is not in what a page shows; saving brings it back."""
    shown = masked(text)
    assert "geheim@" not in shown
    assert "ENC(" not in shown
    assert ":geheim" not in shown
    assert "= geheim" not in shown
    assert "\ngeheim" not in shown
    assert unmasked(shown, text) == text


def test_a_documents_password_is_shown_and_a_file_with_one_is_known() -> None:
    """The text with the recipient's column is no secret; the file that holds the database's password is."""
    assert "{{ Birthday }}" in masked(SECRETS)
    assert password_files(SECRETS) == {"db.secret"}


def test_a_draft_is_checked_beside_the_report(reports: Reports, tmp_path: Path) -> None:
    """What is laid out is the draft with the report's other files; the report is not touched, and nothing is left."""
    before = {name: reports.read_file("invoices", name) for name in reports.files("invoices")}
    draft = Draft(reports.text("invoices"), {"email.html": "<p>{{ contact }"})
    with workbench.laid_out(reports.folder("invoices"), tmp_path / "place", draft) as laid:
        (flaw,) = laid.flaws
        assert (flaw.file, flaw.line) == ("email.html", 1)
        assert (laid.folder / "invoices.csv").read_bytes() == before["invoices.csv"]
    assert before == {name: reports.read_file("invoices", name) for name in reports.files("invoices")}
    assert list((tmp_path / "place").iterdir()) == []


def test_a_link_out_of_the_folder_stays_refused_in_a_draft(reports: Reports, tmp_path: Path) -> None:
    """A template that is a link to somebody's secret is no template of the copy either."""
    secret = tmp_path / "secret.html"
    secret.write_text("geheim")
    folder = reports.folder("invoices")
    (folder / "email.html").unlink()
    (folder / "email.html").symlink_to(secret)
    with workbench.laid_out(folder, tmp_path / "place", Draft(reports.text("invoices"))) as laid:
        assert laid.report is None
        assert "link out of the report's folder" in laid.flaws[0].reason


def test_recipients_are_found_by_number_and_by_words(reports: Reports) -> None:
    """The second one; whoever has a word in a row; nobody; more than there are gives the last one."""
    report = reports.load("invoices")
    first, second = find(report, Pick()), find(report, Pick(number=2))
    assert first.more
    assert first.recipient.key != second.recipient.key
    name = str(second.recipient.rows[0].values["contact"])
    assert find(report, Pick(words=name.upper())).recipient.key == second.recipient.key
    last = find(report, Pick(number=10_000))
    assert not last.more
    assert last.number < 10_000
    with pytest.raises(UsageError, match="Nobody"):
        find(report, Pick(words="no such thing"))


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/x",
        "a/../../x",
        ".hidden",
        "report.toml",
        "x.next",
        "a\\b",
        "a\nb",
        "",
        "x" * 300,
        "a/.git/x",
        "out/x",
    ],
)
def test_a_file_that_may_not_be_brought(reports: Reports, name: str) -> None:
    """No name leads out of the report's folder or takes the place of its definition, links followed."""
    (reports.folder("invoices") / "out").symlink_to("/tmp")
    before = sorted(path.name for path in reports.folder("invoices").iterdir())
    with pytest.raises(UsageError):
        Upload(reports, "invoices", name)
    assert sorted(path.name for path in reports.folder("invoices").iterdir()) == before


def test_a_file_is_brought_whole_or_not_at_all(reports: Reports) -> None:
    """A broken template, one too large and one that stops half-way leave the old one; a good one replaces it."""
    old = reports.read_file("invoices", "email.html")
    with Upload(reports, "invoices", "email.html") as upload:
        upload.write(b"{{ broken")
        with pytest.raises(ConfigurationError, match=r"email\.html, line 1"):
            upload.take()
    with Upload(reports, "invoices", "email.html") as upload:
        for _ in range(64):
            upload.write(b"x" * 1024 * 1024)
        with pytest.raises(UsageError, match="64 MB"):
            upload.write(b"x")
    with Upload(reports, "invoices", "email.html") as upload:
        upload.write(b"half")
    assert reports.read_file("invoices", "email.html") == old
    with Upload(reports, "invoices", "images/logo.png") as upload:
        upload.write(b"\x89PNG")
        upload.take()
    assert reports.read_file("invoices", "images/logo.png") == b"\x89PNG"
    assert not [name for name in reports.files("invoices") if "upload" in name]


def test_the_first_page_of_a_pdf_is_an_image(tmp_path: Path) -> None:
    """A PDF gives a PNG; what is none gives nothing."""
    assert first_page(SAMPLES / "statements" / "statements.pdf").startswith(b"\x89PNG")
    (tmp_path / "x.pdf").write_bytes(b"%PDF-1.7 nothing")
    assert first_page(tmp_path / "x.pdf") == b""


QUERY = "SELECT name, email\nFROM [Order Details]  -- 'all' of \"them\"\nWHERE total > 0"


def test_a_text_over_several_lines_is_changed_as_one_value() -> None:
    """A query of several lines is read, changed and written so that a person can read it; its lines are no sections."""
    text = "name = \"x\"\n\n[rows]\nurl = \"sqlite:///a.db\"\nquery = '''\nSELECT *\nFROM [a]\n'''  # mine\n\n[email]\nto = \"t\"\n"
    wanted: Values = {("rows", "query"): QUERY, ("email", "cc"): "c", ("rows", "group_by"): "name"}
    found = changed(text, wanted)
    assert f"query = '''\n{QUERY}'''  # mine\n" in found
    data = tomllib.loads(found)
    assert data["rows"] == {"url": "sqlite:///a.db", "query": QUERY, "group_by": "name"}
    assert data["email"] == {"to": "t", "cc": "c"}
    assert tomllib.loads(changed(found, {("rows", "query"): "SELECT 1"}))["rows"]["query"] == "SELECT 1"
    inner = "[values]\ntext = '''\n[email]\nto = \"x\"\n'''\n[email]\nto = \"y\"\n"
    assert tomllib.loads(changed(inner, {("email", "to"): "c"}))["email"] == {"to": "c"}
    assert "[rows]" not in changed(text, {("rows", "url"): None, ("rows", "query"): None})


@given(st.text(alphabet="ab'\"\\\n\t#[]=\x7f\x01é", max_size=30))
def test_whatever_stands_in_a_value_comes_back(value: str) -> None:
    """No quote, bracket, line end or control character in a value changes what is read, or anything else."""
    text = 'name = "x"\n[rows]\nquery = "old"\n[email]\nto = "t"\n'
    found = changed(text, {("rows", "query"): value})
    assert tomllib.loads(found) == {"name": "x", "rows": {"query": value}, "email": {"to": "t"}}
    again = changed(found, {("rows", "query"): "new", ("email", "to"): value})
    assert tomllib.loads(again) == {"name": "x", "rows": {"query": "new"}, "email": {"to": value}}
