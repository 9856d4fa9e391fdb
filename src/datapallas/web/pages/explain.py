"""Explain an error: paste anything, read what it means and what to do."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request, Response

from datapallas.web.guard import needs
from datapallas.web.pages.answers import page
from datapallas.web.who import Role

router = APIRouter()


@router.get("/explain", dependencies=[Depends(needs(Role.VIEWER))], include_in_schema=False)
def ask(request: Request) -> Response:
    """What was said?"""
    return page(request, "explain.html", active="explain")


@router.post("/explain", dependencies=[Depends(needs(Role.VIEWER))], include_in_schema=False)
def explained(request: Request, text: Annotated[str, Form()] = "") -> Response:
    """Every known thing in it."""
    from datapallas.diagnosis.explain import explain_all

    return page(
        request, "_explained.html", active="explain", found=explain_all(text), asked=bool(text.strip())
    )
