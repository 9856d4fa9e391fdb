"""What a test reads from the ledger."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from datapallas.outbox import tables

if TYPE_CHECKING:
    from datapallas.outbox.database import Database


def fates(database: Database) -> dict[str, str]:
    """Address to what became of it; the last one where an address is in several messages."""
    with database.read() as tx:
        return {row.address: row.fate for row in tx.execute(sa.select(tables.recipients))}


def counts(database: Database) -> dict[str, int]:
    """How many recipients there are of each fate."""
    with database.read() as tx:
        found = tx.execute(sa.select(tables.recipients.c.fate)).scalars()
        return dict(collections.Counter(found))


def states(database: Database) -> dict[str, int]:
    """How many messages there are in each state."""
    with database.read() as tx:
        return dict(collections.Counter(tx.execute(sa.select(tables.messages.c.state)).scalars()))


def mailbox(database: Database) -> Any:
    """The one mailbox."""
    with database.read() as tx:
        return tx.execute(sa.select(tables.mailboxes)).one()


def rows(database: Database, table: sa.Table) -> list[Any]:
    with database.read() as tx:
        return list(tx.execute(sa.select(table)).all())


def all_accepted(database: Database, count: int) -> bool:
    return counts(database) == {"accepted": count}


def doubted(database: Database) -> set[str]:
    """Who is listed as perhaps sent to twice."""
    doubts = {row.id for row in rows(database, tables.messages) if row.doubts}
    doubts |= {row.message for row in rows(database, tables.attempts) if row.outcome.startswith("late-")}
    return {row.address for row in rows(database, tables.recipients) if row.message in doubts}
