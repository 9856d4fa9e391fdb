"""Look at the whole list, send a test, run a report; then watch the run, stop it, and see what became of earlier ones.

Must stay true: nothing is sent before a person has seen how many there are, through which mailbox, how long it takes
and what is wrong, and has said yes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi import Form as Field

from datapallas.diagnosis.explain import explain
from datapallas.errors import AddressError, DataPallasError, UsageError
from datapallas.home.reporting.lines import mailbox_words
from datapallas.home.reporting.past import explained
from datapallas.mail.address import parse_one
from datapallas.outbox.runs.tables import ENDED
from datapallas.web.guard import needs
from datapallas.web.pages.answers import go, page
from datapallas.web.pages.reports import ReportLine, RunView
from datapallas.web.pages.times import lasting
from datapallas.web.services import Asking, Parts
from datapallas.web.who import Role

if TYPE_CHECKING:
    from datapallas.home.reporting.looks import Look
    from datapallas.home.reporting.runs import Progress
    from datapallas.web.services import Services

router = APIRouter()
_PROBLEMS = 100
_LOOKED_AT = 1000  # errors among them stand first


@router.get("/reports/{code}/run", dependencies=[Depends(needs(Role.VIEWER))], include_in_schema=False)
def sending(request: Request, code: str, parts: Parts) -> Response:
    """Check, Send test, Run; and what ran before."""
    now = time.time()
    line = ReportLine(parts.reports.line(code), now)
    runs = [RunView(one, now) for one in parts.reports.history(code)]
    return page(request, "report_run.html", active="reports", line=line, code=code, runs=runs)


@router.post("/reports/{code}/looks", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False)
def look(  # noqa: PLR0913 - the fields of three small forms
    request: Request,
    code: str,
    parts: Parts,
    asking: Asking,
    *,
    what: Annotated[str, Field(max_length=10)] = "check",
    to: Annotated[str, Field(max_length=320)] = "",
    how_many: Annotated[str, Field(max_length=6, alias="how-many")] = "",
) -> Response:
    """Begin to look; `what` is check, test or run."""
    from datapallas.reports.run import Wanted

    wanted = None
    try:
        if what == "test":
            wanted = Wanted(test_to=_address(to), sample=_count(how_many))
        elif what == "run":
            wanted = Wanted()
        found = parts.reports.looks.begin(asking.owner, code, wanted)
    except DataPallasError as problem:
        return page(request, "_report_refused.html", diagnosis=explain(problem))
    return _look(request, found, parts)


@router.get("/looks/{id}", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False)
def watch_look(request: Request, id: str, parts: Parts, asking: Asking) -> Response:  # noqa: A002 - the path's word
    """How far it is."""
    found = parts.reports.looks.find(id, asking.owner)
    return _look(request, found, parts) if found is not None else page(request, "_look_gone.html")


@router.post("/looks/{id}/cancel", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False)
def cancel_look(request: Request, id: str, parts: Parts, asking: Asking) -> Response:  # noqa: A002
    """Stop looking; nothing was sent."""
    found = parts.reports.looks.find(id, asking.owner)
    if found is None:
        return page(request, "_look_gone.html")
    found.cancel()
    return _look(request, found, parts)


@router.post("/looks/{id}/start", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False)
def start(request: Request, id: str, parts: Parts, asking: Asking) -> Response:  # noqa: A002
    """Begin the run that was looked at."""
    found = parts.reports.looks.find(id, asking.owner)
    if found is None:
        return page(request, "_look_gone.html")
    state = found.now()[1]
    facts = {"run": state.run, "recipients": state.recipients, "test_to": state.test_to}
    parts.audit.write(asking, "report-run", report=found.code, **facts)
    return go(f"/reports/{found.code}/runs/{parts.reports.looks.start(found)}")


@router.get("/reports/{code}/runs/{run}", dependencies=[Depends(needs(Role.VIEWER))], include_in_schema=False)
def run_page(request: Request, code: str, run: str, parts: Parts) -> Response:
    """One run."""
    return page(request, "report_progress.html", active="reports", **_progress(request, parts, code, run))


@router.get(
    "/reports/{code}/runs/{run}/state", dependencies=[Depends(needs(Role.VIEWER))], include_in_schema=False
)
def run_state(request: Request, code: str, run: str, parts: Parts) -> Response:
    """How far it is, for the page that shows it."""
    return page(request, "_report_progress.html", **_progress(request, parts, code, run))


@router.post(
    "/reports/{code}/runs/{run}/stop", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False
)
def stop(request: Request, code: str, run: str, parts: Parts, asking: Asking) -> Response:
    """Send nothing more of it; the page has asked."""
    _of_report(parts.reports.progress(run), code)
    parts.reports.runs.cancel(run)
    parts.audit.write(asking, "report-run-stopped", report=code, run=run)
    return page(request, "_report_progress.html", **_progress(request, parts, code, run))


@router.post(
    "/reports/{code}/runs/{run}/resume", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False
)
def resume(request: Request, code: str, run: str, parts: Parts, asking: Asking) -> Response:
    """Go on with one that stopped; nobody gets anything twice."""
    _of_report(parts.reports.progress(run), code)
    parts.reports.runs.resume(run)
    parts.audit.write(asking, "report-run-resumed", report=code, run=run)
    return page(request, "_report_progress.html", **_progress(request, parts, code, run))


def _look(request: Request, found: Look, parts: Services) -> Response:
    _, state = found.now()
    ready = state.stage.value == "ready" and parts.reports.there and not state.test_to
    going = parts.reports.runs.under_way(found.code)[:1] if ready else []
    failure = explain(state.failure) if state.failure is not None else None
    stops = explain(state.stops) if state.stops is not None else None
    context: dict[str, Any] = {
        "look": found,
        "state": state,
        "failure": failure,
        "stops": stops,
        "going": going,
        "mailbox": mailbox_words(parts.home, state.connection) if state.connection else "",
    }
    return page(request, "_report_look.html", **context)


def _progress(request: Request, parts: Services, code: str, run: str) -> dict[str, Any]:
    progress = parts.reports.progress(run)
    _of_report(progress, code)
    operator = request.state.who.role.may(Role.OPERATOR)
    problems = list(parts.reports.runs.problems(run, limit=_LOOKED_AT)) if operator else []
    problems = sorted(problems, key=lambda one: one["severity"] != "error")[:_PROBLEMS]
    ended = progress.record.state in ENDED
    total, settled = progress.total or 0, progress.failed + sum(progress.outcomes.values()) - progress.open
    mailbox = progress.mailbox
    paused = mailbox.pause if mailbox is not None and progress.open else ""
    rate = 0.0 if ended or paused or progress.held else parts.reports.rate(progress)
    left = (total - settled) / rate if rate else 0.0
    return {
        "code": code,
        "run": RunView(progress.record, time.time()),
        "progress": progress,
        "ended": ended,
        "total": total,
        "settled": settled,
        "rate": f"{rate:,.1f} a second" if rate else "",
        "left": (lasting(left) or "less than a minute") if left > 0 else "",
        "problems": problems,
        "diagnosis": explained(progress.record),
        "paused": paused,
        "name": progress.record.facts.get("name") or code,
    }


def _of_report(progress: Progress, code: str) -> None:
    if progress.record.subject != code:
        raise UsageError(f"There is no run {progress.record.id!r} of {code}.", code="unknown-run")


def _address(text: str) -> str:
    try:
        return parse_one(text.strip()).address
    except AddressError as problem:
        raise UsageError(f"The test needs an address: {problem.message}", code="bad-test-address") from None


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() else 0
