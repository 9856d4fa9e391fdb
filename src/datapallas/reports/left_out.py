"""Rows, and parts of the PDF, from which no recipient came: counted, so that a run says them too.

Must stay true: of a run of chosen recipients, what belongs to others is neither counted nor stops anything; who was
chosen and has no recipient is told why.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from datapallas.reports.model import Severity
from datapallas.reports.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datapallas.reports.model import Problem
    from datapallas.reports.recipients import Recipients
    from datapallas.reports.rows.base import Rows


@dataclasses.dataclass(frozen=True, slots=True)
class LeftOut:
    """How many, their problems, and the keys they would have had, as far as those were asked for."""

    rows: int
    parts: int
    sinks: Sequence[Sink]
    keys: frozenset[str] = frozenset()


def left_out(rows: Rows | None, found: Recipients, chosen: frozenset[str] | None) -> LeftOut:
    """Of all that was read; of `chosen` keys only, where that is not None."""
    sinks = [found.problems, *([rows.problems] if rows is not None else [])]
    if chosen is None:
        errors = sum(sink.errors for sink in sinks)
        return LeftOut(errors - found.parts_alone, found.parts_alone, sinks)
    theirs, keys = Sink(), set[str]()
    for problem in (problem for sink in sinks for problem in sink):
        key = _key(problem)
        if key in chosen and (problem.severity is not Severity.ERROR or problem.number):
            keys.add(key)
            theirs.add(problem)
    return LeftOut(theirs.errors, 0, [theirs], frozenset(keys))


def _key(problem: Problem) -> str:
    """A row that cannot be read has no key of its own; ungrouped, its number would have been it."""
    return problem.key or (str(problem.number) if problem.number else "")
