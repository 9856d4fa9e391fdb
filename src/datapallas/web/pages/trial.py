"""Try with the sandbox: starts it, and leads to the connection that points at it."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response

from datapallas.errors import UsageError
from datapallas.web.guard import needs
from datapallas.web.pages.answers import go
from datapallas.web.services import Asking, Mode, Parts
from datapallas.web.who import Role

router = APIRouter()


@router.post("/sandbox", dependencies=[Depends(needs(Role.ADMIN))], include_in_schema=False)
def start(parts: Parts, asking: Asking) -> Response:
    """Only at the person's own machine: its pages are on loopback."""
    if parts.settings.mode is not Mode.LOCAL:
        raise UsageError("The sandbox is for trying things out on one's own machine.", code="sandbox-start")
    connection = parts.trial.start()
    parts.audit.write(asking, "sandbox-started", connection=connection.code)
    return go(f"/connections/{connection.code}#sign-in")
