"""Wires everything together: the only place that knows all parts.

A home is the folder that holds `config/` and `data/`. It is found the way git finds a repository: named outright,
else by DATAPALLAS_HOME, else the nearest folder at or above the current one that has `config/connections`,
else the user's own data folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from datapallas.connection import provider as providers
from datapallas.connection.folder import Broken, Folder, kebab
from datapallas.connection.model import Connection, OAuth2Client, Password, Provider
from datapallas.errors import ConfigurationError, DataPallasError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from datapallas.connection.folder import Entry
    from datapallas.connection.vault import Keyring
    from datapallas.mail.mailbox import AsyncMailbox, Mailbox
    from datapallas.mail.transport import LoginSource
    from datapallas.oauth.endpoint import Endpoint
    from datapallas.oauth.sign_in import SignedIn, SignIn
    from datapallas.oauth.source import ConnectionTokenSource
    from datapallas.oauth.status import Status

CONNECTIONS = Path("config", "connections")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the list of connections.

    Attributes:
        code, name, provider, mailbox, path: as in the file; a broken file has only code (its name) and path.
        state: the sign-in in words.
        ok: True when mail can be sent as far as is known here.
        default: the default connection.
        warnings: whole sentences a person should read.
    """

    code: str
    path: str
    state: str
    ok: bool
    name: str = ""
    provider: str = ""
    mailbox: str = ""
    default: bool = False
    warnings: tuple[str, ...] = ()


class Home:
    """One installation: its connections, keys and sign-ins.

    Attributes:
        root: the folder that holds `config/` and `data/`; it need not exist until something is saved.
        environ: the environment, as it was when the home was found.
    """

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self.root = root
        self.environ = environ

    @classmethod
    def find(cls, explicit: str | None, environ: Mapping[str, str], start: Path) -> Home:
        """The home for a process that stands in `start`; `explicit` and DATAPALLAS_HOME win over the search."""
        named = explicit or environ.get("DATAPALLAS_HOME")
        if named:
            root = Path(named).expanduser().absolute()
            if root.exists() and not root.is_dir():
                raise ConfigurationError(
                    f"The home {root} is a file, not a folder.", code="bad-home", home=root
                )
            return cls(root, environ)
        for folder in (start.absolute(), *start.absolute().parents):
            if (folder / CONNECTIONS).is_dir():
                return cls(folder, environ)
        return cls(_user_data_folder(environ), environ)

    @classmethod
    def around(cls, file: Path, environ: Mapping[str, str]) -> Home | None:
        """The home that a connection file lies in; None when it is not there, or not in a home."""
        folder = file.expanduser().absolute().parent
        if folder.parts[-2:] == CONNECTIONS.parts and file.expanduser().exists():
            return cls(folder.parent.parent, environ)
        return None

    def code_of(self, file: Path) -> str:
        """The code of the connection in `file`: as seen from the current folder, else from the home."""
        here = file.expanduser()
        return self.folder.code_of(here if here.is_absolute() or here.exists() else self.root / here)

    def facts(self, code: str) -> dict[str, str]:
        """The names that make the advice about a failure exact; as many as can be known. Never raises ours."""
        try:
            return facts_of(self.folder.load(code))
        except DataPallasError:
            return {"connection": code}

    @functools.cached_property
    def folder(self) -> Folder:
        """The connections of this home."""
        return Folder(self.root, self.keyring)

    def keyring(self) -> Keyring:
        """The keys that seal secrets here; the first one is made where nothing is sealed yet."""
        from datapallas.connection import keys

        return keys.ensure(self.root, self.environ)

    @functools.cached_property
    def endpoint(self) -> Endpoint:
        """The way to token endpoints, shared by all connections of this process."""
        from datapallas.oauth.endpoint import Endpoint

        return Endpoint()

    def tokens(self, code: str) -> ConnectionTokenSource:
        """Where the access tokens of a connection come from."""
        from datapallas.oauth.source import ConnectionTokenSource

        return ConnectionTokenSource(self.folder, code, self.endpoint, self.endpoint.clock)

    def mailbox(self, code: str, watch: Callable[[str, str], None] | None = None) -> Mailbox:
        """The mailbox of a connection, to send from; `watch` is shown the dialogue, secrets masked."""
        from datapallas.mail.mailbox import Mailbox
        from datapallas.mail.transport import Options

        connection = self.folder.load(code)
        return Mailbox(connection, self._login(connection), Options(watch=watch))

    def async_mailbox(self, code: str) -> AsyncMailbox:
        """The same for asyncio."""
        from datapallas.mail.mailbox import AsyncMailbox

        connection = self.folder.load(code)
        return AsyncMailbox(connection, self._login(connection))

    def _login(self, connection: Connection) -> LoginSource:
        from datapallas.connection.identity import PASSWORD
        from datapallas.mail.transport import login_source

        return login_source(
            connection, self.tokens(connection.code), lambda: self.folder.reveal(connection, PASSWORD)
        )

    def draft(self, name: str, provider: Provider | None, preset: str | None) -> Connection:
        """A new connection called `name`, not saved yet, with what the provider or the preset fills in."""
        code = kebab(name)
        known = providers.well_known(preset) if preset else None
        if known is not None and provider not in {None, Provider.NONE, known.provider}:
            raise UsageError(
                f"The preset {preset} goes with provider {known.provider.value}, not {provider}."
            )
        if provider is None:
            provider = known.provider if known else Provider.NONE
        if provider is Provider.NONE:
            server = known.server if known else providers.server_preset(provider)
            return Connection(code=code, name=name, server=server, credential=Password())
        client = OAuth2Client(provider=provider)
        if known is not None and known.provider is provider:
            client = dataclasses.replace(
                client,
                authorize_url=known.authorize_url,
                token_url=known.token_url,
                scope=known.scope,
                tenant_id=known.tenant_id,
            )
        server = known.server if known else providers.server_preset(provider)
        return Connection(code=code, name=name, server=server, credential=client)

    def discovered(self, connection: Connection, issuer: str) -> Connection:
        """`connection` with the addresses its provider publishes (OpenID Connect Discovery)."""
        from datapallas.oauth.discovery import discover

        if connection.provider is not Provider.GENERIC or not isinstance(connection.credential, OAuth2Client):
            raise UsageError("An issuer goes with provider GENERIC; the others are known.")
        found = discover(self.endpoint, issuer)
        client = dataclasses.replace(
            connection.credential, authorize_url=found.authorize_url, token_url=found.token_url
        )
        return dataclasses.replace(connection, credential=client)

    def redirect_uri_to_register(self, connection: Connection) -> str:
        """What a person enters at the provider; empty when nothing is."""
        if isinstance(connection.credential, OAuth2Client):
            return providers.redirect_uri_to_register(connection.credential)
        return ""

    def overview(self) -> list[Row]:
        """Every connection with the state of its sign-in; needs no key and asks nobody."""
        return [self._row(entry) for entry in self.folder.entries()]

    def sign_in(self, way: SignIn, code: str, wanted: Connection, *, drop_sign_in: bool) -> SignedIn:
        """Sign in to `code` with the settings of `wanted`, which are saved with it.

        When the sign-in fails, the settings are as they were before; but a stored sign-in that the new settings
        ended (`drop_sign_in`) is gone.
        """
        before = self.folder.load(code)
        if wanted == before:
            return way.connect(self.folder, code)
        saved = self.folder.save(wanted, drop_sign_in=drop_sign_in)
        try:
            return way.connect(self.folder, code)
        except BaseException:  # Ctrl-C too
            with contextlib.suppress(DataPallasError):  # what stopped the sign-in is the one to be told
                if self.folder.load(code) == saved:  # nobody else has changed it meanwhile
                    self.folder.save(before, drop_sign_in=True)
            raise

    def _row(self, entry: Entry) -> Row:
        found = entry.connection
        if isinstance(found, Broken):
            where = f" (line {found.line})" if found.line else ""
            return Row(
                code=entry.path.stem,
                path=str(entry.path),
                ok=False,
                state=f"broken file{where}: {found.reason}",
            )
        try:
            ok, state = self._state(found)
        except DataPallasError as problem:  # two files with one code; it does not hide the others
            ok, state = False, problem.message
        warnings = tuple(
            f"a secret stands in clear in {entry.path.name} ({name}); it is sealed at the next save."
            for name in entry.plain
        )
        return Row(
            code=found.code,
            path=str(entry.path),
            state=state,
            ok=ok,
            name=found.name,
            provider=found.provider.value,
            mailbox=found.mailbox,
            default=found.default,
            warnings=warnings,
        )

    def _state(self, connection: Connection) -> tuple[bool, str]:
        match connection.credential:
            case Password(user=user, password=password):
                return bool(password or not user), "password set" if password else "no password"
            case OAuth2Client():
                return _sign_in_state(self.tokens(connection.code).status())


def facts_of(connection: Connection) -> dict[str, str]:
    """What `datapallas.explain` fills into its advice."""
    facts = {
        "connection": connection.code,
        "mailbox": connection.mailbox,
        "provider": connection.provider.value,
        "sender": connection.from_address or connection.mailbox,
    }
    if isinstance(connection.credential, OAuth2Client):
        client = connection.credential
        facts |= {
            "tenant": client.tenant_id,
            "client_id": client.client_id,
            "redirect_uri": client.redirect_uri or providers.redirect_uri_to_register(client),
        }
    return {name: value for name, value in facts.items() if value}


def _sign_in_state(status: Status) -> tuple[bool, str]:
    match status.state:
        case "signed-in":
            return True, f"connected as {status.account}" if status.account else "connected"
        case "parked" if status.refusal is not None:
            since = f" since {status.refusal.at[:10]}" if status.refusal.at else ""
            return False, f"refused{since}: {status.refusal.error or 'no reason given'}; sign in again"
        case "unreadable" if status.problem is not None:
            return False, f"cannot be read: {status.problem.message}"
        case _:
            return False, "never signed in"


def _user_data_folder(environ: Mapping[str, str]) -> Path:
    """The XDG base directory specification's data home, or macOS's own."""
    if sys.platform == "darwin":
        return Path("~/Library/Application Support/DataPallas").expanduser()
    base = environ.get("XDG_DATA_HOME")
    folder = Path(base) if base and Path(base).is_absolute() else Path("~/.local/share").expanduser()
    return folder / "datapallas"
