"""JSON lines, standard input, going on after a break, memory, and CSV of every delimiter and encoding."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datapallas.errors import RowsError
from datapallas.reports.model import Kind, Source
from datapallas.reports.rows import open_rows
from reports.given import read

if TYPE_CHECKING:
    from pathlib import Path

JSON = Source(kind=Kind.JSONL, file="rows.jsonl")


def test_json_lines(tmp_path: Path) -> None:
    """Each line is an object, with nested values and columns of its own; blank lines are nothing."""
    data = '\ufeff{"name": "Zoë", "tags": ["a"], "home": {"city": "Rome"}, "age": null}\n\n{"name": "Ann", "more": 1.50}\r\n'
    found = read(tmp_path, data, JSON)
    assert found.columns == ("name", "tags", "home", "age")
    assert found.problems == []
    assert [dict(row.values) for row in found.rows] == [
        {"name": "Zoë", "tags": ["a"], "home": {"city": "Rome"}, "age": ""},
        {"name": "Ann", "more": 1.5},
    ]
    assert [row.place for row in found.rows] == ["line 1", "line 3"]
    assert read(tmp_path, data.encode("utf-16"), JSON).rows == found.rows


def test_a_bad_json_line_is_told_with_its_number(tmp_path: Path) -> None:
    """A line that is no object is a problem with its number; the others are read, with their own numbers."""
    lines = ["nope", '{"a": 1}', '{"a": }', "[1]", '{"a": NaN}', '{"a": 2}', "[" * 100_000]
    found = read(tmp_path, "\n".join(lines), JSON)
    assert [(row.number, row.values["a"], row.place) for row in found.rows] == [
        (2, 1, "line 2"),
        (6, 2, "line 6"),
    ]
    assert [p.place for p in found.problems] == ["line 1", "line 3", "line 4", "line 5", "line 7"]
    assert found.problems[1].text == "It is not JSON: expecting value at character 7."


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_json_line_ends_at_a_line_feed_only(tmp_path: Path, encoding: str) -> None:
    """Other characters that end lines may stand in a value; bytes of another encoding are a problem of their line."""
    data = '{"a": "x\u2028y\x85z"}\n{"a": "é"}\n'.encode(encoding)
    assert read(tmp_path, data, JSON).values == [("x\u2028y\x85z",), ("é",)]
    found = read(tmp_path, '{"a": "é"}\n'.encode() + b'{"a": "\xe9"}\n{"a": "b"}\n', JSON)
    assert [row.values["a"] for row in found.rows] == ["é", "b"]
    assert [(p.place, p.text) for p in found.problems] == [("line 2", "It holds bytes that are not utf-8.")]


@pytest.mark.parametrize("data", ["", "\n", '[{"a": 1}]', "[\n{}\n]"])
def test_what_is_no_json_lines_is_told(tmp_path: Path, data: str) -> None:
    """A JSON array, or nothing, is not one object a line."""
    with pytest.raises(RowsError, match=r"rows\.jsonl, line 1: "):
        read(tmp_path, data, JSON)


def test_standard_input(tmp_path: Path) -> None:
    """Rows may come by a pipe, in any encoding."""
    source = Source(kind=Kind.CSV, file="-")
    with open_rows(source, tmp_path, stdin=io.BytesIO("name;city\nZoë;Köln\n".encode("cp1252"))) as rows:
        assert [dict(row.values) for row in rows] == [{"name": "Zoë", "city": "Köln"}]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file is told with its whole path, a folder is no file."""
    for name, words in (("rows.csv", f"there is no file {tmp_path}/rows.csv"), (".", "Is a directory")):
        with pytest.raises(RowsError, match=words), open_rows(Source(kind=Kind.CSV, file=name), tmp_path):
            pass


@pytest.mark.parametrize("kind", [Kind.CSV, Kind.JSONL])
def test_going_on_leaves_out_what_was_done(tmp_path: Path, kind: Kind) -> None:
    """After a break the rows go on with the next one, under the number it had; problems are not told again."""
    csv_text = "a,b\n1,2\n3\n5,6\n7\n9,10\n"
    json_text = '{"a": "1"}\nx\n{"a": "5"}\nx\n{"a": "9"}\n'
    (tmp_path / "rows").write_text(csv_text if kind is Kind.CSV else json_text)
    with open_rows(Source(kind=kind, file="rows"), tmp_path, after=2) as rows:
        assert [(row.number, row.values["a"]) for row in rows] == [(3, "5"), (5, "9")]
        assert rows.total == 5
        assert [p.place[-1] for p in rows.problems] == ["5" if kind is Kind.CSV else "4"]


def test_too_many_open_quotes_end_the_reading(tmp_path: Path) -> None:
    """A file that is not CSV at all is given up, and not read for ever."""
    data = "name,city\n" + 'Jane,"Rome" and more\n' * 300
    with pytest.raises(RowsError, match=r"rows\.csv, line 202: more than 200 lines cannot be read") as caught:
        read(tmp_path, data)
    assert caught.value.code == "rows-quotes"


CELL = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff\ufffd\u200b\u2060"), max_size=12
) | st.sampled_from(['"', '""', "a\nb", "\r\n", ",", ";", " x ", "'", "\\", "=1", "a\tb"])
ENCODINGS = [
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "cp1252",
    "shift_jis",
    "gb18030",
]


@settings(max_examples=300, deadline=None)
@given(
    rows=st.lists(st.lists(CELL, min_size=3, max_size=3), max_size=8),
    delimiter=st.sampled_from([",", ";", "\t", "|", "^"]),
    encoding=st.sampled_from(ENCODINGS),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    line_end=st.sampled_from(["\r\n", "\n", "\r"]),
)
def test_what_python_writes_is_read(  # noqa: PLR0917 - what hypothesis gives
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[list[str]],
    delimiter: str,
    encoding: str,
    quoting: int,
    line_end: str,
) -> None:
    """Whatever the csv module of Python writes is read as it was, in every encoding, with every delimiter and line end."""
    rows = [[cell.encode(encoding, "ignore").decode(encoding) for cell in row] for row in rows]
    text = io.StringIO(newline="")
    if line_end != "\r\n":  # the other half of it would stand unquoted in a value
        quoting = csv.QUOTE_ALL
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=line_end)  # type: ignore[arg-type]
    writer.writerows([["first", "second", "third"], *rows])
    place = tmp_path_factory.getbasetemp()
    source = Source(kind=Kind.CSV, file="rows.csv", encoding=encoding, delimiter=delimiter)
    found = read(place, text.getvalue().encode(encoding), source)
    assert found.columns == ("first", "second", "third")
    assert found.problems == []
    assert found.values == [tuple(row) for row in rows if any(cell.strip() for cell in row)]


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(
        st.tuples(*[st.text("abc äöé\"'.-@", min_size=1, max_size=9).filter(str.strip)] * 3),
        min_size=1,
        max_size=8,
    ),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]),
)
def test_delimiter_and_encoding_are_found_out(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]], delimiter: str, encoding: str
) -> None:
    """Names and addresses are read as they are meant, without being told delimiter or encoding."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows([("first", "second", "third"), *rows])
    found = read(tmp_path_factory.getbasetemp(), text.getvalue().encode(encoding))
    assert found.columns == ("first", "second", "third")
    assert found.values == rows


_MEASURE = """
import pathlib, resource, sys
from datapallas.reports.model import Kind, Source, Report, Email
from datapallas.reports.recipients import recipients
from datapallas.reports.rows import open_rows
place, count, group = pathlib.Path(sys.argv[1]), int(sys.argv[2]), tuple(sys.argv[3:])
source = Source(kind=Kind.CSV, file=f"{count}.csv", group_by=group)
report = Report(code="x", folder=place, name="x", email=Email(to="x"), rows=source)
with open_rows(source, place) as rows:
    found = sum(len(one.rows) for one in recipients(report, rows))
assert found == count, found
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def _megabytes(place: Path, count: int, *group: str) -> int:
    """What a process takes that makes recipients of so many rows."""
    path = place / f"{count}.csv"
    if not path.exists():
        with path.open("w") as file:
            file.write("email;name;customer;amount;note\n")
            file.writelines(
                f"a{n}@x.example;Name {n};{n * 7919 % (count // 4)};{n / 7};some words\n"
                for n in range(count)
            )
    words = [sys.executable, "-c", _MEASURE, str(place), str(count), *group]
    return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("group", [(), ("customer",)])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, group: tuple[str, ...]) -> None:
    """A hundred times as many rows take hardly more memory, grouped or not."""
    many = int(os.environ.get("DATAPALLAS_TEST_ROWS", "200000"))
    assert _megabytes(tmp_path, many, *group) - _megabytes(tmp_path, 2000, *group) < 32
