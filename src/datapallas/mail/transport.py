"""The way a message leaves: what every transport does, how it signs in, and which one a connection uses.

Must stay true: a transport sends a message once, or says that it cannot know; a secret is asked for when a session
is opened, and not kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from datapallas.connection.model import Password, Transport
from datapallas.errors import ConfigurationError, NotSignedIn
from datapallas.smtp.body import Body
from datapallas.smtp.parcels import BOUNDS
from datapallas.smtp.sasl import BearerLogin, PasswordLogin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datapallas.connection.model import Connection
    from datapallas.errors import DataPallasError
    from datapallas.mail.caution import Caution
    from datapallas.mail.envelope import Envelope, Receipt
    from datapallas.oauth.source import TokenSource
    from datapallas.secret import Secret
    from datapallas.smtp.sasl import Login
    from datapallas.smtp.target import Deadlines, Stages, Target, Watch

SESSIONS = 3
"""Sessions of one mailbox at a time: what Exchange Online allows (432 4.3.2 beyond)."""


class Letter(Body, Protocol):
    """A message ready to be sent, such as `compose.Composed`."""

    @property
    def message_id(self) -> str:
        """The Message-ID with its angle brackets."""


class MailTransport(Protocol):
    """Sends one message, once."""

    def send(self, envelope: Envelope, body: Letter) -> Receipt:
        """Hand the message over and tell what happened to each recipient, also when it happened to none.

        Raises DataPallasError when nothing was handed over and the reason is not this message's recipients.
        """

    def send_all(self, mail: Iterator[Mail], told: Told) -> None:
        """Hand messages over, in this order, over one session; several are in flight where the server stands it.

        The next one is taken from `mail` when it may go out. Each that was taken is told once.
        """

    @property
    def depth(self) -> int:
        """How many messages may be in flight at once, as far as it is known by now; 1: the next waits for the last."""

    def close(self) -> None:
        """End what is kept open; what is being sent is finished first."""


Mail = tuple["Envelope", Letter]
"""One message of many."""
Told = Callable[[int, "Receipt | DataPallasError | None"], bool]
"""Is told the number of a message, from 0 as they were taken, and what `send` would give or raise; None: nothing of it
was sent. Gives False when nothing more is to be begun."""


class AsyncMailTransport(Protocol):
    """The same for asyncio."""

    async def send(self, envelope: Envelope, body: Letter) -> Receipt:
        """See MailTransport.send."""

    async def close(self) -> None:
        """See MailTransport.close."""


class LoginSource(Protocol):
    """How a session signs in.

    Attributes:
        renewable: a refused login may be made anew (a token), or not (a password).
    """

    @property
    def renewable(self) -> bool: ...  # noqa: D102 - see the class

    def login(self, *, force: bool = False) -> Login | None:
        """Give the login for a new session; None: the server wants none. May read files and ask the provider."""


@dataclasses.dataclass(frozen=True, slots=True)
class BearerSource:
    """Signs in with access tokens; `user` is the mailbox (XOAUTH2's user)."""

    user: str
    tokens: TokenSource
    renewable: bool = True

    def login(self, *, force: bool = False) -> BearerLogin:
        """Ask for a token."""
        return BearerLogin(self.user, self.tokens.token(force=force).value)


@dataclasses.dataclass(frozen=True, slots=True)
class PasswordSource:
    """Signs in with a password, which is asked for each time; an empty `user` means that there is no sign-in."""

    user: str
    reveal: Callable[[], Secret]
    renewable: bool = False

    def login(self, *, force: bool = False) -> PasswordLogin | None:  # noqa: ARG002 - a password has nothing to renew
        """Ask for the password."""
        return PasswordLogin(self.user, self.reveal()) if self.user else None


def login_source(
    connection: Connection, tokens: TokenSource | None, reveal: Callable[[], Secret] | None
) -> LoginSource:
    """Choose how a connection signs in: a password connection needs `reveal`, any other needs `tokens`."""
    if isinstance(connection.credential, Password):
        if connection.credential.user and reveal is None:
            raise NotSignedIn(f"No password is stored for {connection.code}.", connection=connection.code)
        return PasswordSource(connection.credential.user, reveal or _nothing)
    if tokens is None:
        raise NotSignedIn(f"Nobody has signed in to {connection.code}.", connection=connection.code)
    return BearerSource(connection.mailbox, tokens)


def _nothing() -> Secret:
    from datapallas.secret import Secret

    return Secret("")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a mailbox sends.

    Attributes:
        watch: is told every line of the dialogue, secrets masked.
        stages: is told how the opening of each session goes on.
        sessions: kept open and shared, at most.
        deadlines: seconds for each step; None: those of RFC 5321.
        local_name: how we greet the server; empty: our address.
        in_flight: messages that may be unanswered at once, of those that are sent together; 1: one after the other.
        caution: what is known of servers that do not stand that; None: nothing yet.
    """

    watch: Watch | None = None
    stages: Stages | None = None
    sessions: int = SESSIONS
    deadlines: Deadlines | None = None
    local_name: str = ""
    in_flight: int = BOUNDS.messages
    caution: Caution | None = None


def target(connection: Connection, local_name: str = "") -> Target:
    """Give the mail server of a connection. Raises ConfigurationError when it has none, or one with a variable."""
    from datapallas.smtp.target import Target
    from datapallas.smtp.tls import tls_context

    server = connection.server
    if not server.host or "${" in server.host:
        raise ConfigurationError(
            f"The connection {connection.code} has no mail server: its host is {server.host!r}.",
            code="no-mail-server",
            connection=connection.code,
        )
    return Target(
        host=server.host,
        port=server.port_number,
        security=server.security,
        tls=tls_context(server.root_certificate) if server.root_certificate else None,
        local_name=local_name,
        chunking=server.chunking,
    )


def choose(connection: Connection, login: LoginSource, options: Options | None = None) -> MailTransport:
    """Give the transport of a connection. Raises ConfigurationError for one this version does not have."""
    from datapallas.mail.smtp_transport import SmtpTransport

    _only_smtp(connection)
    return SmtpTransport(connection, login, options)


def choose_async(
    connection: Connection, login: LoginSource, options: Options | None = None
) -> AsyncMailTransport:
    """Give the transport of a connection, for asyncio."""
    from datapallas.mail.async_smtp_transport import AsyncSmtpTransport

    _only_smtp(connection)
    return AsyncSmtpTransport(connection, login, options)


def _only_smtp(connection: Connection) -> None:
    if connection.transport not in {Transport.AUTO, Transport.SMTP}:
        raise ConfigurationError(
            f"The connection {connection.code} asks for the transport {connection.transport};"
            " this version sends by SMTP only: set it to SMTP or AUTO.",
            code="transport",
            connection=connection.code,
        )
