"""Who may come in: sessions, users, API tokens and links of one home, in one value.

Must stay true: everything is in `<home>/data/web`, so that the command line and a running server share it; a user who
is removed, or whose role changes, is so at their next request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas import files
from datapallas.oauth.clock import SystemClock
from datapallas.web.invites import Invites
from datapallas.web.limits import Limit
from datapallas.web.links import Links
from datapallas.web.services import Mode
from datapallas.web.sessions import LOCAL, Sessions
from datapallas.web.tokens import Tokens
from datapallas.web.users import Users
from datapallas.web.who import Kind, Role, Who

if TYPE_CHECKING:
    from pathlib import Path

    from datapallas.oauth.clock import Clock
    from datapallas.secret import Secret
    from datapallas.web.users import User

LOGINS_A_MINUTE = 5
LOGINS_OF_AN_ADDRESS = 30
REQUESTS_A_MINUTE = 300
LOCAL_NAME = "local"
INVITED = "invited:"
"""The user of an invited owner's session: this and the code of the connection. No user can have such a name."""


def web_folder(root: Path) -> Path:
    """Where the files of the web page are, in the home `root`."""
    return root / "data" / "web"


class Access:
    """Who may come in, and how often they may try."""

    def __init__(self, root: Path, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self.folder = files.private_directory(web_folder(root))
        self.sessions = Sessions(self.folder, self.clock)
        self.users = Users(self.folder, self.clock)
        self.tokens = Tokens(self.folder, self.clock)
        self.links = Links(self.folder, self.clock)
        self.invites = Invites(self.folder, self.clock)
        self.logins = Limit(LOGINS_A_MINUTE, self.clock)
        self.addresses = Limit(LOGINS_OF_AN_ADDRESS, self.clock)
        self.requests = Limit(REQUESTS_A_MINUTE, self.clock)

    def enter(self, key: str, user: int | None = None) -> Secret | None:
        """Use a one-use link: the secret of a new session of the person at this machine, or None.

        `user` is the uid that comes, where it is known.
        """
        return self.sessions.begin(LOCAL) if self.links.use(key, user) else None

    def enter_invited(self, key: str) -> tuple[str, Secret] | None:
        """Use an invitation: its connection and the secret of a new session, which sees only that; or None."""
        code = self.invites.use(key)
        return (code, self.sessions.begin(INVITED + code)) if code else None

    def may_try(self, name: str, address: str) -> int:
        """Count a login: 0 when it may be tried, else after how many seconds."""
        return max(self.addresses.take(address), self.logins.take(_pair(name, address)))

    def log_in(self, name: str, password: Secret, address: str) -> tuple[User, Secret] | None:
        """The user and the secret of their new session; None when name and password do not fit."""
        user = self.users.check(name, password)
        if user is None:
            return None
        self.logins.forget(_pair(name, address))
        return user, self.sessions.begin(user.name)

    def of_session(self, secret: str, mode: Mode, address: str) -> tuple[Who | None, bool]:
        """Who a session's cookie stands for, or None; and whether it should be noted that it is in use."""
        session = self.sessions.find(secret)
        if session is None or (session.user == LOCAL) is not (mode is Mode.LOCAL):
            return None, False
        name, role, only = LOCAL_NAME, Role.ADMIN, ""
        if session.user.startswith(INVITED):
            name, role, only = session.user, Role.OWNER, session.user.removeprefix(INVITED)
        elif session.user != LOCAL:
            user = self.users.find(session.user)
            if user is None:
                return None, False
            name, role = user.name, user.role
        who = Who(
            name=name,
            role=role,
            kind=Kind.SESSION,
            owner=session.id,
            csrf=session.csrf,
            address=address,
            only=only,
        )
        return who, session.stale

    def of_token(self, secret: str, address: str) -> Who | None:
        """Who an API token stands for, or None."""
        token = self.tokens.find(secret)
        if token is None:
            return None
        return Who(
            name=f"token:{token.name}", role=token.role, kind=Kind.TOKEN, owner=token.id, address=address
        )


def _pair(name: str, address: str) -> str:
    return f"{name[:64].lower()} {address}"
