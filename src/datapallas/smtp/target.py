"""Where to hand mail in, how long to wait for each step, and what a sending ended with: values only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from datapallas.connection.model import Security

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from datapallas.smtp.reply import Reply

Watch = Callable[[str, str], None]
"""Is told every line: direction ``C`` or ``S``, and the line without its end. Secrets are masked, bodies counted."""


class Stage(StrEnum):
    """A part of opening a session. With implicit TLS, CONNECT ends after TLS: with the server's greeting."""

    CONNECT = "connect"
    TLS = "tls"
    SIGN_IN = "sign-in"
    READY = "ready"


class Stages(Protocol):
    """Is told how the opening of a session goes on, in the thread that opens it; what it raises ends the session.

    Nothing is told of messages: they are many, and whoever sends them knows.
    """

    def began(self, stage: Stage) -> None:
        """A stage begins; READY when messages may be sent."""

    def ended(self, stage: Stage, facts: Mapping[str, str]) -> None:
        """A stage ended well. Facts: CONNECT `greeting`; TLS see `tls.facts_of`; SIGN_IN `mechanism`, `user`, `reply`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """A mail server.

    Attributes:
        host: name or IP address; the certificate must be for it.
        security: STARTTLS and TLS are never given up silently; NONE signs in on loopback only.
        tls: the context to use; None is `tls.tls_context()`.
        local_name: how we greet; empty is our address as a literal (RFC 5321 section 4.1.3).
        chunking: False never uses BDAT.
    """

    host: str
    port: int
    security: Security = Security.STARTTLS
    tls: ssl.SSLContext | None = None
    local_name: str = ""
    chunking: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds each step may take in all, however the octets trickle in.

    `command`, `body` and `final` are those of RFC 5321 section 4.5.3.2. The final reply has the longest: who gives up
    early on it sends twice (RFC 1047). `body` is the longest pause in which the server takes not one octet.
    """

    connect: float = 30
    tls: float = 30
    greeting: float = 60
    auth: float = 60
    command: float = 300
    body: float = 180
    final: float = 600
    quit: float = 5


class Sent(NamedTuple):
    """What the server said to one message.

    Attributes:
        recipients: the reply to each recipient, in the order they were given.
        final: the reply to the message itself, good or bad; None when no recipient was accepted, so that no message
            was handed over. Only with a positive `final` does the server have it, for the recipients it accepted.
    """

    recipients: tuple[Reply, ...]
    final: Reply | None
