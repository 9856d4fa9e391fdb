"""Sheets of Excel (xlsx, xls, xlsb) and LibreOffice (ods), through calamine.

Must stay true: a whole number has no `.0`; a cell with an error such as #N/A is a problem and never an empty value,
as far as the file says so (xlsx does). A sheet is read whole into memory, by calamine, before its first row comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from python_calamine import CalamineError, CalamineWorkbook, PasswordError, SheetTypeEnum, WorksheetNotFound

from datapallas.errors import RowsError
from datapallas.reports.flaws import nearest
from datapallas.reports.model import Row
from datapallas.reports.rows.base import Rows, columns_of, header_error
from datapallas.reports.rows.excel_errors import error_cells

if TYPE_CHECKING:
    from collections.abc import Iterator

    from python_calamine import CalamineSheet

    from datapallas.reports.model import Source
    from datapallas.reports.rows.files import DataFile

_EXACT = 2**53


class ExcelRows(Rows):
    """Rows of a sheet."""

    def __init__(self, file: DataFile, source: Source, after: int) -> None:
        super().__init__(after)
        self._name = file.name
        sheet = self._sheet(file, source.sheet)
        self._errors = error_cells(file.stream, sheet.name)
        self._left = sheet.start[1] if sheet.start else 0
        self.about = {"sheet": sheet.name}
        self._rows = enumerate(sheet.iter_rows(), 1)
        self._place = f"sheet {sheet.name}, row "
        self._header_row = source.header_row
        self.columns = self._header()

    def __iter__(self) -> Iterator[Row]:
        columns, width = self.columns, len(self.columns)
        for number, cells in self._rows:
            wrong = self._errors.get(number) if self._errors else None
            values = [_value(cell) for cell in cells]
            if not wrong and all(value == "" for value in values):
                continue
            place = f"{self._place}{number}"
            if wrong:
                at, said = next(iter(wrong.items()))
                name = columns[at - self._left] if 0 <= at - self._left < width else f"number {at + 1}"
                self._bad(place, f"the column {name} holds the error {said}")
            elif any(value != "" for value in values[width:]):
                self._bad(place, f"it has a value beyond the {width} columns that have a name")
            else:
                self.total += 1
                if self.total > self._after:
                    values += [""] * (width - len(values))
                    yield Row(self.total, dict(zip(columns, values, strict=False)), place)

    def _header(self) -> tuple[str, ...]:
        for number, cells in self._rows:
            # Rows above the named one are a title; empty ones above an unnamed one are nothing.
            if number < self._header_row or (
                self._header_row == 1 and not any(str(c).strip() for c in cells)
            ):
                continue
            names = [_value(cell) for cell in cells]
            return columns_of(names, f"{self._place}{number}", self._name)
        raise header_error(self._name, f"{self._place}{self._header_row}", "there are no names of columns")

    def _sheet(self, file: DataFile, wanted: str) -> CalamineSheet:
        try:
            book = CalamineWorkbook.from_filelike(file.stream)
            pages = [one.name for one in book.sheets_metadata if one.typ is SheetTypeEnum.WorkSheet]
            names = pages or book.sheet_names
            if not wanted:
                return book.get_sheet_by_name(names[0])
            if wanted in names:
                return book.get_sheet_by_name(wanted)
            if wanted.isdecimal() and 1 <= int(wanted) <= len(names):
                return book.get_sheet_by_name(names[int(wanted) - 1])
        except PasswordError:
            raise self._broken("it is protected by a password") from None
        except (CalamineError, WorksheetNotFound, IndexError) as problem:
            file.stream.seek(0)
            is_text = b"\0" not in file.stream.read(4096)
            hint = '; it is text: if it is CSV, set kind = "csv"' if is_text else ""
            raise self._broken(f"it is no workbook that can be read ({problem}){hint}") from None
        reason = f"there is no sheet {wanted!r}{nearest(wanted, names)}"
        raise RowsError(f"{file.name}: {reason}.", code="rows-sheet", file=file.name, line="", reason=reason)

    def _broken(self, reason: str) -> RowsError:
        return RowsError(
            f"{self._name}: {reason}.", code="rows-sheet", file=self._name, line="", reason=reason
        )


def _value(cell: Any) -> Any:
    if type(cell) is float and cell.is_integer() and abs(cell) <= _EXACT:
        return int(cell)
    if type(cell) is str and not cell.strip():
        return ""
    return cell
