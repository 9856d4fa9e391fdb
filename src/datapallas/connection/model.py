"""What a connection is: a mailbox one can send from.

Values only, complete and frozen; nothing here reads a file or knows a protocol.
`${variables}` in fields stay text: reports fill them in, everything else says so when it meets one.
"""

from __future__ import annotations

import dataclasses
from enum import StrEnum

from datapallas.errors import ConfigurationError
from datapallas.secret import Secret


class Provider(StrEnum):
    """Who signs people in. NONE is a plain password."""

    NONE = "NONE"
    MICROSOFT = "MICROSOFT"
    GOOGLE = "GOOGLE"
    GENERIC = "GENERIC"


class Security(StrEnum):
    """How the way to the mail server is protected. TLS is implicit TLS (RFC 8314), STARTTLS is RFC 3207."""

    NONE = "NONE"
    STARTTLS = "STARTTLS"
    TLS = "TLS"


class Flow(StrEnum):
    """How a refresh token or an access token is got."""

    CODE = "CODE"
    DEVICE = "DEVICE"
    APPONLY = "APPONLY"
    SERVICEACCOUNT = "SERVICEACCOUNT"


class Cloud(StrEnum):
    """Which of Microsoft's clouds."""

    GLOBAL = "GLOBAL"
    USGOV = "USGOV"
    USGOVDOD = "USGOVDOD"
    CHINA = "CHINA"


class Transport(StrEnum):
    """Which way a message leaves. AUTO chooses."""

    AUTO = "AUTO"
    SMTP = "SMTP"
    GRAPH = "GRAPH"
    GMAIL = "GMAIL"


@dataclasses.dataclass(frozen=True, slots=True)
class Sealed:
    """A secret as it stands in the file: `ENC(v1...)`, or a text that starts with `ENC(` and does not open."""

    text: str


Stored = Secret | Sealed | None
"""A secret in a file: found in clear (to be sealed at the next save), sealed, or not set."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where mail is handed in.

    Attributes:
        host: name or address; may hold a `${variable}`.
        port: text for the same reason; `port_number` is the number.
        security: how the way is protected.
        root_certificate: path of a PEM file with the only authority to trust, or empty for the system's.
        chunking: False switches BDAT (RFC 3030) off for a server that announces it and does it badly.
    """

    host: str = ""
    port: str = "587"
    security: Security = Security.STARTTLS
    root_certificate: str = ""
    chunking: bool = True

    @property
    def port_number(self) -> int:
        """The port, 1 to 65535; ConfigurationError when it is not one."""
        if self.port.isascii() and self.port.isdigit() and 0 < int(self.port) < 65536:  # noqa: PLR2004
            return int(self.port)
        raise ConfigurationError(
            f"The port is {self.port!r}, which is not a number from 1 to 65535.", code="bad-port"
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Password:
    """A user and a password, for providers that still take one."""

    user: str = ""
    password: Stored = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2Client:
    """Everything needed to get an access token (RFC 6749), the names of the file's elements without `oauth2`.

    Attributes:
        provider: MICROSOFT, GOOGLE or GENERIC; never NONE.
        tenant_id: Microsoft only: a GUID, a domain, `organizations`, `consumers` or `common`; empty is `common`.
        authorize_url, token_url, scope: GENERIC's own; for the others empty means the provider's preset.
        certificate: path of the file with the app's own key, for app-only: PEM with key and certificate, or
            Google's JSON key of a service account. A relative one is below the home.
        refresh_token: the stored sign-in.
        user_email: the mailbox that signed in; it is the user name in XOAUTH2.
        issued_at: when the refresh token was issued, ISO 8601 UTC, or empty.
        granted_scope: what the provider granted at sign-in, or empty.
    """

    provider: Provider
    client_id: str = ""
    tenant_id: str = ""
    cloud: Cloud = Cloud.GLOBAL
    flow: Flow = Flow.CODE
    authorize_url: str = ""
    token_url: str = ""
    scope: str = ""
    client_secret: Stored = None
    certificate: str = ""
    redirect_uri: str = ""
    login_hint: str = ""
    refresh_token: Stored = None
    user_email: str = ""
    issued_at: str = ""
    granted_scope: str = ""

    @property
    def app_only(self) -> bool:
        """Nobody signs in: the app opens the mailbox with a key or a secret of its own."""
        return self.flow in {Flow.APPONLY, Flow.SERVICEACCOUNT}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One mailbox one can send from; its identity is `code`, not the name of its file."""

    code: str
    name: str = ""
    default: bool = False
    server: Server = Server()
    from_address: str = ""
    from_name: str = ""
    credential: Password | OAuth2Client = Password()
    transport: Transport = Transport.AUTO

    @property
    def provider(self) -> Provider:
        """The provider; NONE for a password."""
        return self.credential.provider if isinstance(self.credential, OAuth2Client) else Provider.NONE

    @property
    def app_only(self) -> bool:
        """Nobody signs in: the app opens the mailbox with a key or a secret of its own."""
        return isinstance(self.credential, OAuth2Client) and self.credential.app_only

    @property
    def mailbox(self) -> str:
        """The address that signs in at the mail server: the account of the sign-in, else the user or sender.

        App-only there is no account: it is the login hint where one is set, else the sender.
        """
        if isinstance(self.credential, OAuth2Client):
            client = self.credential
            if client.app_only:
                sender = "" if "${" in self.from_address else self.from_address
                return client.login_hint or sender or client.user_email or self.from_address
            return client.user_email or self.from_address
        return self.credential.user or self.from_address
