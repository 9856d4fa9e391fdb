"""The ledger's tables. Times are seconds since 1970 UTC, by the database's clock (SQLite: the machine's).

Must stay true: VERSION grows with each change of these tables; a database of a newer version is refused, never
rewritten.
"""

from __future__ import annotations

import enum

import sqlalchemy as sa

VERSION = 2

metadata = sa.MetaData()
_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


class State(enum.StrEnum):
    """Where a message is. HELD: its job is paused. CLAIMED: a session has it. DONE: every recipient has an outcome."""

    QUEUED = "queued"
    HELD = "held"
    CLAIMED = "claimed"
    DONE = "done"


class Fate(enum.StrEnum):
    """What became of one recipient so far. DEFERRED: the server said "not now"; it will be tried again."""

    QUEUED = "queued"
    DEFERRED = "deferred"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    PARKED = "parked"


class JobState(enum.StrEnum):
    """What a person wants of a job."""

    OPEN = "open"
    PAUSED = "paused"
    CANCELLED = "cancelled"


class Priority(enum.IntEnum):
    """Who goes first."""

    URGENT = 0
    BULK = 1


class Doubt(enum.StrEnum):
    """What to do when it is not known whether the server took a message (RFC 1047).

    RETRY: send it again, once, with the same Message-ID. HOLD: leave it to a person.
    """

    RETRY = "retry"
    HOLD = "hold"


meta = sa.Table("meta", metadata, sa.Column("name", sa.Text, primary_key=True), sa.Column("value", sa.Text))

mailboxes = sa.Table(
    "mailboxes",
    metadata,
    sa.Column("code", sa.Text, primary_key=True),
    sa.Column("next_free", sa.Float, nullable=False, default=0.0),
    sa.Column("backoff_until", sa.Float, nullable=False, default=0.0),
    sa.Column("backoff_step", sa.Integer, nullable=False, default=0),
    sa.Column("slow", sa.Float, nullable=False, default=1.0),
    sa.Column("day_full_until", sa.Float, nullable=False, default=0.0),
    sa.Column("pause", sa.Text, nullable=False, default=""),  # why: a name; empty: it sends
    sa.Column("pause_until", sa.Float, nullable=False, default=0.0),  # 0: until a person says so
    sa.Column("pause_mark", sa.Text, nullable=False, default=""),  # what a change of the connection ends
    sa.Column("problem", sa.Text, nullable=False, default=""),  # the last failure, as JSON; see problems
    sa.Column("problem_at", sa.Float, nullable=False, default=0.0),
    sa.Column("own_sessions", sa.Integer),
    sa.Column("own_per_minute", sa.Float),
    sa.Column("own_per_day", sa.Integer),
)

hours = sa.Table(
    "hours",
    metadata,
    sa.Column("mailbox", sa.Text, primary_key=True),
    sa.Column("hour", sa.Integer, primary_key=True),
    sa.Column("recipients", sa.Integer, nullable=False),
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("mailbox", sa.Text, primary_key=True),
    sa.Column("slot", sa.Integer, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False, unique=True),
    sa.Column("until", sa.Float, nullable=False),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("mailbox", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("doubt", sa.Text, nullable=False),
    sa.Column("lifetime", sa.Float, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column(
        "cleaned", sa.Float, nullable=False, default=0.0
    ),  # when its content was deleted; 0: it is there
)

contents = sa.Table(
    "contents",
    metadata,
    sa.Column("job", sa.Text, primary_key=True),
    sa.Column("hash", sa.Text, primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("id", _BIG, primary_key=True, autoincrement=True),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("mailbox", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("due", sa.Float, nullable=False),
    sa.Column("sender", sa.Text, nullable=False),
    sa.Column("message_id", sa.Text, nullable=False),
    sa.Column("recipients", sa.Integer, nullable=False),  # still to be sent to
    sa.Column("size", _BIG, nullable=False),
    sa.Column("smtputf8", sa.Boolean, nullable=False),
    sa.Column("eightbit", sa.Boolean, nullable=False),
    sa.Column("own", sa.LargeBinary, nullable=False),  # the octets no other message has
    sa.Column("layout", sa.Text, nullable=False),  # how `own` and contents make the message; see letters
    sa.Column("owner", sa.Text),
    sa.Column(
        "handing", sa.Boolean, nullable=False, default=False
    ),  # being sent: in doubt if its worker dies
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("waited", sa.Float, nullable=False, default=0.0),
    sa.Column("crashes", sa.Integer, nullable=False, default=0),
    sa.Column("doubts", sa.Integer, nullable=False, default=0),  # how often it was not known; then sent again
    sa.UniqueConstraint("job", "key", name="messages_once"),
)
# With `id`, so that a claim reads the first hundred of a large job and does not sort all of it.
sa.Index(
    "messages_due", messages.c.mailbox, messages.c.state, messages.c.priority, messages.c.due, messages.c.id
)
sa.Index("messages_of_job", messages.c.job)

recipients = sa.Table(
    "recipients",
    metadata,
    sa.Column("message", _BIG, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("fate", sa.Text, nullable=False),
    sa.Column("reply", sa.Text, nullable=False, default=""),
    sa.Column("problem", sa.Text, nullable=False, default=""),
    sa.Column("at", sa.Float, nullable=False, default=0.0),
)
sa.Index("recipients_address", recipients.c.address)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("id", _BIG, primary_key=True, autoincrement=True),
    sa.Column("message", _BIG, nullable=False),
    sa.Column("mailbox", sa.Text, nullable=False, default=""),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("server", sa.Text, nullable=False, default=""),
    sa.Column("reply", sa.Text, nullable=False, default=""),
)
sa.Index("attempts_of_message", attempts.c.message)
sa.Index(
    "attempts_over_time", attempts.c.mailbox, attempts.c.at, attempts.c.outcome
)  # what a chart reads, whole
