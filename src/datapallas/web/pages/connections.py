"""The list of connections, and what is done from it: duplicate, make default, delete, try the sandbox."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, Request, Response

from datapallas.connection.model import Provider
from datapallas.home.overview import Health
from datapallas.home.used_by import used_by
from datapallas.web.guard import needs
from datapallas.web.pages.answers import go, page
from datapallas.web.pages.box import sign_in_lines
from datapallas.web.services import Asking, Mode, Parts
from datapallas.web.who import Role

if TYPE_CHECKING:
    from datapallas.home import Home, Row

router = APIRouter()

_COLOURS = {
    Health.CONNECTED: "good",
    Health.PASSWORD: "good",
    Health.NEVER: "calm",
    Health.NO_PASSWORD: "warn",
    Health.REFUSED: "warn",
    Health.PARKED: "bad",
    Health.UNREADABLE: "bad",
    Health.BROKEN: "bad",
}
_NOT_READY = frozenset({Health.NEVER, Health.NO_PASSWORD, Health.PARKED, Health.UNREADABLE})
_PROVIDER_WORDS = {
    "MICROSOFT": "Microsoft",
    "GOOGLE": "Google",
    "GENERIC": "OAuth2",
    "NONE": "Password",
}
SAID = {
    "saved": "Saved.",
    "deleted": "Deleted.",
    "default": "It is the default connection now.",
    "duplicated": "Copied, without its secrets. Sign in to use the copy.",
}
"""What a page may say when it opens, by the word in its address; nothing else of the address is ever shown."""


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A row of the list as the template shows it: the row, and words and colours for it."""

    row: Row
    now: float
    reports: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> object:
        return getattr(self.row, name)

    @property
    def state(self) -> str:
        """The state, as a sentence begins."""
        return self.row.state[:1].upper() + self.row.state[1:]

    @property
    def colour(self) -> str:
        """good, calm, warn or bad."""
        return _COLOURS[self.row.health]

    @property
    def lines(self) -> list[str]:
        """When the token was last refreshed, and how many days are left."""
        return sign_in_lines(self.row, self.now) if self.row.health is not Health.NEVER else []

    @property
    def openable(self) -> bool:
        """There is a connection to look at."""
        return self.row.health is not Health.BROKEN

    @property
    def provider_words(self) -> str:
        """The provider, in a word."""
        return _PROVIDER_WORDS.get(self.row.provider, "")

    @property
    def next_action(self) -> str:
        """What the row's button does: sign-in, password or test."""
        if self.row.app_only or self.row.health not in _NOT_READY:
            return "test"
        return "password" if self.row.provider == Provider.NONE.value else "sign-in"


@router.get("/", dependencies=[Depends(needs(Role.OWNER))], include_in_schema=False)
def home_page(asking: Asking) -> Response:
    """There is one area yet; whoever was invited has a page of their own."""
    return go("/invited" if asking.only else "/connections", status=303)


@router.get("/connections", dependencies=[Depends(needs(Role.VIEWER))], include_in_schema=False)
def connections(request: Request, parts: Parts, done: str = "") -> Response:
    """Every connection, with the state of its sign-in."""
    now = time.time()
    users = used_by(parts.home)
    rows = [Line(row, now, tuple(users.get(row.code, ()))) for row in parts.home.overview()]
    local = parts.settings.mode is Mode.LOCAL
    return page(request, "connections.html", rows=rows, sandbox=local, said=SAID.get(done, ""))


@router.post(
    "/connections/{code}/default", dependencies=[Depends(needs(Role.ADMIN))], include_in_schema=False
)
def make_default(code: str, parts: Parts, asking: Asking) -> Response:
    """Make it the one that is used when none is named."""
    parts.home.folder.set_default(code)
    parts.audit.write(asking, "connection-default", connection=code)
    return go("/connections?done=default")


@router.post(
    "/connections/{code}/duplicate", dependencies=[Depends(needs(Role.ADMIN))], include_in_schema=False
)
def duplicate(code: str, parts: Parts, asking: Asking) -> Response:
    """Copy it under the next free name, without its secrets."""
    copy = parts.home.folder.duplicate(code, _free_name(parts.home, code))
    parts.audit.write(asking, "connection-duplicated", connection=code, copy=copy.code)
    return go(f"/connections/{copy.code}?done=duplicated")


@router.post("/connections/{code}/delete", dependencies=[Depends(needs(Role.ADMIN))], include_in_schema=False)
def delete(code: str, parts: Parts, asking: Asking) -> Response:
    """Delete it and its sign-in; the page has asked, and has said so when it is the default one."""
    parts.sign_ins.cancel_for(code)
    parts.home.folder.delete(code, force=True)
    parts.audit.write(asking, "connection-deleted", connection=code)
    return go("/connections?done=deleted")


def _free_name(home: Home, code: str) -> str:
    """`NAME copy`, `NAME copy 2`, ...: the first whose code is free."""
    from datapallas.connection.codes import kebab

    taken = {row.code for row in home.overview()}
    name = home.folder.load(code).name or code
    names = (f"{name} copy{f' {number}' if number > 1 else ''}" for number in range(1, len(taken) + 2))
    return next(wanted for wanted in names if kebab(wanted) not in taken)
