"""The description of the API: as OpenAPI for programs, and as a page for people, made from the same document."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from datapallas.web.api.description import description
from datapallas.web.api.reference import reference
from datapallas.web.guard import needs
from datapallas.web.services import services
from datapallas.web.templating import render
from datapallas.web.who import Role

router = APIRouter(include_in_schema=False)


@router.get("/api/openapi.json", dependencies=[Depends(needs(Role.VIEWER))])
def openapi(request: Request) -> dict[str, Any]:
    """The document."""
    return description(request.app)


@router.get("/api/docs", dependencies=[Depends(needs(Role.VIEWER))])
def page(request: Request) -> Response:
    """The page."""
    origin = services(request).settings.origin
    return render(request, "api.html", active="api", api=reference(description(request.app), origin))
