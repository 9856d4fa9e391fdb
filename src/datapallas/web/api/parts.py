"""What the routes of the API share: their parameters, how a router is made, and how what is not known is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

from fastapi import APIRouter, Path

from datapallas.web.problems import Problem, Refused

if TYPE_CHECKING:
    from fastapi.routing import APIRoute

    from datapallas.web.problems import Code as ProblemCode

Found = TypeVar("Found")
BASE = "/api/v1"
Code = Annotated[str, Path(description="The connection's code.", examples=["eml-office-365"], max_length=200)]
Id = Annotated[str, Path(description="What the start of it answered as `id`.", max_length=200)]


def new_router(tag: str) -> APIRouter:
    """A router whose operations are called as its functions are."""
    return APIRouter(tags=[tag], generate_unique_id_function=_name)


def _name(route: APIRoute) -> str:
    return route.name


def known(found: Found | None, code: ProblemCode, what: str) -> Found:
    """What was found. Raises Refused when there is no such thing, or it is somebody else's: the same answer."""
    if found is not None:
        return found
    detail = (
        f"There is no such {what}: it is somebody else's, or ended more than ten minutes ago, or the server was "
        "restarted. Start a new one."
    )
    raise Refused(Problem(status=404, title=f"Unknown {what}", detail=detail, code=code))
