"""The application: every route, behind the guard.

Must stay true: a route says what it needs, or this raises at the start; nothing is loaded from elsewhere, so FastAPI's
own pages of documentation are off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from datapallas import __version__
from datapallas.errors import DataPallasError
from datapallas.web import api, problems, static_files
from datapallas.web.guard import Guard
from datapallas.web.pages import (
    callback,
    connections,
    editor,
    explain,
    invited,
    login,
    outbox,
    outbox_job,
    report_editor,
    report_files,
    report_preview,
    report_sending,
    reports,
    sign_ins,
    test_emails,
    trial,
)
from datapallas.web.problems import Problem
from datapallas.web.roles import need_of
from datapallas.web.validation import of_validation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import APIRouter
    from starlette.requests import Request
    from starlette.responses import Response

    from datapallas.web.services import Services

ROUTERS: Sequence[APIRouter] = (
    static_files.router,
    login.router,
    callback.router,
    invited.router,
    connections.router,
    test_emails.router,
    editor.router,
    sign_ins.router,
    outbox.router,
    outbox_job.router,
    reports.router,
    report_sending.router,
    report_preview.router,
    report_files.router,
    report_editor.router,
    explain.router,
    trial.router,
    *api.ROUTERS,
)
"""Every router. Each has its own routes with whole paths (no router within a router)."""
_WORDS = {
    404: "There is no such page.",
    405: "This address cannot be asked in this way.",
    413: "That is more than is taken here.",
}
_API_WORDS = {
    400: "The body cannot be read: send JSON in UTF-8, with Content-Type: application/json.",
    404: "There is nothing at this address. `GET /api/v1` names what there is.",
}
_ANYTHING_ELSE = "The request cannot be answered as it is."


def make_app(services: Services) -> FastAPI:
    """The application over these services."""
    app = FastAPI(
        title="DataPallas",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # no address is ever made from what a request says
    )
    app.state.services = services
    for router in ROUTERS:
        app.router.routes.extend(router.routes)  # flat: the guard and the tests see each route
    app.add_middleware(Guard, services=services)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(DataPallasError, _our_error)
    for route in app.routes:
        if not isinstance(route, APIRoute):
            raise TypeError(f"{route} is no route the guard knows")
        need_of(route)
    return app


async def _http_exception(request: Request, error: Exception) -> Response:
    """404, 405 and what a route raises by number."""
    if not isinstance(error, HTTPException):
        raise error
    words = _WORDS | (_API_WORDS if problems.is_api(request.scope) else {})
    detail = words.get(error.status_code, _ANYTHING_ELSE)
    allowed = (error.headers or {}).get("Allow", "")
    if allowed:
        detail += f" It takes {allowed}."
    return problems.answer(
        request.scope, Problem(status=error.status_code, detail=detail, headers=error.headers or {})
    )


async def _not_valid(request: Request, error: Exception) -> Response:
    """A value of the wrong kind."""
    if not isinstance(error, RequestValidationError):
        raise error
    return problems.answer(request.scope, of_validation(error))


async def _our_error(request: Request, error: Exception) -> Response:
    """A failure with an explanation."""
    return problems.answer(request.scope, problems.of_error(error))
