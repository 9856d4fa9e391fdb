"""Noting the results of several messages in one commit: where nothing limits the pace, the disk would.

Must stay true: every message of a window was noted as being handed over before the first of them was; a session whose
lease is gone changes nothing any more, and what it saw stays listed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datapallas.outbox import statements
from datapallas.outbox.claims import Fenced, rests
from datapallas.outbox.claims import renew as renew_lease
from datapallas.outbox.results import CALM, Noting, attempt, attempt_row
from datapallas.outbox.statements import many
from datapallas.outbox.tables import Fate

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa

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
    mailbox = tx.execute(statements.MAILBOX, {"box": lease.mailbox}).one()
    easy = not mailbox.backoff_step and mailbox.slow <= 1
    plain = [one for one in results if _is_plain(one, easy=easy)]
    if plain:
        _accepted(tx, lease, plain, now)
    if len(plain) < len(results):
        for one in results:
            if not _is_plain(one, easy=easy):
                Noting(tx, lease, one, now).all()
        mailbox = tx.execute(statements.MAILBOX, {"box": lease.mailbox}).one()
    stop = bool(mailbox.pause) or rests(mailbox, now) is not None
    if following and not stop:
        many(tx, statements.HANDING, [{"one": one, "mine": lease.owner} for one in following])
    return stop


def _is_plain(result: Result, *, easy: bool) -> bool:
    """Taken by the server for its one recipient, and nothing else follows from it; `easy`: the mailbox has nothing to recover from."""
    people = result.verdict.people
    accepted = len(people) == 1 and people[0].fate is Fate.ACCEPTED
    return accepted and not result.verdict.throttled and (easy or result.calm not in {1, CALM})


def _accepted(tx: sa.Connection, lease: Lease, results: Sequence[Result], now: float) -> None:
    ids = [{"one": one.row.id, "mine": lease.owner} for one in results]
    if many(tx, statements.DONE, ids) != len(ids):
        raise Fenced(lease.mailbox)
    rows: list[dict[str, Any]] = [
        {"one": result.row.id, "place": person.position, "said": person.reply[:2000], "now": now}
        for result in results
        for person in result.verdict.people
    ]
    many(tx, statements.ACCEPTED, rows)
    many(tx, statements.ATTEMPT, [attempt_row(result, now, result.verdict.summary) for result in results])
