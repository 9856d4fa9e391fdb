"""The page Outbox: mailboxes, jobs, search, and what is done to a mailbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Form, Request, Response
from pydantic import BaseModel, Field

from datapallas.errors import UsageError
from datapallas.web.guard import needs
from datapallas.web.pages import outbox_view as views
from datapallas.web.pages.answers import go, page
from datapallas.web.services import Asking, Parts
from datapallas.web.who import Role

if TYPE_CHECKING:
    from datapallas.outbox.overview import MailboxLine
    from datapallas.web.services import Services

router = APIRouter()
NEWEST = 20
_MAILBOX = "/outbox/mailboxes/{code}"
SAID = {"paused": "Paused.", "resumed": "It sends again.", "limits": "Saved."}
_LONGEST = 320


class LimitsGiven(BaseModel):
    """The form of a mailbox's limits, as typed."""

    sessions: Annotated[str, Field(max_length=20)] = ""
    per_minute: Annotated[str, Field(max_length=20)] = ""
    per_day: Annotated[str, Field(max_length=20)] = ""


@router.get("/outbox", dependencies=[Depends(needs(Role.VIEWER))], include_in_schema=False)
def outbox(request: Request, parts: Parts, done: str = "") -> Response:
    """Mailboxes and the newest jobs."""
    return page(request, "outbox.html", active="outbox", said=SAID.get(done, ""), **_live(parts))


@router.get("/outbox/live", dependencies=[Depends(needs(Role.VIEWER))], include_in_schema=False)
def live(request: Request, parts: Parts) -> Response:
    """What changes on the page, asked for every two seconds."""
    return page(request, "_outbox_live.html", **_live(parts))


@router.get("/outbox/search", dependencies=[Depends(needs(Role.VIEWER))], include_in_schema=False)
def search(request: Request, parts: Parts, address: str = "") -> Response:
    """Recipients of all jobs by their address."""
    from datapallas.outbox.search import MOST, find

    wanted = address.strip()[:_LONGEST]
    lines = find(parts.desk.database, wanted) if wanted and parts.desk.there else []
    return page(request, "outbox_search.html", wanted=wanted, lines=lines, colours=views.COLOURS, most=MOST)


@router.get(_MAILBOX, dependencies=[Depends(needs(Role.VIEWER))], include_in_schema=False)
def mailbox(request: Request, code: str, parts: Parts, span: str = "hour", done: str = "") -> Response:
    """One mailbox: its chart, the numbers behind it, its limits."""
    from datapallas.outbox.overview import own_limits

    line = _mailbox(parts, code)
    span = span if span in views.RANGES else "hour"
    return page(
        request,
        "outbox_mailbox.html",
        active="outbox",
        mailbox=views.MailboxView(line),
        chart=_chart(parts, line, span),
        span=span,
        own=own_limits(parts.desk.known, code),
        said=SAID.get(done, ""),
    )


@router.post(f"{_MAILBOX}/pause", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False)
def pause(code: str, parts: Parts, asking: Asking) -> Response:
    """Send nothing through it."""
    from datapallas.outbox import jobs

    _mailbox(parts, code)
    jobs.pause_mailbox(parts.desk.database, code)
    return _changed(parts, asking, code, "paused")


@router.post(f"{_MAILBOX}/resume", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False)
def resume(code: str, parts: Parts, asking: Asking) -> Response:
    """Let it send again."""
    from datapallas.outbox import jobs

    _mailbox(parts, code)
    jobs.resume_mailbox(parts.desk.database, code)
    return _changed(parts, asking, code, "resumed")


@router.post(f"{_MAILBOX}/limits", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False)
def limits(code: str, given: Annotated[LimitsGiven, Form()], parts: Parts, asking: Asking) -> Response:
    """Keep limits of one's own; an empty one is the provider's again."""
    from datapallas.outbox import jobs
    from datapallas.outbox.limits import OwnLimits

    _mailbox(parts, code)
    own = OwnLimits(
        sessions=_whole(given.sessions, "sessions"),
        per_minute=_number(given.per_minute, "messages a minute"),
        per_day=_whole(given.per_day, "recipients a day"),
    )
    jobs.set_limits(parts.desk.database, code, own)
    return _changed(parts, asking, code, "limits")


def _live(parts: Services) -> dict[str, Any]:
    lines = parts.desk.mailboxes()
    jobs = parts.desk.jobs(NEWEST)
    return {
        "mailboxes": [(views.MailboxView(line), _chart(parts, line, "hour")) for line in lines],
        "jobs": [job_view(parts, job.id) for job in jobs],
        "most": NEWEST,
        "connections": {row.code for row in parts.home.overview()},
    }


def job_view(parts: Services, job: str) -> views.JobView:
    """A job with its pace."""
    line = parts.desk.job(job)
    ahead = parts.desk.seconds_left(line)
    mailbox = next((one for one in parts.desk.mailboxes() if one.code == line.connection), None)
    return views.JobView(line, ahead, mailbox)


def _chart(parts: Services, line: MailboxLine, span: str) -> views.Chart:
    words, seconds, spans = views.RANGES[span]
    found = parts.desk.history(line.code, seconds, spans)
    return views.chart(found, line.limits.per_minute, words)


def _mailbox(parts: Services, code: str) -> MailboxLine:
    for line in parts.desk.mailboxes():
        if line.code == code:
            return line
    raise UsageError(f"No mail of {code} is in the outbox.", code="unknown-message")


def _changed(parts: Services, asking: Asking, code: str, what: str) -> Response:
    parts.desk.changed()
    parts.audit.write(asking, f"outbox-{what}", connection=code)
    return go(f"/outbox/mailboxes/{code}?done={what}" if what == "limits" else f"/outbox?done={what}")


def _number(text: str, what: str) -> float | None:
    if not text.strip():
        return None
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < 1e9:  # noqa: PLR2004 - more is a mistyped number, or none
        raise UsageError(f"The {what} are a number, 0 or more.")
    return found


def _whole(text: str, what: str) -> int | None:
    found = _number(text, what)
    return None if found is None else int(found)
