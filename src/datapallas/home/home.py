"""Wires everything together: the only place that knows all parts.

A home is the folder that holds `config/` and `data/`. It is found the way git finds a repository: named outright,
else by DATAPALLAS_HOME, else the nearest folder at or above the current one that has `config/connections`,
else the user's own data folder.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from datapallas.connection import provider as providers
from datapallas.connection.folder import Folder
from datapallas.connection.model import OAuth2Client
from datapallas.errors import ConfigurationError, DataPallasError
from datapallas.home import drafting, stores
from datapallas.home.facts import facts_of
from datapallas.home.overview import Row, row
from datapallas.oauth.clock import iso

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from datapallas.connection.model import Connection, Provider
    from datapallas.connection.vault import Keyring
    from datapallas.mail.mailbox import AsyncMailbox, Mailbox
    from datapallas.mail.transport import LoginSource
    from datapallas.oauth.endpoint import Endpoint
    from datapallas.oauth.sign_in import SignedIn, SignIn
    from datapallas.oauth.source import ConnectionTokenSource

CONNECTIONS = Path("config", "connections")


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
        return Folder(self.root, self.keyring, stores.store_of(self.root, self.environ))

    def keyring(self) -> Keyring:
        """The keys that seal secrets here; the first one is made where nothing is sealed yet."""
        from datapallas.connection import keys

        return keys.ensure(self.root, self.environ, self.folder.store.sealed_texts)

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
        return Mailbox(connection, self.login(connection), Options(watch=watch))

    def async_mailbox(self, code: str) -> AsyncMailbox:
        """The same for asyncio."""
        from datapallas.mail.mailbox import AsyncMailbox

        connection = self.folder.load(code)
        return AsyncMailbox(connection, self.login(connection))

    def login(self, connection: Connection) -> LoginSource:
        """How sessions of a connection sign in; threads may share it, and then share its access token."""
        from datapallas.connection.identity import PASSWORD
        from datapallas.mail.transport import login_source

        return login_source(
            connection, self.tokens(connection.code), lambda: self.folder.reveal(connection, PASSWORD)
        )

    @staticmethod
    def draft(name: str, provider: Provider | None, preset: str | None) -> Connection:
        """A new connection called `name`, not saved yet, with what the provider or the preset fills in."""
        return drafting.draft(name, provider, preset)

    def discovered(self, connection: Connection, issuer: str) -> Connection:
        """`connection` with the addresses its provider publishes (OpenID Connect Discovery)."""
        return drafting.discovered(self.endpoint, connection, issuer)

    def redirect_uri_to_register(self, connection: Connection) -> str:
        """What a person enters at the provider; empty when nothing is."""
        if isinstance(connection.credential, OAuth2Client):
            return providers.redirect_uri_to_register(connection.credential)
        return ""

    def overview(self) -> list[Row]:
        """Every connection with the state of its sign-in; needs no key and asks nobody."""
        from datapallas.connection.snapshot import snapshot
        from datapallas.oauth.source import ConnectionTokenSource

        seen, clock = snapshot(self.folder.store, self.keyring), self.endpoint.clock

        def tokens(code: str) -> ConnectionTokenSource:
            return ConnectionTokenSource(seen, code, self.endpoint, clock)

        return [row(entry, tokens, seen.seals.changed) for entry in seen.entries()]

    def row(self, code: str) -> Row:
        """The line of one connection. Raises UnknownConnection, BrokenConnection."""
        return row(self.folder.store.find(code), self.tokens, self.folder.seals.changed)

    def note_secret_end(self, code: str, day: dt.datetime | None) -> None:
        """Note the last day of a connection's client secret (UTC); None leaves what is noted."""
        if day is not None:
            with self.folder.locked_update(code) as update:
                ends = iso(day.replace(tzinfo=dt.UTC).timestamp())
                update.save_record(dataclasses.replace(update.record, secret_ends=ends), must=True)

    def secret_end(self, code: str) -> str:
        """The last day of a connection's client secret, ISO 8601 UTC; empty when nobody said."""
        return self.folder.store.record(code).secret_ends

    def sign_in(self, way: SignIn, wanted: Connection, *, drop_sign_in: bool) -> SignedIn:
        """Sign in with the settings of `wanted`, a stored connection; they are saved with it, in one step.

        Until it has worked, the stored settings and the old sign-in stay. Changed settings that end a stored sign-in
        are refused up front without `drop_sign_in`.
        """
        from datapallas.oauth.keeping import prove

        return way.into(prove(self.folder, wanted, drop_sign_in=drop_sign_in))


def _user_data_folder(environ: Mapping[str, str]) -> Path:
    """The XDG base directory specification's data home, or macOS's own."""
    if sys.platform == "darwin":
        return Path("~/Library/Application Support/DataPallas").expanduser()
    base = environ.get("XDG_DATA_HOME")
    folder = Path(base) if base and Path(base).is_absolute() else Path("~/.local/share").expanduser()
    return folder / "datapallas"
