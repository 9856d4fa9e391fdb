"""Many new rows in few statements, on both databases.

SQLite takes many VALUES; on PostgreSQL they go as one array for each column (unnest): the driver reads a statement
with thousands of placeholders again and again, which took three quarters of the time (measured: 100,000 messages).
Must stay true: a row that is there already is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    from collections.abc import Sequence

Rows = list[dict[str, Any]]


def insert_many(tx: sa.Connection, table: sa.Table, rows: Rows, give: Sequence[str] = ()) -> list[Any]:
    """Add rows with the same keys; gives the columns `give` of those that were new."""
    if not rows:
        return []
    returned = [table.c[name] for name in give]
    if tx.dialect.name == "sqlite":
        adding = sqlite.insert(table).on_conflict_do_nothing()
        return list(tx.execute(adding.returning(*returned), rows)) if give else _nothing(tx, adding, rows)
    words, arrays = _unnest(tx.dialect, table, rows)
    if give:
        words += f" RETURNING {', '.join(give)}"
    done = tx.execute(sa.text(words), arrays)
    return list(done) if give else []


def _nothing(tx: sa.Connection, adding: sa.Insert, rows: Rows) -> list[Any]:
    tx.execute(adding, rows)
    return []


def _unnest(dialect: sa.Dialect, table: sa.Table, rows: Rows) -> tuple[str, dict[str, list[Any]]]:
    """The statement and its arrays; no name in it comes from outside this program."""
    usual = {c.name: c.default.arg for c in table.c if isinstance(c.default, sa.ColumnDefault)}
    names = [c.name for c in table.c if c.name in rows[0] or c.name in usual]
    arrays = {name: [row.get(name, usual.get(name)) for row in rows] for name in names}
    casts = [f"CAST(:{name} AS {table.c[name].type.compile(dialect)}[])" for name in names]
    columns = ", ".join(f'"{name}"' for name in names)
    into = f'INSERT INTO "{table.name}" ({columns})'
    return f"{into} SELECT * FROM unnest({', '.join(casts)}) ON CONFLICT DO NOTHING", arrays  # noqa: S608 - our names
