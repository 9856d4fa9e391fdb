"""Access tokens where nobody signs in: the app proves itself with its own key or secret, each time.

Must stay true:
- nothing is stored that a sending depends on: there is no refresh token, and a token lives in memory only;
- a refusal is noted until the next success and parks nothing: no sign-in could help;
- what cannot be noted (a full disk, a lock) stops no mail; the refusal of a draft is not noted at all.
"""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from typing import TYPE_CHECKING

from datapallas.connection import provider
from datapallas.errors import DataPallasError, ProtocolError, TokenRefused
from datapallas.oauth import app_grant
from datapallas.oauth.app_key import key_path, read_app_key
from datapallas.oauth.client import opened_client
from datapallas.oauth.clock import iso
from datapallas.oauth.exchange import ask
from datapallas.oauth.refusals import lasting
from datapallas.oauth.token import AccessToken, minted

if TYPE_CHECKING:
    from datapallas.connection.folder import Folder
    from datapallas.connection.model import Connection
    from datapallas.oauth.app_key import AppKey
    from datapallas.oauth.endpoint import Endpoint
    from datapallas.oauth.grants import Form


class AppOnly:
    """Mints tokens for one connection, or for a draft of it (`wanted`). Called by one thread at a time.

    Attributes:
        requests: how many requests the last `run` sent that may have reached the provider.
    """

    def __init__(
        self, folder: Folder, code: str, endpoint: Endpoint, wanted: Connection | None = None
    ) -> None:
        self._folder, self._code, self._endpoint, self._wanted = folder, code, endpoint, wanted
        self.requests = 0

    def run(self) -> AccessToken:
        """A fresh access token.

        Raises ConfigurationError (code ``app-key``), TokenRefused, Unreachable, TlsRefused, ProtocolError,
        SealBroken, KeyProblem.
        """
        self.requests = 0
        clock = self._endpoint.clock
        url, form = self._request()
        asked_at = clock.monotonic()
        try:
            tokens, _ = ask(self._endpoint, url, form)
        except TokenRefused as problem:
            self.requests = 1
            problem.facts["case"] = "app-only"
            self._note(problem)
            raise
        except DataPallasError as problem:
            self.requests = int(isinstance(problem, ProtocolError) or problem.facts.get("sent") == "yes")
            raise
        self.requests = 1
        self._note(None)
        return minted(tokens, asked_at)

    def _request(self) -> tuple[str, Form]:
        connection = self._wanted or self._folder.load(self._code)
        client = opened_client(self._folder, connection)
        key = app_key(self._folder, connection)
        moment = app_grant.Moment(self._endpoint.clock.wall(), str(uuid.uuid4()))
        return provider.token_url(client), app_grant.request(client, connection.mailbox, key, moment)

    def _note(self, problem: TokenRefused | None) -> None:
        if self._wanted is not None:
            return
        wall = self._endpoint.clock.wall()
        with contextlib.suppress(DataPallasError), self._folder.locked_update(self._code) as update:
            if problem is None:
                update.save_record(dataclasses.replace(update.record, refused=None, refreshed_at=iso(wall)))
                return
            found = lasting(problem, update.record.refused, wall)
            if found is not None:
                update.save_record(dataclasses.replace(update.record, refused=found))


def app_key(folder: Folder, connection: Connection) -> AppKey | None:
    """The key in the file a connection names; None when it names none. Raises as `read_app_key`."""
    certificate = getattr(connection.credential, "certificate", "")
    return read_app_key(key_path(folder.store.root, certificate)) if certificate else None
