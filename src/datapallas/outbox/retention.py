"""Deleting what is no longer needed: the content of jobs that are done, and after a long time their rows.

Must stay true: only jobs are touched of which every recipient has an outcome; each step is a short transaction, so
that sending never waits for it; ended at any moment, what is left is whole.
"""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from datapallas.outbox.tables import State, attempts, contents, jobs, messages, recipients

if TYPE_CHECKING:
    from datapallas.outbox.database import Database

DAY = 86_400.0
_STEP = 500  # messages of one transaction
_PIECES = 16  # contents of one transaction, at most a mebibyte each
_BREATH = 0.01  # seconds between two transactions, for whoever else wants to write


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How long what is done is kept, in days after its last outcome.

    Attributes:
        content: what the messages say. Without it a message cannot be sent again.
        rows: who got what and when.
    """

    content: float = 14.0
    rows: float = 400.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """What was, or would be, deleted.

    Attributes:
        contents: jobs whose content was.
        jobs: jobs whose rows were.
        octets: of content.
    """

    contents: int = 0
    jobs: int = 0
    octets: int = 0


def clean(
    database: Database, keeping: Keeping, *, dry_run: bool = False, end: threading.Event | None = None
) -> Cleaned:
    """Delete what is over; with `dry_run` only say what that would be. `end` stops it between two steps.

    Raises StorageError; what was deleted until then is.
    """
    work = _Cleaning(database, end or threading.Event())
    with database.read() as tx:
        now = database.now(tx)
    whole = work.done_before(now - keeping.rows * DAY, everything=True)
    emptied = [job for job in work.done_before(now - keeping.content * DAY) if job not in set(whole)]
    octets = sum(map(work.octets, [*whole, *emptied]))
    if not dry_run:
        for job in emptied:
            work.empty(job, now)
        for job in whole:
            work.delete(job)
    return Cleaned(contents=len(emptied), jobs=len(whole), octets=octets)


class _Cleaning:
    def __init__(self, database: Database, end: threading.Event) -> None:
        self._database = database
        self._end = end

    def done_before(self, moment: float, *, everything: bool = False) -> list[str]:
        """Jobs whose last outcome is older; without `everything`, those whose content is still there."""
        old = sa.select(jobs.c.id).where(jobs.c.created < moment)
        if not everything:
            old = old.where(jobs.c.cleaned == 0)
        with self._database.read() as tx:
            found = list(tx.execute(old.order_by(jobs.c.created)).scalars())
        return [job for job in found if not self._end.is_set() and self._is_done(job, moment)]

    def _is_done(self, job: str, moment: float) -> bool:
        waiting = sa.exists().where(messages.c.job == job, messages.c.state != State.DONE)
        late = sa.exists().where(
            messages.c.job == job, recipients.c.message == messages.c.id, recipients.c.at >= moment
        )
        with self._database.read() as tx:
            return not tx.execute(sa.select(sa.or_(waiting, late))).scalar()

    def octets(self, job: str) -> int:
        """What a job's content takes."""
        own = sa.select(sa.func.coalesce(sa.func.sum(sa.func.length(messages.c.own)), 0))
        shared = sa.select(sa.func.coalesce(sa.func.sum(sa.func.length(contents.c.data)), 0))
        with self._database.read() as tx:
            of_messages = tx.execute(own.where(messages.c.job == job)).scalar_one()
            return int(of_messages) + int(tx.execute(shared.where(contents.c.job == job)).scalar_one())

    def empty(self, job: str, now: float) -> None:
        """Delete what a job's messages say."""
        full = sa.select(messages.c.id).where(
            messages.c.job == job, messages.c.state == State.DONE, messages.c.layout != ""
        )
        while ids := self._some(full.limit(_STEP)):
            emptied = sa.update(messages).where(messages.c.id.in_(ids), messages.c.state == State.DONE)
            if not self._step(emptied.values(own=b"", layout="")):
                return
        if self._contents(job):
            self._step(sa.update(jobs).where(jobs.c.id == job).values(cleaned=now))

    def delete(self, job: str) -> None:
        """Delete everything of a job."""
        if not self._contents(job):
            return
        of_job = sa.select(messages.c.id).where(messages.c.job == job, messages.c.state == State.DONE)
        while ids := self._some(of_job.limit(_STEP)):
            gone = (
                sa.delete(attempts).where(attempts.c.message.in_(ids)),
                sa.delete(recipients).where(recipients.c.message.in_(ids)),
                sa.delete(messages).where(messages.c.id.in_(ids), messages.c.state == State.DONE),
            )
            if not self._step(*gone):
                return
        left = sa.exists().where(messages.c.job == job)
        self._step(sa.delete(jobs).where(jobs.c.id == job, sa.not_(left)))

    def _contents(self, job: str) -> bool:
        """Delete what the messages of a job share, unless one of them waits by now; False when it was stopped."""
        waiting = sa.exists().where(messages.c.job == job, messages.c.state != State.DONE)
        some = sa.select(contents.c.hash).where(contents.c.job == job, sa.not_(waiting)).limit(_PIECES)
        while names := self._some(some):
            pieces = sa.delete(contents).where(contents.c.job == job, contents.c.hash.in_(names))
            if not self._step(pieces.where(sa.not_(waiting))):
                return False
        return not self._end.is_set()

    def _some(self, query: sa.Select[Any]) -> list[Any]:
        with self._database.read() as tx:
            return list(tx.execute(query).scalars())

    def _step(self, *changes: sa.Update | sa.Delete) -> bool:
        with self._database.write() as tx:
            for change in changes:
                tx.execute(change)
        return not self._end.wait(_BREATH)
