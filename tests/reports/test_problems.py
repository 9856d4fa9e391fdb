"""What is found in a list before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapallas.errors import ConfigurationError
from datapallas.reports.checking import Checking
from datapallas.reports.finding import Pick, find
from datapallas.reports.model import (
    Attachment,
    BurstPlan,
    Email,
    Kind,
    Limits,
    Problem,
    Recipient,
    Rendered,
    Row,
    Severity,
    Source,
)
from datapallas.reports.names import mistake, uses
from datapallas.reports.preview import chosen, preview
from datapallas.reports.problems import Check
from datapallas.reports.seen import Seen
from datapallas.reports.sink import MOST, Sink, error
from datapallas.reports.typos import meant
from reports.given import folder, report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEAD = "email,name\n"


def _check(place: Path, data: str, **more: Any) -> tuple[Checking, list[Problem]]:
    """Check a list; `html` and `text` are the templates."""
    (place / "mail.txt").write_text(more.pop("text", "Hello {{ name }}"))
    (place / "rows.csv").write_text(data)
    with Checking(report(place, **more)) as checking:
        return checking, list(checking)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder of a report."""
    return folder(tmp_path)


def _told(problems: list[Problem]) -> list[tuple[str, str, str]]:
    return [(one.severity.value, one.place, one.code) for one in problems]


def test_a_good_list_has_no_problems(place: Path) -> None:
    """A list without a fault is counted, and it is said how it was read."""
    checking, problems = _check(place, HEAD + "a@x.example,Ann\nb@x.example;c@x.example,Bob\n")
    assert problems == []
    assert (checking.recipients, checking.errors, checking.warnings) == (2, 0, 0)
    assert checking.columns == ("email", "name")
    assert checking.about == {"encoding": "utf-8", "delimiter": ","}


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("", "To is empty: the column 'email' is empty."),
        ("ann", "To: 'ann' is not an email address"),
        ("ann@", "To: 'ann@' is not"),
        ("ann@x.example bob@x.example", "more than one address"),
        ("ann@@x.example", "more than one address"),
        ("ann@x..example", "To: "),
        ("<ann@x.example", "To: "),
    ],
)
def test_a_bad_address_is_told(place: Path, address: str, words: str) -> None:
    """A bad or empty address is an error with its line and what is wrong with it."""
    checking, problems = _check(place, f"{HEAD}good@x.example,Eve\n{address},Ann\n")
    assert _told(problems) == [("error", "line 3", "address")]
    assert words in problems[0].text
    assert (checking.recipients, checking.errors) == (2, 1)


def test_the_same_address_twice_is_told(place: Path) -> None:
    """Who stands in the list twice is a warning that names the first place."""
    data = HEAD + "a@x.example,Ann\nb@x.example,Bob\nA@X.EXAMPLE,Ann\n"
    _, problems = _check(place, data)
    assert _told(problems) == [("warning", "line 4", "duplicate")]
    assert "by line 2 already" in problems[0].text


@pytest.mark.parametrize(
    ("domain", "right"),
    [
        ("gmial.com", "gmail.com"), ("gmai.com", "gmail.com"), ("gmaill.com", "gmail.com"), ("gnail.com", "gmail.com"),
        ("hotmial.com", "hotmail.com"), ("outlok.com", "outlook.com"), ("yaho.com", "yahoo.com"), ("x.con", "x.com"),
        ("gmail.com", ""), ("mail.com", ""), ("gmx.at", ""), ("x.example", ""), ("gmail.co.uk", ""), ("contoso.com", ""),
    ],
)  # fmt: skip
def test_a_slip_in_a_domain_is_noticed(domain: str, right: str) -> None:
    """gmial.com was probably meant to be gmail.com; domains of their own are left alone."""
    assert meant(domain) == right


def test_a_slip_is_a_warning(place: Path) -> None:
    """A domain that looks wrong is told, and does not stop anything."""
    checking, problems = _check(place, HEAD + "ann@gmial.com,Ann\nbob@localhost,Bob\n")
    assert _told(problems) == [("warning", "line 2", "address"), ("warning", "line 3", "address")]
    assert "was 'gmail.com' meant" in problems[0].text and "no dot" in problems[1].text
    assert not checking.errors


def test_a_value_that_is_shown_and_empty_is_told(place: Path) -> None:
    """An empty column that the email shows is a warning; one the email asks about first is not."""
    data = "email,name,title,city\na@x.example,,,\n"
    text = "{% if title %}{{ title }} {% endif %}{{ name }} {{ row['city'] or 'somewhere' }} {{ row.name }}"
    _, problems = _check(place, data, text=text)
    assert _told(problems) == [("warning", "line 2", "missing")]
    assert problems[0].text == "'name' is empty here, and the email shows it."


def test_a_column_that_is_not_there_is_told_once(place: Path) -> None:
    """A template that names a column the list does not have is one error, with the nearest name."""
    text = "Hello\n{{ nmae }} {{ row['City name'] }} {{ nick|default('you') }} {% if old is defined %}{{ old }}{% endif %}"
    _, problems = _check(place, HEAD + "a@x.example,Ann\nb@x.example,Bob\n", text=text)
    assert [(p.severity, p.place, p.code) for p in problems] == [
        (Severity.ERROR, "mail.txt, line 2", "missing")
    ] * 2
    assert problems[0].text == "There is no column 'nmae' (did you mean 'name'?), and mail.txt shows it."


def test_a_column_that_templates_know_as_something_else_is_told(place: Path) -> None:
    """A column called `today` is not what `{{ today }}` shows, which is told."""
    _, problems = _check(place, "email,name,today\na@x.example,Ann,Monday\n")
    assert _told(problems) == [("warning", "column today", "missing")]
    assert "row['today']" in problems[0].text


def test_json_rows_may_each_lack_something(place: Path) -> None:
    """In JSON lines a name may be missing in one row; that is told with its line."""
    (place / "rows.jsonl").write_text('{"email": "a@x.example", "name": "A"}\n{"email": "b@x.example"}\n')
    with Checking(report(place, rows=Source(kind=Kind.JSONL, file="rows.jsonl"))) as checking:
        problems = list(checking)
    assert _told(problems) == [("error", "line 2", "missing")]


def test_rows_that_cannot_be_read_are_told_in_their_place(place: Path) -> None:
    """Problems of reading and grouping stand among the others, in the list's order."""
    source = Source(kind=Kind.CSV, file="rows.csv", group_by=("name",))
    data = HEAD + "a@x.example,Ann\nb@x.example\nc@x.example,\nnope,Bob\n"
    checking, problems = _check(place, data, rows=source)
    assert sorted(_told(problems)) == [
        ("error", "line 3", "row"),
        ("error", "line 4", "missing"),
        ("error", "line 5", "address"),
    ]
    assert (checking.recipients, checking.errors) == (2, 3)


def test_too_many_recipients_are_told_once(place: Path) -> None:
    """More recipients than the report allows are one error."""
    rows = "".join(f"a{n}@x.example,N\n" for n in range(5))
    _, problems = _check(place, HEAD + rows, limits=Limits(recipients=3))
    assert _told(problems) == [("error", "line 5", "limit")]


def test_an_empty_list_is_told(place: Path) -> None:
    """A list without rows is a warning: nobody would get anything."""
    checking, problems = _check(place, HEAD)
    assert _told(problems) == [("warning", "", "row")]
    assert checking.recipients == 0


def test_subjects_and_senders_are_looked_at(place: Path) -> None:
    """An empty subject is a warning, a bad sender an error."""
    email = Email(to="{{ email }}", subject="{{ name }}", sender="{{ name }}", text="mail.txt")
    _, problems = _check(place, HEAD + "a@x.example,nobody\nb@x.example,\n", email=email)
    assert [(p.severity, p.place, p.text[:12]) for p in problems] == [
        (Severity.ERROR, "line 2", "From: 'nobod"),
        (Severity.WARNING, "line 3", "The subject "),
        (Severity.WARNING, "line 3", "'name' is em"),
    ]


def test_a_report_whose_pdf_is_cut_is_checked(place: Path) -> None:
    """The parts of a PDF are checked with the list: who has none, and which nobody has."""
    from datapallas.reports.folder import SAMPLES

    (place / "all.pdf").write_bytes((SAMPLES / "statements" / "statements.pdf").read_bytes())
    data = "email,name,token\na@x.example,A,10017\nb@x.example,B,99\n"
    checking, problems = _check(place, data, burst=BurstPlan(file="all.pdf"))
    assert checking.recipients == 1
    assert _told(problems)[0] == ("error", "line 3", "part")
    assert [p.place for p in problems[1:]] == ["page 3", "page 4", "pages 5 to 6", "page 7", "page 8"]
    with Checking(
        report(
            place,
            rows=None,
            burst=BurstPlan(file="all.pdf"),
            email=Email(to="{{ token }}", subject="x", text="mail.txt"),
        )
    ) as alone:
        found = list(alone)
    assert alone.recipients == 6
    assert found[0].text.startswith("There is no column 'name'")


@given(st.lists(st.tuples(st.text(max_size=3), st.integers(0, 10**9)), max_size=60))
def test_what_was_seen_is_found_again(pairs: list[tuple[str, int]]) -> None:
    """The first place of each address is remembered, however many there are."""
    seen, known = Seen(), dict[str, int]()
    for number in range(1000):
        assert seen.place_of(f"{number}@x.example", f"line {number}") == ""
    for text, number in pairs:
        before = seen.place_of(text, f"sheet 2, row {number}")
        assert before == (f"sheet 2, row {known[text]}" if text in known else "")
        known.setdefault(text, number)
    for number in range(1000):
        assert seen.place_of(f"{number}@x.example", "line 1") == f"line {number}"


def test_a_million_recipients_cost_no_more_memory(place: Path) -> None:
    """What was seen is kept small; problems that nobody takes are counted and not kept."""
    import tracemalloc

    def results(count: int) -> Iterator[tuple[Recipient, Rendered | Problem]]:
        for number in range(count):
            row = Row(number, {"email": "x", "name": "x"}, f"line {number}")
            yield Recipient(str(number), (row,)), Rendered(to=f"a{number % 1000}@x.example", subject="x")

    def most(count: int) -> int:
        tracemalloc.start()
        check = Check(report(place), ("email", "name"))
        found = sum(1 for _ in check.problems(results(count)))
        assert found == check.warnings == count - min(count, 1000)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    most(10)
    assert most(20_000) < most(2000) + 500_000
    sink = Sink()
    for number in range(MOST + 10):
        sink.add(error("row", str(number)))
    assert sink.errors == MOST + 10
    assert len(sink.take()) == MOST and sink.take() == []


def test_names_in_texts() -> None:
    """Only columns count as names: not loops, macros, what is set, or what every template has."""
    text = """{% set a = b %}{% for x in rows %}{{ x.item }} {{ loop.index }}{% endfor %}{{ a }}
{{ row.c }} {{ row['d e'] }} {{ row.get('f') }} {{ values.g }} {{ today }} {{ report.name }} {{ h|default(i) }}
{{ j if j else k }} {% if l is defined %}{{ l }}{% endif %}"""
    found = {use.name: (use.line, use.optional, use.dispensable) for use in uses(text)}
    assert found == {
        "b": (1, False, False),
        "c": (2, False, False),
        "d e": (2, False, False),
        "h": (2, True, True),
        "i": (2, False, False),
        "j": (3, True, False),
        "k": (3, False, False),
        "l": (3, True, True),
    }
    wrong = mistake("a\n{% for %}")
    assert wrong is not None and wrong.line == 2
    assert mistake("{{ a }}") is None


def test_the_names_of_a_part_are_no_columns_that_are_missing(place: Path) -> None:
    """With a PDF that is cut, templates may show `token` and `pages`, though no column of the rows is called so."""
    from datapallas.reports.folder import SAMPLES

    (place / "all.pdf").write_bytes((SAMPLES / "statements" / "statements.pdf").read_bytes())
    burst = BurstPlan(file="all.pdf", match="customer", name="Statement {{ token }}.pdf")
    email = Email(to="{{ email }}", subject="Statement {{ token }}", text="mail.txt")
    data = "email,name,customer\na@x.example,A,10017\n"
    _, problems = _check(place, data, burst=burst, email=email, text="{{ token }}: {{ pages }} pages")
    assert {one.code for one in problems} == {"part"}, problems


def test_columns_are_found_beside_our_own_filters(place: Path) -> None:
    """A template with `money` or `html` is looked through like any other: missing and empty columns are told."""
    data = "email,name,total\na@x.example,,\n"
    text = "{{ total|money }} {{ rows|table }}\nHi {{ Nme }} {{ name|html }}"
    _, problems = _check(place, data, text=text)
    assert [one.text for one in problems] == [
        "There is no column 'Nme' (did you mean 'name'?), and mail.txt shows it.",
        "'total', 'name' are empty here, and the email shows them.",
    ]


def test_an_unknown_filter_is_a_mistake() -> None:
    """A filter or a test that is not there is told with its line, and which one was probably meant."""
    assert (
        mistake("{{ a|money }} {{ a|upper }} {{ a|date }} {{ a|number }} {{ a|html }} {{ a|table }}") is None
    )
    wrong = mistake("a\n{{ total|mony }}")
    assert wrong is not None
    assert (wrong.line, wrong.reason) == (2, "there is no filter 'mony' (did you mean 'money'?)")
    assert mistake("{% if a is defned %}{% endif %}") is not None


def test_an_empty_name_beside_an_address_is_told(place: Path) -> None:
    """An empty name in `to` is a warning; an empty address is an error that names the column, and is told once."""
    email = Email(to='"{{ name }}" <{{ email }}>', subject="x", text="mail.txt")
    data = HEAD + 'a@x.example,\n,Bob\n"b@x.example ",Eve\n'
    _, problems = _check(place, data, email=email)
    assert _told(problems) == [("warning", "line 2", "missing"), ("error", "line 3", "address")]
    assert problems[0].text == "'name' is empty here, and the email shows it."
    assert problems[1].text.endswith(": the column 'email' is empty.")


def test_an_empty_password_is_an_error(place: Path) -> None:
    """Nothing is sent when the password of a document is empty, so the check does not call that a warning."""
    (place / "given.pdf").write_bytes(b"%PDF-1.7")
    documents = (Attachment(file="given.pdf", password="{{ secret }}"),)
    data = "email,name,secret\na@x.example,A,\nb@x.example,B,s\n"
    _, problems = _check(place, data, attachments=documents)
    assert _told(problems) == [("error", "line 2", "document")]
    assert "the column 'secret' is empty" in problems[0].text


def test_a_column_that_report_toml_names_and_is_not_there_is_one_error(place: Path) -> None:
    """A wrong `group_by` or `match` is told once, at its line of report.toml, by the check and by the preview."""
    (place / "report.toml").write_text('[rows]\nfile = "rows.csv"\ngroup_by = "nmae"\n')
    source = Source(kind=Kind.CSV, file="rows.csv", group_by=("nmae",))
    with pytest.raises(ConfigurationError) as told:
        _check(place, HEAD + "a@x.example,A\nb@x.example,B\n", rows=source)
    assert (told.value.code, told.value.facts["line"]) == ("report-definition", "3")
    assert "'nmae', which the rows do not have (did you mean 'name'?)" in told.value.message
    with pytest.raises(ConfigurationError, match="did you mean 'name'"):
        chosen(report(place, rows=source))
    with pytest.raises(ConfigurationError, match="did you mean 'name'"):
        find(report(place, rows=source), Pick())
    with pytest.raises(ConfigurationError, match="'match' names the column 'token'"):
        find(report(place, burst=BurstPlan(file="all.pdf")), Pick())


def test_a_constant_that_is_not_there_is_told(place: Path) -> None:
    """A name that is not under [values] is one error of the check, and the email's own words name [values] too."""
    text = "{{ values.compny }} {{ values['company'] }} {{ values.x|default('') }} {{ values.get('y') }}"
    _, problems = _check(place, HEAD + "a@x.example,A\n", text=text, values={"company": "Northwind"})
    words = "There is no 'compny' under [values] (did you mean 'company'?)"
    assert [(one.code, one.text) for one in problems] == [("missing", f"{words}, and mail.txt shows it.")]
    shown = preview(report(place, values={"company": "Northwind"}))
    assert shown.problem is not None and words.lower() in shown.problem.text.lower()
