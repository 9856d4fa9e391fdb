"""The outbox as a server works with it: opened once, when there is one; what its pages and its API ask of it.

Must stay true: looking at an outbox that nobody has used makes none, and imports nothing; what costs time is asked of
the ledger at most every few seconds, however many people look.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import threading
import time
from typing import TYPE_CHECKING

from datapallas.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from datapallas.home import Home
    from datapallas.home.outbox import Outbox
    from datapallas.mail.message import Message
    from datapallas.outbox.database import Database
    from datapallas.outbox.history import History
    from datapallas.outbox.overview import JobLine, MailboxLine
    from datapallas.outbox.single import Standing

    T = TypeVar("T")

LIVE_SECONDS = 1.5
"""For how long what was asked about a job that sends, or a mailbox, is told again."""
STILL_SECONDS = 30.0
"""The same for a job of which nothing waits."""
_MOST_KEPT = 2000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One message to promise.

    Attributes:
        connection: its code.
        job: the job's id; empty: one of its own.
        key: what makes it this one within its job.
        once: a text that the same request brings again (`Idempotency-Key`); empty: none. It needs no job.
        owner: whose text that is.
        bulk: it goes after the mail of others.
    """

    connection: str
    message: Message
    job: str = ""
    key: str = ""
    once: str = ""
    owner: str = ""
    bulk: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Promised:
    """Where a message is; `new`: it was not there before."""

    job: str
    key: str
    new: bool


class OutboxDesk:
    """Threads share it."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._outbox: Outbox | None = None
        self._kept: dict[str, tuple[float, object]] = {}

    def close(self) -> None:
        """Let go of the database."""
        with self._lock:
            if self._outbox is not None:
                self._outbox.close()
                self._outbox = None

    @property
    def there(self) -> bool:
        """Somebody has used this outbox."""
        named = bool(self._home.environ.get("DATAPALLAS_DATABASE"))
        return self._outbox is not None or named or os.path.lexists(self._home.root / "data" / "outbox.db")

    @property
    def outbox(self) -> Outbox:
        """The outbox, made when there is none. Raises ConfigurationError, StorageError."""
        from datapallas.home.outbox import open_outbox

        with self._lock:
            if self._outbox is None:
                self._outbox = open_outbox(self._home)
            return self._outbox

    @property
    def database(self) -> Database:
        """Its ledger."""
        return self.outbox.database

    @property
    def known(self) -> Database:
        """Its ledger, to look something up in. Raises UsageError (code ``unknown-message``) when there is none."""
        if not self.there:
            raise UsageError("There is nothing in the outbox.", code="unknown-message")
        return self.database

    def jobs(self, newest: int = 20) -> list[JobLine]:
        """The newest jobs."""
        from datapallas.outbox.overview import job_ids

        if not self.there:
            return []
        return [self.job(job) for job in job_ids(self.database, newest)]

    def job(self, job: str) -> JobLine:
        """One job. Raises UsageError (code ``unknown-job``)."""
        from datapallas.outbox.overview import job_lines

        if not self.there:
            raise UsageError(f"There is no job {job!r}.", code="unknown-job", job=job)
        return self._told(
            f"job {job}",
            lambda: job_lines(self.database, job)[0],
            lambda line: LIVE_SECONDS if line.open else STILL_SECONDS,
        )

    def mailboxes(self) -> list[MailboxLine]:
        """Every mailbox that has or had mail here."""
        from datapallas.outbox.overview import mailbox_lines

        if not self.there:
            return []
        room = self.outbox.room
        return self._told(
            "mailboxes", lambda: mailbox_lines(self.database, room.known_limits), lambda _: LIVE_SECONDS
        )

    def history(self, code: str, seconds: float, spans: int) -> History:
        """What a mailbox did in the last spans."""
        from datapallas.outbox.history import history

        return self._told(
            f"history {code} {seconds}",
            lambda: history(self.known, code, seconds=seconds, spans=spans),
            lambda _: min(seconds / 4, 5.0),
        )

    def seconds_left(self, line: JobLine) -> float | None:
        """How long a job still takes, with what is before it in its mailbox; None when it does not go on."""
        from datapallas.outbox.eta import seconds_left

        mailbox = next((one for one in self.mailboxes() if one.code == line.connection), None)
        if not line.waiting or line.state != "open" or mailbox is None or mailbox.pause:
            return None
        before = [one for one in self.jobs() if one.connection == line.connection and one.state == "open"]
        ahead = [one for one in before if one.created <= line.created and one.id != line.id]
        messages = line.waiting + sum(one.waiting for one in ahead)
        return seconds_left(messages, line.open + sum(one.open for one in ahead), mailbox.pace)

    def changed(self) -> None:
        """Somebody changed something: what was told before is old."""
        with self._lock:
            self._kept.clear()

    def promise(self, wanted: Wanted) -> Promised:
        """Promise a message; synced when this returns.

        Raises UsageError (code ``key-reused``: the same text, or key of the job, came with another message; code
        ``key-without-job``), MessageError, ConfigurationError, StorageError.
        """
        if wanted.key and not wanted.job:
            raise UsageError("`key` is looked up within a job: give `job` too.", code="key-without-job")
        from datapallas.outbox.accept import Job, new_job_id
        from datapallas.outbox.tables import Priority

        job, key = wanted.job or new_job_id(), wanted.key
        if wanted.once and not wanted.job:
            job = f"api-{_digest(wanted.owner, wanted.once)}"
            key = _digest(repr(wanted.message), wanted.connection)
            self._same(job, key)
        of_it = Job(
            connection=wanted.connection,
            id=job,
            name=wanted.message.subject[:200],
            priority=Priority.BULK if wanted.bulk else Priority.URGENT,
        )
        key = key or "1"
        accepted = self.outbox.accept(of_it, [wanted.message], [key])
        self.changed()
        return Promised(job, key, bool(accepted.new))

    def standing(self, promised: Promised) -> Standing:
        """Where a promised message stands."""
        from datapallas.outbox.single import standing

        return standing(self.database, promised.job, promised.key)

    def _same(self, job: str, key: str) -> None:
        from datapallas.outbox.search import recipients_of

        found = recipients_of(self.database, job, most=1).lines
        if found and found[0].key != key:
            raise UsageError(
                "This Idempotency-Key came with another message before; use a new one for each message.",
                code="key-reused",
            )

    def _told(self, name: str, ask: Callable[[], T], seconds: Callable[[T], float]) -> T:
        now = time.monotonic()
        with self._lock:
            until, value = self._kept.get(name, (0.0, None))
        if now < until:
            return value  # type: ignore[return-value]
        found = ask()
        with self._lock:
            if len(self._kept) > _MOST_KEPT:
                self._kept.clear()
            self._kept[name] = (now + seconds(found), found)
        return found


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]
