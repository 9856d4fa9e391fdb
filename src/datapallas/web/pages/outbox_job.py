"""The pages of one job and of one message: who got it, what was said, and what is done about it."""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from datapallas.web.guard import needs
from datapallas.web.pages import outbox_view as views
from datapallas.web.pages.answers import go, page
from datapallas.web.pages.outbox import job_view
from datapallas.web.services import Asking, Parts
from datapallas.web.who import Role

if TYPE_CHECKING:
    from datapallas.diagnosis.explain import Diagnosis
    from datapallas.web.services import Services

router = APIRouter()
_JOB = "/outbox/jobs/{job}"
_MESSAGE = "/outbox/messages/{message}"
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
SAID = {
    "pause": "Held. What is being sent this moment still goes out.",
    "resume": "It goes on.",
    "cancel": "Cancelled. What is being sent this moment still goes out. Nothing was deleted; Try again brings it back.",
    "retry": "It is tried again.",
    "retry-refused": "It is tried again, the refused ones with it.",
    "hold": "Held.",
    "release": "It goes on.",
    "nothing": "There was nothing to do: it was sent in the meantime, or its job is paused.",
}


class Asked(BaseModel):
    """What the address of a job's page may say."""

    outcome: str = ""
    after: str = ""
    done: str = ""


@router.get(_JOB, dependencies=[Depends(needs(Role.VIEWER))], include_in_schema=False)
def job_page(request: Request, job: str, asked: Annotated[Asked, Query()], parts: Parts) -> Response:
    """One job, and a page of its recipients."""
    from datapallas.outbox.search import recipients_of

    view = job_view(parts, job)
    outcome = asked.outcome if asked.outcome in views.FATES else ""
    found = recipients_of(parts.desk.known, job, outcome=outcome, after=asked.after)
    return page(
        request,
        "outbox_job.html",
        active="outbox",
        job=view,
        lines=found.lines,
        after=found.after,
        first=not asked.after,
        outcome=outcome,
        colours=views.COLOURS,
        fates=views.FATES,
        said=SAID.get(asked.done, ""),
    )


@router.get(f"{_JOB}/live", dependencies=[Depends(needs(Role.VIEWER))], include_in_schema=False)
def job_live(request: Request, job: str, parts: Parts) -> Response:
    """What changes about a job, asked for every two seconds."""
    return page(request, "_outbox_job_live.html", job=job_view(parts, job))


@router.get(f"{_JOB}/export.csv", dependencies=[Depends(needs(Role.VIEWER))], include_in_schema=False)
def export(job: str, parts: Parts) -> Response:
    """Every recipient and its outcome, as it is read."""
    from datapallas.outbox.exporting import csv_lines

    line = parts.desk.job(job)
    name = urllib.parse.quote(f"{line.id}.csv", safe="")
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
    lines = csv_lines(parts.desk.known, job)
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


@router.post(f"{_JOB}/{{word}}", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False)
def change_job(job: str, word: str, parts: Parts, asking: Asking) -> Response:
    """Pause, resume, cancel or retry it."""
    from datapallas.outbox import jobs

    parts.desk.job(job)
    database = parts.desk.known
    match word:
        case "pause":
            jobs.pause(database, job)
        case "resume":
            jobs.resume(database, job)
        case "cancel":
            jobs.cancel(database, job)
        case "retry" | "retry-refused":
            jobs.retry(database, job, refused=word != "retry")
        case _:
            return Response(status_code=404)
    _note(parts, asking, f"job-{word}", job=job)
    return go(f"/outbox/jobs/{urllib.parse.quote(job, safe='')}?done={word}")


@router.get(_MESSAGE, dependencies=[Depends(needs(Role.VIEWER))], include_in_schema=False)
def message_page(request: Request, message: int, parts: Parts, done: str = "") -> Response:
    """One message: who it is for, each try, what was said and what to do."""
    from datapallas.outbox.search import message as read

    view = read(parts.desk.known, message)
    mailbox = next((one for one in parts.desk.mailboxes() if one.code == view.connection), None)
    paused = mailbox is not None and mailbox.pause and view.state != "done"
    problems: dict[tuple[str, str], Diagnosis] = {}
    for one in view.people:
        found = views.explained(one.problem, {"connection": view.connection, "job": view.job})
        if found is not None:
            problems.setdefault((found.id, found.raw), found)
    return page(
        request,
        "outbox_message.html",
        active="outbox",
        message=view,
        paused=views.MailboxView(mailbox).why if mailbox is not None and paused else "",
        problems=list(problems.values()),
        colours=views.COLOURS,
        states=views.STATES,
        said=SAID.get(done, ""),
    )


@router.post(f"{_MESSAGE}/{{word}}", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False)
def change_message(message: Number, word: str, parts: Parts, asking: Asking) -> Response:
    """Retry, hold, release or cancel it."""
    from datapallas.outbox import single

    database = parts.desk.known
    match word:
        case "hold":
            changed = single.hold(database, message)
        case "release":
            changed = single.release(database, message)
        case "cancel":
            changed = single.cancel(database, message)
        case "retry" | "retry-refused":
            changed = bool(single.retry(database, message, refused=word != "retry"))
        case _:
            return Response(status_code=404)
    _note(parts, asking, f"message-{word}", message=message)
    return go(f"/outbox/messages/{message}?done={word if changed else 'nothing'}")


def _note(parts: Services, asking: Asking, what: str, **facts: object) -> None:
    parts.desk.changed()
    parts.audit.write(asking, what, **facts)
