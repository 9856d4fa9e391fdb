"""What ran before, for a look at the list of reports: the newest runs, and those by schedule.

Must stay true: looking makes nothing where nothing ran yet, and imports no SQLAlchemy then; a test hides no run that
failed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import TYPE_CHECKING

from datapallas.home.reporting import WORK
from datapallas.home.reporting.counts import Counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from datapallas.diagnosis.explain import Diagnosis
    from datapallas.home import Home
    from datapallas.outbox.runs.records import Record

_NEWEST = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Past:
    """The runs of a report that somebody started, the newest first."""

    runs: Sequence[Record] = ()

    @property
    def last(self) -> Record | None:
        """The newest."""
        return next(iter(self.runs), None)

    @property
    def scheduled(self) -> list[Record]:
        """Those by schedule."""
        return [one for one in self.runs if "scheduled" in one.facts]

    @property
    def trouble(self) -> Record | None:
        """The newest that was no test, when it stopped or somebody got nothing; None when all is well."""
        found = next((one for one in self.runs if not one.facts.get("test_to")), None)
        return found if found is not None and troubled(found) else None


def troubled(record: Record) -> bool:
    """Whether a person should look at it."""
    return record.state.value == "stopped" or (
        record.state.value == "done" and not Counts.of(record.facts).good
    )


def explained(record: Record) -> Diagnosis | None:
    """What stopped it, with its commands complete; None when nothing did."""
    from datapallas.diagnosis.explain import explain

    if record.problem is None:
        return None
    known = {"run": record.id, "job": record.id, "report": record.subject}
    connection = str(record.facts.get("connection", ""))
    return explain(record.problem, known | ({"connection": connection} if connection else {}))


@contextlib.contextmanager
def past(home: Home) -> Iterator[Callable[[str], Past]]:
    """Gives the past of a report by its code. Raises as Records does."""
    from datapallas.home.reporting import run_place
    from datapallas.home.stores import VARIABLE

    if not home.environ.get(VARIABLE) and not os.path.lexists(home.root / run_place.FILE):
        yield lambda _: Past()
        return
    with contextlib.closing(run_place.open_records(home)) as records:
        yield lambda code: Past(begun(records.find(work=WORK, subject=code, newest=_NEWEST)))


def begun(found: Sequence[Record]) -> list[Record]:
    """Without those that were only prepared."""
    return [one for one in found if one.state.value != "prepared"]
