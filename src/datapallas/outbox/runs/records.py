"""Runs as they are kept: made, found, changed.

Must stay true: what a worker changes, it changes only while it is the owner (`Gone` otherwise), so that one that slept
through its own replacement does no harm; a key is noted once, in the same commit as the progress it belongs to.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from datapallas.errors import StorageError, UsageError
from datapallas.outbox import problems
from datapallas.outbox.database import Database, insert_new
from datapallas.outbox.runs import tables
from datapallas.outbox.runs.tables import SCHEMA, State, notes, runs, workers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from datapallas.errors import DataPallasError

_LATER = 600.0  # seconds until a run is tried again whose execution was lost, at most
_CREATING = 7_261_001  # PostgreSQL's advisory lock for making the tables


class Gone(Exception):
    """Another worker has taken the run over, or a person has cancelled it: whoever meets this stops at once."""


class Ended(BaseException):
    """This process is to end: DBOS records nothing for it, so that the run goes on elsewhere or later."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One run; the attributes are the columns of `tables.runs`."""

    id: str
    work: str
    subject: str = ""
    state: State = State.QUEUED
    attempt: int = 1
    due: float = 0.0
    tries: int = 0
    crashes: int = 0
    place: str = ""
    bound: bool = False
    created: float = 0.0
    ended: float = 0.0
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    problem: DataPallasError | None = None

    @property
    def workflow(self) -> str:
        """What DBOS knows this attempt by."""
        return f"{self.id}/{self.attempt}"


class Records(Database):
    """The database of runs: an SQLite file of its own, or a schema of a PostgreSQL database."""

    def _prepare(self) -> None:
        if self.only_looks:
            return
        if not self.is_sqlite:
            self.engine = self.engine.execution_options(schema_translate_map={None: SCHEMA})
        with self.write() as tx:
            if not self.is_sqlite:
                tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATING)))
                tx.execute(sa.schema.CreateSchema(SCHEMA, if_not_exists=True))
            tables.metadata.create_all(tx)

    def add(self, record: Record) -> bool:
        """Keep a new one; False when there is one with this id already."""
        with self.write() as tx:
            return self.add_within(tx, record)

    def add_within(self, tx: sa.Connection, record: Record) -> bool:
        """The same inside a transaction."""
        row = {name: getattr(record, name) for name in _PLAIN}
        row |= {"state": record.state.value, "facts": json.dumps(dict(record.facts))}
        row["created"] = record.created or self.now(tx)
        return tx.execute(insert_new(tx, runs).returning(runs.c.id), row).scalar() is not None

    def load(self, id_: str) -> Record:
        """One of them. Raises UsageError (code ``unknown-run``)."""
        with self.read() as tx:
            row = tx.execute(sa.select(runs).where(runs.c.id == id_)).one_or_none()
        if row is None:
            raise UsageError(f"There is no run {id_!r}.", code="unknown-run", run=id_)
        return _record(row)

    def find(
        self,
        *states: State,
        work: str = "",
        subject: str = "",
        newest: int = 0,
        tx: sa.Connection | None = None,
    ) -> list[Record]:
        """Those in one of `states` (any when empty), of a work, about a subject; the newest first."""
        query = sa.select(runs).order_by(runs.c.created.desc(), runs.c.id.desc())
        if states:
            query = query.where(runs.c.state.in_([one.value for one in states]))
        if work:
            query = query.where(runs.c.work == work)
        if subject:
            query = query.where(runs.c.subject == subject)
        with contextlib.nullcontext(tx) if tx is not None else self.read() as found:
            return [_record(row) for row in found.execute(query.limit(newest) if newest else query)]

    def move(self, id_: str, before: Sequence[State], after: State, **change: Any) -> bool:
        """From one of `before` to `after`; whether it was in one of them. `change` are further columns."""
        with self.write() as tx:
            if after in tables.ENDED:
                change["ended"] = self.now(tx)
            which = sa.and_(runs.c.id == id_, runs.c.state.in_([one.value for one in before]))
            values = {"state": after.value, **_columns(change)}
            return bool(tx.execute(sa.update(runs).where(which).values(**values)).rowcount)

    def again(self, id_: str, before: Sequence[State], *, due: float = 0.0, **change: Any) -> bool:
        """Promise it anew, as a new attempt, when it is in one of `before`."""
        return self.move(
            id_, before, State.QUEUED, attempt=runs.c.attempt + 1, due=due, owner="", ended=0.0, **change
        )

    def afresh(self, record: Record) -> bool:
        """Promise a run anew whose execution was lost, if it is still that attempt: a little later each time it happens."""
        live = [State.HANDED.value, State.RUNNING.value]
        which = sa.and_(runs.c.id == record.id, runs.c.attempt == record.attempt, runs.c.state.in_(live))
        with self.write() as tx:
            due = self.now(tx) + min(_LATER, 2.0**record.crashes)
            values = {"state": State.QUEUED.value, "owner": "", "due": due, "crashes": record.crashes + 1}
            query = sa.update(runs).where(which).values(attempt=record.attempt + 1, **values)
            return bool(tx.execute(query).rowcount)

    def noted(self, id_: str, *, limit: int = 0) -> Iterator[dict[str, Any]]:
        """What was noted of a run, in its order."""
        query = sa.select(notes.c.note).where(notes.c.run == id_).order_by(notes.c.number, notes.c.key)
        with self.read() as tx:
            for text in (
                tx.execution_options(yield_per=500).execute(query.limit(limit) if limit else query).scalars()
            ):
                yield json.loads(text)

    def beat(self, worker: str, place: str, lease: float) -> None:
        """Say that a worker is alive, for `lease` seconds from now."""
        with self.write() as tx:
            until = self.now(tx) + lease
            tx.execute(insert_new(tx, workers), {"id": worker, "place": place, "until": until})
            tx.execute(sa.update(workers).where(workers.c.id == worker).values(until=until))

    def forget_worker(self, worker: str) -> None:
        """It has ended: whatever it left is taken over at once."""
        with contextlib.suppress(StorageError), self.write() as tx:
            tx.execute(sa.delete(workers).where(workers.c.id == worker))

    def forget_workers(self) -> None:
        """Nobody else works on this database."""
        with self.write() as tx:
            tx.execute(sa.delete(workers))

    def alive(self) -> dict[str, str]:
        """Workers that said something lately, with their places."""
        with self.read() as tx:
            found = tx.execute(sa.select(workers).where(workers.c.until > self.now(tx)))
            return {row.id: row.place for row in found}

    def claimed(self, place: str) -> list[Record]:
        """Promised and due, for this place; those that were for any place are now for this one."""
        due = sa.and_(runs.c.state == State.QUEUED.value, runs.c.place.in_(["", place]))
        with self.read() as tx:
            due = sa.and_(due, runs.c.due <= self.now(tx))
            if not tx.execute(sa.select(sa.exists().where(due))).scalar():
                return []
        with self.write() as tx:
            tx.execute(sa.update(runs).where(due, runs.c.place == "").values(place=place))
            mine = sa.select(runs).where(due, runs.c.place == place).order_by(runs.c.created, runs.c.id)
            return [_record(row) for row in tx.execute(mine)]

    def free(self, places: Collection[str]) -> None:
        """Promise anew, to any place, what a place without workers took and has not begun."""
        live = [one.value for one in (State.QUEUED, State.HANDED, State.RUNNING)]
        left = sa.and_(runs.c.state.in_(live), runs.c.bound.is_(False), runs.c.place.not_in(["", *places]))
        values = {"state": State.QUEUED.value, "place": "", "owner": "", "attempt": runs.c.attempt + 1}
        with self.write() as tx:
            tx.execute(sa.update(runs).where(left).values(**values))

    def note(self, id_: str, noted: Mapping[str, object]) -> None:
        """Note things of a run that nobody works on yet."""
        with self.write() as tx:
            _note(tx, id_, noted, 0)

    def forget_notes(self, id_: str) -> None:
        """Nothing was noted of this run."""
        with self.write() as tx:
            tx.execute(sa.delete(notes).where(notes.c.run == id_))

    def delete(self, ids: Sequence[str]) -> None:
        """Forget runs and what was noted of them."""
        with self.write() as tx:
            tx.execute(sa.delete(notes).where(notes.c.run.in_(ids)))
            tx.execute(sa.delete(runs).where(runs.c.id.in_(ids)))


class Task:
    """A run in the hands of one worker.

    Attributes:
        record: as it was when it was taken, with the facts as they are now.
        ending: asked often: True when this process is to end; then a step raises `Ended`.
    """

    def __init__(self, records: Records, record: Record, owner: str, ending: Callable[[], bool]) -> None:
        self.record = record
        self.ending = ending
        self._records, self._owner = records, owner

    @classmethod
    def take(
        cls, records: Records, workflow: tuple[str, int], owner: str, ending: Callable[[], bool]
    ) -> Task:
        """Become the owner. Raises Gone when that attempt is over."""
        id_, attempt = workflow
        live = (State.QUEUED.value, State.HANDED.value, State.RUNNING.value)
        which = sa.and_(runs.c.id == id_, runs.c.attempt == attempt, runs.c.state.in_(live))
        with records.write() as tx:
            died = sa.case((runs.c.owner != "", runs.c.crashes + 1), else_=runs.c.crashes)
            values = {"owner": owner, "state": State.RUNNING.value, "crashes": died}
            if not tx.execute(sa.update(runs).where(which).values(**values)).rowcount:
                raise Gone
            record = _record(tx.execute(sa.select(runs).where(runs.c.id == id_)).one())
        return cls(records, record, owner, ending)

    def save(
        self, facts: Mapping[str, Any], noted: Mapping[str, object] | None = None, **columns: Any
    ) -> None:
        """Keep progress: `facts` are merged, `noted` (by key; `done` orders it) and columns go with them. Raises Gone."""
        merged = dict(self.record.facts) | dict(facts)
        values = _columns({"facts": merged, "crashes": 0, "tries": 0} | columns)
        with self._records.write() as tx:
            mine = sa.and_(runs.c.id == self.record.id, runs.c.owner == self._owner)
            if not tx.execute(sa.update(runs).where(mine).values(**values)).rowcount:
                raise Gone
            _note(tx, self.record.id, noted or {}, int(merged.get("done", 0)))
        self.record = dataclasses.replace(self.record, facts=merged)

    def become(self, state: State, problem: DataPallasError | None = None, **columns: Any) -> None:
        """Leave the worker's hands. Raises Gone."""
        with self._records.write() as tx:
            ended = self._records.now(tx) if state in tables.ENDED else 0.0
        text = problems.dump(problem) if problem is not None else ""
        self.save({}, state=state.value, owner="", ended=ended, problem=text, **columns)
        self.record = dataclasses.replace(self.record, state=state)

    def leave(self) -> None:
        """Hand it back unfinished and unharmed: it did not die of this run."""
        with self._records.write() as tx:
            mine = sa.and_(runs.c.id == self.record.id, runs.c.owner == self._owner)
            tx.execute(sa.update(runs).where(mine).values(owner=""))


_PLAIN = [
    field.name for field in dataclasses.fields(Record) if field.name not in {"state", "facts", "problem"}
]


def _note(tx: sa.Connection, id_: str, noted: Mapping[str, object], first: int) -> None:
    rows = [
        {"run": id_, "key": key, "number": number, "note": json.dumps(note)}
        for number, (key, note) in enumerate(noted.items(), first)
    ]
    if rows:
        tx.execute(insert_new(tx, notes), rows)


def _columns(change: Mapping[str, Any]) -> dict[str, Any]:
    return {name: json.dumps(dict(value)) if name == "facts" else value for name, value in change.items()}


def _record(row: Any) -> Record:
    values = {name: getattr(row, name) for name in _PLAIN}
    problem = problems.load(row.problem)
    return Record(**values, state=State(row.state), facts=json.loads(row.facts), problem=problem)
