"""Stands before every route: who asks, from where, with what; and puts the security headers on every answer.

Must stay true:
- what is not allowed is refused here, before a route, a parser or a template sees the request;
- a path nobody knows needs a login too, so that a stranger learns nothing from the difference;
- an exception ends as an explained answer, never as a traceback.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, cast

import anyio.to_thread
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from datapallas.errors import DataPallasError
from datapallas.web import checks, problems
from datapallas.web.audit import Person
from datapallas.web.body import bounded, is_file, largest
from datapallas.web.entrance import nobody_in
from datapallas.web.hashing import same
from datapallas.web.headers import with_security
from datapallas.web.problems import Problem, Refused
from datapallas.web.roles import need_of, needs, public
from datapallas.web.who import Kind, Role

if TYPE_CHECKING:
    from fastapi.routing import APIRoute
    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from datapallas.web.services import Services
    from datapallas.web.who import Who

__all__ = ["Guard", "needs", "public"]

_RELOAD = "Load the page again, then repeat what you did."


class Guard:
    """The middleware; the services are those of the application it stands in."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request (ASGI). There are no websockets here."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # policy violation (RFC 6455 section 7.4.1)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                secure = self._services.settings.secure
                message = {**message, "headers": with_security(message.get("headers", []), secure=secure)}
            await send(message)

        scope.setdefault("state", {})["who"] = None
        scope["scheme"] = self._services.settings.scheme  # as configured, never as a header says
        try:
            await self._admit(scope)
            await self._app(scope, bounded(receive, largest(scope)), guarded)
        except ClientDisconnect:
            return
        except Refused as refused:
            await problems.answer(scope, refused.problem)(scope, receive, guarded)
        except Exception as error:
            if started:  # half an answer is out: it can only be cut off
                raise
            problems.tell(error)
            await problems.answer(scope, problems.of_error(error))(scope, receive, guarded)

    async def _admit(self, scope: Scope) -> None:
        """Everything that is checked before the route; raises Refused."""
        services = self._services
        address = checks.client_address(scope, services.settings.proxies)
        asks = Person("", address)
        scope["state"]["address"] = address
        if not checks.host_is_ours(scope, services.settings):
            await self._note(asks, "wrong host", host=checks.header(scope, "host"))
            raise Refused(
                Problem(status=421, detail="This server answers only to its own address. Use that one.")
            )
        proxies = services.settings.proxies
        if proxies and not checks.is_one_of(checks.peer(scope), proxies):
            await self._note(asks, "not by the proxy")
            raise Refused(Problem(status=403, detail="This server answers only by way of its proxy."))
        elsewhere = checks.from_elsewhere(scope, services.settings)
        if elsewhere:
            origin, method = checks.header(scope, "origin"), scope["method"]
            await self._note(asks, elsewhere, origin=origin, method=method, path=scope["path"])
            raise Refused(Problem(status=403, detail=f"The request comes from {elsewhere}."))
        need = self._need(scope)
        who = await self._who(scope, address)
        scope["state"]["who"] = who
        if need is not None:
            self._allow(scope, who, need)
        _change(scope, who if need is not None else None)  # a login has no session yet that could prove it
        _body(scope)

    def _need(self, scope: Scope) -> Role | None:
        """What the route of this request needs; what a route for other methods needs; else the least."""
        near: Role | None = Role.VIEWER
        app = cast("Starlette", scope["app"])
        for route in cast("list[APIRoute]", app.routes):
            match, _ = route.matches(scope)
            if match is Match.FULL:
                return need_of(route)
            if match is Match.PARTIAL:
                near = need_of(route)
        return near

    async def _who(self, scope: Scope, address: str) -> Who | None:
        """Whoever the token or the cookie stands for. A token counts at the API only."""
        access, settings = self._services.access, self._services.settings
        token = checks.bearer(scope) if problems.is_api(scope) else None
        if token is not None:
            who = access.of_token(token, address)
            if who is None:
                raise Refused(nobody_in(scope, settings, wrong_token=True))
            seconds = access.requests.take(who.owner)
            if seconds:
                detail = f"This token has asked too often. Try again in {seconds} seconds."
                raise Refused(Problem(status=429, detail=detail, headers={"retry-after": str(seconds)}))
            return who
        secret = checks.cookie(scope, settings.cookie)
        if not secret:
            return None
        who, stale = access.of_session(secret, settings.mode, address)
        if stale:
            with contextlib.suppress(DataPallasError):  # a full disk must not lock anybody out
                await anyio.to_thread.run_sync(access.sessions.note, secret)
        return who

    def _allow(self, scope: Scope, who: Who | None, need: Role) -> None:
        if who is None:
            raise Refused(nobody_in(scope, self._services.settings))
        if not who.role.may(need):
            detail = f"This needs the role {need}; {who.name} has the role {who.role}. Ask an administrator."
            raise Refused(Problem(status=403, title="Not allowed", detail=detail))

    async def _note(self, who: Person, why: str, **facts: object) -> None:
        """Write a refusal to the audit; the refusal stands whether or not that works."""

        def write() -> None:
            with contextlib.suppress(DataPallasError, OSError):
                self._services.audit.refused(who, why, **facts)

        await anyio.to_thread.run_sync(write)


def _change(scope: Scope, who: Who | None) -> None:
    """A change comes from a program with a token, or from a page of ours that proves it."""
    if scope["method"] in checks.SAFE or (who is not None and who.kind is Kind.TOKEN):
        return
    if not checks.says_where_from(scope):
        detail = (
            "A request that changes something needs an API token, or a browser that says where it is from."
        )
        raise Refused(Problem(status=403, detail=detail))
    if who is not None and not same(checks.header(scope, "x-csrf-token") or "", who.csrf):
        raise Refused(Problem(status=403, title="This page is out of date", detail=_RELOAD))


def _body(scope: Scope) -> None:
    """What the body is, as the headers say; how long it is in truth is counted as it comes."""
    if not checks.has_body(scope):
        return
    kinds = (checks.JSON,) if problems.is_api(scope) else (checks.FORM, checks.JSON)
    if is_file(scope):
        kinds = (checks.FILE,)
    length = checks.header(scope, "content-length") or "0"
    if not length.isdecimal() or int(length[:20]) > largest(scope):
        raise Refused(Problem(status=413, detail=f"More than {largest(scope)} bytes are not taken."))
    if checks.media_type(scope) not in kinds:
        raise Refused(Problem(status=415, detail=f"The body must be {' or '.join(kinds)}."))
