"""What a courier looks for: mailboxes that could send, and whether anything is left. Only reads."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import sqlalchemy as sa

from datapallas.outbox import claims, statements
from datapallas.outbox.tables import JobState, State, jobs, leases, mailboxes, messages

if TYPE_CHECKING:
    from datapallas.outbox.database import Database


_QUIET = 0.6  # of a lease, which its process renews when three quarters are left: a fifth of it is slack


def work(database: Database, job: str = "") -> list[tuple[str, bool]]:
    """Mailboxes that could send now, and whether one more session would send more; with `job`, mail of that job."""
    with database.read() as tx:
        now = database.now(tx)
        due = sa.exists().where(messages.c.mailbox == mailboxes.c.code, statements.is_due(now, job or None))
        alive = sa.select(leases.c.owner).where(leases.c.mailbox == mailboxes.c.code, leases.c.until >= now)
        orphan = sa.exists().where(
            messages.c.mailbox == mailboxes.c.code,
            messages.c.state == State.CLAIMED,
            messages.c.owner.not_in(alive),
            *_of(job),
        )
        ready = sa.and_(mailboxes.c.pause == "", sa.or_(due, orphan))
        rows = tx.execute(sa.select(mailboxes, due.label("due")).where(ready)).all()
    return [
        (row.code, bool(row.due) and row.next_free < now - 0.5)
        for row in rows
        if claims.rests(row, now) is None
    ]


def left(database: Database, job: str = "") -> bool:
    """Something could still be sent without a person doing anything."""
    with database.read() as tx:
        now = database.now(tx)
        open_ = sa.select(mailboxes.c.code).where(mailboxes.c.pause == "")
        waiting = sa.and_(
            messages.c.state.in_([State.QUEUED.value, State.CLAIMED.value]), messages.c.mailbox.in_(open_)
        )
        paused = sa.select(jobs.c.id).where(jobs.c.state != JobState.OPEN)
        soon = sa.or_(messages.c.attempts > 0, messages.c.due <= now)
        query = sa.select(sa.exists().where(waiting, soon, messages.c.job.not_in(paused), *_of(job)))
        return bool(tx.execute(query).scalar())


@dataclasses.dataclass(frozen=True, slots=True)
class Waits:
    """What somebody waits for who sends until nothing is left.

    Attributes:
        later: messages that are tried again later.
        seconds: until the first of them is.
        silent: sessions not heard of for a while: their process may have been killed.
    """

    later: int
    seconds: float
    silent: int


def silent(now: float) -> sa.ColumnElement[bool]:
    """A lease its process should have renewed by now; it ends soon, and what it held is taken over."""
    return sa.and_(leases.c.until >= now, leases.c.until < now + claims.LEASE * _QUIET)


def waits(database: Database) -> Waits:
    """Why nothing is sent just now that will be."""
    with database.read() as tx:
        now = database.now(tx)
        open_ = sa.select(mailboxes.c.code).where(mailboxes.c.pause == "")
        later = sa.and_(
            messages.c.mailbox.in_(open_),
            messages.c.state == State.QUEUED,
            messages.c.due > now,
            messages.c.attempts > 0,
        )
        count, first = tx.execute(sa.select(sa.func.count(), sa.func.min(messages.c.due)).where(later)).one()
        quiet = tx.execute(sa.select(sa.func.count()).select_from(leases).where(silent(now))).scalar_one()
    return Waits(count, max(0.0, (first or now) - now), quiet)


def _of(job: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (messages.c.job == job,) if job else ()
