"""Where everything is, who asks, and the well-known providers."""

from __future__ import annotations

from fastapi import Depends

from datapallas import __version__
from datapallas.connection import form as forms
from datapallas.web.api.parts import BASE, new_router
from datapallas.web.api.shown import About, Me, Preset, Presets
from datapallas.web.guard import needs
from datapallas.web.services import Asking
from datapallas.web.who import Role

router = new_router("about")
_LINKS = {
    "connections": f"{BASE}/connections",
    "presets": f"{BASE}/presets",
    "explain": f"{BASE}/explain",
    "me": f"{BASE}/me",
    "description": "/api/openapi.json",
    "documentation": "/api/docs",
}


@router.get(BASE, dependencies=[Depends(needs(Role.VIEWER))])
def about() -> About:
    """What this server is, and where things are."""
    return About(version=__version__, links=_LINKS)


@router.get(f"{BASE}/me", dependencies=[Depends(needs(Role.VIEWER))])
def me(asking: Asking) -> Me:
    """Who is asking."""
    return Me(name=asking.name, role=asking.role, kind=asking.kind)


@router.get(f"{BASE}/presets", dependencies=[Depends(needs(Role.VIEWER))])
def list_presets() -> Presets:
    """The well-known providers, for a new connection."""
    return Presets(presets=[Preset(name=one.name, title=one.title, note=one.note) for one in forms.presets()])
