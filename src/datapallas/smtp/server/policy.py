"""What a server is asked to decide, and what it offers: the seam between the protocol and whoever uses it.

The protocol core asks in events and is answered with replies; `listener` asks a `Policy` for them. The sandbox and the
relay are two policies. Must stay true: a policy sees checked values only (an `Address`, a `Login`), never a line.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

from datapallas.smtp.command import MAX_AUTH_LINE, MAX_TEXT_LINE, MIN_RECIPIENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datapallas.smtp.address import Address
    from datapallas.smtp.reply import Reply
    from datapallas.smtp.sasl import Login


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What this session is offered: the words of EHLO and what they need.

    Attributes:
        host: our name, in the greeting and in EHLO.
        size: octets of the largest message; announced (RFC 1870) unless `announce_size` is False.
        starttls: whether TLS can be started; needs a context at the listener.
        mechanisms: of AUTH, in order of preference; empty offers no AUTH.
        login_without_tls: True takes AUTH in clear; for a loopback listener without certificates only.
        login_needed: True takes MAIL only after AUTH (RFC 6409 section 4.3).
        tls_needed: True takes nothing but EHLO, STARTTLS, NOOP and QUIT before TLS (RFC 3207 section 4).
    """

    host: str
    size: int = 36_700_160
    announce_size: bool = True
    pipelining: bool = True
    chunking: bool = True
    eightbit: bool = True
    smtputf8: bool = True
    enhanced: bool = True
    starttls: bool = True
    mechanisms: tuple[str, ...] = ("XOAUTH2", "OAUTHBEARER", "PLAIN", "LOGIN")
    login_without_tls: bool = False
    login_needed: bool = True
    tls_needed: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one session may ask for. Octets count the line end.

    Attributes:
        command_line: longer than RFC 5321's 512, for UTF-8 addresses with parameters; AUTH included.
        auth_line: of the lines inside an AUTH exchange (RFC 4954 section 4).
        text_line: of a message (RFC 5321 section 4.5.3.1.6).
        recipients: of one message; at least 100 (RFC 5321 section 4.5.3.1.8).
        logins: refused AUTHs before the session ends; Postfix's smtpd_hard_error_limit does the same.
        errors: bad commands before the session ends.
        idle_commands: NOOP, RSET, VRFY, HELP and EHLO between two messages before the session ends.
    """

    command_line: int = 1000
    auth_line: int = MAX_AUTH_LINE
    text_line: int = MAX_TEXT_LINE
    recipients: int = MIN_RECIPIENTS
    logins: int = 3
    errors: int = 10
    idle_commands: int = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a login. `challenge` is JSON sent in a 334 before a refusal (RFC 7628 section 3.2.2), or empty."""

    reply: Reply
    challenge: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class LoginAsked:
    """Somebody signs in. Answer with a Verdict; 235 lets in."""

    mechanism: str
    login: Login


@dataclasses.dataclass(frozen=True, slots=True)
class TlsAsked:
    """STARTTLS came. Answer 220 or 454."""


@dataclasses.dataclass(frozen=True, slots=True)
class MailAsked:
    """A message begins. `sender` is None for the null path. Answer 250 or a refusal."""

    sender: Address | None
    params: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class RecipientAsked:
    """One more recipient. Answer 250 or a refusal."""

    address: Address
    params: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class ContentAsked:
    """The text is about to come (DATA, or the first BDAT). Answer 354 or a refusal such as 452 4.3.1."""


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """Octets of the message, to be kept; takes no answer."""

    data: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class MessageAsked:
    """The message is whole. Answer 250 once it is safe, or a refusal."""

    envelope: Taken


@dataclasses.dataclass(frozen=True, slots=True)
class Dropped:
    """What was kept of the message is not wanted any more; takes no answer."""


@dataclasses.dataclass(frozen=True, slots=True)
class StartTls:
    """Send what there is to send, then begin the handshake; takes no answer but `secured()`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Closed:
    """Send what there is to send, then close; takes no answer."""


Question = LoginAsked | TlsAsked | MailAsked | RecipientAsked | ContentAsked | MessageAsked
Event = Question | Text | Dropped | StartTls | Closed


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """The envelope of a message as it was agreed on.

    Attributes:
        sender: None for the null path.
        user: who signed in; empty when nobody did.
        smtputf8, eightbit: what MAIL announced (RFC 6531, RFC 6152).
    """

    sender: Address | None
    recipients: tuple[Address, ...]
    user: str = ""
    smtputf8: bool = False
    eightbit: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end: numeric address and port, and whether TLS protects the way from the start."""

    address: str
    port: int
    tls: bool = False


class Spool(Protocol):
    """Where the text of a message goes while it comes in; a file open for writing will do."""

    def write(self, data: bytes, /) -> object:
        """Keep these octets."""

    def close(self) -> None:
        """Let go of what is kept; also called after `Policy.message`."""


class HangUp(Exception):
    """Raised by a policy to end the connection at once, without a reply."""


class Policy(Protocol):
    """The decisions of one session. Each may raise HangUp."""

    @property
    def offer(self) -> Offer:
        """What this session is offered; read once, before the greeting."""

    async def greeting(self) -> Reply:
        """220 to go on; 421 or 554 closes."""

    async def starttls(self) -> Reply:
        """220, or 454 when TLS cannot be started now."""

    async def login(self, mechanism: str, login: Login) -> Verdict:
        """Let in (235) or not; never says whether the user or the secret was wrong."""

    async def mail(self, sender: Address | None, params: Mapping[str, str]) -> Reply:
        """Take this sender (250) or not."""

    async def recipient(self, address: Address, params: Mapping[str, str]) -> Reply:
        """Take this recipient (250) or not."""

    async def spool(self) -> Spool | Reply:
        """A place for the text, or a refusal such as 452 4.3.1 when there is none."""

    async def message(self, envelope: Taken, spool: Spool) -> Reply:
        """Take the whole message (250, once it is safe) or not."""

    def closed(self) -> None:
        """The session is over, however it ended."""
