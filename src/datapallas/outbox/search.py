"""Finding recipients and messages: a page of a job's recipients, an address in all jobs, one message whole. Only reads.

Must stay true: an answer is bounded, however large the ledger is.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import sqlalchemy as sa

from datapallas.errors import UsageError
from datapallas.oauth.clock import iso
from datapallas.outbox.overview import line_of, lines_query
from datapallas.outbox.tables import Fate, attempts, messages, recipients

if TYPE_CHECKING:
    from datapallas.outbox.database import Database
    from datapallas.outbox.overview import RecipientLine

MOST = 100
"""Lines of one answer."""
LARGEST = 2**63 - 1
"""The largest number of a message a database can hold."""


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """Some lines, and where the next ones begin; an empty `after` when there are no more."""

    lines: tuple[RecipientLine, ...]
    after: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try; `at` is ISO 8601 UTC."""

    at: str
    outcome: str
    server: str
    reply: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MessageView:
    """One message, whole.

    Attributes:
        due: when it is tried next, ISO 8601 UTC; empty: at once, or never.
        kept: its content is still there, so that it can be sent again.
        people: its recipients, the first 100.
        attempts: its tries, the last 100, the newest first.
    """

    id: int
    job: str
    key: str
    connection: str
    state: str
    sender: str
    message_id: str
    size: int
    due: str
    may_be_double: bool
    kept: bool
    people: tuple[RecipientLine, ...]
    attempts: tuple[Attempt, ...]


def recipients_of(
    database: Database, job: str, *, outcome: str = "", after: str = "", most: int = MOST
) -> Page:
    """Recipients of a job in their order, with one outcome (a Fate; empty: all), behind the place `after`.

    Raises UsageError for an outcome or a place that is none.
    """
    query = lines_query().where(messages.c.job == job)
    if outcome:
        if outcome not in {one.value for one in Fate}:
            raise UsageError(f"There is no outcome {outcome!r}.")
        query = query.where(recipients.c.fate == outcome)
    if after:
        message, position = _place(after)
        later = sa.and_(messages.c.id == message, recipients.c.position > position)
        query = query.where(messages.c.id >= message, sa.or_(messages.c.id > message, later))
    with database.read() as tx:
        rows = tx.execute(query.limit(most + 1)).all()
    lines = tuple([line_of(row) for row in rows[:most]])
    return Page(lines, f"{lines[-1].message}-{lines[-1].position}" if len(rows) > most else "")


def find(database: Database, text: str, *, most: int = MOST) -> list[RecipientLine]:
    """Recipients of all jobs whose address is, or else contains, `text`, the newest first."""
    words = text.strip()
    if not words:
        return []
    newest = lines_query().order_by(None).order_by(messages.c.id.desc(), recipients.c.position).limit(most)
    exact = recipients.c.address.in_({words, words.lower()})
    part = recipients.c.address.icontains(words, autoescape=True)
    with database.read() as tx:
        rows = tx.execute(newest.where(exact)).all() or tx.execute(newest.where(part)).all()
    return [line_of(row) for row in rows]


def message(database: Database, number: int) -> MessageView:
    """One message. Raises UsageError (code ``unknown-message``)."""
    with database.read() as tx:
        now = database.now(tx)
        query = sa.select(messages).where(messages.c.id == number)
        row = tx.execute(query).one_or_none() if number <= LARGEST else None
        if row is None:
            raise UsageError(f"There is no message {number}.", code="unknown-message")
        people = tx.execute(lines_query().where(messages.c.id == number).limit(MOST)).all()
        tries = sa.select(attempts).where(attempts.c.message == number).order_by(attempts.c.id.desc())
        found = tx.execute(tries.limit(MOST)).all()
    return MessageView(
        id=row.id,
        job=row.job,
        key=row.key,
        connection=row.mailbox,
        state=row.state,
        sender=row.sender,
        message_id=row.message_id,
        size=row.size,
        due=iso(row.due) if row.due > now else "",
        may_be_double=row.doubts > 0,
        kept=bool(row.layout) or not row.size,
        people=tuple([line_of(one) for one in people]),
        attempts=tuple(
            [
                Attempt(at=iso(one.at), outcome=one.outcome, server=one.server, reply=one.reply)
                for one in found
            ]
        ),
    )


def _place(after: str) -> tuple[int, int]:
    message_, _, position = after.partition("-")
    numbers = message_.isascii() and message_.isdecimal() and position.isascii() and position.isdecimal()
    if numbers and len(after) < 60 and max(int(message_), int(position)) <= LARGEST:  # noqa: PLR2004 - two numbers
        return int(message_), int(position)
    raise UsageError("`after` is what an answer gave as `after`.")
