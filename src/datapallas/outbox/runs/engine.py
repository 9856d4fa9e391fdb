"""Carries out what is promised in the records, with DBOS: one workflow for each attempt, one step for each step.

Must stay true:
- one engine in a process; on SQLite one in all processes (a lock), the others only promise;
- what a dead worker left is resumed on the queue it came from, by whoever is alive (heartbeats, not a server's word);
- what DBOS gave up, or lost, is promised anew (strays): no run stands there for ever;
- nothing sleeps in a slot: what has to wait is promised anew, for later; what has to end is handed back at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
import uuid
from typing import TYPE_CHECKING

from datapallas import files
from datapallas.errors import DataPallasError
from datapallas.outbox.runs import dbos_ways, routines
from datapallas.outbox.runs.records import Ended, Gone, Record, Records, Task
from datapallas.outbox.runs.strays import Strays
from datapallas.outbox.runs.tables import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from datapallas.outbox.runs.routines import Routine

    Step = Callable[[Task], None]

SLOTS = 2
"""Runs of one process at a time."""
LEASE = 15.0  # seconds after which a worker that said nothing is dead
LOOK = 0.5  # seconds between two looks at the records
_RESCAN = 15.0  # seconds between two looks at what is scheduled
_TRIES = 12
_PATIENCE = 600.0  # seconds between two tries at most
_CRASHES = 5
_END = 20.0
_DONE = "done"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the engine does.

    Attributes:
        steps: by the name of a work, its steps by name, in their order; one that was done is not done again.
        routines: asked every few seconds: what is scheduled.
        looks: done every second by the engine of a process: to see whether what a run started has ended.
        tell: told of a run that was stopped by a problem.
    """

    steps: Mapping[str, Mapping[str, Step]]
    routines: Callable[[], Sequence[Routine] | None] = lambda: ()
    looks: Callable[[], None] = lambda: None
    tell: Callable[[Record, DataPallasError], None] = lambda _record, _problem: None


class Engine:
    """Used with `with`. Raises StorageError (code ``lock-busy``) where another process does it already.

    Args:
        records: the database.
        url: of the same, as Records took it.
        place: names this installation: workers of the same place see the same files.
        work: what to do.
        lease: seconds after which a worker that said nothing is dead.
    """

    def __init__(
        self, records: Records, url: str | Path, place: str, work: Work, lease: float = LEASE
    ) -> None:
        self._records, self._url, self._work, self._lease = records, url, work, lease
        self._place = place
        self._queue = f"runs-{place}"
        self.id = f"{place}:{uuid.uuid4().hex[:12]}"
        self._ending = threading.Event()
        self._stack = contextlib.ExitStack()
        self._thread = threading.Thread(target=self._turn, name="runs", daemon=True)
        self.failure: Exception | None = None  # what ended its thread, which nothing should
        self._busy = 0
        self._doing: set[str] = set()  # workflows
        self._strays = Strays(records, self.id, place, self._doing)
        self._idle = threading.Condition()
        self._next: dict[str, float] = {}
        self._routines: Sequence[Routine] = ()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            if self._records.path is not None:
                stack.enter_context(files.locked(self._records.path.with_suffix(".lock"), seconds=0))
                self._records.forget_workers()  # whoever had the lock before is no more
            stack.callback(self._records.forget_worker, self.id)
            self._beat()
            stack.enter_context(self._dbos())
            self._stack = stack.pop_all()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join(_END)
        with self._idle:
            self._idle.wait_for(lambda: not self._busy, _END)
        self._stack.close()

    def stop(self) -> None:
        """Ask it to end; returns at once. A step that is under way ends at its next look at `ending`."""
        self._ending.set()

    @contextlib.contextmanager
    def _dbos(self) -> Iterator[None]:
        dbos_ways.silence()
        from dbos import DBOS

        def run(id_: str, attempt: int) -> str:
            return self._run(id_, attempt)

        DBOS(config=dbos_ways.config(self._url, self.id))
        try:
            self._workflow = DBOS.workflow(name="datapallas-run", max_recovery_attempts=None)(run)
            DBOS.listen_queues([self._queue])
            with self._records.told():
                DBOS.launch()
                DBOS.register_queue(
                    self._queue,
                    worker_concurrency=SLOTS,
                    polling_interval_sec=LOOK,
                    on_conflict="always_update",
                )
            yield
        finally:
            DBOS.destroy(destroy_registry=True)

    def forget(self, records: Sequence[Record]) -> None:
        """Delete runs that have ended, and what DBOS keeps of them."""
        from dbos import DBOS

        names = [f"{one.id}/{number}" for one in records for number in range(1, one.attempt + 1)]
        with self._records.told():
            DBOS.delete_workflows(names)
        self._records.delete([one.id for one in records])

    # What a worker does with a run

    def _run(self, id_: str, attempt: int) -> str:
        """The workflow."""
        name = f"{id_}/{attempt}"
        self._doing.add(name)
        try:
            return self._steps(id_, attempt)
        finally:
            self._doing.discard(name)

    def _steps(self, id_: str, attempt: int) -> str:
        from dbos import DBOS

        steps = self._work.steps[self._records.load(id_).work]
        last = list(steps)[-1]
        for name, step in steps.items():
            said = DBOS.run_step({"name": name}, self._step, (step, name == last), id_, attempt)
            if said != _DONE:
                return said
        return _DONE

    def _step(self, step: tuple[Step, bool], id_: str, attempt: int) -> str:
        with self._idle:
            self._busy += 1
        try:
            return self._done(step, id_, attempt)
        except Gone:
            return "gone"
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def _done(self, step: tuple[Step, bool], id_: str, attempt: int) -> str:
        if self._ending.is_set():
            raise Ended
        task = Task.take(self._records, (id_, attempt), uuid.uuid4().hex, self._ending.is_set)
        do, last = step
        try:
            _not_crashed(task.record)
            do(task)
        except Ended:
            task.leave()
            raise
        except Gone:
            raise
        except Exception as problem:  # noqa: BLE001 - told, kept, and never the end of other runs
            return self._failed(task, problem)
        if task.record.state is not State.RUNNING:
            return _DONE if task.record.state is not State.STOPPED else "stopped"
        if last:
            task.become(State.DONE)
        else:
            task.leave()
        return _DONE

    def _failed(self, task: Task, problem: Exception) -> str:
        """What passes by itself is tried again later, without holding a slot; anything else stops the run."""
        record = task.record
        if not isinstance(problem, DataPallasError):
            said = f"{type(problem).__name__}: {problem}"
            problem = DataPallasError(f"The run {record.id} met a fault of ours.", code="run-fault", raw=said)
        if problem.transient and record.tries < _TRIES:
            with self._records.read() as tx:
                due = self._records.now(tx) + min(_PATIENCE, 2.0**record.tries)
            task.become(State.QUEUED, problem, attempt=record.attempt + 1, tries=record.tries + 1, due=due)
            return "later"
        task.become(State.STOPPED, problem)
        self._work.tell(record, problem)
        return "stopped"

    # What the engine does all the time

    def _turn(self) -> None:
        try:
            while not self._ending.wait(LOOK):
                self._every("beat", self._lease / 4, self._beat)
                self._every("sweep", self._lease / 3, self._sweep)
                self._every("looks", 1.0, self._work.looks)
                self._every("routines", _RESCAN, self._rescan)
                self._every("due", 1.0, lambda: routines.make_due(self._records, self._routines))
                self._every("promised", 0.0, self._hand_over)
        except Exception as problem:  # noqa: BLE001 - whoever runs the engine tells it and begins anew
            self.failure = problem

    def _every(self, name: str, seconds: float, do: Callable[[], object]) -> None:
        """Do it when its time has come. What fails holds up nothing else: a database that is away comes back."""
        at = time.monotonic()
        if at >= self._next.get(name, 0.0) and not self._ending.is_set():
            with contextlib.suppress(DataPallasError):
                do()
                self._next[name] = at + seconds

    def _beat(self) -> None:
        self._records.beat(self.id, self._place, self._lease)

    def _rescan(self) -> None:
        found = self._work.routines()
        if found is not None:
            self._routines = found

    def _hand_over(self) -> None:
        """Give DBOS what is promised and due. The place is claimed first: one that dies here is found by its peers."""
        for record in self._records.claimed(self._place):
            from dbos import DBOS, SetWorkflowID

            with self._records.told(), SetWorkflowID(record.workflow):
                DBOS.enqueue_workflow(self._queue, self._workflow, record.id, record.attempt)
            self._records.move(record.id, [State.QUEUED], State.HANDED)

    def _sweep(self) -> None:
        """Resume what dead workers of this place left or DBOS lost, and set free what dead places had not begun."""
        from dbos import DBOS

        alive = self._records.alive()
        with self._records.told():
            pending = DBOS.list_workflows(
                status="PENDING", queue_name=self._queue, load_input=False, load_output=False
            )
            left = [one.workflow_id for one in pending if one.executor_id not in alive]
            if left:
                DBOS.resume_workflows(left, queue_name=self._queue)
        self._strays.mend()
        if self._records.path is None:
            self._records.free(set(alive.values()) | {self._place})


def _not_crashed(record: Record) -> None:
    if record.crashes >= _CRASHES:
        raise DataPallasError(
            f"The run {record.id} was stopped: {record.crashes} workers in a row ended over it.",
            code="run-crashed",
        )
