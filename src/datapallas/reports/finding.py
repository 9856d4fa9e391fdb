"""Finds one recipient in the rows of a report, for somebody who looks through them.

Must stay true: rows are streamed, and no further than needed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from typing import TYPE_CHECKING

from datapallas.errors import UsageError
from datapallas.reports.agreeing import agree
from datapallas.reports.burst import parts
from datapallas.reports.recipients import recipients
from datapallas.reports.rows import open_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datapallas.reports.model import Recipient, Report

_SECONDS = 10.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """Which one: the `number`th, from 1, of those in whose rows `words` stands (all, when it is empty)."""

    number: int = 1
    words: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The recipient.

    Attributes:
        number: of those asked for, from 1.
        more: there is a next one.
        columns: of the rows.
    """

    recipient: Recipient
    number: int
    more: bool
    columns: tuple[str, ...]


def find(report: Report, pick: Pick) -> Found:
    """The one that is meant; the last one when there are fewer.

    Raises UsageError (code `report-key`: nobody), and what reading rows raises.
    """
    with contextlib.ExitStack() as stack:
        rows = stack.enter_context(open_rows(report.rows, report.folder)) if report.rows else None
        agree(report, () if rows is None else rows.columns)
        cut = parts(report.burst, report.folder) if report.burst else ()
        columns = ("token", "part", "pages") if rows is None else rows.columns
        last, number = None, 0
        everybody = stack.enter_context(contextlib.closing(recipients(report, rows, cut)))
        for one in _asked(everybody, pick.words):
            if last is not None and number == pick.number:
                return Found(recipient=last, number=number, more=True, columns=columns)
            last, number = one, number + 1
    if last is None:
        what = f"Nobody's row has {pick.words!a}." if pick.words else "The report has no recipients."
        raise UsageError(what, code="report-key", key=pick.words, report=report.code)
    return Found(recipient=last, number=number, more=False, columns=columns)


def _asked(everybody: Iterator[Recipient], words: str) -> Iterator[Recipient]:
    wanted, end = words.casefold(), time.monotonic() + _SECONDS
    for one in everybody:
        if not wanted or any(
            wanted in str(value).casefold() for row in one.rows for value in row.values.values()
        ):
            yield one
        if time.monotonic() > end:
            raise UsageError(
                f"The search was given up after {_SECONDS:.0f} seconds; the list is long. Give a lower number.",
                code="report-key",
                key=words,
            )
