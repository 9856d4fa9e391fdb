"""The editor of a report: open, check as one types, save."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, Request, Response

from datapallas.errors import ConfigurationError, DataPallasError
from datapallas.web.guard import needs
from datapallas.web.pages.answers import go, page
from datapallas.web.pages.report_given import Texts, given, same_as_stored, stored
from datapallas.web.pages.report_view import SEAL_LOST, ReportEditor, view
from datapallas.web.pages.reports import SAID
from datapallas.web.services import Asking, Parts
from datapallas.web.who import Role

if TYPE_CHECKING:
    from datapallas.web.pages.report_given import GivenReport
    from datapallas.web.services import Services

router = APIRouter()
_MEANWHILE = (
    "This report was changed meanwhile, in another tab or by somebody else. Nothing was saved. "
    "Load the page again to see it; what you typed here is gone then."
)


@router.get("/reports/{code}", dependencies=[Depends(needs(Role.VIEWER))], include_in_schema=False)
def edit(request: Request, code: str, parts: Parts, asking: Asking, done: str = "") -> Response:
    """The editor; for whoever may not change it, to look at."""
    form = view(parts, stored(parts.reports.reports, code), editable=asking.role.may(Role.ADMIN))
    return page(request, "report.html", active="reports", form=form, said=SAID.get(done, ""))


@router.post("/reports/{code}/check", dependencies=[Depends(needs(Role.ADMIN))], include_in_schema=False)
def check(request: Request, code: str, texts: Texts, parts: Parts) -> Response:
    """What is wrong with what stands in the editor, after each change."""
    one = given(parts.reports.reports, code, texts)
    form = view(parts, one, editable=True)
    # What stopped the save stays in sight until it is mended.
    problem = _why_not(parts, form, one) if texts.get("asked") == "yes" else ""
    return page(request, "_report_checked.html", form=dataclasses.replace(form, oob=True, problem=problem))


@router.post("/reports/{code}/save", dependencies=[Depends(needs(Role.ADMIN))], include_in_schema=False)
def save(request: Request, code: str, texts: Texts, parts: Parts, asking: Asking) -> Response:
    """Store what stands in the editor, when nothing is wrong with it."""
    one = given(parts.reports.reports, code, texts)
    form = view(parts, one, editable=True)
    why_not = _why_not(parts, form, one)
    if why_not:
        return _refused(request, form, why_not)
    try:
        parts.reports.save(code, one.draft)
    except ConfigurationError as problem:
        return _refused(request, form, problem.message)
    parts.audit.write(asking, "report-changed", report=code, files=sorted(one.files))
    return go(f"/reports/{code}?done=saved")


def _why_not(parts: Services, form: ReportEditor, one: GivenReport) -> str:
    """Why it cannot be saved, in a sentence; empty when it can."""
    if one.edit_problem:
        return one.edit_problem
    if form.flaws:
        return "Nothing was saved. Mend what is wrong first."
    if one.seal_lost:
        return f"Nothing was saved. {SEAL_LOST}"
    try:
        return "" if same_as_stored(parts.reports.reports, one) else _MEANWHILE
    except DataPallasError as problem:
        return problem.message


def _refused(request: Request, form: ReportEditor, sentence: str) -> Response:
    shown = dataclasses.replace(form, problem=sentence, oob=True, refused=True)
    return page(request, "_report_checked.html", status=422, form=shown)
