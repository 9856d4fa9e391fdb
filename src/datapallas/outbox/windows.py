"""Noting the results of several messages in one commit: where nothing limits the pace, the disk would.

Must stay true: every message of a window was noted as being handed over before the first of them was; a session whose
lease is gone changes nothing any more, and what it saw stays listed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from datapallas.outbox.claims import Fenced, rests
from datapallas.outbox.claims import renew as renew_lease
from datapallas.outbox.results import CALM, Noting, attempt, attempt_row
from datapallas.outbox.tables import Fate, State, attempts, mailboxes, messages, recipients

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datapallas.outbox.claims import Lease
    from datapallas.outbox.database import Database
    from datapallas.outbox.results import Result


def record_all(database: Database, lease: Lease, results: Sequence[Result], following: Sequence[int]) -> bool:
    """Note results, and that the messages `following` are handed over next; True when the mailbox is to stop.

    Raises Fenced when the lease, or a message, is somebody else's by now.
    """
    try:
        return database.together(lambda tx: _all(tx, lease, (results, following), database.now(tx)))
    except Fenced:
        with database.write() as tx:
            for one in results:  # what was seen stays listed: it may have been sent twice
                attempt(tx, one, database.now(tx), f"late-{one.verdict.summary}")
        raise


def _all(tx: sa.Connection, lease: Lease, given: tuple[Sequence[Result], Sequence[int]], now: float) -> bool:
    results, following = given
    renew_lease(tx, lease, now)
    plain = [one for one in results if _is_plain(one)]
    if plain:
        _accepted(tx, lease, plain, now)
    for one in results:
        if not _is_plain(one):
            Noting(tx, lease, one, now).all()
    mailbox = tx.execute(sa.select(mailboxes).where(mailboxes.c.code == lease.mailbox)).one()
    stop = bool(mailbox.pause) or rests(mailbox, now) is not None
    if following and not stop:
        mine = sa.and_(messages.c.id.in_(following), messages.c.owner == lease.owner)
        tx.execute(sa.update(messages).where(mine).values(handing=True))
    return stop


def _is_plain(result: Result) -> bool:
    """Taken by the server for its one recipient, and nothing else follows from it."""
    people = result.verdict.people
    accepted = len(people) == 1 and people[0].fate is Fate.ACCEPTED
    return accepted and not result.verdict.throttled and result.calm not in {1, CALM}


def _accepted(tx: sa.Connection, lease: Lease, results: Sequence[Result], now: float) -> None:
    ids = [one.row.id for one in results]
    mine = sa.and_(messages.c.id.in_(ids), messages.c.owner == lease.owner)
    values = {"state": State.DONE.value, "owner": None, "handing": False, "attempts": messages.c.attempts + 1}
    if tx.execute(sa.update(messages).where(mine).values(**values)).rowcount != len(ids):
        raise Fenced(lease.mailbox)
    one = sa.and_(recipients.c.message == sa.bindparam("id"), recipients.c.position == sa.bindparam("place"))
    taken = sa.update(recipients).where(one)
    rows: list[dict[str, Any]] = [
        {"id": result.row.id, "place": person.position, "said": person.reply[:2000]}
        for result in results
        for person in result.verdict.people
    ]
    said = {"fate": Fate.ACCEPTED.value, "reply": sa.bindparam("said"), "problem": "", "at": now}
    tx.execute(taken.values(**said), rows)
    tx.execute(attempts.insert(), [attempt_row(result, now, result.verdict.summary) for result in results])
