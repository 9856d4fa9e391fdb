"""Rows become recipients."""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from datapallas.reports.model import BurstPlan, Kind, Row, Severity, Source
from datapallas.reports.recipients import recipients
from reports.given import report

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from datapallas.reports.model import Recipient, Report


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a PDF."""

    token: str
    pages: tuple[int, ...]


def _rows(*values: dict[str, object]) -> list[Row]:
    return [Row(number, value, f"line {number + 1}") for number, value in enumerate(values, 1)]


def _grouped(tmp_path: Path, *columns: str, burst: BurstPlan | None = None) -> Report:
    source = Source(kind=Kind.CSV, file="rows.csv", group_by=columns)
    return report(tmp_path, rows=source, burst=burst)


def _numbers(found: Iterable[Recipient]) -> list[list[int]]:
    return [[row.number for row in one.rows] for one in found]


def test_one_row_is_one_recipient(tmp_path: Path) -> None:
    """Without grouping each row is a recipient, known by its number."""
    found = list(recipients(report(tmp_path), iter(_rows({"a": 1}, {"a": 1}))))
    assert [one.key for one in found] == ["1", "2"]
    assert found[1].place == "line 3"


def test_rows_of_one_customer_come_together(tmp_path: Path) -> None:
    """Rows of one customer become one recipient wherever they stand, in the order of each customer's first row."""
    rows = _rows(
        {"c": "B", "n": 1}, {"c": "A", "n": 2}, {"c": " B ", "n": 3}, {"c": "A", "n": 4}, {"c": "C", "n": 5}
    )
    found = list(recipients(_grouped(tmp_path, "c"), rows))
    assert [one.key for one in found] == ["B", "A", "C"]
    assert _numbers(found) == [[1, 3], [2, 4], [5]]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "a, x", "a\\", "b", "1"]), st.sampled_from(["x", "x, x", ", x", "\\, x", 1])
        ),
        max_size=40,
    )
)
def test_keys_tell_groups_apart(pairs: list[tuple[object, object]]) -> None:
    """Two recipients never have one key, whatever commas and backslashes the values hold."""
    rows = _rows(*[{"p": p, "q": q} for p, q in pairs])
    plan = report(None, rows=Source(kind=Kind.CSV, group_by=("p", "q")))  # type: ignore[arg-type]
    found = list(recipients(plan, rows))
    assert len({one.key for one in found}) == len(found) == len({(str(p), str(q)) for p, q in pairs})
    assert sorted(number for group in _numbers(found) for number in group) == [row.number for row in rows]


def test_a_row_that_cannot_be_grouped_is_told(tmp_path: Path) -> None:
    """A row without a customer is a problem, not a customer without a name."""
    found = recipients(
        _grouped(tmp_path, "customer"), _rows({"customer": "A"}, {"customer": " "}, {"costumer": "B"})
    )
    assert [one.key for one in found] == ["A"]
    assert [(p.place, p.text) for p in found.problems] == [
        ("line 3", "The column 'customer', which rows are grouped by, is empty."),
        ("line 4", "There is no column 'customer' (did you mean 'costumer'?)."),
    ]


def test_many_rows_are_grouped_in_their_order(tmp_path: Path) -> None:
    """Twenty thousand rows of a thousand customers, shuffled: nothing is lost, and the order stays."""
    chance = random.Random(7)
    rows = _rows(*[{"c": chance.randrange(1000), "text": "x" * 50} for _ in range(20_000)])
    found = list(recipients(_grouped(tmp_path, "c"), iter(rows)))
    wanted: dict[str, list[int]] = {}
    for row in rows:
        wanted.setdefault(str(row.values["c"]), []).append(row.number)
    assert dict(zip([one.key for one in found], _numbers(found), strict=True)) == wanted
    assert [one.key for one in found] == list(wanted)


def test_parts_are_the_rows_where_there_are_none(tmp_path: Path) -> None:
    """A PDF alone is enough: each part is a recipient, its token a column."""
    plan = report(tmp_path, rows=None, burst=BurstPlan(file="all.pdf"))
    found = list(recipients(plan, None, [Part("a@x.example", (0, 1)), Part("b@x.example", (2,))]))
    assert [dict(one.rows[0].values) for one in found] == [
        {"token": "a@x.example", "part": 1, "pages": 2},
        {"token": "b@x.example", "part": 2, "pages": 1},
    ]
    assert [(one.key, one.part) for one in found] == [("a@x.example", (0, 1)), ("b@x.example", (2,))]


def test_rows_find_their_part(tmp_path: Path) -> None:
    """Each row gets the pages of its token; whoever has none, and pages nobody has, are told."""
    plan = report(tmp_path, burst=BurstPlan(file="all.pdf", match="account"))
    rows = _rows({"account": 7}, {"account": "8"}, {"account": ""}, {"account": "7 "})
    found = recipients(plan, rows, [Part("7", (0,)), Part("9", (1, 2))])
    assert [(one.key, one.part) for one in found] == [("1", (0,)), ("4", (0,))]
    assert [(p.severity, p.place) for p in found.problems] == [
        (Severity.ERROR, "line 3"),
        (Severity.ERROR, "line 4"),
        (Severity.WARNING, "line 5"),
        (Severity.ERROR, "pages 2 to 3"),
    ]


def test_a_token_in_two_places_is_told(tmp_path: Path) -> None:
    """Pages of one token that do not follow each other go out together, and that is told."""
    plan = report(tmp_path, rows=None, burst=BurstPlan(file="all.pdf"))
    found = recipients(plan, None, [Part("7", (0,)), Part("8", (1,)), Part("7", (2,))])
    assert [(one.key, one.part) for one in found] == [("7", (0, 2)), ("8", (1,))]
    assert [p.severity for p in found.problems] == [Severity.WARNING]
