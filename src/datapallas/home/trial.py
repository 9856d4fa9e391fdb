"""Try everything with the sandbox: one runs beside the web page, with a connection that points at it.

Must stay true: it listens on loopback and starts only when a person asks for it; a connection that is not the
sandbox's is never changed.
"""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING

from datapallas.connection.model import OAuth2Client
from datapallas.errors import ConfigurationError, UnknownConnection, UsageError

if TYPE_CHECKING:
    from datapallas.connection.model import Connection
    from datapallas.home.home import Home
    from datapallas.sandbox import Sandbox

CODE, NAME = "eml-sandbox-trial", "Sandbox trial"


class Trial:
    """The sandbox of one server. Threads may share it."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._sandbox: Sandbox | None = None

    @property
    def issuer(self) -> str:
        """The issuer of the sandbox's provider; empty while no sandbox runs."""
        with self._lock:
            return self._sandbox.issuer if self._sandbox is not None else ""

    @property
    def page(self) -> str:
        """Where the mail that arrived can be read; empty while no sandbox runs."""
        return f"{self.issuer}/" if self.issuer else ""

    def start(self) -> Connection:
        """Start the sandbox, once, and give the connection that points at it; nobody is signed in to it yet.

        Raises UsageError (code ``sandbox-start``) when it cannot listen, ConfigurationError when the connection's
        code belongs to something else, StorageError.
        """
        from datapallas.sandbox import Sandbox

        with self._lock:
            if self._sandbox is None:
                sandbox = Sandbox(self._home.root / "data" / "sandbox")
                try:
                    sandbox.__enter__()
                except OSError as problem:
                    raise UsageError(
                        f"The sandbox cannot start: {problem.strerror or problem}.", code="sandbox-start"
                    ) from problem
                self._sandbox = sandbox
            return self._pointed(self._sandbox)

    def close(self) -> None:
        """Stop the sandbox, if one runs."""
        with self._lock:
            sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            sandbox.__exit__(None, None, None)

    def _pointed(self, sandbox: Sandbox) -> Connection:
        wanted = dataclasses.replace(sandbox.connection(), code=CODE, name=NAME)
        folder = self._home.folder
        try:
            stored = folder.load(CODE)
        except UnknownConnection:
            return folder.create(dataclasses.replace(wanted, default=not folder.list()))
        client = stored.credential
        if not isinstance(client, OAuth2Client) or client.client_id != sandbox.client_id:
            raise ConfigurationError(
                f"The connection {CODE} is not the sandbox's. Rename or delete it first.",
                case="exists",
                connection=CODE,
            )
        # A sandbox that was started anew has other ports: the old sign-in was for the old one.
        return folder.save(dataclasses.replace(wanted, default=stored.default), drop_sign_in=True)
