"""report.toml: what it means, and how each mistake in it is told."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datapallas.errors import ConfigurationError
from datapallas.reports import definition
from datapallas.reports.model import Burst, Kind, Missed, OnProblem
from datapallas.reports.names import mistake, uses
from datapallas.reports.toml_lines import lines_of
from reports.given import MINIMAL, folder

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = """\
name = "Invoices"
connection = "eml-office365"

[rows]
kind = "csv"
file = "/srv/exports/invoices.csv"
encoding = "cp1252"
delimiter = "tab"
header_row = 2
group_by = "customer"

[email]
to = "{{ email }}"
cc = "a@x.example; b@x.example"
bcc = "c@x.example"
reply_to = "d@x.example"
from = "Billing <billing@x.example>"
subject = "Invoice {{ number }}"
text = "mail.txt"
html = "mail.html"

[[attachments]]
name = "{{ number }}.pdf"
template = "invoice.typ"
password = "{{ secret }}"

[[attachments]]
rows = "xlsx"
columns = ["item", "price"]

[[attachments]]
file = "terms/{{ language }}.pdf"

[burst]
file = "all.pdf"
by = "pages"
pages = 2
match = "customer"
name = "{{ customer }}.pdf"
password = "{{ secret }}"

[schedule]
cron = "0 6 * * 1-5"
time_zone = "Europe/Berlin"
missed = "skip"

[limits]
recipients = 500
on_problem = "skip"
message_octets = 1000000
render_seconds = 5
render_megabytes = 256

[test]
to = "me@x.example"

[values]
company = "Northwind"
colours = { dark = "#123456" }
"""


def test_every_key_is_read(tmp_path: Path) -> None:
    """A report that uses every key means what it says."""
    place = folder(tmp_path, mail_html="<p>{{ name }}</p>", invoice_typ="= Invoice")
    report = definition.read(WHOLE, place)
    assert (report.code, report.name, report.connection) == ("letters", "Invoices", "eml-office365")
    assert report.rows is not None and report.burst is not None and report.schedule is not None
    assert (report.rows.kind, report.rows.delimiter, report.rows.header_row) == (Kind.CSV, "\t", 2)
    assert report.rows.group_by == ("customer",)
    assert report.email.sender == "Billing <billing@x.example>"
    assert [one.columns for one in report.attachments] == [(), ("item", "price"), ()]
    assert (report.burst.by, report.burst.pages, report.burst.match) == (Burst.PAGES, 2, "customer")
    assert (report.schedule.missed, report.schedule.time_zone) == (Missed.SKIP, "Europe/Berlin")
    assert (report.limits.on_problem, report.limits.render_seconds) == (OnProblem.SKIP, 5.0)
    assert report.test_to == "me@x.example"
    assert report.values["colours"] == {"dark": "#123456"}


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("a.csv", Kind.CSV),
        ("a.TSV", Kind.CSV),
        ("a.xlsx", Kind.EXCEL),
        ("a.ods", Kind.EXCEL),
        ("a.jsonl", Kind.JSONL),
        ("-", Kind.CSV),
    ],
)
def test_the_ending_says_the_kind(tmp_path: Path, file: str, kind: Kind) -> None:
    """A file's ending says what it is, so that a report need not."""
    report = definition.read(MINIMAL.replace("people.csv", file), folder(tmp_path))
    assert report.rows is not None and report.rows.kind is kind


# What is put into, or taken out of, the small report, and the line and the words that are told.
MISTAKES = {
    "no toml": ('name = "Letters"', 'name = "Letters', 1, "it is not TOML: illegal character"),
    "no toml, further down": ("[email]", "[email", 6, "it is not TOML: expected"),
    "a key twice": ('name = "Letters"', 'name = "a"\nname = "b"', 2, "it is not TOML: cannot overwrite a value"),
    "an unknown key": ("file =", "fiel =", 4, r"\[rows\] has no key 'fiel' .did you mean 'file'"),
    "an unknown section": ("[rows]", "[row]", 3, "the top of the file has no key 'row' .did you mean 'rows'"),
    "a key of another section": ("subject", 'cron = "* * * * *"\nsubject', 8, r"'cron' belongs into \[schedule\], not into \[email\]"),
    "a text for a number": ("[email]", '[limits]\nrecipients = "5"\n[email]', 7, "'recipients' is a whole number, not a text"),
    "a number for a text": ('"Letters"', "5", 1, "'name' is a text in quotes, not a number"),
    "true for a number": ("[email]", "[limits]\nrecipients = true\n[email]", 7, "not true or false"),
    "too small": ("[email]", "[limits]\nrender_seconds = 0\n[email]", 7, "'render_seconds' is at least 0.1"),
    "no choice": ("[email]", '[limits]\non_problem = "skp"\n[email]', 7, "'on_problem' cannot be 'skp' .did you mean 'skip'"),
    "a section that is a key": ("[rows]", 'limits = "x"\n[rows]', 3, "limits is a section"),
    "no email": (MINIMAL[MINIMAL.index("[email]") :], "", 1, r"the section \[email\] is missing"),
    "no to": ('to = "{{ email }}"\n', "", 6, r"\[email\] needs the key 'to'"),
    "an empty subject": ('"Hello {{ name }}"', '" "', 8, "'subject' is empty"),
    "no body": ('text = "mail.txt"\n', "", 6, r"\[email\] needs the key 'text' or 'html'"),
    "no recipients": (MINIMAL[: MINIMAL.index("[email]")], "", 1, r"add a section \[rows\], or \[burst\]"),
    "no file": ('file = "people.csv"\n', "", 3, r"\[rows\] needs the key 'file', or 'url' and 'query'"),
    "an unknown ending": ("people.csv", "people.dat", 4, "does not say what it is"),
    "rows outside": ("people.csv", "../../secrets.csv", 4, "leaves the report's folder: write its whole path"),
    "a sheet of a csv": ("[email]", "sheet = 2\n[email]", 6, "'sheet' goes with kind excel, not with csv"),
    "a long delimiter": ("[email]", 'delimiter = "||"\n[email]', 6, "'delimiter' is one character"),
    "no encoding": ("[email]", 'encoding = "utf-88"\n[email]', 6, "no encoding is called 'utf-88'"),
    "no text encoding": ("[email]", 'encoding = "zip"\n[email]', 6, "no encoding is called 'zip'"),
    "no template": ('"mail.txt"', '"letter.txt"', 9, "there is no file 'letter.txt'"),
    "a template outside": ('"mail.txt"', '"../mail.txt"', 9, "leads out of the report's folder"),
    "an absolute template": ('"mail.txt"', '"/etc/passwd"', 9, "leads out of the report's folder"),
    "no Jinja2": ("{{ name }}", "{{ name", 8, "subject: unexpected end of template"),
    "no Jinja2, in a long text": ('"Hello {{ name }}"', '"""a\nb\n{% if %}"""', 10, "subject: expected an expression"),
    "an attachment of nothing": ("[email]", '[[attachments]]\nname = "x"\n[email]', 6, "it has none"),
    "an attachment of two": ("[email]", '[[attachments]]\nrows = "csv"\nfile = "mail.txt"\n[email]', 6, "it has 'file' and 'rows'"),
    "the second attachment": (
        "[email]", '[[attachments]]\nrows = "csv"\n[[attachments]]\nrows = "xls"\n[email]', 9, "'rows' cannot be 'xls' .did you mean 'xlsx'",
    ),
    "columns of no sheet": ("[email]", '[[attachments]]\nfile = "mail.txt"\ncolumns = "a"\n[email]', 8, "'columns' goes with 'rows' only"),
    "a document of no kind": ("[email]", '[[attachments]]\ntemplate = "mail.txt"\n[email]', 7, "ends with .typ or .html"),
    "no given file": ("[email]", '[[attachments]]\nfile = "terms.pdf"\n[email]', 7, "there is no file 'terms.pdf'"),
    "a locked sheet": ("[email]", '[[attachments]]\nrows = "csv"\npassword = "x"\n[email]', 8, "only a PDF takes a password"),
    "pages by tokens": ("[email]", '[burst]\nfile = "a.pdf"\npages = 2\n[email]', 8, "'pages' goes with by ="),
    "no cron": ("[email]", '[schedule]\ncron = "every day"\n[email]', 7, "it has five fields"),
    "a cron that never comes": ("[email]", '[schedule]\ncron = "0 0 31 2 *"\n[email]', 7, "not a cron expression that ever comes"),
    "a wrong cron": ("[email]", '[schedule]\ncron = "61 * * * *"\n[email]', 7, "the minute is 0 to 59"),
    "no time zone": (
        "[email]", '[schedule]\ncron = "0 6 * * *"\ntime_zone = "Europe/Berln"\n[email]', 8, "did you mean 'Europe/Berlin'",
    ),
    "a schedule of nobody": ("people.csv", '-"\n[schedule]\ncron = "0 6 * * *', 5, "standard input cannot come by a schedule"),
    "a query of no database": ('file = "people.csv"', 'query = "select 1"', 3, "kind sql needs the key 'url'"),
    "no url": ('file = "people.csv"', 'url = "nonsense"\nquery = "select 1"', 4, "'url' is not an address"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "words"), MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    """A mistake in report.toml is told with the file, the line and the reason."""
    assert old in MINIMAL
    place = folder(tmp_path)
    with pytest.raises(ConfigurationError, match=words) as caught:
        definition.read(MINIMAL.replace(old, new, 1), place)
    problem = caught.value
    assert problem.code == "report-definition"
    assert problem.message.startswith(f"{place / 'report.toml'}, line {line}: ")
    assert problem.facts["line"] == str(line)


PASSWORD = "correct-horse"
SQL = 'url = "postgresql://me@db.example/sales"\nquery = "select 1"'


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (SQL.replace("me@", f"me:{PASSWORD}@"), 4),
        (SQL.replace("/sales", f"/sales?password={PASSWORD}"), 4),
        (f'{SQL}\npassword = "{PASSWORD}"', 6),
    ],
)
def test_a_password_in_clear_is_refused_and_not_repeated(tmp_path: Path, rows: str, line: int) -> None:
    """A database password in clear is refused; the error says how to seal it, and does not show it."""
    text = MINIMAL.replace('file = "people.csv"', rows)
    with pytest.raises(ConfigurationError, match="datapallas report seal-password letters") as caught:
        definition.read(text, folder(tmp_path))
    assert PASSWORD not in caught.value.message + str(caught.value.facts)
    assert caught.value.facts["line"] == str(line)


@pytest.mark.parametrize(
    ("key", "kept"), [('password_env = "DB"', "env:DB"), ('password_file = "/run/db"', "file:/run/db")]
)
def test_a_password_may_come_from_elsewhere(tmp_path: Path, key: str, kept: str) -> None:
    """The environment or a file may hold the password; the report only says which."""
    text = MINIMAL.replace('file = "people.csv"', f"{SQL}\n{key}")
    report = definition.read(text, folder(tmp_path))
    assert report.rows is not None and report.rows.password_from == kept


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Three mistakes are told in one go, those of templates with the template's name."""
    place = folder(tmp_path, mail_txt="Hello\n{{ name")
    text = MINIMAL.replace("file", "fiel").replace("subject", "subjet")
    _, flaws = definition.looked_at(text, place)
    assert [(one.file, one.line) for one in flaws] == [
        ("report.toml", 4),
        ("report.toml", 8),
        ("mail.txt", 2),
    ]
    with pytest.raises(ConfigurationError, match=r"Also: line 8: .*mail\.txt, line 2: ") as caught:
        definition.read(text, place)
    assert len(caught.value.facts["problems"].splitlines()) == 3


def test_a_template_that_includes_nothing_is_told(tmp_path: Path) -> None:
    """A template may include another one of the folder, which must be there."""
    place = folder(tmp_path, mail_txt='{% include "head.txt" %}')
    with pytest.raises(ConfigurationError, match=r"mail.txt includes 'head.txt', and there is no such file"):
        definition.read(MINIMAL, place)
    (place / "head.txt").write_text("Hello")
    definition.read(MINIMAL, place)


def test_a_link_out_of_the_folder_is_no_template(tmp_path: Path) -> None:
    """A symbolic link cannot make a template of another file of the machine."""
    place = folder(tmp_path)
    (tmp_path / "outside.txt").write_text("secret")
    (place / "mail.txt").unlink()
    (place / "mail.txt").symlink_to(tmp_path / "outside.txt")
    with pytest.raises(ConfigurationError, match="it is a link out of the report's folder"):
        definition.read(MINIMAL, place)


def test_lines_are_found_in_any_toml(tmp_path: Path) -> None:
    """Quoted and dotted keys, long texts, arrays and comments do not make the lines wrong."""
    text = '''# a comment with [brackets] and "quotes"
"name" = "x" # [not a section]
values.text = """
[not]
a = "section"
"""
values."other key" = [
  "]", # ]
  { a = 1 },
]

[ rows ]
file = 'people.csv'
[email]
to = "x@x.example"; subject = 1
'''.replace("; ", "\n")
    _, flaws = definition.looked_at(text, folder(tmp_path))
    assert [(one.line, one.key) for one in flaws] == [(16, "email.subject")]


_PIECES = [
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ".",
    ",",
    "#",
    '"',
    "'",
    '"""',
    "'''",
    "\\",
    "\n",
    "a",
    "b c",
    "1",
    " ",
]


@settings(max_examples=300, deadline=1000)
@given(st.lists(st.sampled_from(_PIECES), max_size=60).map("".join))
def test_no_text_stops_the_search_for_lines(text: str) -> None:
    """Whatever stands in a file, its lines are searched to the end."""
    lines = lines_of(text)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "c d", "é", "x.y"]),
        st.dictionaries(st.sampled_from(["k", "l m", "n"]), st.sampled_from(['"""\n[z]\nk = 1\n"""', "'#'", "[\n 1,\n]", "{ q = 1 }", "1 # [k]"]), max_size=3),
        max_size=4,
    )
)  # fmt: skip
def test_each_key_has_its_line(tables: dict[str, dict[str, str]]) -> None:
    """The line of each key is the one it stands in, whatever the values before it look like."""
    text = "# head\n"
    known: dict[tuple[str, ...], int] = {}
    for table, keys in tables.items():
        known[(table,)] = text.count("\n") + 1
        text += f'["{table}"] # ]\n'
        for key, value in keys.items():
            known[table, key] = text.count("\n") + 1
            text += f'"{key}" = {value}\n\n'
    tomllib.loads(text)
    lines = lines_of(text)
    assert {path: lines[path] for path in known} == known


_JINJA = [
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    " if ",
    " for ",
    " in ",
    " endif ",
    " set ",
    "x",
    ".",
    "[",
    "]",
    "(",
    ")",
    "|",
    "=",
    "'",
    "1",
    ",",
    " ",
]


@settings(max_examples=300, deadline=1000)
@given(st.lists(st.sampled_from(_JINJA), max_size=40).map("".join))
def test_no_template_stops_the_check(text: str) -> None:
    """Whatever a template looks like, it is either wrong or its names are known."""
    if mistake(text) is None:
        assert isinstance(uses(text), tuple)
