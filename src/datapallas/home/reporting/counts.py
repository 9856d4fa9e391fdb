"""What became of a run's recipients, as every door says it. Pure.

Must stay true: who got nothing is counted, whatever the reason: a problem of the recipient, a row from which no
recipient came, a part of the PDF that belongs to nobody.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datapallas.outbox.runs.records import Record

_FATES = ("accepted", "refused", "unknown", "parked", "deferred", "queued")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many of each.

    Attributes:
        outcomes: recipients of the outbox by their fate.
        failed: recipients that were not promised because of a problem.
        rows, parts: rows and parts of the PDF from which no recipient came.
    """

    outcomes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    failed: int = 0
    rows: int = 0
    parts: int = 0

    @classmethod
    def of(cls, facts: Mapping[str, Any], outcomes: Mapping[str, int] | None = None) -> Counts:
        """From the facts of a run's record; `outcomes` as they are now."""
        left = facts.get("left_out") or {}
        return cls(
            outcomes=(facts.get("outcomes") or {}) if outcomes is None else outcomes,
            failed=int(facts.get("failed", 0)),
            rows=int(left.get("rows", 0)),
            parts=int(left.get("parts", 0)),
        )

    @property
    def left_out(self) -> dict[str, int]:
        """Rows and parts, as a record keeps them."""
        return {"rows": self.rows, "parts": self.parts}

    @property
    def in_vain(self) -> int:
        """Who got nothing for a problem that was found here, and not by the mail server."""
        return self.failed + self.rows + self.parts

    @property
    def good(self) -> bool:
        """Everybody was accepted."""
        return not self.in_vain and all(fate == "accepted" for fate, n in self.outcomes.items() if n)

    @property
    def words(self) -> str:
        """In words; empty when there is nothing to count."""
        found = [f"{self.outcomes[fate]:,} {fate}" for fate in _FATES if self.outcomes.get(fate)]
        found += [f"{self.failed:,} not sent for a problem"] if self.failed else []
        left = [
            f"{n:,} {what}{'s' if n > 1 else ''}"
            for n, what in ((self.rows, "row"), (self.parts, "part"))
            if n
        ]
        if left:
            found.append(f"{' and '.join(left)}{' of the PDF' if self.parts else ''} left out")
        return ", ".join(found)


def plain_facts(record: Record) -> dict[str, Any]:
    """What every answer in JSON says of a run: plain values, as its record keeps them."""
    counts = Counts.of(record.facts)
    return {
        "run": record.id,
        "state": record.state.value,
        "created": record.created,
        "ended": record.ended,
        "test_to": record.facts.get("test_to", ""),
        "not_sent": counts.failed,
        "left_out": counts.left_out,
        "problem": record.problem.message if record.problem else "",
    }
