"""Who may send what, and when: leases, and the one transaction that claims messages.

Must stay true:
- no more sessions than the mailbox may have hold a lease; a lease that ended is taken over, its messages come back;
- pause, limits, reserved moments and claimed messages are read and written under the lock of the mailbox's row;
- a message that was being handed over when its worker died is in doubt; no other one is.
The order of locks is mailbox, lease, messages, everywhere.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from datapallas.outbox import pacing, statements
from datapallas.outbox.database import insert_new
from datapallas.outbox.limits import OwnLimits
from datapallas.outbox.recovery import recover
from datapallas.outbox.tables import Doubt, Priority, hours, jobs, leases, mailboxes, messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datapallas.outbox.limits import Limits

LEASE = 60.0
"""Seconds a lease lasts; each result renews it, and so does the worker's heartbeat."""
_WEIGHT = 500  # recipients of one transaction at the server


class Fenced(Exception):
    """The lease is gone: somebody else has, or may have, this session's messages. Stop at once; never shown."""


@dataclasses.dataclass(frozen=True, slots=True)
class Lease:
    """The right to be one session of a mailbox; with `job`, for the messages of that job alone."""

    mailbox: str
    owner: str
    slot: int = -1
    seconds: float = LEASE
    job: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Claimed:
    """A message to be sent, and the moment reserved for it (the database's clock)."""

    row: Any
    at: float


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """What one claim gave.

    Attributes:
        messages: in the order of their moments.
        now: when it was made.
        wait: seconds until a claim may give something, when this one gave nothing; None: nothing is due.
        stop: the mailbox is paused.
        marked: how many of them, from the first, are noted as being handed over already.
        interval: seconds from one moment to the next; 0: nothing limits the pace.
        more: others were due.
    """

    messages: tuple[Claimed, ...]
    now: float
    wait: float | None = None
    stop: bool = False
    marked: int = 0
    interval: float = 0.0
    more: bool = False


def limits_of(row: Any, base: Limits) -> Limits:
    """The limits in force: a person's own values over the provider's."""
    own = OwnLimits(sessions=row.own_sessions, per_minute=row.own_per_minute, per_day=row.own_per_day)
    return own.over(base)


def locked_mailbox(tx: sa.Connection, code: str) -> Any:
    """The row of a mailbox, locked until the transaction ends; made when it is not there."""
    row = tx.execute(statements.LOCKED_MAILBOX, {"box": code}).one_or_none()
    if row is None:
        tx.execute(insert_new(tx, mailboxes), {"code": code})
        row = tx.execute(statements.LOCKED_MAILBOX, {"box": code}).one()
    return row


def take_lease(tx: sa.Connection, wanted: Lease, base: Limits, now: float) -> Lease | None:
    """Take a free slot; None when all are held."""
    code = wanted.mailbox
    limits = limits_of(locked_mailbox(tx, code), base)
    tx.execute(sa.delete(leases).where(leases.c.mailbox == code, lapsed(now)))
    held = set(tx.execute(sa.select(leases.c.slot).where(leases.c.mailbox == code)).scalars())
    free = next((slot for slot in range(limits.sessions) if slot not in held), None)
    if free is None or len(held) >= limits.sessions:
        return None
    row = {"mailbox": code, "slot": free, "owner": wanted.owner, "until": now + wanted.seconds}
    tx.execute(leases.insert(), row)
    recover(tx, code, now)
    return dataclasses.replace(wanted, slot=free)


def lapsed(now: float) -> sa.ColumnElement[bool]:
    """The lease has ended; one that would last longer than any can is from before the clock was set back."""
    return sa.or_(leases.c.until < now, leases.c.until > now + 2 * LEASE)


def renew(tx: sa.Connection, lease: Lease, now: float) -> None:
    """Renew a lease. Raises Fenced when it is gone."""
    mine = {"mine": lease.owner, "box": lease.mailbox, "lasts": now + lease.seconds}
    if tx.execute(statements.RENEW, mine).rowcount != 1:
        raise Fenced(lease.mailbox)


def release(tx: sa.Connection, lease: Lease) -> None:
    """Give a lease back, and what was claimed under it. A message in hand is not: it is in doubt for whoever comes next."""
    tx.execute(statements.GIVE_ALL_BACK, {"box": lease.mailbox, "mine": lease.owner})
    tx.execute(sa.delete(leases).where(leases.c.owner == lease.owner))


def claim(tx: sa.Connection, lease: Lease, base: Limits, speed: pacing.Speed, now: float) -> Claim:
    """Claim what may leave next in a session of this speed. Raises Fenced."""
    mailbox = locked_mailbox(tx, lease.mailbox)
    renew(tx, lease, now)
    if mailbox.pause:
        return Claim((), now, stop=True)
    wait = rests(mailbox, now)
    if wait is not None:
        return Claim((), now, wait)
    recover(tx, lease.mailbox, now)
    limits = limits_of(mailbox, base)
    interval = pacing.slowed(limits.interval, mailbox.slow)
    most = pacing.room(mailbox.next_free, now, interval, speed.message)
    if not most:
        return Claim((), now, pacing.free_moment(mailbox.next_free, now, interval) - now - pacing.HORIZON / 2)
    rows = _due(tx, lease, most, now)
    more = len(rows) >= most
    if rows and limits.per_day:
        rows = _within_the_day(tx, rows, limits.per_day, now)
        if not rows:
            return Claim((), now, rests(locked_mailbox(tx, lease.mailbox), now) or pacing.HORIZON)
    if not rows:
        return Claim((), now)
    return dataclasses.replace(_reserved(tx, (mailbox, rows), lease, (interval, speed, now)), more=more)


def hand_back(tx: sa.Connection, lease: Lease, rest: Sequence[Claimed], base: Limits, now: float) -> None:
    """Give back claimed messages that were not sent, with their moments if nobody took later ones, and their share of the day."""
    mailbox = locked_mailbox(tx, lease.mailbox)
    mine = {"ids": [one.row.id for one in rest], "mine": lease.owner}
    if tx.execute(statements.HAND_BACK, mine).rowcount != len(rest):
        return  # somebody has taken them over, and with them what they had reserved
    limits = limits_of(mailbox, base)
    interval = pacing.slowed(limits.interval, mailbox.slow)
    taken = pacing.reserve(rest[0].at, rest[0].at, interval, [weight(one.row.recipients) for one in rest])
    if (
        interval
        and abs(rest[-1].at + interval * weight(rest[-1].row.recipients) - mailbox.next_free) < interval / 2
    ):
        free = min(mailbox.next_free, taken.at[0])
        tx.execute(statements.NEXT_FREE, {"box": lease.mailbox, "free": free})
    if limits.per_day:
        people = sum(one.row.recipients for one in rest)
        hour = sa.and_(hours.c.mailbox == lease.mailbox, hours.c.hour == pacing.hour_of(now))
        less = sa.case((hours.c.recipients > people, hours.c.recipients - people), else_=0)
        tx.execute(sa.update(hours).where(hour).values(recipients=less))


def weight(recipients: int) -> int:
    """How many messages of the provider's count one of ours is."""
    return max(1, -(-recipients // _WEIGHT))


def rests(mailbox: Any, now: float) -> float | None:
    """Seconds until the mailbox may send again; None: now. Further away than any wait is long: the clock was set back."""
    until = max(
        mailbox.backoff_until if mailbox.backoff_until - now <= 2 * pacing.MAX_BACKOFF else 0.0,
        mailbox.day_full_until
        if mailbox.day_full_until - now <= (pacing.DAY_HOURS + 1) * pacing.HOUR
        else 0.0,
    )
    return until - now if until > now else None


def anything_due(tx: sa.Connection, lease: Lease, now: float) -> bool:
    """A message could be claimed under this lease now, if the limits allow."""
    due = sa.exists().where(messages.c.mailbox == lease.mailbox, statements.is_due(now, lease.job or None))
    return bool(tx.execute(sa.select(due)).scalar())


def _due(tx: sa.Connection, lease: Lease, most: int, now: float) -> list[Any]:
    rows: list[Any] = []
    for priority in Priority:
        wanted = {"box": lease.mailbox, "rank": int(priority), "now": now, "most": most - len(rows)}
        if lease.job:
            rows += tx.execute(statements.DUE_OF_JOB, {**wanted, "of": lease.job}).all()
        else:
            rows += tx.execute(statements.DUE, wanted).all()
        if len(rows) >= most:
            break
    return rows


def _within_the_day(tx: sa.Connection, rows: list[Any], per_day: int, now: float) -> list[Any]:
    """The first messages the day has room for, counted; none: the mailbox waits until it has."""
    code = rows[0].mailbox
    here = pacing.hour_of(now)
    near = hours.c.hour.between(here - pacing.DAY_HOURS, here + pacing.DAY_HOURS)
    tx.execute(sa.delete(hours).where(hours.c.mailbox == code, sa.not_(near)))
    counts = [
        (row.hour, row.recipients) for row in tx.execute(sa.select(hours).where(hours.c.mailbox == code))
    ]
    left, again = pacing.day_left(counts, now, per_day)
    used = sum(n for _, n in counts)
    fit: list[Any] = []
    people = 0
    for row in rows:
        if people + row.recipients > left and (
            fit or used
        ):  # a message for more than a day's worth has the day alone
            break
        fit.append(row)
        people += row.recipients
    if not fit:
        first = min(hour for hour, n in counts if n) if used else here
        again = again if left <= 0 else (first + pacing.DAY_HOURS + 1) * pacing.HOUR
        tx.execute(_of(code).values(day_full_until=max(again, now + 1)))
        return []
    tx.execute(insert_new(tx, hours), {"mailbox": code, "hour": here, "recipients": 0})
    this = sa.and_(hours.c.mailbox == code, hours.c.hour == here)
    tx.execute(sa.update(hours).where(this).values(recipients=hours.c.recipients + people))
    return fit


def alike(rows: Sequence[Any], most: int, held: frozenset[str]) -> int:
    """How many messages, from the first, may be handed over together.

    One that was in doubt before goes alone, so that what killed a worker is found; so does one of a job (`held`) whose
    doubts are left to a person.
    """
    alone = (at for at, row in enumerate(rows[:most]) if row.crashes or row.doubts or row.job in held)
    return max(1, next(alone, min(most, len(rows))))


def _reserved(
    tx: sa.Connection, found: tuple[Any, list[Any]], lease: Lease, pace: tuple[float, pacing.Speed, float]
) -> Claim:
    (mailbox, rows), (interval, speed, now) = found, pace
    taken = pacing.reserve(mailbox.next_free, now, interval, [weight(row.recipients) for row in rows])
    if interval:
        tx.execute(statements.NEXT_FREE, {"box": lease.mailbox, "free": taken.next_free})
    marked = 0
    if taken.at[0] - now < pacing.LATE:
        most = pacing.window(interval, speed)
        marked = alike(rows, most, _held(tx, rows)) if most > 1 else 1
    for some, at_once in ((rows[:marked], True), (rows[marked:], False)):
        if some:
            mine = {"mine": lease.owner, "at_once": at_once}
            statements.many(tx, statements.CLAIM, [{"one": row.id, **mine} for row in some])
    given = tuple([Claimed(row, at) for row, at in zip(rows, taken.at, strict=True)])
    return Claim(given, now, marked=marked, interval=interval)


def _held(tx: sa.Connection, rows: Sequence[Any]) -> frozenset[str]:
    which = jobs.c.id.in_({row.job for row in rows}), jobs.c.doubt == Doubt.HOLD
    return frozenset(tx.execute(sa.select(jobs.c.id).where(*which)).scalars())


def _of(code: str) -> sa.Update:
    return sa.update(mailboxes).where(mailboxes.c.code == code)
