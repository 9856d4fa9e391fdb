"""A fresh access token, by whatever the connection has: a stored sign-in, or an app's own key or secret.

Must stay true: the connection decides anew each time, so that a changed flow holds from the next token on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.oauth.app_only import AppOnly
from datapallas.oauth.rotation import Rotation

if TYPE_CHECKING:
    from datapallas.connection.folder import Folder
    from datapallas.connection.model import Connection
    from datapallas.oauth.endpoint import Endpoint
    from datapallas.oauth.token import AccessToken
    from datapallas.secret import Secret


class Minter:
    """Mints for one connection, or with the settings of a draft (`wanted`). Called by one thread at a time.

    Attributes:
        requests: how many requests the last `run` sent that may have reached the provider.
    """

    def __init__(
        self, folder: Folder, code: str, endpoint: Endpoint, wanted: Connection | None = None
    ) -> None:
        self._folder, self._code, self._wanted = folder, code, wanted
        self._rotation = Rotation(folder, code, endpoint, wanted)
        self._app_only = AppOnly(folder, code, endpoint, wanted)
        self.requests = 0

    def run(self, *, even_parked: bool = False, stale: Secret | None = None) -> AccessToken:
        """A fresh access token; what came with it is stored. Raises what `Rotation.run` and `AppOnly.run` raise."""
        self.requests = 0
        if (self._wanted or self._folder.load(self._code)).app_only:
            try:
                return self._app_only.run()
            finally:
                self.requests = self._app_only.requests
        try:
            return self._rotation.run(even_parked=even_parked, stale=stale)
        finally:
            self.requests = self._rotation.requests
