"""The live preview: one recipient's email and documents, of the report as it is or as it is being typed.

Must stay true: what a recipient would get runs no script, loads nothing and has no origin, wherever it is opened; a
preview is shown to whoever asked for it and to nobody else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import FileResponse

from datapallas.diagnosis.explain import explain
from datapallas.errors import DataPallasError
from datapallas.reports.finding import Pick
from datapallas.web.guard import needs
from datapallas.web.headers import IS_MAIL
from datapallas.web.pages.answers import page
from datapallas.web.pages.report_given import Texts, given
from datapallas.web.pages.report_view import size_words
from datapallas.web.services import Asking, Parts
from datapallas.web.who import Role

if TYPE_CHECKING:
    from datapallas.home.reporting.shown import Shown, ShownDocument
    from datapallas.reports.workbench import Draft
    from datapallas.web.services import Services
    from datapallas.web.who import Who

router = APIRouter()
_MOST = 10_000_000
_LONGEST = 200  # characters somebody looks for


@router.post("/reports/{code}/preview", dependencies=[Depends(needs(Role.ADMIN))], include_in_schema=False)
def preview_draft(request: Request, code: str, texts: Texts, parts: Parts, asking: Asking) -> Response:
    """One recipient's email, with what stands in the editor; nothing is saved by it."""
    pick = Pick(number=_number(texts.get("number", "")), words=texts.get("words", "").strip()[:_LONGEST])
    return _shown(request, parts, (asking, code, pick), given(parts.reports.reports, code, texts).draft)


@router.get("/reports/{code}/preview", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False)
def preview_stored(request: Request, code: str, parts: Parts, asking: Asking) -> Response:
    """One recipient's email, of the report as it is stored; `number` and `words` say whose."""
    asked = request.query_params
    pick = Pick(number=_number(asked.get("number", "")), words=asked.get("words", "").strip()[:_LONGEST])
    return _shown(request, parts, (asking, code, pick), None)


@router.get("/previews/{id}/email", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False)
def email(id: str, parts: Parts, asking: Asking) -> Response:  # noqa: A002 - the path's word
    """The HTML of the email, as it will arrive, for a frame."""
    found = _found(parts, asking, id)
    return Response(
        found.html.encode("utf-8", "replace"), headers={IS_MAIL: "1"}, media_type="text/html; charset=utf-8"
    )


@router.get(
    "/previews/{id}/documents/{number}", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False
)
def document(id: str, number: int, parts: Parts, asking: Asking) -> Response:  # noqa: A002
    """A document, to keep."""
    one = _document(_found(parts, asking, id), number)
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{quote(one.name, safe='')}"}
    return FileResponse(one.path, headers=headers, media_type="application/octet-stream")


@router.get(
    "/previews/{id}/documents/{number}/page",
    dependencies=[Depends(needs(Role.OPERATOR))],
    include_in_schema=False,
)
def first_page(id: str, number: int, parts: Parts, asking: Asking) -> Response:  # noqa: A002
    """The first page of a PDF as an image."""
    one = _document(_found(parts, asking, id), number)
    png = parts.reports.previews.page_of(one) if one.is_pdf else b""
    if not png:  # it is encrypted, or no PDF: there is nothing to see, and the link to keep it is there
        return Response(status_code=204)
    return Response(png, media_type="image/png")


def _shown(request: Request, parts: Services, asked: tuple[Who, str, Pick], draft: Draft | None) -> Response:
    who, code, pick = asked
    context: dict[str, Any] = {
        "code": code,
        "pick": pick,
        "size_words": size_words,
        "flaws": [],
        "diagnosis": None,
        "shown": None,
    }
    try:
        context["shown"] = parts.reports.previews.make(who.owner, code, pick, draft)
    except DataPallasError as problem:
        if problem.code == "report-definition":
            context["flaws"] = str(problem.facts.get("problems", "")).splitlines()
        else:
            context["diagnosis"] = explain(problem)
    return page(request, "_report_preview.html", **context)


def _found(parts: Services, asking: Who, id_: str) -> Shown:
    found = parts.reports.previews.find(id_, asking.owner)
    if found is None:
        raise HTTPException(404)
    return found


def _document(shown: Shown, number: int) -> ShownDocument:
    if not 0 < number <= len(shown.documents):
        raise HTTPException(404)
    return shown.documents[number - 1]


def _number(text: str) -> int:
    return min(_MOST, max(1, int(text))) if text.isascii() and text.isdecimal() and len(text) < 9 else 1  # noqa: PLR2004
