"""What somebody sees who is not logged in, or no longer: the way in.

Must stay true: it says the same whether a page exists or not; where to go after the login is always a path of ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from datapallas.web import checks
from datapallas.web.problems import Problem, is_api
from datapallas.web.services import Mode

if TYPE_CHECKING:
    from starlette.types import Scope

    from datapallas.web.services import Settings

NEW_LINK = "datapallas serve --new-link"


def nobody_in(scope: Scope, settings: Settings, *, wrong_token: bool = False) -> Problem:
    """The answer to a request that nobody is known to have sent."""
    if is_api(scope):
        error = ', error="invalid_token"' if wrong_token else ""  # RFC 6750 section 3
        detail = (
            "This token is not known here, or was removed. Give Authorization: Bearer TOKEN, with one that "
            "`datapallas token create NAME --role ROLE` prints."
            if wrong_token
            else "Give an API token: Authorization: Bearer TOKEN. `datapallas token create NAME --role ROLE` makes one."
        )
        headers = {"www-authenticate": f'Bearer realm="DataPallas"{error}'}
        return Problem(status=401, title="Not logged in", detail=detail, headers=headers)
    served = settings.mode is Mode.SERVED
    if checks.header(scope, "hx-request") is not None:
        back = {"hx-redirect": "/login" if served else "/"}
        return Problem(status=401, title="Not logged in", detail="Log in again.", headers=back)
    if checks.is_followed_link(scope):  # the cookie was left out; asked again from here, it comes
        again = {"refresh": f"0; url={here(scope)}"}
        return Problem(status=401, title="One moment", detail="The page opens by itself.", headers=again)
    if served:
        return Problem(status=303, headers={"location": f"/login?{urlencode({'next': here(scope)})}"})
    return Problem(status=401, title="Open the link again", template="closed.html")


def here(scope: Scope) -> str:
    """The path and query of the request, for the way back; "/" where there is no way back to it."""
    if scope["method"] not in checks.SAFE:
        return "/"
    query = scope.get("query_string", b"").decode("latin-1")
    path = quote(scope["path"], safe="/:@!$&'()*+,;=-._~")
    return own_path(f"{path}?{query}" if query else path)


def own_path(given: str) -> str:
    """`given` when it is a path here; else "/": two slashes, or one and a backslash, lead elsewhere."""
    plain = given.isascii() and given.isprintable()
    return given if plain and given.startswith("/") and not given.startswith(("//", "/\\")) else "/"
