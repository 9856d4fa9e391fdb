"""What programs get about mail in the outbox, and how each answer is made. Must stay true: as in `shown`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from datapallas.diagnosis.explain import explain, until_resumed
from datapallas.web.api.shown import DiagnosisShown, Shown, diagnosis_of

if TYPE_CHECKING:
    from datapallas.outbox.overview import JobLine, MailboxLine, RecipientLine
    from datapallas.outbox.search import MessageView

OutcomeName = Literal["queued", "deferred", "accepted", "refused", "unknown", "parked"]


class OutboxRecipientShown(Shown):
    """One recipient of one message."""

    message: int
    """The message's number: `GET /messages/{message}`."""
    job: str
    """The job's id."""
    key: str
    """What makes the message this one within its job."""
    address: str
    """To whom."""
    outcome: str
    """`queued`, `deferred`, `accepted`, `refused`, `unknown`, `parked`. Accepted never means delivered."""
    reply: str
    """What the mail server said last."""
    at: str
    """When, ISO 8601 UTC; empty before."""
    may_be_double: bool
    """It may have been sent twice."""
    problem: DiagnosisShown | None
    """Why it was not accepted."""


class AttemptShown(Shown):
    """One try."""

    at: str
    """When, ISO 8601 UTC."""
    outcome: str
    """What came of it, in a word."""
    server: str
    """Who answered; empty: nobody."""
    reply: str
    """What it said."""


class OutboxMessageShown(Shown):
    """A message of the outbox."""

    id: int
    """Its number."""
    job: str
    """The job's id."""
    key: str
    """What makes it this one within its job."""
    connection: str
    """The code of the connection it leaves through."""
    state: str
    """`queued`, `held`, `claimed` (being sent), `done` (every recipient has an outcome)."""
    message_id: str
    """Its Message-ID."""
    due: str
    """When it is tried next, ISO 8601 UTC; empty: at once, or never."""
    recipients: list[OutboxRecipientShown]
    """The first hundred."""
    attempts: list[AttemptShown]
    """The last hundred, the newest first."""


class JobShown(Shown):
    """A job."""

    id: str
    """What it is found by."""
    name: str
    """What a person calls it."""
    connection: str
    """The code of the connection it sends through."""
    state: str
    """`open`, `paused`, `cancelled`."""
    created: str
    """When, ISO 8601 UTC."""
    messages: int
    """How many."""
    recipients: dict[str, int]
    """How many recipients there are of each outcome."""
    open: int
    """Recipients without an outcome."""
    may_be_double: int
    """Messages that may have been sent twice."""


class Jobs(Shown):
    """Jobs."""

    jobs: list[JobShown]
    """The newest first."""


class OutboxRecipients(Shown):
    """Some recipients."""

    recipients: list[OutboxRecipientShown]
    """In their order."""
    after: str
    """Ask for the next ones with this as `after`; empty: there are no more."""


class Counted(Shown):
    """What a change was about."""

    count: int
    """Messages; for a retry, recipients."""


class MailboxShown(Shown):
    """A mailbox that has or had mail in the outbox."""

    connection: str
    """The connection's code."""
    pause: str
    """Why it is paused: person, sign-in, configuration, sender, quota; empty: it is not."""
    waits: float
    """Seconds until it sends again, when it leaves its server alone or its day is full."""
    waiting: int
    """Recipients without an outcome."""
    sessions: int
    """Open now."""
    seconds_left: float
    """How long the rest takes, about."""
    problem: DiagnosisShown | None
    """Its last failure."""


class Mailboxes(Shown):
    """Mailboxes."""

    mailboxes: list[MailboxShown]
    """By their codes."""


def recipient_shown(line: RecipientLine) -> OutboxRecipientShown:
    """One recipient."""
    problem = diagnosis_of(explain(line.problem, {"job": line.job})) if line.problem is not None else None
    return OutboxRecipientShown.of(line, problem=problem)


def message_shown(view: MessageView) -> OutboxMessageShown:
    """One message."""
    return OutboxMessageShown.of(
        view,
        recipients=[recipient_shown(one) for one in view.people],
        attempts=[AttemptShown.of(one) for one in view.attempts],
    )


def job_shown(line: JobLine) -> JobShown:
    """One job."""
    return JobShown.of(line, recipients=line.fates, may_be_double=line.doubted)


def mailbox_shown(line: MailboxLine) -> MailboxShown:
    """One mailbox."""
    seconds = line.left.seconds if line.waiting else 0.0
    return MailboxShown.of(line, connection=line.code, seconds_left=seconds, problem=_of_mailbox(line))


def _of_mailbox(line: MailboxLine) -> DiagnosisShown | None:
    """Its last failure; where only a person's word ends the pause, how to say it."""
    if line.problem is None:
        return None
    from datapallas.outbox.verdict import UNTIL_RESUMED

    found = explain(line.problem, {"connection": line.code})
    if line.pause in UNTIL_RESUMED:
        found = until_resumed(found, f"datapallas outbox resume {line.code}")
    return diagnosis_of(found)
