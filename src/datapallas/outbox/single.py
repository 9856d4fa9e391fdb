"""One message: where it stands, and what can be done with it alone.

Must stay true: a message that a session has in its hands is left to that session; what was accepted is never touched;
a message that was taken back is sent by nobody, until somebody asks for it again.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from datapallas.errors import DataPallasError, UsageError
from datapallas.outbox import problems
from datapallas.outbox.claims import rests
from datapallas.outbox.database import notify
from datapallas.outbox.looking import silent
from datapallas.outbox.recovery import settle
from datapallas.outbox.retrying import fates_again, send_again
from datapallas.outbox.statements import OPEN
from datapallas.outbox.tables import (
    Fate,
    JobState,
    State,
    attempts,
    jobs,
    leases,
    mailboxes,
    messages,
    recipients,
)
from datapallas.outbox.verdict import PASSING

if TYPE_CHECKING:
    from datapallas.outbox.database import Database

TAKEN_BACK = "taken-back"
"""The attempt that says: whoever promised it has taken it back."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a message stands.

    Attributes:
        id: its number in the ledger.
        state: see State.
        job: the job's id.
        sender: of the envelope.
        people: its recipients, in their order.
        server: who answered last; empty: nobody did.
        attempts: how often it was tried.
        pause: why its mailbox is paused; empty when it is not.
        problem: what paused it, or why it last went slower; None when nothing did.
        waits: seconds until it may be tried next; 0: now.
        elsewhere: a session of its mailbox has not been heard of for a while; what it had is taken over within a
            minute.
    """

    id: int
    state: State
    job: str
    message_id: str
    sender: str
    people: tuple[Person, ...]
    server: str
    attempts: int
    pause: str
    problem: DataPallasError | None
    waits: float
    elsewhere: bool

    @property
    def done(self) -> bool:
        """Every recipient has an outcome."""
        return self.state is State.DONE


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One recipient; `at`: seconds since 1970 of the last reply, 0 before there is one."""

    address: str
    fate: Fate
    reply: str
    problem: DataPallasError | None
    at: float


def standing(database: Database, job: str, key: str) -> Standing:
    """Where the message of a job stands. Raises UsageError (code ``unknown-job``)."""
    with database.read() as tx:
        return _standing(tx, _row(tx, job, key), database.now(tx))


def take_back(database: Database, job: str, key: str) -> Standing | None:
    """Send it to nobody else; where it stood until now. None: it is being handed over this moment, so ask again."""
    with database.write() as tx:
        row = _row(tx, job, key, lock=True)
        now = database.now(tx)
        found = _standing(tx, row, now)
        if row.state == State.CLAIMED:
            return None
        if not found.done:
            tx.execute(
                attempts.insert(),
                {"message": row.id, "mailbox": row.mailbox, "at": now, "outcome": TAKEN_BACK},
            )
            _park(tx, row.id, now)
        return found


def asked_again(tx: sa.Connection, job: str, key: str, now: float) -> bool:
    """Somebody promises a message that is known already: one that was taken back is to be sent after all."""
    row = _row(tx, job, key, lock=True)
    last = sa.select(attempts.c.outcome).where(attempts.c.message == row.id).order_by(attempts.c.id.desc())
    if row.state != State.DONE or tx.execute(last.limit(1)).scalar() != TAKEN_BACK:
        return False
    return bool(send_again(tx, messages.c.id == row.id, (Fate.PARKED,), now))


def unpause(tx: sa.Connection, code: str) -> None:
    """Somebody sends through a mailbox that waits for a sign-in or a change: it is tried, whatever was before."""
    stopped = sa.and_(mailboxes.c.code == code, mailboxes.c.pause.in_([one.value for one in PASSING]))
    tx.execute(sa.update(mailboxes).where(stopped).values(pause="", pause_until=0.0, backoff_until=0.0))


def retry(database: Database, message: int, *, refused: bool = False) -> int:
    """Try one message again, now; how many recipients that is."""
    with database.write() as tx:
        _by_id(tx, message)
        return send_again(tx, messages.c.id == message, fates_again(refused=refused), database.now(tx))


def hold(database: Database, message: int) -> bool:
    """Keep a message that waits from being sent; False when it does not wait."""
    return _moved(database, message, State.QUEUED, State.HELD)


def release(database: Database, message: int) -> bool:
    """Let a held message go on; False when it is not held, or its whole job is."""
    with database.read() as tx:
        row = _by_id(tx, message)
        if tx.execute(sa.select(jobs.c.state).where(jobs.c.id == row.job)).scalar() == JobState.PAUSED:
            return False
    return _moved(database, message, State.HELD, State.QUEUED)


def cancel(database: Database, message: int) -> bool:
    """Park what waits of one message; False when nothing does."""
    with database.write() as tx:
        row = _by_id(tx, message)
        if row.state not in {State.QUEUED, State.HELD}:
            return False
        told = DataPallasError("It was cancelled before it was sent.", code="job-cancelled")
        settle(tx, [message], Fate.PARKED, told, database.now(tx))
        return True


def _moved(database: Database, message: int, before: State, after: State) -> bool:
    with database.write() as tx:
        _by_id(tx, message)
        one = sa.update(messages).where(messages.c.id == message, messages.c.state == before)
        found = tx.execute(one.values(state=after.value)).rowcount
        notify(tx)
        return bool(found)


def _park(tx: sa.Connection, message: int, now: float) -> None:
    """As `settle`: the words of the server stay, the reason is ours."""
    told = problems.dump(DataPallasError("It was taken back before it was sent.", code="taken-back"))
    still = sa.and_(recipients.c.message == message, recipients.c.fate.in_([one.value for one in OPEN]))
    tx.execute(sa.update(recipients).where(still).values(fate=Fate.PARKED.value, problem=told, at=now))
    done = sa.update(messages).where(messages.c.id == message)
    tx.execute(done.values(state=State.DONE.value, owner=None, handing=False))


def _standing(tx: sa.Connection, row: Any, now: float) -> Standing:
    people = sa.select(recipients).where(recipients.c.message == row.id).order_by(recipients.c.position)
    tried = sa.select(attempts.c.server).where(attempts.c.message == row.id, attempts.c.server != "")
    mailbox = tx.execute(sa.select(mailboxes).where(mailboxes.c.code == row.mailbox)).one()
    quiet = sa.exists().where(leases.c.mailbox == row.mailbox, silent(now))
    return Standing(
        id=row.id,
        state=State(row.state),
        job=row.job,
        message_id=row.message_id,
        sender=row.sender,
        people=tuple([_person(one) for one in tx.execute(people)]),
        server=tx.execute(tried.order_by(attempts.c.id.desc()).limit(1)).scalar() or "",
        attempts=row.attempts,
        pause=mailbox.pause,
        problem=problems.of_mailbox(mailbox, now),
        elsewhere=bool(tx.execute(sa.select(quiet)).scalar()),
        waits=max(0.0, row.due - now if row.attempts else 0.0, rests(mailbox, now) or 0.0),
    )


def _person(row: Any) -> Person:
    return Person(
        address=row.address,
        fate=Fate(row.fate),
        reply=row.reply,
        problem=problems.load(row.problem),
        at=row.at,
    )


def _row(tx: sa.Connection, job: str, key: str, *, lock: bool = False) -> Any:
    query = sa.select(messages).where(messages.c.job == job, messages.c.key == key)
    row = tx.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise UsageError(f"The job {job!r} has no message {key!r}.", code="unknown-job", job=job)
    return row


def _by_id(tx: sa.Connection, message: int) -> Any:
    row = tx.execute(sa.select(messages).where(messages.c.id == message)).one_or_none()
    if row is None:
        raise UsageError(f"There is no message {message}.", code="unknown-message")
    return row
