"""Noting what happened: the result of a message and the renewed lease in one commit.

Must stay true: a session whose lease is gone changes nothing any more; it only adds the line that tells what it saw.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from datapallas.outbox import pacing, problems, statements
from datapallas.outbox.claims import Fenced, locked_mailbox, renew
from datapallas.outbox.statements import OPEN, queued_state
from datapallas.outbox.tables import Fate, State, jobs, mailboxes, messages, recipients
from datapallas.outbox.verdict import PASSING, QUOTA_SECONDS, Pause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datapallas.errors import DataPallasError
    from datapallas.outbox.claims import Lease
    from datapallas.outbox.database import Database
    from datapallas.outbox.verdict import Verdict

CALM = 20
"""Messages in a row without a throttle after which a slowed mailbox sends twice as fast again."""
_OVER = (Fate.REFUSED, Fate.UNKNOWN, Fate.PARKED)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What is noted about one message.

    Attributes:
        row: the message as it was claimed.
        verdict: what follows from how it ended.
        chance: a number in [0, 1), so that retries spread.
        mark: what a changed connection would change; a pause for its settings ends then.
        calm: messages in a row without trouble in this session.
    """

    row: Any
    verdict: Verdict
    chance: float
    mark: str = ""
    calm: int = 0


def open_recipients(tx: sa.Connection, ids: Sequence[int]) -> dict[int, list[tuple[int, str]]]:
    """Position and address of every recipient these messages are still to be sent to."""
    found: dict[int, list[tuple[int, str]]] = {id_: [] for id_ in ids}
    for message, position, address in tx.execute(statements.OPEN_RECIPIENTS, {"ids": ids}):
        found[message].append((position, address))
    return found


def handing(database: Database, lease: Lease, message: int) -> None:
    """Note that a message is being handed over. Raises Fenced."""
    database.together(lambda tx: _handing(tx, lease, message, database.now(tx)))


def _handing(tx: sa.Connection, lease: Lease, message: int, now: float) -> None:
    renew(tx, lease, now)
    if statements.many(tx, statements.HANDING, [{"one": message, "mine": lease.owner}]) != 1:
        raise Fenced(lease.mailbox)


class Noting:
    """One result, within its transaction."""

    def __init__(self, tx: sa.Connection, lease: Lease, result: Result, now: float) -> None:
        self._tx, self._lease, self._result, self._now = tx, lease, result, now

    def all(self) -> None:
        """Write everything that follows from it. Raises Fenced."""
        verdict = self._result.verdict
        until = self._mailbox() if self._touches_mailbox() else self._now
        renew(self._tx, self._lease, self._now)
        delay = self._delay(until - self._now) if verdict.again else None
        people = verdict.people
        if verdict.again and delay is None:
            people = tuple(
                [
                    dataclasses.replace(one, fate=Fate.PARKED) if one.fate is Fate.DEFERRED else one
                    for one in people
                ]
            )
        self._message(delay)
        self._people(people)
        attempt(self._tx, self._result, self._now, verdict.summary)

    def _touches_mailbox(self) -> bool:
        verdict = self._result.verdict
        return verdict.throttled or verdict.pause is not None or self._result.calm in {1, CALM}

    def _mailbox(self) -> float:
        """Back off, pause, or recover; until when the mailbox rests."""
        verdict, now = self._result.verdict, self._now
        row = locked_mailbox(self._tx, self._lease.mailbox)
        values: dict[str, Any] = {}
        until = now
        if verdict.pause is not None:
            values = _paused(row, verdict.pause, self._result.mark, now)
        elif verdict.throttled:
            if row.backoff_until <= now:  # else another session has said so already
                until = now + pacing.backoff(row.backoff_step, self._result.chance, verdict.after)
                values = {"backoff_until": until, "backoff_step": row.backoff_step + 1}
                if verdict.slower:
                    values["slow"] = pacing.slower(row.slow)
            else:
                until = row.backoff_until
        elif row.backoff_step or row.slow > 1:
            values = {"backoff_step": 0}
            if self._result.calm == CALM:
                values["slow"] = pacing.faster(row.slow)
        if verdict.error is not None:
            values |= {"problem": problems.dump(verdict.error), "problem_at": now}
        if values:
            self._tx.execute(sa.update(mailboxes).where(mailboxes.c.code == row.code).values(**values))
        return until

    def _delay(self, rest: float) -> float | None:
        """Seconds until the message is tried again; None when it has waited for its lifetime."""
        verdict, row = self._result.verdict, self._result.row
        if not verdict.counted:
            return 0.0
        lifetime = self._tx.execute(sa.select(jobs.c.lifetime).where(jobs.c.id == row.job)).scalar_one()
        if row.waited >= lifetime:
            return None
        if verdict.throttled or verdict.doubtful:
            return max(rest, 1.0)  # the mailbox's trouble, not the message's
        return pacing.retry_delay(row.waited, self._result.chance, lifetime)

    def _message(self, delay: float | None) -> None:
        verdict, row = self._result.verdict, self._result.row
        values: dict[str, Any] = {"state": State.DONE.value, "owner": None, "handing": False}
        if verdict.again and delay is not None:
            left = sum(1 for one in verdict.people if one.fate in OPEN)
            values |= {"state": queued_state(), "due": self._now + delay, "recipients": left}
            if verdict.counted:
                values["waited"] = row.waited + delay
        if verdict.counted:
            values["attempts"] = row.attempts + 1
        if verdict.doubtful:
            values["doubts"] = row.doubts + 1
        mine = sa.and_(messages.c.id == row.id, messages.c.owner == self._lease.owner)
        if self._tx.execute(sa.update(messages).where(mine).values(**values)).rowcount != 1:
            raise Fenced(self._lease.mailbox)

    def _people(self, people: Sequence[Any]) -> None:
        """One statement for all recipients with the same words; most messages have one recipient."""
        alike: dict[tuple[Fate, str, str], list[int]] = {}
        for one in people:
            problem = problems.dump(one.error) if one.error is not None else ""
            alike.setdefault((one.fate, one.reply, problem), []).append(one.position)
        whole = len(alike) == 1
        for (fate, reply, problem), positions in alike.items():
            which = recipients.c.message == self._result.row.id
            which = sa.and_(which, recipients.c.fate.in_([one.value for one in OPEN]))
            if not whole:
                which = sa.and_(which, recipients.c.position.in_(positions))
            values = {"fate": fate.value, "reply": reply[:2000], "problem": problem, "at": self._now}
            self._tx.execute(sa.update(recipients).where(which).values(**values))


def attempt(tx: sa.Connection, result: Result, now: float, outcome: str) -> None:
    """Add the line of one try."""
    tx.execute(statements.ATTEMPT, attempt_row(result, now, outcome))


def attempt_row(result: Result, now: float, outcome: str) -> dict[str, Any]:
    """Give the row of one try."""
    people = result.verdict.people
    said = people[0].reply if people else ""
    return {
        "message": result.row.id,
        "mailbox": result.row.mailbox,
        "at": now,
        "outcome": outcome,
        "server": result.verdict.server,
        "reply": said[:2000],
    }


def trouble(database: Database, code: str, error: DataPallasError) -> None:
    """Note a failure at a mailbox that goes on sending."""
    with database.write() as tx:
        values = {"problem": problems.dump(error), "problem_at": database.now(tx)}
        tx.execute(sa.update(mailboxes).where(mailboxes.c.code == code).values(**values))


def stop_for(database: Database, code: str, error: DataPallasError, pause: Pause, mark: str = "") -> None:
    """Pause a mailbox for a failure that met no message: its file is broken, nobody signed in."""
    with database.write() as tx:
        row = locked_mailbox(tx, code)
        now = database.now(tx)
        values = _paused(row, pause, mark, now) | {"problem": problems.dump(error), "problem_at": now}
        tx.execute(sa.update(mailboxes).where(mailboxes.c.code == code).values(**values))


def _paused(row: Any, pause: Pause, mark: str, now: float) -> dict[str, Any]:
    """A pause, and when one message tries again by itself; 0: when a person says so."""
    values: dict[str, Any] = {"pause": pause.value, "pause_until": 0.0, "pause_mark": mark}
    if pause is Pause.QUOTA:
        values["pause_until"] = now + QUOTA_SECONDS
    elif pause in PASSING:
        values["pause_until"] = now + pacing.probe_delay(row.backoff_step)
        values["backoff_step"] = row.backoff_step + 1  # an accepted message sets it back
    return values
