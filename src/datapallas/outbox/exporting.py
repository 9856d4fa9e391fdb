"""Every recipient of a job and its outcome as CSV, read and written as it comes: a job may have a million.

Must stay true: no cell is one a spreadsheet takes for a formula; replies are a stranger's words.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from datapallas.outbox.overview import recipient_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datapallas.outbox.database import Database

COLUMNS = (
    "job",
    "key",
    "address",
    "outcome",
    "reply",
    "at",
    "message_id",
    "attempts",
    "may_be_double",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_TOGETHER = 500  # lines given at a time


def csv_lines(database: Database, job: str) -> Iterator[str]:
    """The text, some lines at a time."""
    buffer = io.StringIO()
    out = csv.writer(buffer, lineterminator="\n")
    out.writerow(COLUMNS)
    for number, one in enumerate(recipient_lines(database, job), 1):
        out.writerow([_cell(getattr(one, name)) for name in COLUMNS])
        if number % _TOGETHER == 0:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _cell(value: object) -> str:
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
