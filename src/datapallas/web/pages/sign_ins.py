"""Sign-ins from the page: start, watch, cancel, paste, disconnect, and the browser that comes back from the provider."""

from __future__ import annotations

import dataclasses
import io
import time
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request, Response

from datapallas.errors import DataPallasError, UsageError
from datapallas.home.sign_ins import SignInRequest, Way
from datapallas.web.guard import needs
from datapallas.web.pages.answers import page
from datapallas.web.pages.box import Box, WayShown, ways
from datapallas.web.pages.editor import box_of, public_redirect, takes_codes, view
from datapallas.web.pages.given import Form, Given, base, drafted
from datapallas.web.services import Mode, Services, services, who
from datapallas.web.who import Role, Who

if TYPE_CHECKING:
    from datapallas.connection.model import Connection
    from datapallas.home.sign_ins import SignInWork

router = APIRouter()
Parts = Annotated[Services, Depends(services)]
Asking = Annotated[Who, Depends(who)]


@router.post("/sign-ins", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False)
def start(request: Request, given: Form, parts: Parts, asking: Asking, way: str) -> Response:
    """Begin a sign-in with what stands in the form; it is saved when the sign-in has worked, and only then."""
    wanted = _wanted(parts, asking, given)
    issuer = given.others.get("issuer", "")
    allowed = {shown.way for shown in _ways(parts, wanted, issuer)}
    if way not in allowed:
        raise UsageError("This way of signing in is not offered here.", code="bad-way")
    redirect = public_redirect(parts, wanted) if way == Way.REDIRECT else ""
    asked = SignInRequest(
        wanted=wanted,
        new=given.new,
        way=Way(way),
        owner=asking.owner,
        redirect_uri=redirect,
        issuer=issuer,
        drop_sign_in=True,  # the page has said what the changes end
    )
    try:
        work = parts.sign_ins.start(asked)
    except DataPallasError as problem:
        return _refused(request, parts, given, problem)
    parts.audit.write(asking, "sign-in-started", connection=wanted.code, way=way)
    answer = _box(request, parts, work)
    if given.new:  # so that a page that is loaded again finds it
        answer.headers["HX-Replace-Url"] = f"/connections/new?kind={given.kind}&work={work.id}"
    return answer


@router.get("/sign-ins/{id}", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False)
def watch(request: Request, id: str, parts: Parts, asking: Asking, seen: int = 0) -> Response:  # noqa: A002 - the path's word
    """How a sign-in stands; nothing when nothing has changed, so that what is being pasted stays."""
    work = parts.sign_ins.find(id, asking.owner)
    if work is None:
        return page(request, "_gone.html")
    version, state = work.now()
    if version == seen and not state.finished:
        return Response(status_code=204)
    return _box(request, parts, work)


@router.post("/sign-ins/{id}/cancel", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False)
def cancel(request: Request, id: str, parts: Parts, asking: Asking) -> Response:  # noqa: A002
    """End a sign-in."""
    work = parts.sign_ins.find(id, asking.owner)
    if work is None:
        return page(request, "_gone.html")
    work.cancel()
    parts.audit.write(asking, "sign-in-cancelled", connection=work.code)
    return _box(request, parts, work)


@router.post("/sign-ins/{id}/offer", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False)
async def offer(request: Request, id: str, parts: Parts, asking: Asking) -> Response:  # noqa: A002
    """Take the address a browser elsewhere ended at."""
    pasted = (await request.form(max_files=0)).get("pasted", "")
    work = parts.sign_ins.find(id, asking.owner)
    if work is None:
        return page(request, "_gone.html")
    problem = ""
    try:
        work.offer(str(pasted))
    except UsageError as refused:
        problem = refused.message
    return _box(request, parts, work, paste_problem=problem)


@router.get("/sign-ins/{id}/qr.svg", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False)
def qr(id: str, parts: Parts, asking: Asking) -> Response:  # noqa: A002
    """The provider's page for the code, to be read by a telephone."""
    import segno

    work = parts.sign_ins.find(id, asking.owner)
    _, state = work.now() if work is not None else (0, None)
    if state is None or not state.verification_uri:
        return Response(status_code=404)
    picture = io.BytesIO()
    segno.make(state.verification_uri_complete or state.verification_uri, micro=False).save(
        picture, kind="svg", scale=4, border=2, dark="#000", light="#fff"
    )
    return Response(picture.getvalue(), media_type="image/svg+xml")


@router.post(
    "/connections/{code}/sign-out", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False
)
def sign_out(request: Request, code: str, parts: Parts, asking: Asking) -> Response:
    """Forget the stored sign-in, and end it at the provider where that is possible."""
    parts.sign_ins.cancel_for(code)
    done = parts.home.tokens(code).sign_out()
    parts.audit.write(asking, "signed-out", connection=code, revoked=done.revoked)
    editor = view(parts, asking, Given(code=code, kind="generic", fields={}, secrets={}, others={}))
    return page(request, "_sign_in.html", box=box_of(parts, editor), form=editor, signed_out=done)


def _wanted(parts: Services, asking: Who, given: Given) -> Connection:
    """What to sign in to: what stands in the form for whoever may change it, else the stored connection."""
    if asking.role.may(Role.ADMIN):
        return drafted(parts.home, given).connection
    if given.new:
        raise UsageError("Only an administrator makes connections.", code="bad-way")
    return base(parts.home, given)


def _ways(parts: Services, wanted: Connection, issuer: str) -> list[WayShown]:
    served = parts.settings.mode is Mode.SERVED
    return ways(wanted, served=served, device=takes_codes(parts, wanted, issuer))


def _box(request: Request, parts: Services, work: SignInWork, *, paste_problem: str = "") -> Response:
    """The third step while a sign-in is under way, and how it ended."""
    version, state = work.now()
    wanted = work.wanted
    stored = state.stage == "connected" or not work.new
    editor = view(
        parts,
        who(request),
        Given(code=work.code if stored else "", kind="generic", fields={}, secrets={}, others={}),
    )
    box = Box(
        connection=wanted,
        row=editor.row if stored else None,
        ways=_ways(parts, wanted, work.issuer),
        work=work.id,
        version=version,
        state=state,
        now=time.time(),
        paste_problem=paste_problem,
    )
    answer = page(request, "_signing_in.html", box=box, form=editor)
    if state.stage == "connected":
        answer.headers["HX-Replace-Url"] = f"/connections/{work.code}"
    return answer


def _refused(request: Request, parts: Services, given: Given, problem: DataPallasError) -> Response:
    from datapallas.diagnosis.explain import explain
    from datapallas.home import facts_of

    editor = view(parts, who(request), given)
    diagnosis = explain(problem, facts_of(editor.connection))
    box = dataclasses.replace(box_of(parts, editor))
    return page(request, "_sign_in_refused.html", box=box, form=editor, diagnosis=diagnosis)
