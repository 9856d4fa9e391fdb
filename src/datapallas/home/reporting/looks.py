"""A look at the whole list of a report in the background: what is wrong with it, and what a run of it would be.

Must stay true: nothing is promised by looking; a run that nobody started is forgotten with what was copied for it; a
look belongs to whoever began it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import threading
from typing import TYPE_CHECKING

from datapallas.errors import DataPallasError, UsageError
from datapallas.home.live import Live, Register, new_id
from datapallas.reports.folder import Reports
from datapallas.reports.model import OnProblem, Problem, Severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.home import Home
    from datapallas.home.reporting.runs import ReportRuns
    from datapallas.oauth.clock import Clock
    from datapallas.outbox.estimate import Estimate
    from datapallas.reports.checking import Checking
    from datapallas.reports.run import Wanted

MOST_KEPT = 300
"""Problems that are kept to be shown; the others are counted."""
_FREE_SECONDS = 600.0


class Stage(enum.StrEnum):
    """READING the list; COPYING what a run needs; then an end: CHECKED, READY to be started, FAILED, STOPPED."""

    READING = "reading"
    COPYING = "copying"
    CHECKED = "checked"
    READY = "ready"
    STARTED = "started"
    FAILED = "failed"
    STOPPED = "stopped"


_ENDS = frozenset({Stage.CHECKED, Stage.READY, Stage.STARTED, Stage.FAILED, Stage.STOPPED})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LookState:
    """How far it is.

    Attributes:
        recipients: so far; of a run that is READY: how many get an email.
        problems: the first of them; errors before warnings when it has ended.
        about: how the source is read.
        run, connection, test_to, estimate: of a run that is READY.
        stops: why that run must not begin.
        failure: why it FAILED.
    """

    stage: Stage = Stage.READING
    recipients: int = 0
    errors: int = 0
    warnings: int = 0
    problems: tuple[Problem, ...] = ()
    about: dict[str, str] = dataclasses.field(default_factory=dict)
    columns: tuple[str, ...] = ()
    run: str = ""
    connection: str = ""
    test_to: str = ""
    estimate: Estimate | None = None
    stops: DataPallasError | None = None
    failure: DataPallasError | None = None

    @property
    def finished(self) -> bool:
        """Nothing changes by itself any more."""
        return self.stage in _ENDS


class _Stopped(Exception):
    pass


class Look:
    """One look. With `wanted` it goes on to a run that only has to be started."""

    def __init__(self, owner: str, code: str, wanted: Wanted | None) -> None:
        self.id, self.owner, self.code, self.wanted = new_id(), owner, code, wanted
        self._live = Live(LookState())
        self._stop = threading.Event()
        self._checking: Checking | None = None
        self.drop: Callable[[str], None] = lambda _: None
        self._timer = threading.Timer(_FREE_SECONDS, self.cancel)
        self._timer.daemon = True

    def now(self) -> tuple[int, LookState]:
        """The version and the state; the recipients are counted as they are read."""
        version, state = self._live.now()
        checking = self._checking
        if checking is not None and not state.finished:
            state = dataclasses.replace(
                state, recipients=checking.recipients, errors=checking.errors, warnings=checking.warnings
            )
        return version, state

    @property
    def finished(self) -> bool:
        """Nothing changes by itself any more."""
        return self._live.now()[1].finished

    def cancel(self) -> None:
        """Stop looking; forget a run that was not started."""
        self._stop.set()
        self._timer.cancel()
        _, state = self._live.now()
        if state.stage is Stage.READY:
            self._put(stage=Stage.STOPPED)
            self.drop(state.run)

    def started(self) -> None:
        """Somebody said "go"."""
        self._timer.cancel()
        self._put(stage=Stage.STARTED)

    def work(self, home: Home, runs: Callable[[], ReportRuns]) -> None:
        """Look, in a thread of its own."""
        try:
            self._check(home)
            if self.wanted is None:
                self._put(stage=Stage.CHECKED)
            else:
                self._prepare(runs(), self.wanted)
        except _Stopped:
            self._put(stage=Stage.STOPPED)
        except DataPallasError as problem:
            self._put(stage=Stage.FAILED, failure=problem)
        except Exception:
            self._put(stage=Stage.FAILED, failure=DataPallasError("A fault of ours.", code="internal"))
            raise
        if self._live.now()[1].stage is Stage.READY:
            self._timer.start()  # what was copied does not wait for ever

    def _put(self, **change: object) -> None:
        self._live.put(dataclasses.replace(self._live.now()[1], **change))  # type: ignore[arg-type]

    def _watch(self) -> None:
        if self._stop.is_set():
            raise _Stopped

    def _check(self, home: Home) -> None:
        """Every recipient; for a few chosen ones the rest of the list does not matter."""
        from datapallas.reports.checking import Checking

        if self.wanted is not None and (self.wanted.sample or self.wanted.only):
            return
        report = Reports(home.root).load(self.code)
        with Checking(report, watch=self._watch) as checking:
            self._checking = checking
            found: list[Problem] = []
            for problem in checking:
                if len(found) < MOST_KEPT:
                    found.append(problem)
                    if len(found) < 20 or len(found) % 20 == 0:  # noqa: PLR2004 - the first ones at once
                        self._put(problems=tuple(found))
        self._put(
            recipients=checking.recipients,
            errors=checking.errors,
            warnings=checking.warnings,
            about=checking.about,
            columns=checking.columns,
            problems=_sorted(found),
        )

    def _prepare(self, runs: ReportRuns, wanted: Wanted) -> None:
        from datapallas.home.reporting.prepare import too_many_problems

        self._watch()
        self._put(stage=Stage.COPYING)
        prepared = runs.prepare(self.code, wanted)
        _, state = self._live.now()
        problems = state.problems or prepared.problems
        errors = state.errors or sum(one.severity is Severity.ERROR for one in prepared.problems)
        stops = prepared.stops
        if stops is None and errors and prepared.report.limits.on_problem is OnProblem.STOP:
            stops = too_many_problems(errors, "nothing was sent.")
        if self._stop.is_set() or stops is not None:
            runs.drop(prepared.run)
            self._watch()
        self._put(
            stage=Stage.READY,
            recipients=prepared.recipients,
            errors=errors,
            warnings=state.warnings or len(prepared.problems) - errors,
            problems=_sorted(problems),
            run=prepared.run,
            connection=str(prepared.facts["connection"]),
            test_to=prepared.report.test_to,
            estimate=runs.estimate(prepared),
            stops=stops,
        )


class Looks:
    """The looks of a server."""

    def __init__(self, home: Home, runs: Callable[[], ReportRuns], clock: Clock) -> None:
        self._home, self._runs = home, runs
        self._register: Register[Look] = Register(clock)

    def begin(self, owner: str, code: str, wanted: Wanted | None = None) -> Look:
        """Begin one. Raises ConfigurationError (an unknown or broken report), UsageError (``too-many``)."""
        Reports(self._home.root).load(code)
        look = self._register.add(Look(owner, code, wanted))
        look.drop = self._drop
        args = (self._home, self._runs)
        threading.Thread(target=look.work, args=args, name="report-look", daemon=True).start()
        return look

    def find(self, id_: str, owner: str) -> Look | None:
        """The look of `owner`; None when there is none."""
        return self._register.find(id_, owner)

    def start(self, look: Look) -> str:
        """Begin the run it prepared; its id. Raises UsageError (code ``run-begun``, ``run-not-ready``)."""
        _, state = look.now()
        if state.stage is Stage.STARTED:
            raise UsageError(f"The run {state.run} has begun already.", code="run-begun", run=state.run)
        if state.stage is not Stage.READY or state.stops is not None:
            raise UsageError("This run cannot begin: look again.", code="run-not-ready")
        self._runs().start(state.run)
        look.started()
        return state.run

    def close(self) -> None:
        """Cancel all of them, and forget what was not started."""
        for look in self._register.all():
            look.cancel()

    def _drop(self, run: str) -> None:
        with contextlib.suppress(DataPallasError):
            self._runs().drop(run)


def _sorted(problems: tuple[Problem, ...] | list[Problem]) -> tuple[Problem, ...]:
    """Errors first, each in the order of the list."""
    return tuple(sorted(problems, key=lambda one: one.severity is not Severity.ERROR))[:MOST_KEPT]
