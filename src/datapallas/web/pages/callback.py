"""Where the provider sends the browser back to, when this server has a public address (RFC 6749 section 4.1.2).

Must stay true: nothing of the request is echoed; the answer counts only in the browser session that began the sign-in
(RFC 6749 section 10.12). The browser comes from another site, so it does not bring our cookie (SameSite=Strict): what
came is kept for a moment under a number that cannot be guessed, and a page of ours leads on to it, with the cookie.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from datapallas.connection.model import Provider
from datapallas.errors import UsageError
from datapallas.web.pages.answers import page
from datapallas.web.roles import needs, public
from datapallas.web.services import Asking, Parts
from datapallas.web.templating import render
from datapallas.web.who import Role

router = APIRouter(include_in_schema=False)
_LONGEST = 16384


@router.get("/oauth/{provider}/callback", dependencies=[Depends(public)])
def arrived(request: Request, provider: str, parts: Parts) -> Response:
    """Keep what the browser brought, and lead it on to a page of ours."""
    query = request.url.query
    known = {kind.value.lower() for kind in Provider} - {Provider.NONE.value.lower()}
    if provider not in known or "state=" not in query or len(query) > _LONGEST:
        raise UsageError(
            "This address does not belong to a sign-in that is under way.", code="stray-callback"
        )
    return render(request, "came_back.html", number=parts.arrivals.keep(query))


@router.get("/oauth/finish/{number}", dependencies=[Depends(needs(Role.OWNER))])
def finish(
    request: Request,
    number: str,
    parts: Parts,
    asking: Asking,
) -> Response:
    """Bring it to the sign-in it belongs to, if this session began that one."""
    query = parts.arrivals.take(number)
    work = parts.sign_ins.callback(query, asking.owner) if query else None
    if work is None:
        raise UsageError(
            "This address does not belong to a sign-in that is under way.", code="stray-callback"
        )
    return page(request, "finish.html", code=work.code)
