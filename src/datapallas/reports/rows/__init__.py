"""Rows, streamed: from CSV of any encoding and delimiter, Excel, JSON lines, any database, and standard input.

    with open_rows(report.rows, report.folder) as rows:
        for row in rows:
            ...
        for problem in rows.problems:
            ...

Must stay true: a million rows cost no more memory than a thousand (a sheet of Excel is the exception: it is read
whole); a row that cannot be read is a Problem with its place, never a crash and never shifted; what a database is
asked can change nothing in it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from datapallas.reports.model import Kind
from datapallas.reports.rows.files import opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from datapallas.reports.model import Source
    from datapallas.reports.rows.base import Rows
    from datapallas.reports.rows.files import DataFile

__all__ = ["open_rows"]


@contextlib.contextmanager
def open_rows(
    source: Source, folder: Path, *, stdin: BinaryIO | None = None, after: int = 0
) -> Iterator[Rows]:
    """The rows of `source`, a report in `folder`; each may be gone through once.

    `stdin` is what the file `-` stands for. Rows up to number `after` are left out, as for a run that goes on.
    Raises RowsError when there is nothing to read at all (no file, no header, two columns of one name, ...),
    ConfigurationError (codes `rows-query`, `rows-driver`, `report-password`), Unreachable (no database).
    """
    if source.kind is Kind.SQL:
        from datapallas.reports.rows.sql import sql_rows

        with sql_rows(source, folder, after) as found:
            yield found
        return
    with opened(source, folder, stdin) as file, contextlib.closing(_rows(file, source, after)) as rows:
        yield rows


def _rows(file: DataFile, source: Source, after: int) -> Rows:
    match source.kind:
        case Kind.EXCEL:
            from datapallas.reports.rows.excel import ExcelRows

            return ExcelRows(file, source, after)
        case Kind.JSONL:
            from datapallas.reports.rows.jsonl import JsonRows

            return JsonRows(file, source, after)
        case _:
            from datapallas.reports.rows.delimited import DelimitedRows

            return DelimitedRows(file, source, after)
