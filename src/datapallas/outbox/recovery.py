"""What a dead worker left: its messages come back, the one in its hand is in doubt.

Must stay true: nothing that was claimed is lost, whatever died; what may have been sent twice is listed; a message
that killed three workers is parked, so that it cannot stop a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from datapallas.errors import DataPallasError
from datapallas.outbox import pacing, problems, statements
from datapallas.outbox.statements import OPEN, queued_state
from datapallas.outbox.tables import (
    Doubt,
    Fate,
    State,
    attempts,
    jobs,
    messages,
    recipients,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

POISON = 3
"""Workers that may die over one message."""


def recover(tx: sa.Connection, code: str, now: float) -> None:
    """Bring the messages of a mailbox back whose lease is gone or has ended."""
    rows = tx.execute(statements.ORPHANS, {"box": code, "now": now}).all()
    if not rows:
        return
    plain = [row.id for row in rows if not row.handing]
    if plain:
        back = sa.update(messages).where(messages.c.id.in_(plain))
        tx.execute(back.values(state=queued_state(), owner=None))
    for row in rows:
        if row.handing:
            _in_doubt(tx, row, code, now)


def clock_was_set_back(tx: sa.Connection, now: float) -> None:
    """Free what would wait for a moment far ahead only because the clock was ahead once."""
    far = sa.and_(
        messages.c.attempts > 0,
        messages.c.state == State.QUEUED,
        messages.c.due > now + 2 * pacing.LONGEST_DELAY,
    )
    tx.execute(sa.update(messages).where(far).values(due=now))


def settle(tx: sa.Connection, ids: Sequence[int], fate: Fate, problem: DataPallasError, now: float) -> None:
    """Give every recipient of these messages that has no outcome yet the same one."""
    still = sa.and_(recipients.c.message.in_(ids), recipients.c.fate.in_([one.value for one in OPEN]))
    values = {"fate": fate.value, "problem": problems.dump(problem), "at": now}
    tx.execute(sa.update(recipients).where(still).values(**values))
    done = sa.update(messages).where(messages.c.id.in_(ids))
    tx.execute(done.values(state=State.DONE, owner=None, handing=False))


def _in_doubt(tx: sa.Connection, row: Any, code: str, now: float) -> None:
    doubt = tx.execute(sa.select(jobs.c.doubt).where(jobs.c.id == row.job)).scalar_one()
    note = {"message": row.id, "mailbox": code, "at": now, "outcome": "worker-lost"}
    tx.execute(attempts.insert(), note)
    one = sa.update(messages).where(messages.c.id == row.id)
    tx.execute(
        one.values(
            state=queued_state(),
            owner=None,
            handing=False,
            attempts=messages.c.attempts + 1,
            crashes=messages.c.crashes + 1,
            doubts=messages.c.doubts + 1,
        )
    )
    if row.crashes + 1 >= POISON:
        problem = DataPallasError(
            "Three workers ended while they handed this message over; it may have been sent.",
            code="outbox-poison",
        )
        settle(tx, [row.id], Fate.PARKED, problem, now)
    elif doubt == Doubt.HOLD:
        left = DataPallasError(
            "The worker ended while it handed this message over; it may have been sent.",
            code="outcome-unknown",
        )
        settle(tx, [row.id], Fate.UNKNOWN, left, now)
