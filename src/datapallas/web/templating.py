"""Pages from templates: everything that stands in one is escaped, and a name that is missing is an error.

Must stay true: autoescape is on for every template and no template marks foreign text as safe; a page gets what it
shows as arguments, and beside that only what `_about` gives.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from datapallas.diagnosis import catalogue
from datapallas.web import static_files
from datapallas.web.page_words import for_the_page
from datapallas.web.pages.times import clock
from datapallas.web.services import Mode
from datapallas.web.who import Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from datapallas.diagnosis.explain import Diagnosis
    from datapallas.web.services import Settings
    from datapallas.web.who import Who


@functools.cache
def environment() -> Environment:
    """The one environment of all templates."""
    made = Environment(
        loader=PackageLoader("datapallas.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals["asset"] = static_files.address
    made.globals["page_fix"] = page_fix
    made.filters["clock"] = clock
    return made


def render(
    request: Request,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **shown: Any,
) -> HTMLResponse:
    """The page `template`, with what it shows."""
    text = environment().get_template(template).render({**_about(request), **shown})
    return HTMLResponse(text, status, dict(headers or {}))


def page_fix(diagnosis: Diagnosis) -> str:
    """What to do, as somebody at the page does it."""
    row = next((row for row in catalogue.rows() if row.id == diagnosis.id), None)
    return row.page if row is not None and row.page else for_the_page(diagnosis.fix)


class May:
    """What the person may do, as the templates ask it: `may.admin`."""

    def __init__(self, who: Who | None) -> None:
        self.viewer = who is not None and who.role.may(Role.VIEWER)
        self.operator = who is not None and who.role.may(Role.OPERATOR)
        self.admin = who is not None and who.role.may(Role.ADMIN)


def _about(request: Request) -> dict[str, Any]:
    """What every page may use: `who` (None before the login), `served`, and `active`, the area it is in."""
    settings: Settings = request.app.state.services.settings
    who: Who | None = getattr(request.state, "who", None)
    return {"active": "", "may": May(who), "who": who, "served": settings.mode is Mode.SERVED}
