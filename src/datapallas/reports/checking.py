"""The list of a report from its source to its problems, in one pass; nothing is sent.

    with Checking(report) as checking:
        for problem in checking:
            ...
    print(checking.recipients, checking.errors, checking.about)

Must stay true: the rows are read as a run reads them, by the same code.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, BinaryIO

from datapallas.reports import burst
from datapallas.reports.agreeing import agree
from datapallas.reports.letters import complete
from datapallas.reports.problems import Check
from datapallas.reports.recipients import recipients
from datapallas.reports.rendering import Renderer
from datapallas.reports.rows import open_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Self

    from datapallas.reports.model import Problem, Recipient, Report


class Checking:
    """One look at the whole list of a report.

    Entering it opens the source; raises what `open_rows`, `burst.parts` and `Renderer` raise.

    Args:
        report: whose list it is.
        stdin: what the file `-` stands for.
        watch: called for each recipient; what it raises ends the look.
        full: make the emails and documents too, which takes as long as in a run.

    Attributes:
        about: how the source is read: `encoding`, `delimiter`, `sheet`, `database`.
        columns: the names of its columns.
    """

    def __init__(
        self,
        report: Report,
        stdin: BinaryIO | None = None,
        watch: Callable[[], None] = lambda: None,
        *,
        full: bool = False,
    ) -> None:
        self._full = full
        self._watch = watch
        self.about: dict[str, str] = {}
        self.columns: tuple[str, ...] = ()
        self._report, self._stdin = report, stdin
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        report = self._report
        with contextlib.ExitStack() as stack:
            rows = None
            if report.rows is not None:
                rows = stack.enter_context(open_rows(report.rows, report.folder, stdin=self._stdin))
                self.about, self.columns = rows.about, rows.columns
            else:
                self.columns = ("token", "part", "pages")
            agree(report, self.columns)
            parts = burst.parts(report.burst, report.folder) if report.burst else ()
            everyone = stack.enter_context(contextlib.closing(recipients(report, rows, parts)))
            renderer = stack.enter_context(Renderer(report, envelope_only=not self._full))
            sinks = [everyone.problems] if rows is None else [rows.problems, everyone.problems]
            self._check = Check(report, self.columns, sinks)
            self._results = stack.enter_context(contextlib.closing(renderer.render(self._watched(everyone))))
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, problem, trace)

    def _watched(self, everyone: Iterable[Recipient]) -> Iterator[Recipient]:
        for one in everyone:
            self._watch()
            yield one

    def __iter__(self) -> Iterator[Problem]:
        return self._check.problems(complete(self._report, self._results) if self._full else self._results)

    @property
    def recipients(self) -> int:
        """How many there were so far."""
        return self._check.recipients

    @property
    def errors(self) -> int:
        """How many errors so far."""
        return self._check.errors

    @property
    def warnings(self) -> int:
        """How many warnings so far."""
        return self._check.warnings
