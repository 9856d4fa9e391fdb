"""Trying again, because a person says so.

Must stay true: what was accepted is never touched, nor what a session has in its hands; whoever may get it twice is
listed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from datapallas.errors import UsageError
from datapallas.outbox.database import notify
from datapallas.outbox.tables import Fate, State, messages, recipients

if TYPE_CHECKING:
    from collections.abc import Sequence


def fates_again(*, refused: bool) -> tuple[Fate, ...]:
    """What a retry brings back: what is deferred, parked or unknown; with `refused` that too."""
    return (Fate.DEFERRED, Fate.PARKED, Fate.UNKNOWN, *([Fate.REFUSED] if refused else []))


def send_again(tx: sa.Connection, which: sa.ColumnElement[bool], fates: Sequence[Fate], now: float) -> int:
    """Queue the recipients with these fates of the messages `which`; how many those are.

    Raises UsageError (code ``content-gone``) when none of them has its content any more.
    """
    names = [one.value for one in fates]
    there = sa.or_(messages.c.layout != "", messages.c.size == 0)  # retention has deleted the others' content
    free = sa.and_(which, messages.c.state != State.CLAIMED, there)
    again = sa.and_(
        recipients.c.message.in_(sa.select(messages.c.id).where(free)), recipients.c.fate.in_(names)
    )
    of_it = recipients.c.message == messages.c.id
    unknown = sa.exists().where(of_it, recipients.c.fate == Fate.UNKNOWN.value)
    some = sa.exists().where(of_it, recipients.c.fate.in_(names))
    count = sa.select(sa.func.count()).where(of_it, recipients.c.fate.in_([*names, Fate.QUEUED.value]))
    values = {
        "state": State.QUEUED.value,
        "due": now,
        "waited": 0.0,
        "crashes": 0,
        "doubts": messages.c.doubts + sa.case((unknown, 1), else_=0),
        "recipients": count.scalar_subquery(),
    }
    tx.execute(sa.update(messages).where(free, some).values(**values))
    found = tx.execute(sa.update(recipients).where(again).values(fate=Fate.QUEUED.value)).rowcount
    if not found and tx.execute(sa.select(messages.c.id).where(which, some, sa.not_(there)).limit(1)).first():
        raise UsageError("Its content is no longer kept, so it cannot be sent again.", code="content-gone")
    notify(tx)
    return int(found)
