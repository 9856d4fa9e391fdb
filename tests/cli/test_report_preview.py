"""`report preview`: what one recipient would get, written to a folder."""

from __future__ import annotations

import email
import email.policy
import io
from typing import TYPE_CHECKING

import pypdf
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from cli.shell import Shell

REPORT = """\
name = "Invoices"

[rows]
file = "people.csv"
group_by = ["mail"]

[email]
to = "{{ mail }}"
subject = "Invoice for {{ name }}"
html = "mail.html"

[[attachments]]
template = "invoice.typ"
name = "Invoice {{ name }}"

[[attachments]]
rows = "csv"
"""


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """A report of three rows for two people."""
    folder = tmp_path / "config" / "reports" / "invoices"
    folder.mkdir(parents=True)
    (folder / "report.toml").write_text(REPORT)
    (folder / "people.csv").write_text(
        "mail,name,item\na@x.example,Ann,Chair\nb@x.example,Bob,Desk\na@x.example,Ann,Lamp\n"
    )
    (folder / "mail.html").write_text(
        '<h1>Hi {{ name }}</h1><img src="logo.png" alt="Logo">{{ rows | table("item") }}'
    )
    (folder / "logo.png").write_bytes(b"\x89PNG\r\n")
    (folder / "invoice.typ").write_text("#let data = json(bytes(sys.inputs.data))\nInvoice for #data.name")
    return folder


def test_preview_writes_the_email_and_its_documents(shell: Shell, report: Path) -> None:
    """The first recipient's message, its bodies and its documents lie in a folder; there need be no connection yet."""
    out = shell.root / "look"
    done = shell.call("report", "preview", "invoices", "--out", str(out), "--json")
    assert done.code == 0, done.err
    assert done.json["recipient"] == "a@x.example"
    assert done.json["subject"] == "Invoice for Ann"
    names = {path.name for path in out.iterdir()}
    assert {"email.eml", "email.html", "email.txt", "Invoice Ann.pdf", "invoices.csv"} < names
    message = email.message_from_bytes((out / "email.eml").read_bytes(), policy=email.policy.default)
    assert message["To"] == "a@x.example"
    attached = {part.get_filename(): part.get_content() for part in message.iter_attachments()}
    assert set(attached) == {"Invoice Ann.pdf", "invoices.csv"}
    assert (
        "Invoice for Ann" in pypdf.PdfReader(io.BytesIO(attached["Invoice Ann.pdf"])).pages[0].extract_text()
    )
    html = (out / "email.html").read_text()
    (image,) = names - {"email.eml", "email.html", "email.txt", "Invoice Ann.pdf", "invoices.csv"}
    assert f'src="{image}"' in html
    assert "Lamp" in html
    assert "Hi Ann" in (out / "email.txt").read_text()


def test_any_recipient_can_be_looked_at(shell: Shell, report: Path) -> None:
    """By its key, or by the number of one of its rows; a wrong one is told."""
    assert (
        shell.call("report", "preview", "invoices", "--only", "b@x.example", "--out", "x", "--json").json[
            "subject"
        ]
        == "Invoice for Bob"
    )
    assert (
        shell.call("report", "preview", "invoices", "--row", "3", "--out", "x", "--json").json["recipient"]
        == "a@x.example"
    )
    missing = shell.call("report", "preview", "invoices", "--row", "4", "--out", "x")
    assert missing.code == 64
    assert "No recipient has the row 4." in missing.err
    assert shell.call("report", "preview", "invoices", "--row", "4", "--only", "x").code == 64


def test_email_that_cannot_be_sent_is_shown_as_far_as_it_goes(shell: Shell, report: Path) -> None:
    """A bad address is told with its row; the rest is there to look at. A bad template shows its line."""
    (report / "people.csv").write_text("mail,name,item\nnobody,Ann,Chair\n")
    done = shell.call("report", "preview", "invoices", "--out", "x", "--json")
    assert done.code == 65
    assert done.json["problem"]["code"] == "address"
    assert done.json["to"] == "nobody"
    assert "line 2" in done.err
    (report / "mail.html").write_text("<p>\n{{ nmae }}")
    done = shell.call("report", "preview", "invoices", "--out", "x")
    assert done.code == 65
    assert "mail.html, line 2: there is no 'nmae'; did you mean 'name'?" in done.err
