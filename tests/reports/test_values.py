"""What a run keeps of its recipients is what a template would have seen."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid

from hypothesis import given
from hypothesis import strategies as st

from datapallas.reports.model import Recipient, Row
from datapallas.reports.values import line_of, recipient_of

PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.decimals(allow_nan=False),
    st.dates(),
    st.datetimes(timezones=st.sampled_from([None, dt.UTC])),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.binary(max_size=50),
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "$", "ü"]), inner, max_size=3)
    ),
    max_leaves=8,
)
ROWS = st.builds(Row, st.integers(1), st.dictionaries(st.text(), VALUES, max_size=4), st.text())
PARTS = st.none() | st.lists(st.integers(0, 9), max_size=3).map(tuple)


@given(st.builds(Recipient, st.text(), st.lists(ROWS, min_size=1, max_size=3).map(tuple), PARTS))
def test_there_and_back(recipient: Recipient) -> None:
    """Prices, days, texts of any script and nested values come back as they were, one recipient a line."""
    line = line_of(recipient)
    assert line.count(b"\n") == 1 and line.isascii()
    assert recipient_of(line) == recipient


def test_kinds_stay() -> None:
    """A price stays exact and a day stays a day; what has no kind of its own becomes its text."""
    values = {
        "price": decimal.Decimal("1.10"),
        "day": dt.date(2026, 11, 28),
        "id": uuid.UUID(int=5),
        "x": 1 + 2j,
    }
    (row,) = recipient_of(line_of(Recipient("k", (Row(1, values),)))).rows
    assert str(row.values["price"]) == "1.10" and isinstance(row.values["day"], dt.date)
    assert row.values["id"] == uuid.UUID(int=5) and row.values["x"] == "(1+2j)"
