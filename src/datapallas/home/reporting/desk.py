"""The reports as a server works with them: their runs opened once, when there are any; looks and previews.

Must stay true: looking at reports that never ran makes no database.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import threading
import time
from typing import TYPE_CHECKING

from datapallas.errors import DataPallasError, UsageError
from datapallas.home.reporting import WORK
from datapallas.home.reporting.looks import Looks
from datapallas.home.reporting.shown import Previews
from datapallas.reports.folder import Reports

if TYPE_CHECKING:
    from datapallas.home import Home
    from datapallas.home.outbox_desk import OutboxDesk
    from datapallas.home.reporting.lines import Line
    from datapallas.home.reporting.past import Past
    from datapallas.home.reporting.runs import Progress, ReportRuns
    from datapallas.outbox.runs.records import Record, Records
    from datapallas.reports.run import Wanted
    from datapallas.reports.workbench import Draft

_SECONDS = 30.0
"""Over how long a run's rate is measured."""
_MOST_WATCHED = 100
_LOOKED_AT = 100  # runs of a report, for its line in the list


class ReportDesk:
    """Threads share it. `desk` is the outbox that runs promise their messages to."""

    def __init__(self, home: Home, desk: OutboxDesk) -> None:
        self.home, self._desk = home, desk
        self.reports = Reports(home.root)
        self.looks = Looks(home, lambda: self.runs, home.endpoint.clock)
        self.previews = Previews(home)
        self._lock = threading.Lock()
        self._records: Records | None = None
        self._seen: collections.OrderedDict[str, collections.deque[tuple[float, int]]] = (
            collections.OrderedDict()
        )

    def close(self) -> None:
        """Stop looking, delete previews, let go of the database."""
        self.looks.close()
        self.previews.close()
        with self._lock:
            if self._records is not None:
                self._records.close()
                self._records = None

    @property
    def there(self) -> bool:
        """Something ran here once."""
        named = bool(self.home.environ.get("DATAPALLAS_DATABASE"))
        return self._records is not None or named or os.path.lexists(self.home.root / "data" / "runs.db")

    @property
    def runs(self) -> ReportRuns:
        """The runs; their database is made when there is none. Raises ConfigurationError, StorageError."""
        from datapallas.home.reporting import run_place
        from datapallas.home.reporting.runs import ReportRuns

        with self._lock:
            if self._records is None:
                self._records = run_place.open_records(self.home)
            records = self._records
        return ReportRuns(self.home, records, self._desk.outbox)

    def lines(self) -> list[Line]:
        """Every report."""
        from datapallas.home.reporting import lines as report_lines

        return report_lines.lines(self.home, self._past, time.time())

    def line(self, code: str) -> Line:
        """One of them. Raises ConfigurationError (code ``unknown-report``)."""
        from datapallas.home.reporting import lines as report_lines

        self.reports.folder(code)
        return report_lines.line(self.home, code, self._past(code), time.time())

    def history(self, code: str, newest: int = 20) -> list[Record]:
        """The runs of a report that somebody started, the newest first."""
        if not self.there:
            return []
        from datapallas.home.reporting.past import begun

        return begun(self.runs.history(code, newest=newest + 10))[:newest]

    def begin(self, code: str, wanted: Wanted) -> str:
        """Promise a run whose rows are read in the background; its id. Raises ConfigurationError."""
        return self.runs.begin(code, wanted)

    def progress(self, run: str) -> Progress:
        """How far a run is. Raises UsageError (code ``unknown-run``)."""
        if self.there:
            found = self.runs.progress(run)
            if found.record.work == WORK:
                return found
        raise UsageError(f"There is no run {run!r}.", code="unknown-run", run=run)

    def rate(self, progress: Progress) -> float:
        """Recipients a second that got an outcome lately; 0 while nothing is known."""
        now, settled = time.monotonic(), sum(progress.outcomes.values()) - progress.open
        with self._lock:
            seen = self._seen.setdefault(progress.record.id, collections.deque(maxlen=200))
            seen.append((now, settled))
            while len(seen) > 2 and now - seen[0][0] > _SECONDS:  # noqa: PLR2004 - a beginning and an end
                seen.popleft()
            while len(self._seen) > _MOST_WATCHED:
                self._seen.popitem(last=False)
            (begun, before), (ended, after) = seen[0], seen[-1]
        return (after - before) / (ended - begun) if ended - begun > 1.0 else 0.0

    def save(self, code: str, draft: Draft) -> None:
        """Store a report with its templates, checked whole first: all of it or nothing.

        Raises ConfigurationError (code `report-definition` names file and line), UsageError, StorageError.
        """
        from datapallas.reports import workbench

        if draft.password is not None:
            from datapallas.reports.sealing import with_sealed

            draft = dataclasses.replace(
                draft, text=with_sealed(self.reports, code, draft.text, draft.password), password=None
            )
        with workbench.laid_out(self.reports.folder(code), self.previews.place, draft) as laid:
            laid.usable()
        for name, text in draft.files.items():
            if text.encode() != self.reports.read_file(code, name):
                self.reports.save_file(code, name, text.encode())
        self.reports.save(code, draft.text)

    def duplicate(self, code: str, new_code: str, name: str) -> None:
        """Copy a report. The copy does not run by itself: nobody gets everything twice."""
        from datapallas.reports.scheduling import with_schedule

        copy = self.reports.duplicate(code, new_code, name)
        if copy is not None and copy.schedule is not None:
            try:
                self.reports.save(new_code, with_schedule(self.reports.text(new_code), None))
            except DataPallasError:
                self.reports.delete(new_code)
                raise

    def _past(self, code: str) -> Past:
        from datapallas.home.reporting.past import Past

        return Past(self.history(code, newest=_LOOKED_AT))
