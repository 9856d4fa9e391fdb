"""Reports of programs: look, check, preview, run, watch, stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Path, Query, Response

from datapallas.errors import AddressError, UsageError
from datapallas.mail.address import parse_one
from datapallas.reports.finding import Pick
from datapallas.web.api.parts import BASE, Id, known, new_router
from datapallas.web.api.report_models import (
    ListCheckShown,
    PreviewShown,
    PreviewWanted,
    Problems,
    Reports,
    ReportShown,
    Runs,
    RunShown,
    RunStart,
    check_shown,
    preview_shown,
    problem_found,
    report_shown,
    run_shown,
)
from datapallas.web.guard import needs
from datapallas.web.problems import Code as ProblemCode
from datapallas.web.services import Asking, Parts
from datapallas.web.who import Role

if TYPE_CHECKING:
    from datapallas.web.services import Services

router = new_router("reports")
ReportCode = Annotated[str, Path(description="The report's code.", examples=["invoices"], max_length=200)]
RunId = Annotated[
    str, Path(description="The run's id.", examples=["invoices-20261128-034759-k3"], max_length=200)
]
_ONE = f"{BASE}/reports/{{code}}"
_RUN = f"{BASE}/runs/{{run}}"
_MOST = 1000


@router.get(f"{BASE}/reports", dependencies=[Depends(needs(Role.VIEWER))])
def list_reports(parts: Parts) -> Reports:
    """Every report, with its last run and its next one; a broken one too."""
    return Reports(reports=[report_shown(line) for line in parts.reports.lines()])


@router.get(_ONE, dependencies=[Depends(needs(Role.VIEWER))])
def read_report(code: ReportCode, parts: Parts) -> ReportShown:
    """One report."""
    return report_shown(parts.reports.line(code))


@router.post(f"{_ONE}/checks", dependencies=[Depends(needs(Role.OPERATOR))], status_code=202)
def check_report(code: ReportCode, parts: Parts, asking: Asking, response: Response) -> ListCheckShown:
    """Begin to read its whole list and say what is wrong with it; nothing is sent."""
    look = parts.reports.looks.begin(asking.owner, code)
    response.headers["Location"] = f"{BASE}/checks/{look.id}"
    return check_shown(look)


@router.get(f"{BASE}/checks/{{id}}", dependencies=[Depends(needs(Role.OPERATOR))])
def read_check(id: Id, parts: Parts, asking: Asking) -> ListCheckShown:  # noqa: A002 - the path's word
    """How far a check is. What ended can be looked at for ten minutes, by whoever began it."""
    return check_shown(known(parts.reports.looks.find(id, asking.owner), ProblemCode.UNKNOWN_CHECK, "check"))


@router.post(f"{_ONE}/preview", dependencies=[Depends(needs(Role.OPERATOR))])
def preview_report(code: ReportCode, body: PreviewWanted, parts: Parts, asking: Asking) -> PreviewShown:
    """One recipient's email, with everything filled in; nothing is sent."""
    pick = Pick(number=body.number, words=body.words.strip())
    return preview_shown(parts.reports.previews.make(asking.owner, code, pick))


@router.post(f"{_ONE}/runs", dependencies=[Depends(needs(Role.OPERATOR))], status_code=202)
def run_report(
    code: ReportCode, body: RunStart, parts: Parts, asking: Asking, response: Response
) -> RunShown:
    """Begin a run: its rows are read, its messages promised and sent. Problems stop it as the report says."""
    from datapallas.reports.run import Wanted

    test_to = _address(body.test_to) if body.test_to.strip() else ""
    wanted = Wanted(test_to=test_to, sample=body.sample, only=tuple(body.only))
    run = parts.reports.begin(code, wanted)
    parts.audit.write(asking, "report-run", report=code, run=run, test_to=test_to)
    response.headers["Location"] = f"{BASE}/runs/{run}"
    return _now(parts, run)


@router.get(f"{_ONE}/runs", dependencies=[Depends(needs(Role.VIEWER))])
def list_runs(code: ReportCode, parts: Parts, newest: Annotated[int, Query(ge=1, le=100)] = 20) -> Runs:
    """Its runs, the newest first, with the counts they had when they ended."""
    parts.reports.line(code)
    return Runs(runs=[run_shown(one) for one in parts.reports.history(code, newest)])


@router.get(_RUN, dependencies=[Depends(needs(Role.VIEWER))])
def read_run(run: RunId, parts: Parts) -> RunShown:
    """One run, as it is now."""
    return _now(parts, run)


@router.get(f"{_RUN}/problems", dependencies=[Depends(needs(Role.OPERATOR))])
def list_problems(run: RunId, parts: Parts) -> Problems:
    """What was found in its list and its templates."""
    parts.reports.progress(run)
    return Problems(problems=[problem_found(one) for one in parts.reports.runs.problems(run, limit=_MOST)])


@router.post(f"{_RUN}/stop", dependencies=[Depends(needs(Role.OPERATOR))])
def stop_run(run: RunId, parts: Parts, asking: Asking) -> RunShown:
    """Send nothing more of it; what is sent stays sent."""
    found = parts.reports.progress(run)
    parts.reports.runs.cancel(run)
    parts.audit.write(asking, "report-run-stopped", report=found.record.subject, run=run)
    return _now(parts, run)


@router.post(f"{_RUN}/resume", dependencies=[Depends(needs(Role.OPERATOR))])
def resume_run(run: RunId, parts: Parts, asking: Asking) -> RunShown:
    """Go on with one that stopped; nobody gets anything twice."""
    found = parts.reports.progress(run)
    parts.reports.runs.resume(run)
    parts.audit.write(asking, "report-run-resumed", report=found.record.subject, run=run)
    return _now(parts, run)


def _now(parts: Services, run: str) -> RunShown:
    found = parts.reports.progress(run)
    return run_shown(found.record, found)


def _address(text: str) -> str:
    try:
        return parse_one(text.strip()).address
    except AddressError:
        raise UsageError("`test_to` is not a mail address.", code="bad-test-address") from None
