"""Send Test Email: to whom, then each step as it happens, and on failure what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi import Form as Field

from datapallas.errors import DataPallasError
from datapallas.home.trial import CODE as TRIAL
from datapallas.web.guard import needs
from datapallas.web.pages.answers import page
from datapallas.web.pages.given import Form, base, drafted
from datapallas.web.services import Asking, Parts, Services, services
from datapallas.web.who import Role, Who

if TYPE_CHECKING:
    from datapallas.connection.model import Connection
    from datapallas.home.test_emails import TestWork

router = APIRouter()
_WORDS = {
    "token": "Get an access token",
    "connect": "Connect to the mail server",
    "tls": "Encrypt the connection",
    "sign-in": "Sign in",
    "send": "Hand the message over",
}


@router.get("/connections/{code}/test", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False)
def ask(request: Request, code: str, parts: Parts) -> Response:
    """To whom?"""
    connection = parts.home.folder.load(code)
    to = connection.from_address or connection.mailbox
    return page(request, "test_email.html", connection=connection, to=to)


@router.post(
    "/connections/{code}/test-email", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False
)
def send_stored(
    request: Request, code: str, parts: Parts, asking: Asking, to: Annotated[str, Field(max_length=320)] = ""
) -> Response:
    """Send one through a stored connection."""
    return _start(request, parts, asking, parts.home.folder.load(code), to)


@router.post("/test-emails", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False)
def send_draft(request: Request, given: Form, parts: Parts, asking: Asking) -> Response:
    """Send one with what stands in the form, saved or not; nothing is saved by it."""
    admin = asking.role.may(Role.ADMIN)
    connection = drafted(parts.home, given).connection if admin else base(parts.home, given)
    return _start(request, parts, asking, connection, "")


@router.get("/test-emails/{id}", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False)
def watch(request: Request, id: str, parts: Parts, asking: Asking, seen: int = 0) -> Response:  # noqa: A002 - the path's word
    """The steps so far; nothing when nothing has changed."""
    work = parts.test_emails.find(id, asking.owner)
    if work is None:
        return page(request, "_test_gone.html")
    version, state = work.now()
    if version == seen and not state.finished:
        return Response(status_code=204)
    return _steps(request, work)


@router.post(
    "/test-emails/{id}/cancel", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False
)
def cancel(request: Request, id: str, parts: Parts, asking: Asking) -> Response:  # noqa: A002
    """Stop it; what was handed over already is on its way."""
    work = parts.test_emails.find(id, asking.owner)
    if work is None:
        return page(request, "_test_gone.html")
    work.cancel()
    return _steps(request, work)


def _start(request: Request, parts: Services, asking: Who, connection: Connection, to: str) -> Response:
    from datapallas.diagnosis.explain import explain
    from datapallas.home import facts_of

    try:
        work = parts.test_emails.start(connection, owner=asking.owner, to=to.strip())
    except DataPallasError as problem:
        return page(request, "_test_refused.html", diagnosis=explain(problem, facts_of(connection)))
    parts.audit.write(asking, "test-email", connection=connection.code, to=work.now()[1].to)
    return _steps(request, work, fresh=True)


def _steps(request: Request, work: TestWork, *, fresh: bool = False) -> Response:
    version, state = work.now()
    test = {
        "work": work.id,
        "version": version,
        "state": state,
        "words": _WORDS,
        "fresh": fresh,
        "report": work.report() if state.finished else "",
        "mail_page": services(request).trial.page if work.code == TRIAL else "",
    }
    return page(request, "_test_email.html", test=test)
