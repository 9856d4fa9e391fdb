"""What the doctor's checks know of a case, and what they find out for each other.

Must stay true: nothing here is printed or kept; the access token lives in memory, as long as the examination.
"""

from __future__ import annotations

import dataclasses
import socket
from typing import TYPE_CHECKING, Any

from datapallas.connection.identity import PASSWORD
from datapallas.connection.model import OAuth2Client
from datapallas.diagnosis.facts import facts_of
from datapallas.smtp.target import Deadlines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from datapallas.connection.folder import Folder
    from datapallas.connection.model import Connection
    from datapallas.errors import DataPallasError
    from datapallas.mail.transport import LoginSource
    from datapallas.oauth.discovery import Metadata
    from datapallas.oauth.endpoint import Answer, Endpoint
    from datapallas.oauth.source import ConnectionTokenSource
    from datapallas.oauth.token import AccessToken
    from datapallas.smtp.stream import Session

# A server may hold the greeting back for a while (Postfix's postscreen: 6 s); nothing else takes long.
DEADLINES = Deadlines(connect=10, tls=15, greeting=45, auth=45, command=45)


def _dial(host: str, port: int, seconds: float) -> socket.socket:
    return socket.create_connection((host, port), seconds, all_errors=True)


@dataclasses.dataclass(slots=True, kw_only=True)
class Case:
    """One examination.

    Attributes:
        root, environ, folder, endpoint: those of the home.
        code: the connection to examine; empty when there is only a provider, with a draft as the connection.
        connection: the draft, or None until the file was read.
        dial: connects; raises OSError, or a group of them. Tests make networks with it that cannot be built here.
        deadlines: for the mail server.
        answer, metadata, token, session: what checks found, for those after them.
        suspicion: something odd that decides nothing by itself; the cause when the mail server refuses the sign-in.
    """

    root: Path
    environ: Mapping[str, str]
    folder: Folder
    endpoint: Endpoint
    code: str = ""
    connection: Connection | None = None
    dial: Callable[[str, int, float], socket.socket] = _dial
    deadlines: Deadlines = DEADLINES
    answer: Answer | None = None
    metadata: Metadata | None = None
    token: AccessToken | None = None
    session: Session | None = None
    suspicion: DataPallasError | None = None
    _tokens: ConnectionTokenSource | None = None

    @property
    def known(self) -> Connection:
        """The connection; the check that reads it comes before those that ask for it."""
        if self.connection is None:
            raise LookupError("the connection was not read yet")
        return self.connection

    @property
    def client(self) -> OAuth2Client | None:
        """How the connection gets tokens; None when it signs in with a password."""
        found = self.connection.credential if self.connection else None
        return found if isinstance(found, OAuth2Client) else None

    @property
    def signed_out(self) -> bool:
        """Nobody has signed in yet."""
        return self.client is not None and not self.client.app_only and self.client.refresh_token is None

    @property
    def facts(self) -> dict[str, str]:
        """The names that make advice exact."""
        found = facts_of(self.connection) if self.connection else {}
        if self.code:
            return {**found, "connection": self.code}
        return {name: value for name, value in found.items() if name != "connection"}

    @property
    def tokens(self) -> ConnectionTokenSource:
        """Where the connection's tokens come from: a refresh through it loses no sign-in."""
        from datapallas.oauth.source import ConnectionTokenSource

        if self._tokens is None:
            self._tokens = ConnectionTokenSource(self.folder, self.code, self.endpoint, self.endpoint.clock)
        return self._tokens

    def login(self) -> LoginSource:
        """How the connection signs in at its mail server."""
        from datapallas.mail.transport import login_source

        return login_source(self.known, self.tokens, lambda: self.folder.reveal(self.known, PASSWORD))

    def close(self) -> None:
        """End what is still open."""
        if self.session is not None:
            self.session.quit()
            self.session = None


def reason_of(problem: Any) -> str:
    """What the system said, for a sentence."""
    return str(getattr(problem, "strerror", None) or problem)
