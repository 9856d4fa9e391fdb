"""Taking messages in: when `accept` returns, they are promised.

Must stay true: everything of one call is in one transaction, synced before it returns; the same key of the same job
is one message, however often it is given, and never silently stands for another one; inside a caller's own transaction nothing is committed here.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from datapallas.errors import ConfigurationError, UsageError
from datapallas.outbox import tables
from datapallas.outbox.database import insert_new, notify, patient
from datapallas.outbox.inserting import insert_many
from datapallas.outbox.letters import Splitter
from datapallas.outbox.pacing import LIFETIME
from datapallas.outbox.repeats import refuse_others
from datapallas.outbox.tables import Doubt, Fate, JobState, Priority, State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datapallas.mail.compose import Composed
    from datapallas.mail.envelope import Envelope
    from datapallas.mail.transport import Letter
    from datapallas.outbox.database import Database

LONGEST_ID = 200
ROWS = 500
_OCTETS = 8 * 1024 * 1024


def new_job_id() -> str:
    """An id that sorts by time and is short enough to type: ``20261128-034759-k3x9``."""
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    tail = "".join(secrets.choice(alphabet) for _ in range(6))
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{tail}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The messages of one report run, one relay session, one command.

    Attributes:
        connection: the code of the connection they leave through.
        id: made when empty; the same id again adds to that job.
        name: what a person calls it.
        priority: URGENT goes before BULK.
        doubt: what to do when it is not known whether the server took a message.
        lifetime: seconds for which a deferred recipient is tried again.
        compared: a key that is known already must come with the same message; a report, whose keys are its rows',
            may render a row anew after a kill.

    Raises UsageError: the id holds a slash or a control character, or is too long.
    """

    connection: str
    id: str = dataclasses.field(default_factory=new_job_id)
    name: str = ""
    priority: Priority = Priority.BULK
    doubt: Doubt = Doubt.RETRY
    lifetime: float = LIFETIME
    compared: bool = True

    def __post_init__(self) -> None:
        """Refuse an id that could not stand in an address of the page."""
        fits = 0 < len(self.id) <= LONGEST_ID and self.id.isprintable() and "/" not in self.id
        if not fits or self.id in {".", ".."}:
            raise UsageError(
                f"{self.id[:LONGEST_ID]!r} cannot be a job's id: give at most {LONGEST_ID} characters without a slash."
            )


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """One message to promise.

    Attributes:
        key: what makes it this one within its job, such as the row's number; the same key again is not taken twice.
        envelope: who it is from and for.
        letter: its octets; a composed message or any other body with a Message-ID.
        due: seconds since 1970 before which it does not leave.
    """

    key: str
    envelope: Envelope
    letter: Letter
    due: float = 0.0

    @classmethod
    def of(cls, message: Composed, key: str = "") -> Item:
        """The item of a composed message; without a key it is one of its own."""
        return cls(key or message.message_id, message.envelope, message)


@dataclasses.dataclass(frozen=True, slots=True)
class Accepted:
    """What was promised.

    Attributes:
        job: the job's id.
        new: messages taken in now.
        known: messages that were there already, by their keys.
    """

    job: str
    new: int
    known: int


def accept(
    database: Database, job: Job, items: Iterable[Item], *, within: sa.Connection | None = None
) -> Accepted:
    """Promise messages.

    Args:
        database: the outbox.
        job: what they belong to.
        items: any number; read once, in constant memory.
        within: a caller's own SQLAlchemy connection to the same database, in a transaction: then the messages are
            promised when the caller commits.

    Raises StorageError (nothing was taken), AttachmentError, ConfigurationError (the job is another connection's, or
    cancelled), UsageError (code ``key-reused``: a key came with another message before).
    """
    if within is not None:
        with database.told():
            return _Taking(within, job, database.now(within)).all(items)
    with database.write() as tx:
        patient(tx)  # items may be made one by one, and take their time
        return _Taking(tx, job, database.now(tx)).all(items)


class _Taking:
    """One call of `accept`, within its transaction."""

    def __init__(self, tx: sa.Connection, job: Job, now: float) -> None:
        self._tx = tx
        self._job = job
        self._now = now
        self._state = State.QUEUED
        self._splitter = Splitter()
        self._rows: list[dict[str, Any]] = []
        self._people: dict[str, tuple[str, ...]] = {}
        self._new = self._given = self._octets = 0

    def all(self, items: Iterable[Item]) -> Accepted:
        """Take every item."""
        self._open()
        for item in items:
            self._given += 1
            self._add(item)
            if len(self._rows) >= ROWS or self._octets + self._splitter.octets > _OCTETS:
                self._flush()
        self._flush()
        notify(self._tx)
        return Accepted(self._job.id, self._new, self._given - self._new)

    def _open(self) -> None:
        job, tx = self._job, self._tx
        tx.execute(insert_new(tx, tables.mailboxes), {"code": job.connection})
        row = {
            "id": job.id,
            "name": job.name,
            "mailbox": job.connection,
            "state": JobState.OPEN.value,
            "priority": int(job.priority),
            "doubt": job.doubt.value,
            "lifetime": job.lifetime,
            "created": self._now,
        }
        tx.execute(insert_new(tx, tables.jobs), row)
        found = tx.execute(sa.select(tables.jobs).where(tables.jobs.c.id == job.id)).one()
        if found.mailbox != job.connection or found.state == JobState.CANCELLED:
            why = "is cancelled" if found.state == JobState.CANCELLED else f"sends through {found.mailbox}"
            raise ConfigurationError(f"The job {job.id} {why}.", code="job-closed", job=job.id)
        if found.state == JobState.PAUSED:
            self._state = State.HELD
        if found.cleaned:  # what is added now is there
            tx.execute(sa.update(tables.jobs).where(tables.jobs.c.id == job.id).values(cleaned=0.0))

    def _add(self, item: Item) -> None:
        if item.key in self._people:
            if not self._job.compared:
                return
            self._flush()  # then it is one that is known, and compared
        taken = self._splitter.take(item.letter)
        self._octets += len(taken.own)
        self._people[item.key] = item.envelope.recipients
        row = {
            "job": self._job.id,
            "key": item.key,
            "mailbox": self._job.connection,
            "state": self._state.value,
            "priority": int(self._job.priority),
            "due": item.due,  # 0 for at once: a clock that is set back holds up nothing
            "sender": item.envelope.sender,
            "message_id": item.letter.message_id,
            "recipients": len(item.envelope.recipients),
            "size": item.letter.size,
            "smtputf8": item.letter.smtputf8 or item.envelope.smtputf8,
            "eightbit": item.letter.eightbit,
            "own": taken.own,
            "layout": taken.layout,
        }
        self._rows.append(row)

    def _flush(self) -> None:
        tx, people = self._tx, self._people
        fresh = self._splitter.flushed()
        if fresh:
            rows = [{"job": self._job.id, "hash": name, "data": data} for name, data in fresh.items()]
            insert_many(tx, tables.contents, rows)
        if self._rows:
            added = insert_many(tx, tables.messages, self._rows, ("id", "key"))
            self._new += len(added)
            if self._job.compared and len(added) < len(self._rows):
                taken = {key for _, key in added}
                refuse_others(
                    tx, self._job.id, [row for row in self._rows if row["key"] not in taken], people
                )
            recipients = [
                {"message": id_, "position": place, "address": address, "fate": Fate.QUEUED.value}
                for id_, key in added
                for place, address in enumerate(people[key])
            ]
            insert_many(tx, tables.recipients, recipients)
        self._rows, self._people, self._octets = [], {}, 0
