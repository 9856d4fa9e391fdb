"""What happened over time: tries of a mailbox in equal spans, and how fast it goes now. Only reads.

Must stay true: one index answers it (attempts_over_time), so that a hundred thousand tries cost milliseconds.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import sqlalchemy as sa

from datapallas.outbox.eta import measured
from datapallas.outbox.tables import Fate, attempts

if TYPE_CHECKING:
    from datapallas.outbox.database import Database

PACE_SECONDS = 300.0
PACE_MOST = 500
"""What the present pace is measured over: so many seconds or so many messages, whichever is less."""
RATE_SECONDS = 60.0
"""The span the present rate is measured over."""
KINDS = ("accepted", "deferred", "refused")
_KIND = {Fate.ACCEPTED.value: "accepted", "mixed": "accepted", Fate.REFUSED.value: "refused"}


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """How many messages came to what, from `at` (seconds since 1970) on; each try counts.

    A message of which some recipients were accepted is accepted; deferred, held, unknown and lost ones are deferred.
    """

    at: float
    accepted: int = 0
    deferred: int = 0
    refused: int = 0

    @property
    def all(self) -> int:
        """Every try."""
        return self.accepted + self.deferred + self.refused


@dataclasses.dataclass(frozen=True, slots=True)
class History:
    """The spans of a mailbox, the oldest first, without gaps; `seconds` is how long one is."""

    seconds: float
    spans: tuple[Span, ...]


def history(database: Database, code: str, *, seconds: float, spans: int) -> History:
    """What a mailbox did in the last `spans` spans of `seconds` each, the one that is not over included."""
    with database.read() as tx:
        last = int(database.now(tx) // seconds)
        first = last - spans + 1
        share = attempts.c.at / seconds  # SQLite's CAST cuts off, PostgreSQL's rounds
        place = sa.cast(share if database.is_sqlite else sa.func.floor(share), sa.Integer)
        query = (
            sa.select(place, attempts.c.outcome, sa.func.count())
            .where(attempts.c.mailbox == code, attempts.c.at >= first * seconds)
            .group_by(place, attempts.c.outcome)
        )
        rows = tx.execute(query).all()
    counts: dict[int, dict[str, int]] = {}
    for at, outcome, count in rows:
        kind = _KIND.get(outcome, "deferred")
        of_span = counts.setdefault(int(at), {})
        of_span[kind] = of_span.get(kind, 0) + count
    return History(
        seconds, tuple([Span(at * seconds, **counts.get(at, {})) for at in range(first, last + 1)])
    )


def pace_of(tx: sa.Connection, code: str, now: float) -> float:
    """Messages a second the mailbox's server took of late, over at most five minutes; 0: too few to say."""
    query = (
        sa.select(attempts.c.at)
        .where(
            attempts.c.mailbox == code,
            attempts.c.at >= now - PACE_SECONDS,
            attempts.c.outcome.in_([Fate.ACCEPTED.value, "mixed"]),
        )
        .order_by(attempts.c.at.desc())
        .limit(PACE_MOST)
    )
    return measured(list(tx.execute(query).scalars()), now)


def per_minute(database: Database, code: str) -> float:
    """Messages the mailbox's server took in the last minute."""
    with database.read() as tx:
        since = database.now(tx) - RATE_SECONDS
        query = sa.select(sa.func.count()).where(
            attempts.c.mailbox == code,
            attempts.c.at >= since,
            attempts.c.outcome.in_([Fate.ACCEPTED.value, "mixed"]),
        )
        return float(tx.execute(query).scalar_one())
