"""A valid access token for a connection, now: reused while it lives, made anew by `Minter` when it ends.

Must stay true:
- access tokens live in memory only (in a fleet also sealed in its database, see `lending`); one request serves a process for as long as the token lives;
- one refresh at a time per source, however many threads ask; `Minter` sees to other processes;
- a connection that fails asks its provider at most once a minute (`Pace`).
"""

from __future__ import annotations

import dataclasses
import random
import threading
from typing import TYPE_CHECKING, Protocol

from datapallas.connection.update import Update
from datapallas.errors import (
    DataPallasError,
    ProtocolError,
    TlsRefused,
    TokenRefused,
    Unreachable,
)
from datapallas.oauth.flight import Flight
from datapallas.oauth.minting import Minter
from datapallas.oauth.pacing import Pace
from datapallas.oauth.revoking import revoke
from datapallas.oauth.status import Status, status_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.connection.folder import Folder
    from datapallas.oauth.clock import Clock
    from datapallas.oauth.endpoint import Endpoint
    from datapallas.oauth.token import AccessToken
    from datapallas.secret import Secret

__all__ = ["ConnectionTokenSource", "SignOut", "Status", "TokenSource"]

_PACED = (TokenRefused, Unreachable, TlsRefused, ProtocolError)


class TokenSource(Protocol):
    """Gives a valid access token, now."""

    def token(self, *, force: bool = False) -> AccessToken:
        """A token with enough life to begin a sending. `force` asks for a new one: a server refused the last."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class SignOut:
    """What became of a sign-in.

    Attributes:
        forgotten: there was one, and it is gone from this machine.
        revoked: the provider has ended it too.
        reason: why it was not revoked; empty when it was, or when nobody was signed in.
    """

    forgotten: bool
    revoked: bool
    reason: str = ""


class ConnectionTokenSource:
    """The token source of the connection `code`. Safe to share among threads."""

    def __init__(
        self,
        folder: Folder,
        code: str,
        endpoint: Endpoint,
        clock: Clock,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._folder, self._code, self._endpoint, self._clock = folder, code, endpoint, clock
        self._lock = threading.Lock()  # guards what follows
        self._held: AccessToken | None = None
        self._flight: Flight[AccessToken] | None = None
        self._pace = Pace(chance)
        self._minter = Minter(folder, code, endpoint)

    def token(self, *, force: bool = False) -> AccessToken:
        """A token with enough life to begin a sending; its refresh token is stored already.

        `force` asks for a new one because a server refused the last; a refresh that is under way serves for that,
        and more than three in a minute are not made.
        Raises what `Minter.run` raises; while it is too early to ask again, the last failure (fact `retry_in`).
        """
        return self._get(force=force, even_parked=False, paced=True)

    def refresh(self) -> AccessToken:
        """Ask the provider now, because a person said so: also when parked, and without waiting for the pace."""
        return self._get(force=True, even_parked=True, paced=False)

    def status(self) -> Status:
        """What is known without asking the provider, and without waiting for whoever holds the lock.

        Raises UnknownConnection, BrokenConnection.
        """
        return status_of(
            self._folder, Update(self._folder.store, self._folder.seals, self._code), self._clock.wall()
        )

    def sign_out(self) -> SignOut:
        """End the sign-in: at the provider where that is possible, and on this machine whatever happens there."""
        with self._lock:
            self._held = None
        with self._folder.locked_update(self._code) as update:
            there = getattr(update.connection.credential, "refresh_token", None) is not None
            reason = revoke(self._folder, self._endpoint, update) if there else ""
            if there:
                update.forget_sign_in()
            return SignOut(forgotten=there, revoked=there and not reason, reason=reason)

    def _get(self, *, force: bool, even_parked: bool, paced: bool) -> AccessToken:
        with self._lock:
            flight = self._flight
            if flight is None:
                now = self._clock.monotonic()
                held = self._held
                good = held is not None and held.reusable(now)
                if held is not None and good and not (force and (not paced or self._pace.may_force(now))):
                    return held
                if paced:
                    self._pace.check(now)
                stale = held.value if held is not None and force else None
                flight = Flight(
                    lambda: self._fly(even_parked=even_parked, stale=stale), f"refresh-{self._code}"
                )
                self._flight = flight
                flight.start()
        return flight.result()

    def _fly(self, *, even_parked: bool, stale: Secret | None) -> AccessToken:
        """In the flight's own thread: refresh, and note how it went."""
        try:
            token = self._minter.run(even_parked=even_parked, stale=stale)
        except DataPallasError as problem:
            with self._lock:
                if isinstance(problem, _PACED):
                    self._pace.failed(problem, self._clock.monotonic(), self._minter.requests)
            problem.facts.setdefault("connection", self._code)
            raise
        else:
            with self._lock:
                self._pace.succeeded()
                self._held = token
            return token
        finally:
            with self._lock:
                self._flight = None
