"""The statements of every message, built once: SQLAlchemy builds one seven times as slowly as it carries it out.

Must stay true: a parameter is not called like a column that the statement sets (SQLAlchemy keeps those names for itself).
Nothing here asks a database.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from datapallas.outbox.tables import (
    Fate,
    JobState,
    State,
    attempts,
    jobs,
    leases,
    mailboxes,
    messages,
    recipients,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OPEN = (Fate.QUEUED, Fate.DEFERRED)
"""Fates of recipients that are still to be sent to."""


def many(tx: sa.Connection, statement: sa.UpdateBase, rows: Sequence[Mapping[str, Any]]) -> int:
    """Carry a statement out once for each row, all with the same names; give how many rows of the table it met in all.

    Written out once and handed to the driver as it is: for each row SQLAlchemy's own work costs more than SQLite's.
    The values are texts, numbers and truths, which both drivers take as they are.
    """
    words, names, usual = _written(tx.dialect, statement, tuple(rows[0]))
    if names:
        given: Any = [tuple([row[name] if name in row else usual[name] for name in names]) for row in rows]
    else:
        given = [{**usual, **row} for row in rows]
    return tx.exec_driver_sql(words, given).rowcount


@functools.lru_cache(maxsize=64)
def _written(
    dialect: sa.Dialect, statement: sa.UpdateBase, keys: tuple[str, ...]
) -> tuple[str, tuple[str, ...], dict[str, Any]]:
    """The words of a statement, the names of its values in their order (none where they go by name), and its own values."""
    columns = list(keys) if isinstance(statement, sa.Insert) else None
    compiled: Any = statement.compile(dialect=dialect, column_keys=columns, for_executemany=True)
    own = {name: value for name, value in compiled.params.items() if name not in keys}
    return str(compiled), tuple(compiled.positiontup or ()), own


def _p(name: str) -> sa.BindParameter[Any]:
    return sa.bindparam(name)


def _ids() -> sa.BindParameter[Any]:
    return sa.bindparam("ids", expanding=True)


def is_due(now: Any, job: Any = None) -> sa.ColumnElement[bool]:
    """A message may be claimed, as far as it is about the message; with `job`, by a session of that job."""
    if job is None:
        return sa.and_(messages.c.state == State.QUEUED, messages.c.due <= now)
    # what the job's own process keeps for itself (`Item.due`) it may send before that moment
    soon = sa.or_(messages.c.due <= now, messages.c.attempts == 0)
    return sa.and_(messages.c.state == State.QUEUED, messages.c.job == job, soon)


def queued_state() -> sa.ColumnElement[str]:
    """Where a message that goes back belongs: HELD when its job is paused by now."""
    paused = sa.exists().where(jobs.c.id == messages.c.job, jobs.c.state == JobState.PAUSED)
    return sa.case((paused, State.HELD.value), else_=State.QUEUED.value)


def _due(job: Any = None) -> sa.Select[Any]:
    mine = messages.c.mailbox == _p("box"), messages.c.priority == _p("rank"), is_due(_p("now"), job)
    query = sa.select(messages).where(*mine).order_by(messages.c.due, messages.c.id)
    return query.limit(sa.bindparam("most", type_=sa.Integer)).with_for_update(skip_locked=True)


MAILBOX = sa.select(mailboxes).where(mailboxes.c.code == _p("box"))
LOCKED_MAILBOX = MAILBOX.with_for_update()
NEXT_FREE = sa.update(mailboxes).where(mailboxes.c.code == _p("box")).values(next_free=_p("free"))
RENEW = (
    sa.update(leases)
    .where(leases.c.owner == _p("mine"), leases.c.mailbox == _p("box"))
    .values(until=_p("lasts"))
)
DUE = _due()
DUE_OF_JOB = _due(_p("of"))
CLAIM = (
    sa.update(messages)
    .where(messages.c.id == _p("one"))
    .values(state=State.CLAIMED.value, owner=_p("mine"), handing=_p("at_once"))
)
HANDING = (
    sa.update(messages).where(messages.c.id == _p("one"), messages.c.owner == _p("mine")).values(handing=True)
)
"""For `many`, as DONE, ACCEPTED, CLAIM and ATTEMPT are."""
HAND_BACK = (
    sa.update(messages)
    .where(messages.c.id.in_(_ids()), messages.c.owner == _p("mine"))
    .values(state=queued_state(), owner=None, handing=False)
)
GIVE_ALL_BACK = (
    sa.update(messages)
    .where(messages.c.mailbox == _p("box"), messages.c.owner == _p("mine"), sa.not_(messages.c.handing))
    .values(state=queued_state(), owner=None, handing=False)
)
DONE = (
    sa.update(messages)
    .where(messages.c.id == _p("one"), messages.c.owner == _p("mine"))
    .values(state=State.DONE.value, owner=None, handing=False, attempts=messages.c.attempts + 1)
)
ACCEPTED = (
    sa.update(recipients)
    .where(recipients.c.message == _p("one"), recipients.c.position == _p("place"))
    .values(fate=Fate.ACCEPTED.value, reply=_p("said"), problem="", at=_p("now"))
)
ATTEMPT = attempts.insert()
DOUBTS = sa.select(jobs.c.id, jobs.c.doubt).where(jobs.c.id.in_(_ids()))
OPEN_RECIPIENTS = (
    sa.select(recipients.c.message, recipients.c.position, recipients.c.address)
    .where(recipients.c.message.in_(_ids()), recipients.c.fate.in_([one.value for one in OPEN]))
    .order_by(recipients.c.message, recipients.c.position)
)
ORPHANS = sa.select(messages.c.id, messages.c.job, messages.c.handing, messages.c.crashes).where(
    messages.c.mailbox == _p("box"),
    messages.c.state == State.CLAIMED,
    messages.c.owner.not_in(
        sa.select(leases.c.owner).where(leases.c.mailbox == _p("box"), leases.c.until >= _p("now"))
    ),
)
"""Claimed messages of a mailbox whose lease is gone or has ended."""
