"""The sandbox as one thing: start it, point a connection at it, look at what arrived, stop it.

Must stay true: everything listens on loopback only; leaving the block ends every thread, socket and temporary file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from datapallas.connection.model import Connection, Flow, OAuth2Client, Password, Provider, Security, Server
from datapallas.errors import UsageError
from datapallas.sandbox import certificates, clients
from datapallas.sandbox.arrived import Inbox
from datapallas.sandbox.clients import TENANT_ID
from datapallas.sandbox.control import Control
from datapallas.sandbox.faults import Faults
from datapallas.sandbox.ledger import Grant
from datapallas.sandbox.mailserver import PASSWORD, MailServer
from datapallas.sandbox.provider import Provider as IdentityProvider
from datapallas.sandbox.settings import Dialect, Settings
from datapallas.sandbox.web import WebServer
from datapallas.secret import Secret
from datapallas.smtp.server.listener import Background, Capacity, Listener
from datapallas.smtp.server.policy import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from datapallas.sandbox.arrived import Arrived

USERS = ("alice@sandbox.example", "bob@sandbox.example", "reports@sandbox.example")
HOST = "127.0.0.1"
_GENERIC_SCOPE = "smtp offline_access openid email"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where to listen on 127.0.0.1; 0 is any free port."""

    web: int = 0
    smtp: int = 0
    smtps: int = 0


class Sandbox:
    """An identity provider and a mail server on loopback. Used with `with`.

    Args:
        folder: for certificates and mail; None makes a temporary one that goes away at the end.
        users: who can sign in, with any password.
        ports: fixed ports, for a sandbox one comes back to.
        settings: what may be changed while it runs.
        names: what the mail server's certificate is for; others than `localhost` and `127.0.0.1` make it wrong.
    """

    client_id = "sandbox-app"
    client_secret = clients.CLIENTS["sandbox-app"].secret
    service_client_id = "sandbox-service"
    tenant_id = TENANT_ID
    password = PASSWORD
    smtp_host = HOST

    def __init__(
        self,
        folder: Path | None = None,
        *,
        users: Sequence[str] = USERS,
        ports: Ports | None = None,
        settings: Settings | None = None,
        names: Sequence[str] = certificates.NAMES,
    ) -> None:
        self.users = list(users)
        self.settings = settings or Settings()
        self.faults = Faults()
        self._given_folder = folder
        self._ports = ports or Ports()
        self._names = names
        self._exit = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Start. Raises OSError when a port is taken, StorageError when the folder cannot be used."""
        with contextlib.ExitStack() as stack:
            self.folder = self._given_folder or Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="datapallas-sandbox-"))
            )
            self.ca_file, self._tls = certificates.make(self.folder, self._names)
            self.inbox = Inbox(self.folder / "mail")
            self._background = stack.enter_context(Background("datapallas-sandbox"))
            self._background.run(self._start())
            stack.callback(lambda: self._background.run(self._stop()))
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    async def _start(self) -> None:
        self._web = WebServer()
        await self._web.start(self._ports.web)
        self.issuer = f"http://{HOST}:{self._web.port}"
        self.provider = IdentityProvider(self.issuer, self.settings, self.faults, self.users)
        self._control = Control(self.provider, self.inbox)
        self._web.answer = self._control.answer
        self._mail = MailServer(self.provider, self.inbox)
        self._listener = Listener(
            self._mail.policy,
            tls=self._tls,
            limits=Limits(recipients=self.settings.recipients),
            capacity=Capacity(connections=1000, per_address=1000),
        )
        try:
            self.smtp_port = await self._listener.listen(HOST, self._ports.smtp)
            self.smtps_port = await self._listener.listen(HOST, self._ports.smtps, implicit_tls=True)
        except OSError:
            await self._stop()
            raise
        self._control.smtp = f"{HOST}:{self.smtp_port}"

    async def _stop(self) -> None:
        await self._listener.close(grace=1.0)
        await self._web.close()

    @property
    def authorize_url(self) -> str:
        """Where people sign in."""
        return f"{self.issuer}/authorize"

    @property
    def token_url(self) -> str:
        """Where tokens are given."""
        return f"{self.issuer}/token"

    @property
    def device_url(self) -> str:
        """Where a device code is given."""
        return f"{self.issuer}/device_authorization"

    @property
    def messages(self) -> list[Arrived]:
        """The mail that arrived, the oldest first."""
        return self.inbox.mails

    def wait(self, count: int, seconds: float = 30.0) -> list[Arrived]:
        """The mail that arrived, once there are `count`; TimeoutError when they do not come."""
        return self.inbox.wait(count, seconds)

    def server(self, security: Security = Security.STARTTLS) -> Server:
        """The mail server as a connection names it. There is none without TLS."""
        if security is Security.NONE:
            raise UsageError("The sandbox's mail server takes a sign-in over TLS only.")
        port = self.smtps_port if security is Security.TLS else self.smtp_port
        return Server(host=HOST, port=str(port), security=security, root_certificate=str(self.ca_file))

    def connection(
        self, user: str = "", provider: Provider = Provider.GENERIC, *, signed_in: bool = False
    ) -> Connection:
        """A connection to the sandbox for `user` (the first one when empty), to be saved or used as it is.

        `signed_in` puts a refresh token in, as if the person had signed in through the browser. GOOGLE and MICROSOFT
        are the sandbox in their dialects, NONE is a user and a password.
        """
        user = user or self.users[0]
        credential: OAuth2Client | Password
        if provider is Provider.NONE:
            credential = Password(user=user, password=PASSWORD)
        else:
            credential = self.client(provider, user)
            if signed_in:
                credential = self._signed_in(credential, user)
        return Connection(
            code="eml-sandbox", name="Sandbox", server=self.server(), from_address=user, credential=credential
        )

    def client(self, provider: Provider, user: str = "") -> OAuth2Client:
        """How to get tokens here, in the dialect of `provider`; `user` is the login hint."""
        if provider is Provider.GOOGLE:
            return OAuth2Client(
                provider=provider,
                client_id="sandbox-desktop",
                client_secret=clients.CLIENTS["sandbox-desktop"].secret,
                authorize_url=f"{self.issuer}/o/oauth2/v2/auth",
                token_url=f"{self.issuer}/o/oauth2/token",
                login_hint=user,
            )
        if provider is Provider.MICROSOFT:
            return OAuth2Client(
                provider=provider,
                client_id=self.client_id,
                tenant_id=TENANT_ID,
                authorize_url=f"{self.issuer}/{TENANT_ID}/oauth2/v2.0/authorize",
                token_url=f"{self.issuer}/{TENANT_ID}/oauth2/v2.0/token",
                login_hint=user,
            )
        return OAuth2Client(
            provider=provider,
            client_id=self.client_id,
            authorize_url=self.authorize_url,
            token_url=self.token_url,
            scope=_GENERIC_SCOPE,
            login_hint=user,
        )

    def service_connection(
        self, provider: Provider = Provider.GENERIC, flow: Flow = Flow.APPONLY, *, certificate: bool = False
    ) -> Connection:
        """A connection without a person, for the mailbox `service@sandbox.example`.

        It proves itself by its secret, with `certificate` by a signature (private_key_jwt), as a SERVICEACCOUNT by
        what it signs (the JWT bearer grant). The file with its key lies in the sandbox's folder.
        """
        client = clients.CLIENTS[self.service_client_id]
        signs = certificate or flow is Flow.SERVICEACCOUNT
        service = self.client(provider)
        credential = OAuth2Client(
            provider=provider,
            client_id=client.client_id,
            tenant_id=service.tenant_id,
            client_secret=None if signs else client.secret,
            certificate=self.service_key(json=flow is Flow.SERVICEACCOUNT) if signs else "",
            flow=flow,
            authorize_url=service.authorize_url,
            token_url=service.token_url,
            scope="smtp" if provider is Provider.GENERIC else "",
        )
        return Connection(
            code="eml-sandbox-service",
            name="Sandbox service",
            server=self.server(),
            from_address=client.mailbox,
            credential=credential,
        )

    def service_key(self, *, json: bool = False, days: float = 365.0) -> str:
        """The path of the service's key: PEM with a certificate that ends in `days`, or Google's `json`.

        A new one each time, which takes the place of the one before.
        """
        from datapallas.sandbox import service

        pem, account, registered = service.make(self.folder, days)
        self.provider.assertions.keys[self.service_client_id] = registered
        return str(account if json else pem)

    def access_token(self, user: str = "", *, scope: str = "smtp") -> Secret:
        """An access token for `user`, as if just refreshed; to talk to the mail server directly."""
        return Secret(
            self._background.run(self._give(self._grant(user, Provider.GENERIC, scope), refresh=False))
        )

    def refresh_token(self, user: str = "", provider: Provider = Provider.GENERIC) -> Secret:
        """A refresh token for `user`, as if just signed in."""
        return Secret(self._background.run(self._give(self._grant(user, provider), refresh=True)))

    def _signed_in(self, client: OAuth2Client, user: str) -> OAuth2Client:
        grant = self._grant(user, client.provider)
        token = Secret(self._background.run(self._give(grant, refresh=True)))
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        return dataclasses.replace(
            client,
            refresh_token=token,
            user_email=user,
            issued_at=now,
            granted_scope=clients.told_scope(grant.scope, grant.dialect),
        )

    def _grant(self, user: str, provider: Provider, scope: str = "") -> Grant:
        dialect = Dialect(provider.value) if provider is not Provider.NONE else Dialect.GENERIC
        client = self.client(provider)
        preset = {
            Dialect.GOOGLE: "https://mail.google.com/ openid email",
            Dialect.MICROSOFT: "https://outlook.office.com/SMTP.Send offline_access openid email profile",
            Dialect.GENERIC: _GENERIC_SCOPE,
        }[dialect]
        tenant = TENANT_ID if dialect is Dialect.MICROSOFT else ""
        words = tuple((scope or preset).split())
        return Grant(client.client_id, user or self.users[0], words, dialect, tenant, offline=True)

    async def _give(self, grant: Grant, *, refresh: bool) -> str:
        ledger, now = self.provider.ledger, self.provider.now()
        return ledger.give_refresh(grant, now) if refresh else ledger.give_access(grant, grant.scope, now)
