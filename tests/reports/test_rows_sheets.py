"""Rows of workbooks: Excel's xlsx, xls and xlsb, LibreOffice's ods."""

from __future__ import annotations

import datetime as dt
import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import xlsxwriter

from datapallas.errors import RowsError
from datapallas.reports.model import Kind, Source
from reports.given import Read, read

DATA = Path(__file__).parent / "data"
PEOPLE = [("Zoë", 7, 2.5, dt.date(1990, 5, 6), True), ("Ann", 8, "", "", "")]
NAMES = ("name", "n", "price", "born", "ok")


def _read(place: Path, data: bytes, name: str = "rows.xlsx", **how: Any) -> Read:
    return read(place, data, Source(kind=Kind.EXCEL, file=name, **how))


def _xlsx(*sheets: tuple[str, list[list[Any]]]) -> bytes:
    """A workbook; a value that begins with `#` is an error, one with `=` a formula."""
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets:
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
        for line in sheet.iter_rows():
            for cell in line:
                if isinstance(cell.value, str) and cell.value.startswith("#"):
                    cell.data_type = "e"
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def _ods() -> bytes:
    """The smallest ods with the same people."""
    rows = "".join(
        "<table:table-row>" + "".join(map(_ods_cell, row)) + "</table:table-row>" for row in (NAMES, *PEOPLE)
    )
    uri = "urn:oasis:names:tc:opendocument:xmlns:"
    content = (
        f'<office:document-content xmlns:office="{uri}office:1.0" xmlns:table="{uri}table:1.0" '
        f'xmlns:text="{uri}text:1.0" office:version="1.2"><office:body><office:spreadsheet>'
        f'<table:table table:name="People">{rows}</table:table></office:spreadsheet></office:body></office:document-content>'
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as book:
        book.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        book.writestr("content.xml", content)
        book.writestr("META-INF/manifest.xml", f'<m:manifest xmlns:m="{uri}manifest:1.0"/>')
    return file.getvalue()


def _ods_cell(value: Any) -> str:
    kind, name = {bool: ("boolean", "boolean-value"), dt.date: ("date", "date-value")}.get(
        type(value), ("float", "value")
    )
    if isinstance(value, str):
        return f'<table:table-cell office:value-type="string"><text:p>{value}</text:p></table:table-cell>'
    shown = str(value).lower()
    return f'<table:table-cell office:value-type="{kind}" office:{name}="{shown}"/>'


def _xlsb() -> bytes:
    """The smallest xlsb with names and numbers ([MS-XLSB] section 2.1.4: type, length, data)."""

    def record(kind: int, data: bytes = b"") -> bytes:
        head = bytes([kind]) if kind < 0x80 else bytes([kind & 0x7F | 0x80, kind >> 7])
        return head + bytes([len(data)]) + data

    def text(value: str) -> bytes:
        return struct.pack("<I", len(value)) + value.encode("utf-16-le")

    def cell(column: int) -> bytes:
        return struct.pack("<II", column, 0)

    def row(number: int) -> bytes:
        return record(0, struct.pack("<IIHHBI", number, 0, 300, 0, 0, 0))

    sheet = record(129) + record(148, struct.pack("<IIII", 0, 2, 0, 1)) + record(145)
    for number, (name, n) in enumerate([("name", "n"), ("Zoë", 7.0), ("Ann", 8.5)]):
        sheet += row(number) + record(6, cell(0) + text(str(name)))
        sheet += (
            record(6, cell(1) + text(n)) if isinstance(n, str) else record(5, cell(1) + struct.pack("<d", n))
        )
    sheet += record(146) + record(130)
    book = record(131) + record(143) + record(156, struct.pack("<II", 0, 1) + text("rId1") + text("People"))
    book += record(144) + record(132)
    relations = "http://schemas.openxmlformats.org/package/2006/relationships"
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as parts:
        parts.writestr("xl/workbook.bin", book)
        parts.writestr("xl/worksheets/sheet1.bin", sheet)
        link = f'<Relationship Id="rId1" Type="{kind}" Target="worksheets/sheet1.bin"/>'
        parts.writestr(
            "xl/_rels/workbook.bin.rels", f'<Relationships xmlns="{relations}">{link}</Relationships>'
        )
    return file.getvalue()


BOOKS = {
    "xlsx": lambda: _xlsx(("People", [list(NAMES), *[[cell or None for cell in row] for row in PEOPLE]])),
    "xls": (DATA / "people.xls").read_bytes,
    "ods": _ods,
}


@pytest.mark.parametrize("kind", BOOKS)
def test_each_kind_of_workbook(tmp_path: Path, kind: str) -> None:
    """Whole numbers have no `.0`, dates are dates, empty cells are empty, in every kind of workbook."""
    found = _read(tmp_path, BOOKS[kind](), f"rows.{kind}")
    assert found.columns == NAMES
    assert found.values == PEOPLE
    assert [type(value) for value in found.values[0][1:3]] == [int, float]
    assert [row.place for row in found.rows] == ["sheet People, row 2", "sheet People, row 3"]


def test_a_binary_workbook(tmp_path: Path) -> None:
    """Excel's binary format is read as well."""
    found = _read(tmp_path, _xlsb(), "rows.xlsb")
    assert found.columns == ("name", "n")
    assert found.values == [("Zoë", 7), ("Ann", 8.5)]


@pytest.mark.parametrize(("sheet", "value"), [("", 1), ("1", 1), ("Second", 2), ("2", 3), ("3", 3)])
def test_a_sheet_is_chosen_by_name_or_number(tmp_path: Path, sheet: str, value: int) -> None:
    """A sheet is found by its name, else by its number; without either it is the first."""
    data = _xlsx(("First", [["n"], [1]]), ("Second", [["n"], [2]]), ("2", [["n"], [3]]))
    assert _read(tmp_path, data, sheet=sheet).values == [(value,)]


def test_a_sheet_that_is_not_there(tmp_path: Path) -> None:
    """A misspelt sheet is told with the nearest one."""
    data = _xlsx(("Customers", [["n"], [1]]))
    with pytest.raises(RowsError, match=r"there is no sheet 'Custmers' \(did you mean 'Customers'\?\)"):
        _read(tmp_path, data, sheet="Custmers")


def test_a_table_need_not_begin_in_the_corner(tmp_path: Path) -> None:
    """Titles above and empty columns beside the table do no harm; its header row may be named."""
    rows: list[list[Any]] = [
        [None, "Price list 2026"],
        [],
        [None, "name", "n", None],
        [None, "Zoë", 7],
        [],
        [None, "Ann"],
    ]
    found = _read(tmp_path, _xlsx(("S", rows)), header_row=3)
    assert found.columns == ("name", "n")
    assert found.values == [("Zoë", 7), ("Ann", "")]
    assert [row.place for row in found.rows] == ["sheet S, row 4", "sheet S, row 6"]
    found = _read(tmp_path, _xlsx(("S", [[], [], *rows[2:]])))
    assert found.columns == ("name", "n")


def test_an_error_in_a_cell_is_told(tmp_path: Path) -> None:
    """A cell with #N/A is a problem with its column and row, never an empty value."""
    rows: list[list[Any]] = [
        [None, "name", "n"],
        [None, "Zoë", "#N/A"],
        [None, "Ann", 8],
        [None, "#DIV/0!", 9],
        [None, "Eve", 1, "#REF!"],
    ]
    found = _read(tmp_path, _xlsx(("A & B", [["x"], ["#N/A"]]), ("S", [["y"]]), ("T", rows)), sheet="T")
    assert [row.values["name"] for row in found.rows] == ["Ann"]
    assert [(p.place, p.text) for p in found.problems] == [
        ("sheet T, row 2", "The column n holds the error #N/A."),
        ("sheet T, row 4", "The column name holds the error #DIV/0!."),
        ("sheet T, row 5", "The column number 4 holds the error #REF!."),
    ]
    assert [p.place for p in _read(tmp_path, _xlsx(("A & B", [["x"], ["#N/A"]]))).problems] == [
        "sheet A & B, row 2"
    ]


def test_a_formulas_last_value_is_read(tmp_path: Path) -> None:
    """A formula gives the value that Excel has saved with it; its error is a problem."""
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet("S")
        sheet.write_row(0, 0, ["name", "sum"])
        sheet.write_row(1, 0, ["Zoë"])
        sheet.write_formula(1, 1, "=1+1", None, 2)
        sheet.write_row(2, 0, ["Ann"])
        sheet.write_formula(2, 1, "=1/0", None, "#DIV/0!")
    found = _read(tmp_path, file.getvalue())
    assert found.values == [("Zoë", 2)]
    assert [p.place for p in found.problems] == ["sheet S, row 3"]


def test_a_value_beyond_the_names_is_told(tmp_path: Path) -> None:
    """A value in a column without a name is a problem, not lost."""
    found = _read(tmp_path, _xlsx(("S", [["a", "b"], [1, 2, 3], [4, 5]])))
    assert found.values == [(4, 5)]
    assert "beyond the 2 columns" in found.problems[0].text


@pytest.mark.parametrize(
    "data", [b"", b"name,city\nJane,Rome\n", _xlsx(("S", [[]])), _xlsx(("S", [["a", "a"]]))]
)
def test_what_is_no_workbook_is_told(tmp_path: Path, data: bytes) -> None:
    """A file that is no workbook, and a sheet without usable names, are errors with the file's name."""
    with pytest.raises(RowsError, match=r"rows\.xlsx"):
        _read(tmp_path, data)


def test_text_that_calls_itself_a_workbook_is_told(tmp_path: Path) -> None:
    """Many programs write CSV or HTML into a file called .xls; that is said."""
    with pytest.raises(RowsError, match='set kind = "csv"'):
        _read(tmp_path, b"name\tcity\nJane\tRome\n", "rows.xls")
