"""Documents of a report: made from templates and rows, or given; read back by other programs."""

from __future__ import annotations

import datetime as dt
import decimal
import importlib.util
import io
import os
from typing import TYPE_CHECKING, Any

import openpyxl
import pypdf
import pytest

from datapallas.errors import ConfigurationError
from datapallas.reports.documents.naming import MOST, numbered, safe_name
from datapallas.reports.model import Attachment, Document, Limits, Recipient, Rendered, Row
from datapallas.reports.rendering import Renderer
from reports.making import made, problem, recipient, recipients, report, write
from strangers.needs import missing

if TYPE_CHECKING:
    from pathlib import Path

TYPST = """#let data = json(bytes(sys.inputs.data))
#import "lib.typ": total
= Invoice #data.number
#for row in data.rows [#row.item: #row.price \\ ]
Total #total(data.rows) #data.values.currency #data.today #data.report.name
"""
LIB = "#let total(rows) = rows.map(r => r.price).sum()"


def _document(folder: Path, attachment: Attachment, who: Recipient | None = None, **given: Any) -> Document:
    (document,) = made(report(folder, attachments=(attachment,), **given), who).documents
    return document


def _trouble(folder: Path, attachment: Attachment, who: Recipient | None = None, **given: Any) -> str:
    return problem(report(folder, attachments=(attachment,), **given), who).text


def _text(pdf: bytes, password: str | None = None) -> str:
    reader = pypdf.PdfReader(io.BytesIO(pdf), password=password)
    return "\n".join(page.extract_text() for page in reader.pages)


def _rows(*rows: dict[str, Any]) -> Recipient:
    return Recipient("a", tuple(Row(n, {"mail": "a@x.example", **row}) for n, row in enumerate(rows, 1)))


def test_typst_template_becomes_a_pdf(tmp_path: Path) -> None:
    """A .typ template sees the rows, the values and the day, imports its neighbours and becomes a PDF."""
    write(tmp_path, invoice_typ=TYPST, lib_typ=LIB)
    who = _rows(
        {"number": 4711, "item": "Chair", "price": decimal.Decimal("10.25")},
        {"number": 4711, "item": "Täble <b>#x", "price": 20},
    )
    document = _document(
        tmp_path,
        Attachment(name="Invoice {{ number }}", template="invoice.typ"),
        who,
        values={"currency": "EUR"},
    )
    text = _text(document.data)
    assert document.name == "Invoice 4711.pdf"
    assert "Invoice 4711" in text
    assert "Täble <b>#x: 20" in text
    assert f"Total 30.25 EUR {dt.date.today()} Invoices" in text  # noqa: DTZ011 - the day here


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Hello\n#data.name", "invoice.typ, line 2: unknown variable: data."),
        ('#read("../secret.txt")', "would escape the project root"),
        ('#read("/etc/hostname")', "invoice.typ, line 1: file not found"),
        (
            '#import "@preview/cetz:0.2.2"',
            "invoice.typ, line 1: it imports @preview/cetz:0.2.2, and packages are not downloaded",
        ),
        ("#let f(x) = f(x)\n#f(1)", "invoice.typ, line 1: maximum function call depth exceeded"),
    ],
)
def test_fault_of_a_typst_template_is_told_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    """Typst reads the report's folder only, downloads nothing, and says what is wrong and where."""
    folder = tmp_path / "report"
    folder.mkdir()
    write(tmp_path, secret_txt="secret")
    write(folder, invoice_typ=text)
    assert says in _trouble(folder, Attachment(template="invoice.typ"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "#{ let n = 0\n while n < 2 { n = calc.rem(n + 1, 2) } }",
            "invoice.typ, line 2: loop seems to be infinite",
        ),
        ("#{ for a in range(99999) { for b in range(99999) { let c = a + b } } }", "invoice.typ: it takes"),
        (
            "#{ let a = (0,) * 1000000\n for i in range(1000) { a = a + a } }",
            "invoice.typ: it takes more memory than",
        ),
    ],
)
def test_typst_template_that_takes_the_machine_is_ended(tmp_path: Path, text: str, says: str) -> None:
    """A Typst template that loops for ever or eats all memory costs one recipient, not the run."""
    write(tmp_path, invoice_typ=f"#if json(bytes(sys.inputs.data)).bad [{text}]")
    one = report(
        tmp_path,
        attachments=(Attachment(template="invoice.typ"),),
        limits=Limits(render_seconds=5, render_megabytes=300),
    )
    with Renderer(one, processes=1) as renderer:
        (_, bad), (_, good) = renderer.render(recipients({"bad": True}, {"bad": False}))
    assert says in getattr(bad, "text", "")
    assert isinstance(good, Rendered)


def test_fonts_and_packages_lie_beside_the_template(tmp_path: Path) -> None:
    """`fonts/` and `packages/` in the report's folder serve Typst."""
    package = tmp_path / "packages" / "preview" / "hi" / "0.1.0"
    package.mkdir(parents=True)
    (package / "typst.toml").write_text('[package]\nname = "hi"\nversion = "0.1.0"\nentrypoint = "hi.typ"\n')
    (package / "hi.typ").write_text("#let hi = [Hi from a package]")
    write(tmp_path, invoice_typ='#import "@preview/hi:0.1.0": hi\n#hi')
    (tmp_path / "fonts").mkdir()
    assert "Hi from a package" in _text(_document(tmp_path, Attachment(template="invoice.typ")).data)


@pytest.fixture
def weasyprint() -> None:
    """WeasyPrint with Pango."""
    try:
        found = importlib.util.find_spec("weasyprint") is not None and importlib.import_module("weasyprint")
    except OSError:
        found = False
    if not found:
        missing("WeasyPrint or Pango is not installed")


HTML = """<head><link rel="stylesheet" href="print.css"><style>h1 { color: red }</style></head>
<h1>Invoice {{ number }}</h1><p>{{ name }}</p>{{ rows | table('item') }}<img src="logo.svg">"""
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'


@pytest.mark.usefixtures("weasyprint")
def test_html_template_becomes_a_pdf(tmp_path: Path) -> None:
    """A .html template becomes a PDF with its stylesheets and images."""
    write(tmp_path, invoice_html=HTML, print_css="@page { size: A6 } p { font-weight: bold }", logo_svg=SVG)
    document = _document(
        tmp_path, Attachment(template="invoice.html"), recipient(number=7, name="A <b> B", item="Chair")
    )
    assert document.name == "invoice.pdf"
    page = pypdf.PdfReader(io.BytesIO(document.data)).pages[0]
    assert "Invoice 7" in page.extract_text()
    assert "A <b> B" in page.extract_text()
    assert round(float(page.mediabox.width) / 72 * 25.4) == 105  # A6


@pytest.mark.usefixtures("weasyprint")
@pytest.mark.parametrize(
    ("html", "says"),
    [
        (
            '<img src="https://x.example/a.png">',
            "invoice.html: https://x.example/a.png is not a file of the report's",
        ),
        ('<link rel="stylesheet" href="http://127.0.0.1:1/a.css">', "is not a file of the report's folder"),
        (
            '<img src="file:///etc/passwd">',
            "invoice.html: The file /etc/passwd is not in the report's folder.",
        ),
        ('<style>@import url("../a.css");</style>', "a.css is not in the report's folder."),
        ('<img src="none.png">', "none.png is not there."),
    ],
)
def test_html_document_loads_nothing_from_elsewhere(tmp_path: Path, html: str, says: str) -> None:
    """WeasyPrint gets files of the report's folder and nothing else."""
    folder = tmp_path / "report"
    folder.mkdir()
    write(tmp_path, a_css="p {}")
    write(folder, invoice_html=f"<p>x</p>{html}")
    assert says in _trouble(folder, Attachment(template="invoice.html"))


def test_missing_weasyprint_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without WeasyPrint or Pango an HTML document is one clear error, before anything is sent."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    write(tmp_path, invoice_html="<p>x</p>")
    monkeypatch.setenv("PYTHONPATH", str(hidden))
    for raising, code in (("ImportError", "weasyprint-missing"), ("OSError", "pango-missing")):
        (hidden / "weasyprint.py").write_text(f"raise {raising}('cannot load library libpango')\n")
        with pytest.raises(ConfigurationError) as told:
            made(report(tmp_path, attachments=(Attachment(template="invoice.html"),)))
        assert told.value.code == code


def test_text_templates_stay_what_they_are(tmp_path: Path) -> None:
    """Other endings are filled in as text; XML is escaped, and keeps its ending."""
    write(tmp_path, order_xml="<order>{{ name }}</order>", list_csv="name\n{{ name }}\n")
    one = report(
        tmp_path,
        attachments=(
            Attachment(template="order.xml", name="order-{{ name }}"),
            Attachment(template="list.csv"),
        ),
    )
    order, listed = made(one, recipient(name="A & B")).documents
    assert (order.name, order.data) == ("order-A & B.xml", b"<order>A &amp; B</order>")
    assert (listed.name, listed.data) == ("list.csv", b"name\nA & B\n")


MOMENT = dt.datetime(2026, 11, 28, 5, 6)  # noqa: DTZ001 - sheets know no zones
MIDNIGHT = dt.datetime(2026, 11, 28)  # noqa: DTZ001 - the same
ROWS = (
    {"name": "=1+1", "amount": 1234.5, "when": dt.date(2026, 11, 28), "ok": True, "card": 4111111111111111},
    {
        "name": "http://x.example",
        "amount": decimal.Decimal("-2.25"),
        "when": MOMENT,
        "ok": None,
        "card": "007",
    },
)


def test_rows_become_a_workbook_that_keeps_types(tmp_path: Path) -> None:
    """Numbers are numbers, dates dates, and a text is never a formula or a link."""
    document = _document(
        tmp_path, Attachment(rows="xlsx", name="Rows {{ rows | length }}.xlsx"), _rows(*ROWS)
    )
    assert document.name == "Rows 2.xlsx"
    sheet = openpyxl.load_workbook(io.BytesIO(document.data)).active
    assert sheet is not None
    cells = [list(row) for row in sheet.iter_rows()]
    assert [cell.value for cell in cells[0]] == ["mail", "name", "amount", "when", "ok", "card"]
    assert [cell.value for cell in cells[1][1:]] == [
        "=1+1",
        1234.5,
        MIDNIGHT,
        True,
        "4111111111111111",
    ]
    assert cells[1][1].data_type == "s"
    assert cells[2][1].hyperlink is None
    assert [cell.value for cell in cells[2][2:]] == [-2.25, MOMENT, None, "007"]


def test_rows_become_csv_that_no_spreadsheet_runs(tmp_path: Path) -> None:
    """A cell that begins like a formula is defused, a plain figure is not one; columns can be chosen and ordered."""
    rows = [{"name": name, "amount": -1} for name in ("=cmd()", "+1", "-1", "@x", "\tx", "\rx", 'a "b", c')]
    document = _document(tmp_path, Attachment(rows="csv", columns=("amount", "name")), _rows(*rows))
    assert document.name == "invoices.csv"
    text = document.data.decode("utf-8")
    assert text.startswith("\ufeffamount,name\r\n-1,'=cmd()\r\n-1,+1\r\n-1,-1\r\n-1,'@x\r\n-1,'\tx\r\n")
    assert text.endswith('-1,"a ""b"", c"\r\n')
    assert '"\'\rx"' in text


def test_column_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    """A sheet with a column that no row has is not sent half."""
    said = _trouble(tmp_path, Attachment(rows="csv", columns=("nmae",)), _rows({"name": "x"}))
    assert said == "The rows have no column 'nmae'; they have mail, name."


def test_text_that_fits_no_cell_is_a_problem(tmp_path: Path) -> None:
    """A sheet would cut a text of more than 32,767 characters off without a word."""
    said = _trouble(tmp_path, Attachment(rows="xlsx"), _rows({"note": "x" * 40_000}))
    assert said == "A text of 40,000 characters does not fit into a cell of a sheet."


def test_given_file_is_told_by_its_path(tmp_path: Path) -> None:
    """A given file is not read here: all recipients share it, and each may have another one."""
    (tmp_path / "terms.pdf").write_bytes(b"%PDF")
    outside = tmp_path / "invoices"
    outside.mkdir()
    (outside / "7.pdf").write_bytes(b"%PDF")
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "terms.pdf").write_bytes(b"%PDF")
    one = report(
        folder,
        attachments=(
            Attachment(file="terms.pdf"),
            Attachment(file=f"{outside}/{{{{ number }}}}.pdf", name="Invoice"),
        ),
    )
    terms, invoice = made(one, recipient(number=7)).documents
    assert terms == Document("terms.pdf", path=folder / "terms.pdf")
    assert invoice == Document("Invoice.pdf", path=outside / "7.pdf")


def test_given_file_may_lie_in_the_home_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~/` is the home of who runs the report."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "7.pdf").write_bytes(b"%PDF")
    folder = tmp_path / "report"
    folder.mkdir()
    given = Attachment(file="~/papers/{{ number }}.pdf")
    assert _document(folder, given, recipient(number=7)).path == tmp_path / "papers" / "7.pdf"
    assert "is not in" in _trouble(folder, given, recipient(number="../report/7"))


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("{{ name }}", "The file ../secret.pdf is not in the report's folder."),
        ("link.pdf", "The file link.pdf is not in the report's folder."),
        ("{{ path }}", "is not in the report's folder."),
        ("/srv/{{ name }}", "is not in /srv."),
        ("/{{ name }}", "is not in /."),
        ("none.pdf", "The file none.pdf is not there."),
        ("sub", "sub is not a plain file."),
        ("{{ '' }}", "'' is not the name of a file."),
    ],
)
def test_no_value_leads_to_another_file(tmp_path: Path, file: str, says: str) -> None:
    """What is attached is in the report's folder, or below a folder its author wrote out."""
    folder = tmp_path / "report"
    (folder / "sub").mkdir(parents=True)
    secret = tmp_path / "secret.pdf"
    secret.write_bytes(b"%PDF")
    (folder / "link.pdf").symlink_to(secret)
    who = recipient(name="../secret.pdf", path=str(secret))
    assert says in _trouble(folder, Attachment(file=file), who)


def test_file_of_two_gigabytes_is_refused_by_its_size(tmp_path: Path) -> None:
    """A file larger than a message may be is a problem; nothing reads it."""
    with (tmp_path / "big.bin").open("wb") as file:
        os.truncate(file.fileno(), 2 * 1024**3)
    found = problem(report(tmp_path, attachments=(Attachment(file="big.bin"),)))
    assert (found.code, found.text) == (
        "size",
        "big.bin has 2,147,483,648 octets; a message may have 26,214,400.",
    )


def test_documents_larger_than_a_message_are_a_problem(tmp_path: Path) -> None:
    """What is made is measured as well."""
    write(tmp_path, a_txt="{{ 'x' * 90000 }}")
    one = report(
        tmp_path, attachments=(Attachment(template="a.txt"),) * 2, limits=Limits(message_octets=100_000)
    )
    assert problem(one).code == "size"


def test_pdf_opens_with_the_password_of_the_row_only(tmp_path: Path) -> None:
    """A PDF with a password from a column is encrypted with AES-256."""
    write(tmp_path, invoice_typ="Secret figures")
    document = _document(
        tmp_path,
        Attachment(template="invoice.typ", password="{{ birthday }}"),
        recipient(birthday="1990-01-02é"),
    )
    reader = pypdf.PdfReader(io.BytesIO(document.data))
    assert reader.is_encrypted
    assert reader.decrypt("wrong") == pypdf.PasswordType.NOT_DECRYPTED
    assert reader.decrypt("") == pypdf.PasswordType.NOT_DECRYPTED
    assert reader.decrypt("1990-01-02é") == pypdf.PasswordType.USER_PASSWORD
    assert "Secret figures" in reader.pages[0].extract_text()
    encrypt: Any = reader.trailer["/Encrypt"].get_object()
    assert (encrypt["/V"], encrypt["/R"], encrypt["/CF"]["/StdCF"]["/CFM"]) == (5, 6, "/AESV3")


@pytest.mark.parametrize(
    ("password", "says"),
    [
        ("{{ none }}", "The password of the PDF is empty; it is not sent without one."),
        ("  ", "The password of the PDF is empty; it is not sent without one."),
        ("{{ 'x' * 128 }}", "is longer than 127 octets"),
    ],
)
def test_no_password_is_no_document(tmp_path: Path, password: str, says: str) -> None:
    """Where the password is missing, the recipient gets no unprotected file."""
    write(tmp_path, invoice_typ="Secret figures")
    assert says in _trouble(tmp_path, Attachment(template="invoice.typ", password=password))


def test_given_pdf_gets_a_password_too(tmp_path: Path) -> None:
    """A given PDF is encrypted for each recipient; what is no PDF is a problem."""
    write(tmp_path, invoice_typ="Secret figures")
    (tmp_path / "given.pdf").write_bytes(_document(tmp_path, Attachment(template="invoice.typ")).data)
    document = _document(tmp_path, Attachment(file="given.pdf", password="hush"))
    assert "Secret figures" in _text(document.data, "hush")
    (tmp_path / "given.pdf").write_bytes(b"no PDF")
    assert _trouble(tmp_path, Attachment(file="given.pdf", password="hush")).startswith(
        "given.pdf is not a PDF"
    )
    with pytest.raises(ConfigurationError, match="only a PDF can have a password"):
        made(report(tmp_path, attachments=(Attachment(rows="csv", password="hush"),)))


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("../../etc/passwd", "etc-passwd.pdf"),
        ("a/b\\c:d*e?.PDF", "a-b-c-d-e-.PDF"),
        ("evil\u202efdp.exe", "evilfdp.exe.pdf"),
        ("line\r\nbreak\0", "linebreak.pdf"),
        ("CON", "_CON.pdf"),
        ("nul.pdf", "_nul.pdf"),
        ("  .. ", "document.pdf"),
        ("Rechnung Müller", "Rechnung Müller.pdf"),
        ("", "document.pdf"),
    ],
)
def test_name_from_data_is_a_harmless_file_name(wanted: str, name: str) -> None:
    """Whatever a row says, a document's name is one plain file name."""
    assert safe_name(wanted, ".pdf") == name


def test_long_names_are_cut_and_equal_ones_numbered(tmp_path: Path) -> None:
    """Names stay short enough for every system, and differ within one email."""
    cut = safe_name("ü" * 300, ".pdf")
    assert len(cut.encode()) <= MOST
    assert cut.endswith("ü.pdf")
    assert numbered(["a.pdf", "A.pdf", "a.pdf", "b"]) == ["a.pdf", "A (2).pdf", "a (3).pdf", "b"]
    write(tmp_path, a_txt="x")
    one = report(tmp_path, attachments=(Attachment(template="a.txt"),) * 2)
    assert [document.name for document in made(one).documents] == ["a.txt", "a (2).txt"]
