"""An outbox of an older version, brought to this one's tables when it is opened.

Must stay true: all of it is one transaction; no mail and no outcome is lost or changed by it.
"""

from __future__ import annotations

import sqlalchemy as sa

from datapallas.outbox import tables


def upgrade(tx: sa.Connection) -> str:
    """Bring the tables of version 1 to version 2: attempts know their mailbox, jobs whether
    their content is still there, and a claim need not sort. The new version.
    """
    tx.exec_driver_sql("ALTER TABLE attempts ADD COLUMN mailbox TEXT NOT NULL DEFAULT ''")
    tx.exec_driver_sql("ALTER TABLE jobs ADD COLUMN cleaned DOUBLE PRECISION NOT NULL DEFAULT 0")
    of_it = sa.select(tables.messages.c.mailbox).where(tables.messages.c.id == tables.attempts.c.message)
    known = sa.func.coalesce(of_it.scalar_subquery(), "")
    tx.execute(sa.update(tables.attempts).values(mailbox=known))
    for index in tables.attempts.indexes:
        index.create(tx, checkfirst=True)
    for index in tables.messages.indexes:
        index.drop(tx, checkfirst=True)
        index.create(tx)
    version = str(tables.VERSION)
    tx.execute(sa.update(tables.meta).where(tables.meta.c.name == "version").values(value=version))
    return version
