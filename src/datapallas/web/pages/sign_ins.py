"""Sign-ins from the page: start, watch, cancel, paste, disconnect, and the browser that comes back from the provider."""

from __future__ import annotations

import dataclasses
import io
import time
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi import Form as Field

from datapallas.errors import DataPallasError, UsageError
from datapallas.home.sign_ins import SignInRequest, Way
from datapallas.web.guard import needs
from datapallas.web.pages.answers import page
from datapallas.web.pages.box import Box, shown_ways
from datapallas.web.pages.editor import box_of, public_redirect, view
from datapallas.web.pages.given import Form, Given, base, drafted
from datapallas.web.services import Asking, Parts, Services, who
from datapallas.web.sign_in_audit import started
from datapallas.web.who import Role, Who

if TYPE_CHECKING:
    from datapallas.connection.model import Connection
    from datapallas.home.sign_ins import SignInWork
    from datapallas.oauth.source import SignOut

router = APIRouter()


@router.post("/sign-ins", dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False)
def start(  # noqa: PLR0913, PLR0917 - what FastAPI hands over
    request: Request, given: Form, parts: Parts, asking: Asking, way: str, accept: str = ""
) -> Response:
    """Begin a sign-in with what stands in the form; it is saved when the sign-in has worked, and only then."""
    asked = SignInRequest(
        wanted=_wanted(parts, asking, given),
        new=given.new,
        way=Way.BROWSER,
        owner=asking.owner,
        issuer=given.others.get("issuer", ""),
        accept_account=bool(accept),
        drop_sign_in=True,  # the page has said what the changes end
    )
    try:
        work = begin(parts, asking, asked, way)
    except DataPallasError as problem:
        return _refused(request, parts, given, problem)
    answer = sign_in_box(request, parts, work)
    if given.new:  # so that a page that is loaded again finds it
        answer.headers["HX-Replace-Url"] = f"/connections/new?kind={given.kind}&work={work.id}"
    return answer


@router.get("/sign-ins/{id}", dependencies=[Depends(needs(Role.OWNER))], include_in_schema=False)
def watch(request: Request, id: str, parts: Parts, asking: Asking, seen: int = 0) -> Response:  # noqa: A002 - the path's word
    """How a sign-in stands; nothing when nothing has changed, so that what is being pasted stays."""
    work = parts.sign_ins.find(id, asking.owner)
    if work is None:
        return page(request, "_gone.html")
    version, state = work.now()
    if version == seen and not state.finished:
        return Response(status_code=204)
    return sign_in_box(request, parts, work)


@router.post("/sign-ins/{id}/cancel", dependencies=[Depends(needs(Role.OWNER))], include_in_schema=False)
def cancel(request: Request, id: str, parts: Parts, asking: Asking) -> Response:  # noqa: A002
    """End a sign-in."""
    work = parts.sign_ins.find(id, asking.owner)
    if work is None:
        return page(request, "_gone.html")
    work.cancel()
    return sign_in_box(request, parts, work)


@router.post("/sign-ins/{id}/offer", dependencies=[Depends(needs(Role.OWNER))], include_in_schema=False)
def offer(
    request: Request,
    id: str,  # noqa: A002
    parts: Parts,
    asking: Asking,
    pasted: Annotated[str, Field(max_length=16384)] = "",
) -> Response:
    """Take the address a browser elsewhere ended at."""
    work = parts.sign_ins.find(id, asking.owner)
    if work is None:
        return page(request, "_gone.html")
    problem = ""
    try:
        work.offer(pasted)
    except UsageError as refused:
        problem = refused.message
    return sign_in_box(request, parts, work, paste_problem=problem)


@router.get("/sign-ins/{id}/qr.svg", dependencies=[Depends(needs(Role.OWNER))], include_in_schema=False)
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
    editor = view(parts, asking, Given(code=code))
    box = dataclasses.replace(box_of(parts, editor), ended=_ended(done))
    return page(request, "_signed_out.html", box=box, form=editor)


def _ended(done: SignOut) -> str:
    if not done.forgotten:
        return "Nobody was signed in."
    there = (
        "The provider has ended it too." if done.revoked else f"Not revoked at the provider: {done.reason}."
    )
    return f"Disconnected: the sign-in is gone from this machine. {there}"


def begin(parts: Services, asking: Who, asked: SignInRequest, way: str) -> SignInWork:
    """Begin what was asked for, in one of the ways that are offered here. Raises UsageError for another way."""
    if way not in {shown.way for shown in shown_ways(asked.wanted, parts.settings, asked.issuer)}:
        raise UsageError("This way of signing in is not offered here.", code="bad-way")
    redirect = public_redirect(parts, asked.wanted) if way == Way.REDIRECT else ""
    return started(parts, asking, dataclasses.replace(asked, way=Way(way), redirect_uri=redirect))


def _wanted(parts: Services, asking: Who, given: Given) -> Connection:
    """What to sign in to: what stands in the form for whoever may change it, else the stored connection."""
    if asking.role.may(Role.ADMIN):
        wanted = drafted(parts.home, given).connection
        first = given.new and not parts.home.folder.list()  # as when it is saved without a sign-in
        return dataclasses.replace(wanted, default=True) if first else wanted
    if given.new:
        raise UsageError("Only an administrator makes connections.", code="bad-way")
    return base(parts.home, given)


def sign_in_box(request: Request, parts: Services, work: SignInWork, *, paste_problem: str = "") -> Response:
    """The third step while a sign-in is under way, and how it ended."""
    version, state = work.now()
    wanted = work.wanted
    stored = state.stage == "connected" or not work.new
    editor = view(
        parts,
        who(request),
        Given(code=work.code if stored else ""),
    )
    box = Box(
        connection=wanted,
        row=editor.row if stored else None,
        ways=shown_ways(wanted, parts.settings, work.issuer),
        work=work.id,
        version=version,
        state=state,
        now=time.time(),
        paste_problem=paste_problem,
        invited=bool(who(request).only),
    )
    if box.invited:
        return page(request, "_sign_in.html", box=box)
    answer = page(request, "_signing_in.html", box=box, form=editor)
    if state.stage == "connected":
        answer.headers["HX-Replace-Url"] = f"/connections/{work.code}"
    return answer


def _refused(request: Request, parts: Services, given: Given, problem: DataPallasError) -> Response:
    from datapallas.diagnosis.explain import explain
    from datapallas.home import facts_of

    editor = view(parts, who(request), given)
    diagnosis = explain(problem, facts_of(editor.connection))
    return page(request, "_sign_in_refused.html", box=box_of(parts, editor), form=editor, diagnosis=diagnosis)
