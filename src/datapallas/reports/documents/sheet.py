"""The recipient's own rows as a file: Excel or CSV.

Must stay true: numbers stay numbers and dates dates; a text is never a formula, a link or a number, in Excel or in
CSV opened by Excel; rows are written as they come.
"""

from __future__ import annotations

import csv
import datetime as dt
import decimal
import io
import math
import re
from typing import TYPE_CHECKING, Any

from datapallas.reports.filters import show
from datapallas.reports.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_FIGURE = re.compile(r"[+-]?[0-9][0-9.,]*%?")  # -5 and +49 are what they are, and no formula
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_MOST_ROWS, _MOST_CELL = 1_048_575, 32_767  # of a worksheet, beside its heading
_EXACT = 10**15  # Excel's numbers have 15 digits; a longer one, such as a card's, stays a text


def columns_of(rows: Sequence[Mapping[str, Any]], wanted: Sequence[str]) -> list[str]:
    """The columns to write. Raises Trouble when one is not there."""
    there = list(rows[0])
    for name in wanted:
        if name not in there:
            raise Trouble("document", f"The rows have no column {name!r}; they have {', '.join(there)}.")
    return list(wanted) or there


def csv_of(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> bytes:
    """CSV in UTF-8 with a byte order mark, so that Excel reads it right; RFC 4180."""
    out = io.StringIO(newline="")
    write = csv.writer(out)
    write.writerow([_defused(name) for name in columns])
    for row in rows:
        write.writerow([_cell(row.get(name)) for name in columns])
    return out.getvalue().encode("utf-8-sig", "replace")


def xlsx_of(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], title: str) -> bytes:
    """A workbook of one sheet with a heading that stays in view. Raises Trouble: more rows than a sheet has."""
    import xlsxwriter

    if len(rows) > _MOST_ROWS:
        raise Trouble("document", f"{len(rows):,} rows do not fit on a sheet.")
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"constant_memory": True, "default_date_format": "yyyy-mm-dd"}) as book:
        sheet = book.add_worksheet(_title(title))
        moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        hour = book.add_format({"num_format": "hh:mm:ss"})
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        shapes = {dt.datetime: moment, dt.time: hour, dt.date: day}
        sheet.freeze_panes(1, 0)
        for at, name in enumerate(columns):
            sheet.set_column(at, at, _width(rows, name))
        bold = book.add_format({"bold": True})
        for at, name in enumerate(columns):
            sheet.write_string(0, at, name[:_MOST_CELL], bold)
        for line, row in enumerate(rows, 1):
            for at, name in enumerate(columns):
                _write(sheet, (line, at), row.get(name), shapes)
    return out.getvalue()


def _write(sheet: Any, at: tuple[int, int], value: Any, shapes: Mapping[type, Any]) -> None:
    match value:
        case None | "":
            return
        case bool():
            sheet.write_boolean(*at, value)
        case (int() | float() | decimal.Decimal()) as figure if _fits(figure):
            sheet.write_number(*at, figure)
        case dt.datetime() if value.tzinfo is None and value.year >= 1900:  # noqa: PLR2004 - Excel's first year
            sheet.write_datetime(*at, value, shapes[dt.datetime])
        case dt.time() if value.tzinfo is None:
            sheet.write_datetime(*at, value, shapes[dt.time])
        case dt.date() if not isinstance(value, dt.datetime) and value.year >= 1900:  # noqa: PLR2004 - the same
            sheet.write_datetime(*at, value, shapes[dt.date])
        case _:
            text = show(value)
            if len(text) > _MOST_CELL:
                raise Trouble(
                    "document", f"A text of {len(text):,} characters does not fit into a cell of a sheet."
                )
            sheet.write_string(*at, text)


def _fits(figure: float | decimal.Decimal) -> bool:
    return math.isfinite(figure) and -_EXACT < figure < _EXACT


def _cell(value: Any) -> str:
    if isinstance(value, int | float | decimal.Decimal):
        return show(value)  # a negative number is no formula
    return _defused(show(value))


def _defused(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) and not _FIGURE.fullmatch(text) else text


def _width(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    longest = max([len(name), *[len(show(row.get(name))) for row in rows[:100]]])
    return float(min(60, max(8, longest + 2)))


def _title(wanted: str) -> str:
    """Excel's names of sheets: at most 31 characters, some never."""
    return "".join([c for c in wanted if c.isprintable() and c not in "[]:*?/\\"])[:31].strip("' ") or "Rows"
