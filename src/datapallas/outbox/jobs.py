"""What a person does to jobs and mailboxes: pause, resume, cancel, retry, limits.

Must stay true: nothing is deleted; what was accepted is never touched; a message that a session has in its hands is
left to that session.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from datapallas.errors import DataPallasError, UsageError
from datapallas.outbox import problems
from datapallas.outbox.claims import locked_mailbox
from datapallas.outbox.database import notify
from datapallas.outbox.recovery import settle
from datapallas.outbox.retrying import fates_again, send_again
from datapallas.outbox.tables import Fate, JobState, State, jobs, mailboxes, messages
from datapallas.outbox.verdict import PASSING, Pause, asked_for_less

if TYPE_CHECKING:
    from datapallas.outbox.database import Database
    from datapallas.outbox.limits import OwnLimits


def pause(database: Database, job: str) -> int:
    """Hold what a job has not sent yet; how many messages that is."""
    return _switch(database, job, (JobState.PAUSED, State.QUEUED, State.HELD))


def resume(database: Database, job: str) -> int:
    """Let a paused job go on; how many messages wait now."""
    return _switch(database, job, (JobState.OPEN, State.HELD, State.QUEUED))


def cancel(database: Database, job: str) -> int:
    """Send nothing more of a job: what waits is parked, for good or until `retry`; how many messages that was."""
    with database.write() as tx:
        row = _job(tx, job)
        waiting = sa.and_(
            messages.c.job == row.id, messages.c.state.in_([State.QUEUED.value, State.HELD.value])
        )
        ids = list(tx.execute(sa.select(messages.c.id).where(waiting)).scalars())
        tx.execute(sa.update(jobs).where(jobs.c.id == row.id).values(state=JobState.CANCELLED.value))
        told = DataPallasError("The job was cancelled before this was sent.", code="job-cancelled")
        now = database.now(tx)
        for at in range(0, len(ids), 1000):
            settle(tx, ids[at : at + 1000], Fate.PARKED, told, now)
        return len(ids)


def under_way(database: Database, job: str) -> int:
    """How many messages of a job sessions have in their hands: they still go out, whatever is said of the job."""
    mine = sa.and_(messages.c.job == job, messages.c.state == State.CLAIMED.value)
    with database.read() as tx:
        return tx.execute(sa.select(sa.func.count()).select_from(messages).where(mine)).scalar_one()


def retry(database: Database, job: str, *, refused: bool = False) -> int:
    """Try again what is deferred, now, and what is parked or unknown; with `refused` that too; how many recipients.

    Of a cancelled job `refused` brings back only the refused ones.
    """
    with database.write() as tx:
        row = _job(tx, job)
        # what was cancelled is brought back by a plain retry only, not along with those that were refused
        alone = refused and row.state == JobState.CANCELLED
        fates = (Fate.REFUSED,) if alone else fates_again(refused=refused)
        found = send_again(tx, messages.c.job == row.id, fates, database.now(tx))
        tx.execute(sa.update(jobs).where(jobs.c.id == row.id).values(state=JobState.OPEN.value))
        held = sa.and_(messages.c.job == row.id, messages.c.state == State.HELD)
        tx.execute(sa.update(messages).where(held).values(state=State.QUEUED.value))
        return found


def pause_mailbox(database: Database, code: str) -> None:
    """Send nothing through a connection until `resume_mailbox`."""
    _set(database, code, {"pause": Pause.PERSON.value, "pause_until": 0.0, "pause_mark": ""})


def resume_mailbox(database: Database, code: str) -> None:
    """Let a mailbox send again, at its full speed."""
    values = {"pause": "", "pause_until": 0.0, "backoff_until": 0.0, "backoff_step": 0, "slow": 1.0}
    _set(database, code, values | {"day_full_until": 0.0})


def try_mailboxes(database: Database) -> None:
    """A person has sent what waits: mailboxes that wait for a sign-in or a change are tried, whatever was before.

    So is what waits only because nobody could be reached. A server that asked for less is left alone.
    """
    stopped = mailboxes.c.pause.in_([one.value for one in PASSING])
    with database.write() as tx:
        tx.execute(sa.update(mailboxes).where(stopped).values(pause="", pause_until=0.0, backoff_until=0.0))
        now = database.now(tx)
        resting = sa.select(mailboxes).where(mailboxes.c.pause == "", mailboxes.c.backoff_until > now)
        for row in tx.execute(resting.with_for_update()).all():
            if not asked_for_less(problems.load(row.problem)):
                _try(tx, row, now)


def _try(tx: sa.Connection, mailbox: Any, now: float) -> None:
    """Let a mailbox that could reach nobody try again: itself, and the messages it took back then."""
    its = messages.c.mailbox == mailbox.code, messages.c.state == State.QUEUED, messages.c.attempts > 0
    back = sa.update(messages).where(*its, messages.c.due.between(now, mailbox.backoff_until + 1.0))
    tx.execute(sa.update(mailboxes).where(mailboxes.c.code == mailbox.code).values(backoff_until=0.0))
    tx.execute(back.values(due=now))


def set_limits(database: Database, code: str, own: OwnLimits) -> None:
    """Keep a person's own limits for a mailbox; None is the provider's again. Raises UsageError."""
    if own.sessions is not None and not 1 <= own.sessions <= 100:  # noqa: PLR2004 - more is a mistyped number
        raise UsageError("Give 1 to 100 sessions.")
    if any(value is not None and value < 0 for value in (own.per_minute, own.per_day)):
        raise UsageError("A limit is 0 (none) or more.")
    _set(database, code, {f"own_{name}": value for name, value in dataclasses.asdict(own).items()})


def _set(database: Database, code: str, values: dict[str, Any]) -> None:
    with database.write() as tx:
        locked_mailbox(tx, code)
        tx.execute(sa.update(mailboxes).where(mailboxes.c.code == code).values(**values))
        notify(tx)


def _switch(database: Database, job: str, change: tuple[JobState, State, State]) -> int:
    wanted, before, after = change
    with database.write() as tx:
        row = _job(tx, job)
        if row.state == JobState.CANCELLED:
            raise UsageError(f"The job {row.id} is cancelled; retry it instead.", code="job-closed")
        tx.execute(sa.update(jobs).where(jobs.c.id == row.id).values(state=wanted.value))
        moved = sa.update(messages).where(messages.c.job == row.id, messages.c.state == before.value)
        found = tx.execute(moved.values(state=after.value)).rowcount
        notify(tx)
        return int(found)


def _job(tx: sa.Connection, job: str) -> Any:
    row = tx.execute(sa.select(jobs).where(jobs.c.id == job).with_for_update()).one_or_none()
    if row is None:
        raise UsageError(f"There is no job {job!r}.", code="unknown-job", job=job)
    return row
