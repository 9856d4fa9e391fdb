"""What a page answers with: a whole page, a part of one, or where to go next."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response

from datapallas.web.templating import render


def page(request: Request, template: str, *, status: int = 200, **context: Any) -> Response:
    """A page, or a part of one, for whoever is asking."""
    return render(request, template, status=status, **{"active": "connections", "said": "", **context})


def go(address: str, *, status: int = 204) -> Response:
    """Send the browser to another of our pages: by htmx after a change, by a redirect with 303."""
    if status == 204:  # noqa: PLR2004 - nothing to show: htmx goes there
        return Response(status_code=200, headers={"HX-Redirect": address})
    return Response(status_code=status, headers={"Location": address})
