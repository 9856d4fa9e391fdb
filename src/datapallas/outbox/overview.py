"""What the ledger knows, for people: jobs, mailboxes, and each recipient. Only reads."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from datapallas.errors import UsageError
from datapallas.oauth.clock import iso
from datapallas.outbox import pacing, problems
from datapallas.outbox.claims import limits_of
from datapallas.outbox.estimate import left
from datapallas.outbox.eta import Pace
from datapallas.outbox.history import pace_of
from datapallas.outbox.limits import OwnLimits
from datapallas.outbox.statements import OPEN
from datapallas.outbox.tables import (
    Fate,
    JobState,
    State,
    hours,
    jobs,
    leases,
    mailboxes,
    messages,
    recipients,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datapallas.errors import DataPallasError
    from datapallas.outbox.database import Database
    from datapallas.outbox.estimate import Estimate
    from datapallas.outbox.limits import Limits


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobLine:
    """One job.

    Attributes:
        waiting: messages that are not done.
        fates: how many recipients there are of each fate; every fate is named.
        doubted: messages that may have been sent twice.
        created: ISO 8601, UTC.
    """

    id: str
    name: str
    connection: str
    state: str
    created: str
    messages: int
    waiting: int
    fates: dict[str, int]
    doubted: int

    @property
    def open(self) -> int:
        """Recipients without an outcome yet."""
        return sum(self.fates[one.value] for one in OPEN)

    @property
    def shown(self) -> str:
        """The state for people: ``done`` when every recipient of an open or paused job has an outcome."""
        return "done" if not self.open and self.state != JobState.CANCELLED else self.state


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RecipientLine:
    """One recipient of one message; `message` and `position` are its place in the ledger."""

    message: int
    position: int
    job: str
    key: str
    address: str
    outcome: str
    reply: str
    at: str
    message_id: str
    attempts: int
    may_be_double: bool
    problem: DataPallasError | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MailboxLine:
    """One mailbox.

    Attributes:
        pause: why it is paused; empty when it sends.
        problem: why it does not send, or slower; None when its last failure is over.
        tried: seconds until a mailbox paused for a sign-in or its configuration tries one message by itself.
        waits: seconds until it sends again, when it is leaving its server alone or its day is full.
        waiting: recipients that have no outcome yet.
        sessions: open now, over all workers.
        last_day: recipients handed over in the last 24 hours, where the provider limits them.
        rate: messages a second its server took of late; 0: too few to say.
        left: how long the rest takes.
        pace: what that was reckoned from.
    """

    code: str
    pause: str
    problem: DataPallasError | None
    problem_at: str
    tried: float
    waits: float
    waiting: int
    messages: int
    sessions: int
    last_day: int
    limits: Limits
    slow: float
    rate: float
    left: Estimate
    pace: Pace


def job_ids(database: Database, newest: int) -> list[str]:
    """The ids of the newest jobs, the newest first."""
    query = sa.select(jobs.c.id).order_by(jobs.c.created.desc(), jobs.c.id.desc()).limit(newest)
    with database.read() as tx:
        return list(tx.execute(query).scalars())


def job_lines(database: Database, job: str = "", *, newest: int = 100) -> list[JobLine]:
    """Jobs, the newest first; one of them when `job` is given. Raises UsageError (code ``unknown-job``)."""
    query = sa.select(jobs).order_by(jobs.c.created.desc(), jobs.c.id.desc()).limit(newest)
    with database.read() as tx:
        rows = tx.execute(query.where(jobs.c.id == job) if job else query).all()
        if job and not rows:
            raise UsageError(f"There is no job {job!r}.", code="unknown-job", job=job)
        return [_job_line(tx, row) for row in rows]


def _job_line(tx: sa.Connection, row: Any) -> JobLine:
    of_job = messages.c.job == row.id
    fate = sa.select(recipients.c.fate, sa.func.count()).join(messages, messages.c.id == recipients.c.message)
    found: dict[str, int] = {
        str(name): n for name, n in tx.execute(fate.where(of_job).group_by(recipients.c.fate))
    }
    doubted = sa.func.sum(sa.case((messages.c.doubts > 0, 1), else_=0))
    waiting = sa.func.sum(sa.case((messages.c.state != State.DONE, 1), else_=0))
    count, doubts, open_ = tx.execute(sa.select(sa.func.count(), doubted, waiting).where(of_job)).one()
    return JobLine(
        id=row.id,
        name=row.name,
        connection=row.mailbox,
        state=row.state,
        created=iso(row.created),
        messages=count,
        waiting=int(open_ or 0),
        fates={one.value: found.get(one.value, 0) for one in Fate},
        doubted=int(doubts or 0),
    )


def recipient_lines(database: Database, job: str, *, only_open_ends: bool = False) -> Iterator[RecipientLine]:
    """Every recipient of a job, in order, read as they are asked for; or only those that were not simply accepted."""
    query = lines_query().where(messages.c.job == job)
    if only_open_ends:
        query = query.where(sa.or_(recipients.c.fate != Fate.ACCEPTED, messages.c.doubts > 0))
    with database.read() as tx:
        for row in tx.execution_options(yield_per=500).execute(query):
            yield line_of(row)


def lines_query() -> sa.Select[Any]:
    """What `line_of` reads, in the ledger's order."""
    names = ("id", "job", "key", "message_id", "attempts", "doubts")
    return (
        sa.select(*[messages.c[name] for name in names], recipients)
        .join(recipients, messages.c.id == recipients.c.message)
        .order_by(messages.c.id, recipients.c.position)
    )


def line_of(row: Any) -> RecipientLine:
    """The line of a row of `lines_query`."""
    return RecipientLine(
        message=row.id,
        position=row.position,
        job=row.job,
        key=row.key,
        address=row.address,
        outcome=row.fate,
        reply=row.reply,
        at=iso(row.at) if row.at else "",
        message_id=row.message_id,
        attempts=row.attempts,
        may_be_double=row.doubts > 0,
        problem=problems.load(row.problem),
    )


def mailbox_lines(database: Database, limits: Callable[[str], Limits]) -> list[MailboxLine]:
    """Every mailbox that has or had mail in the outbox; `limits` are its provider's."""
    with database.read() as tx:
        now = database.now(tx)
        rows = tx.execute(sa.select(mailboxes).order_by(mailboxes.c.code)).all()
        return [_mailbox_line(tx, row, limits_of(row, limits(row.code)), now) for row in rows]


def _mailbox_line(tx: sa.Connection, row: Any, limits: Limits, now: float) -> MailboxLine:
    open_ = sa.and_(messages.c.mailbox == row.code, messages.c.state != State.DONE)
    count, people = tx.execute(
        sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(messages.c.recipients), 0)).where(open_)
    ).one()
    open_now = sa.select(sa.func.count()).where(leases.c.mailbox == row.code, leases.c.until >= now)
    day = sa.and_(hours.c.mailbox == row.code, hours.c.hour >= pacing.hour_of(now) - pacing.DAY_HOURS)
    counts = [(one.hour, one.recipients) for one in tx.execute(sa.select(hours).where(day))]
    used = sum(n for _, n in counts)
    rate = pace_of(tx, row.code, now)
    pace = Pace(
        limits=limits,
        slow=row.slow,
        measured=rate,
        rests=max(0.0, row.backoff_until - now),
        counts=counts,
        now=now,
    )
    return MailboxLine(
        code=row.code,
        pause=row.pause,
        problem=problems.of_mailbox(row, now),
        problem_at=iso(row.problem_at) if row.problem_at else "",
        tried=max(0.0, row.pause_until - now) if row.pause else 0.0,
        waits=max(0.0, row.backoff_until - now, row.day_full_until - now),
        waiting=int(people),
        messages=int(count),
        sessions=tx.execute(open_now).scalar_one(),
        last_day=used,
        limits=limits,
        slow=row.slow,
        rate=rate,
        left=left(int(count), int(people), pace),
        pace=pace,
    )


def own_limits(database: Database, code: str) -> OwnLimits:
    """A person's own values for a mailbox, as far as there are any."""
    with database.read() as tx:
        row = tx.execute(sa.select(mailboxes).where(mailboxes.c.code == code)).one_or_none()
    if row is None:
        return OwnLimits()
    return OwnLimits(sessions=row.own_sessions, per_minute=row.own_per_minute, per_day=row.own_per_day)
