"""What a route needs of whoever asks: `needs(Role.X)`, or `public`. The guard reads it before the route runs.

Must stay true: a route that says nothing is an error when the application is made; it is never open by accident.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from fastapi import HTTPException, Request

from datapallas.web.who import Role, Who

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastapi.routing import APIRoute


def public(request: Request) -> Who | None:
    """For everybody; whoever is known is given. A FastAPI dependency."""
    return cast("Who | None", request.state.who)


def _owner(request: Request) -> Who:
    return _at_least(request, Role.OWNER)


def _viewer(request: Request) -> Who:
    return _at_least(request, Role.VIEWER)


def _operator(request: Request) -> Who:
    return _at_least(request, Role.OPERATOR)


def _admin(request: Request) -> Who:
    return _at_least(request, Role.ADMIN)


_CHECKS: Mapping[Role, Callable[[Request], Who]] = MappingProxyType(
    {Role.OWNER: _owner, Role.VIEWER: _viewer, Role.OPERATOR: _operator, Role.ADMIN: _admin}
)


def needs(role: Role) -> Callable[[Request], Who]:
    """A FastAPI dependency: whoever asks, who has `role` at least.

    As `dependencies=[Depends(needs(Role.VIEWER))]`, or `who: Annotated[Who, Depends(needs(Role.OPERATOR))]`.
    """
    return _CHECKS[role]


def need_of(route: APIRoute) -> Role | None:
    """The role a route needs; None when it is public. Raises TypeError when it does not say."""
    calls = [one.call for one in route.dependant.dependencies]
    roles = [role for role, check in _CHECKS.items() if check in calls]
    if bool(roles) is (public in calls):
        raise TypeError(f"{route.path} must say what it needs: needs(Role.X), or public")
    return roles[-1] if roles else None


def _at_least(request: Request, role: Role) -> Who:
    """The guard has looked already; this is the second look, in case a route is reached by another way."""
    found = cast("Who | None", request.state.who)
    if found is None:
        raise HTTPException(401)
    if not found.role.may(role):
        raise HTTPException(403)
    return found
