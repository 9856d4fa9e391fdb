"""Jobs and mailboxes of the outbox, for programs: look, pause, resume, cancel, retry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Path, Query

from datapallas.web.api.outbox_models import (
    Counted,
    Jobs,
    JobShown,
    Mailboxes,
    OutboxRecipients,
    OutcomeName,
    job_shown,
    mailbox_shown,
    recipient_shown,
)
from datapallas.web.api.parts import BASE, Code, new_router
from datapallas.web.guard import needs
from datapallas.web.services import Asking, Parts
from datapallas.web.who import Role

if TYPE_CHECKING:
    from datapallas.web.services import Services
    from datapallas.web.who import Who

router = new_router("jobs")
Job = Annotated[str, Path(description="The job's id.", examples=["20261128-034759-k3x9"], max_length=200)]
_ONE = f"{BASE}/jobs/{{job}}"


@router.get(f"{BASE}/jobs", dependencies=[Depends(needs(Role.VIEWER))])
def list_jobs(parts: Parts, newest: Annotated[int, Query(ge=1, le=100)] = 20) -> Jobs:
    """The newest jobs, with how many recipients there are of each outcome."""
    return Jobs(jobs=[job_shown(line) for line in parts.desk.jobs(newest)])


@router.get(_ONE, dependencies=[Depends(needs(Role.VIEWER))])
def read_job(job: Job, parts: Parts) -> JobShown:
    """One job. What is being sent is counted anew every two seconds."""
    return job_shown(parts.desk.job(job))


@router.get(f"{_ONE}/recipients", dependencies=[Depends(needs(Role.VIEWER))])
def list_recipients(
    job: Job,
    parts: Parts,
    outcome: OutcomeName | None = None,
    after: Annotated[str, Query(max_length=60, pattern=r"^(\d{1,19}-\d{1,9})?$")] = "",
) -> OutboxRecipients:
    """A hundred recipients of a job, with one outcome or all; `after` of the answer asks for the next ones."""
    from datapallas.outbox.search import recipients_of

    parts.desk.job(job)
    found = recipients_of(parts.desk.database, job, outcome=outcome or "", after=after)
    return OutboxRecipients(recipients=[recipient_shown(one) for one in found.lines], after=found.after)


@router.post(f"{_ONE}/pause", dependencies=[Depends(needs(Role.OPERATOR))])
def pause_job(job: Job, parts: Parts, asking: Asking) -> Counted:
    """Hold what it has not sent yet. What is being sent this moment still goes out."""
    from datapallas.outbox import jobs

    return _told(parts, asking, job, "paused", jobs.pause(parts.desk.known, job))


@router.post(f"{_ONE}/resume", dependencies=[Depends(needs(Role.OPERATOR))])
def resume_job(job: Job, parts: Parts, asking: Asking) -> Counted:
    """Let it go on. A cancelled job is retried instead."""
    from datapallas.outbox import jobs

    return _told(parts, asking, job, "resumed", jobs.resume(parts.desk.known, job))


@router.post(f"{_ONE}/cancel", dependencies=[Depends(needs(Role.OPERATOR))])
def cancel_job(job: Job, parts: Parts, asking: Asking) -> Counted:
    """Send nothing more of it. What waits is parked; a retry brings it back."""
    from datapallas.outbox import jobs

    return _told(parts, asking, job, "cancelled", jobs.cancel(parts.desk.known, job))


@router.post(f"{_ONE}/retry", dependencies=[Depends(needs(Role.OPERATOR))])
def retry_job(job: Job, parts: Parts, asking: Asking, *, refused: bool = False) -> Counted:
    """Try again what was deferred, parked or unknown; with `refused` that too."""
    from datapallas.outbox import jobs

    return _told(parts, asking, job, "retried", jobs.retry(parts.desk.known, job, refused=refused))


@router.get(f"{BASE}/outbox", dependencies=[Depends(needs(Role.VIEWER))])
def list_mailboxes(parts: Parts) -> Mailboxes:
    """Every mailbox that has or had mail in the outbox: what waits, and whether and why it is paused."""
    return Mailboxes(mailboxes=[mailbox_shown(line) for line in parts.desk.mailboxes()])


@router.post(f"{BASE}/outbox/{{code}}/pause", dependencies=[Depends(needs(Role.OPERATOR))])
def pause_mailbox(code: Code, parts: Parts, asking: Asking) -> Mailboxes:
    """Send nothing through a connection until it is resumed. Its mail waits; more is taken."""
    from datapallas.outbox import jobs

    parts.home.folder.load(code)
    jobs.pause_mailbox(parts.desk.database, code)
    return _mailboxes(parts, asking, code, "paused")


@router.post(f"{BASE}/outbox/{{code}}/resume", dependencies=[Depends(needs(Role.OPERATOR))])
def resume_mailbox(code: Code, parts: Parts, asking: Asking) -> Mailboxes:
    """Let a connection send again, at its full speed. Whatever it was paused for is tried again."""
    from datapallas.outbox import jobs

    parts.home.folder.load(code)
    jobs.resume_mailbox(parts.desk.database, code)
    return _mailboxes(parts, asking, code, "resumed")


def _told(parts: Services, asking: Who, job: str, what: str, count: int) -> Counted:
    parts.desk.changed()
    parts.audit.write(asking, f"job-{what}", job=job, count=count)
    return Counted(count=count)


def _mailboxes(parts: Services, asking: Who, code: str, what: str) -> Mailboxes:
    parts.desk.changed()
    parts.audit.write(asking, f"outbox-{what}", connection=code)
    return list_mailboxes(parts)
