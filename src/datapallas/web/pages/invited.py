"""The page of a mailbox's owner who was invited to sign in: one connection, one button, done.

Must stay true: whoever was invited sees and reaches nothing but that one connection's sign-in.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request, Response
from starlette.responses import RedirectResponse

from datapallas.errors import DataPallasError
from datapallas.home.sign_ins import SignInRequest, Way
from datapallas.web.audit import Person
from datapallas.web.guard import needs
from datapallas.web.pages.answers import page
from datapallas.web.pages.box import Box, shown_ways
from datapallas.web.pages.login import entered
from datapallas.web.pages.sign_ins import begin, sign_in_box
from datapallas.web.problems import Problem, answer
from datapallas.web.roles import public
from datapallas.web.services import Asking, Mode, Parts, Services
from datapallas.web.templating import render
from datapallas.web.who import Role, Who

if TYPE_CHECKING:
    from datapallas.connection.model import Connection

router = APIRouter(include_in_schema=False)


@router.get("/invite", dependencies=[Depends(public)])
def welcome(request: Request, parts: Parts, key: str = "") -> Response:
    """A button: programs that look at the links in a mail before the person does must not use one up."""
    _served_only(parts)
    if (
        request.state.who is not None and request.state.who.only
    ):  # opened a second time by whoever is in already
        return RedirectResponse("/invited", 303)
    return render(request, "invite.html", key=key)


@router.post("/invite", dependencies=[Depends(public)])
def enter(request: Request, parts: Parts, key: Annotated[str, Form()] = "") -> Response:
    """Swap the invitation for a session that sees one connection; the link itself is the proof."""
    _served_only(parts)
    found = parts.access.enter_invited(key)
    if found is None:
        detail = "This invitation was used already, or its time is over. Ask for a new one."
        return answer(request.scope, Problem(status=401, title="This link does not work", detail=detail))
    code, secret = found
    parts.audit.write(Person(f"invited:{code}", request.state.address), "invitation-used", connection=code)
    return entered(parts.settings, secret, "/invited")


@router.get("/invited", dependencies=[Depends(needs(Role.OWNER))])
def invited(request: Request, parts: Parts, asking: Asking) -> Response:
    """The one connection, and how to sign in to it."""
    connection = _connection(parts, asking)
    box = _idle(parts, connection)
    return page(request, "invited.html", connection=connection, box=box)


@router.post("/invited/sign-in", dependencies=[Depends(needs(Role.OWNER))])
def start(request: Request, parts: Parts, asking: Asking, way: str) -> Response:
    """Begin a sign-in to the one connection, as it is stored."""
    connection = _connection(parts, asking)
    asked = SignInRequest(wanted=connection, new=False, way=Way.PASTE, owner=asking.owner)
    try:
        work = begin(parts, asking, asked, way)
    except DataPallasError as problem:
        from datapallas.diagnosis.explain import explain
        from datapallas.home import facts_of

        diagnosis = explain(problem, facts_of(connection))
        return page(request, "_sign_in_refused.html", box=_idle(parts, connection), diagnosis=diagnosis)
    return sign_in_box(request, parts, work)


def _served_only(parts: Services) -> None:
    if parts.settings.mode is not Mode.SERVED:
        raise HTTPException(404)


def _connection(parts: Services, asking: Who) -> Connection:
    if not asking.only:
        raise HTTPException(404)
    return parts.home.folder.load(asking.only)


def _idle(parts: Services, connection: Connection) -> Box:
    found = shown_ways(connection, parts.settings)
    return Box(
        connection=connection, row=parts.home.row(connection.code), ways=found, now=time.time(), invited=True
    )
