"""The ways in and out: the one-use link (local), name and password (served), logout.

Must stay true: a session's secret is new at each login and stands in its cookie only; a wrong name and a wrong
password are told the same way; the link is not used up by a browser that only fetches it ahead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from datapallas.secret import Secret
from datapallas.web import checks
from datapallas.web.audit import Person
from datapallas.web.entrance import own_path
from datapallas.web.peer import user_of
from datapallas.web.problems import Problem, answer
from datapallas.web.roles import needs, public
from datapallas.web.services import Mode, services
from datapallas.web.templating import render
from datapallas.web.who import Role, Who

if TYPE_CHECKING:
    from datapallas.web.services import Settings

router = APIRouter(include_in_schema=False)
Known = Annotated[Who, Depends(needs(Role.VIEWER))]
_WRONG = "This name and this password do not fit together."


@router.get("/healthz", dependencies=[Depends(public)])
async def health() -> PlainTextResponse:
    """It runs; nothing else is said to strangers."""
    return PlainTextResponse("ok\n")


@router.get("/open", dependencies=[Depends(public)])
def open_link(request: Request, key: str = "") -> Response:
    """Swap the one-use link for a session. The one GET that changes something: the link itself is the proof."""
    found = services(request)
    if found.settings.mode is not Mode.LOCAL:
        raise HTTPException(404)
    ahead = request.headers.get("sec-purpose", "").startswith("prefetch")
    if request.state.who is not None:  # opened a second time by whoever is in already
        return RedirectResponse("/", 303)
    secret = None if ahead else found.access.enter(key, _user_at_the_other_end(request))
    if secret is None:
        used = Problem(status=401, title="Open a new link", template="closed.html")
        return answer(request.scope, used)
    found.audit.write(_person(request, "local"), "login")
    return entered(found.settings, secret, "/")


@router.get("/login", dependencies=[Depends(public)])
def login_form(request: Request, next: str = "/") -> Response:  # noqa: A002 - the name in the address
    """The form; whoever is logged in goes on."""
    _served_only(request)
    if request.state.who is not None:
        return RedirectResponse(own_path(next), 303)
    return render(request, "login.html", next=own_path(next), name="", problem="")


@router.post("/login", dependencies=[Depends(public)])
def login(
    request: Request,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",  # noqa: A002 - the name of the field
) -> Response:
    """Check name and password; a new session, or the form again."""
    _served_only(request)
    found = services(request)
    known = found.access.users.find(name) is not None
    who = _person(request, name if known else "nobody known")  # people type passwords here by mistake
    seconds = found.access.may_try(name, who.address)
    if seconds:
        found.audit.refused(who, "too many logins")
        sentence = f"Too many tries. Wait {seconds} seconds, then try again."
        headers = {"retry-after": str(seconds)}
        return _form_again(request, sentence, 429, (name, next), headers)
    came = found.access.log_in(name, Secret(password), who.address)
    if came is None:
        found.audit.write(who, "login-failed")
        return _form_again(request, _WRONG, 401, (name, next), {})
    old = checks.cookie(request.scope, found.settings.cookie)
    if old:
        found.access.sessions.end(old)
    user, secret = came
    found.audit.write(_person(request, user.name), "login", role=user.role)
    return entered(found.settings, secret, own_path(next))


@router.post("/logout")
def logout(request: Request, who: Known) -> Response:
    """End this session."""
    found = services(request)
    found.access.sessions.end(checks.cookie(request.scope, found.settings.cookie))
    found.audit.write(who, "logout")
    return _left(request)


@router.post("/logout-all")
def logout_all(request: Request, who: Known) -> Response:
    """End every session of whoever asks, on all their devices."""
    found = services(request)
    user = "" if found.settings.mode is Mode.LOCAL else who.name
    found.audit.write(who, "logout-all", sessions=found.access.sessions.end_all(user))
    return _left(request)


def _user_at_the_other_end(request: Request) -> int | None:
    client, server = request.scope.get("client"), request.scope.get("server")
    return user_of((client[0], client[1]), (server[0], server[1])) if client and server else None


def _served_only(request: Request) -> None:
    if services(request).settings.mode is not Mode.SERVED:
        raise HTTPException(404)


def _person(request: Request, name: str) -> Person:
    return Person(name, request.state.address)


def _form_again(
    request: Request, sentence: str, status: int, typed: tuple[str, str], headers: dict[str, str]
) -> Response:
    name, path = typed
    shown = {"name": name[:64], "next": own_path(path), "problem": sentence}
    return render(request, "login.html", status=status, headers=headers, **shown)


def entered(settings: Settings, secret: Secret, path: str) -> Response:
    """On to `path`, with the session's cookie."""
    response = RedirectResponse(path, 303)
    response.set_cookie(
        settings.cookie, secret.reveal(), path="/", secure=settings.secure, httponly=True, samesite="strict"
    )
    return response


def _left(request: Request) -> Response:
    """Out: the cookie goes; no page was kept in a cache."""
    settings = services(request).settings
    if "hx-request" in request.headers:
        response = Response(status_code=204, headers={"hx-redirect": "/"})
    else:
        response = RedirectResponse("/", 303)
    response.delete_cookie(
        settings.cookie, path="/", secure=settings.secure, httponly=True, samesite="strict"
    )
    return response
