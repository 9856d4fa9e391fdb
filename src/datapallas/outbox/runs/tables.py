"""The tables beside DBOS's own: runs, what was noted of them, workers, and how far each schedule was looked at.

Must stay true: a column that is added has a default, so that an older file is still read; times are seconds since
1970 UTC by the database's clock.
"""

from __future__ import annotations

import enum

import sqlalchemy as sa

SCHEMA = "datapallas_runs"
"""Where they and DBOS's tables are in PostgreSQL. In SQLite they are in a file of their own."""

metadata = sa.MetaData()


class State(enum.StrEnum):
    """Where a run is.

    PREPARED: made, nobody said "go". QUEUED: promised. HANDED: DBOS has it. RUNNING: a worker has it. WAITING: its
    steps are done, what it started is not. DONE, STOPPED (by a problem; can be resumed) and CANCELLED are ends.
    """

    PREPARED = "prepared"
    QUEUED = "queued"
    HANDED = "handed"
    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    STOPPED = "stopped"
    CANCELLED = "cancelled"


ENDED = (State.DONE, State.STOPPED, State.CANCELLED)

runs = sa.Table(
    "datapallas_runs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("work", sa.Text, nullable=False),  # which steps
    sa.Column("subject", sa.Text, nullable=False, default=""),  # what it is about, such as a report's code
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False, default=1),  # each is a workflow of its own for DBOS
    sa.Column("due", sa.Float, nullable=False, default=0.0),
    sa.Column("tries", sa.Integer, nullable=False, default=0),  # failures in a row that pass by themselves
    sa.Column("crashes", sa.Integer, nullable=False, default=0),  # workers in a row that ended over it
    sa.Column("owner", sa.Text, nullable=False, default=""),  # the execution that may change it
    sa.Column("place", sa.Text, nullable=False, default=""),  # the installation it belongs to; empty: any
    sa.Column("bound", sa.Boolean, nullable=False, default=False),  # it has files there: no other may take it
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("ended", sa.Float, nullable=False, default=0.0),
    sa.Column("facts", sa.Text, nullable=False, default="{}"),  # the work's own, as JSON
    sa.Column(
        "problem", sa.Text, nullable=False, default=""
    ),  # what stopped it, as JSON; see outbox.problems
)
sa.Index("datapallas_runs_state", runs.c.state)
sa.Index("datapallas_runs_subject", runs.c.subject, runs.c.created)

notes = sa.Table(
    "datapallas_notes",
    metadata,
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),  # their order
    sa.Column("note", sa.Text, nullable=False),  # JSON
)

workers = sa.Table(
    "datapallas_workers",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("until", sa.Float, nullable=False),
)

marks = sa.Table(
    "datapallas_marks",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("spec", sa.Text, nullable=False),  # the schedule it was looked at with
    sa.Column("at", sa.Float, nullable=False),  # every time up to here was dealt with
)
