"""What a courier looks for: mailboxes that could send, and whether anything is left. Only reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from datapallas.outbox import claims, statements
from datapallas.outbox.tables import JobState, State, jobs, leases, mailboxes, messages

if TYPE_CHECKING:
    from datapallas.outbox.database import Database


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


def _of(job: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (messages.c.job == job,) if job else ()
