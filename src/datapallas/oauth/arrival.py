"""Where the answer of one sign-in arrives, from whichever door: the listener, a paste, the web page's own address.

Must stay true:
- the first answer that belongs to this sign-in counts, and only that one; everything else changes nothing;
- after `cancel` nothing is stored, and after `commit` a cancel comes too late and says so;
- whoever waits here wakes at once when it is cancelled. Threads may share it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from datapallas.errors import SignInAborted, UsageError
from datapallas.oauth.authorization import StrayCallback, check_callback, check_pasted_code
from datapallas.oauth.paste import BareCode, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.oauth.authorization import AuthorizationCode, AuthorizationRequest
    from datapallas.oauth.clock import Clock

_LOOK = 0.2  # seconds between two looks at a clock that tests may set


def _nothing() -> None:
    """Wake nobody."""


class Arrival:
    """One sign-in's letter box."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._result: AuthorizationCode | SignInAborted | None = None
        self._attempt: AuthorizationRequest | None = None
        self._wake: Callable[[], None] = _nothing
        self._cancelled = False
        self._committed = False

    def expect(self, attempt: AuthorizationRequest, wake: Callable[[], None] = _nothing) -> None:
        """Take answers to `attempt` from now on; `wake` is called, from any thread, when it is over."""
        with self._lock:
            self._attempt, self._wake = attempt, wake
        self.check()

    def offer(self, query: str) -> AuthorizationCode:
        """A callback's query. Raises StrayCallback (go on waiting) or SignInAborted (the sign-in is over)."""
        attempt = self._expected()
        try:
            return self._arrived(check_callback(attempt, query))
        except SignInAborted as problem:
            self._over(problem)
            raise

    def paste(self, text: str) -> None:
        """What a person pasted: an address, its query, or just the code (see `paste`).

        Raises UsageError when it is no answer to this sign-in; the wait goes on. A refusal of the provider ends the
        wait for whoever waits, and is not raised here.
        """
        try:
            attempt = self._expected()
            found = read(text, attempt)
            if isinstance(found, BareCode):
                self._arrived(check_pasted_code(attempt, found.code))
            else:
                self._arrived(check_callback(attempt, found.query))
        except SignInAborted as problem:
            self._over(problem)
        except StrayCallback:
            raise UsageError(
                "This sign-in takes no answer now: it has one already, or needs none.",
                code="pasted-answer",
                case="not-now",
            ) from None

    def cancel(self) -> bool:
        """End it. False when it is too late: the sign-in is being stored."""
        with self._lock:
            if self._committed:
                return False
            self._cancelled = True
        self._over(_cancelled())
        return True

    def check(self) -> None:
        """Raise SignInAborted (code ``sign-in-cancelled``) when it was cancelled."""
        with self._lock:
            cancelled = self._cancelled
        if cancelled:
            raise _cancelled()

    def commit(self) -> None:
        """From here on it is stored, whatever anybody wants. Raises as `check`."""
        with self._lock:
            if self._cancelled:
                raise _cancelled()
            self._committed = True

    def take(self, until: float) -> AuthorizationCode:
        """Wait for the code until `until` (monotonic). Raises SignInAborted: refused, cancelled, timed out."""
        while not self._ended.wait(max(0.0, min(_LOOK, until - self._clock.monotonic()))):
            if self._clock.monotonic() >= until:
                raise SignInAborted("Nobody came back from the browser in time.", code="sign-in-timeout")
        with self._lock:
            result = self._result
        if isinstance(result, SignInAborted):
            raise result
        if result is None:
            raise _cancelled()
        return result

    def pause(self, seconds: float) -> None:
        """Let time pass. Raises SignInAborted at once when it is cancelled."""
        until = self._clock.monotonic() + seconds
        while (left := until - self._clock.monotonic()) > 0:
            self._ended.wait(min(_LOOK, left))
            self.check()
        self.check()

    def _expected(self) -> AuthorizationRequest:
        with self._lock:
            attempt = self._attempt
        if attempt is None:
            raise StrayCallback("A callback came before the sign-in had begun.")
        return attempt

    def _arrived(self, code: AuthorizationCode) -> AuthorizationCode:
        self._over(code)
        return code

    def _over(self, result: AuthorizationCode | SignInAborted) -> None:
        with self._lock:
            if self._result is None:
                self._result = result
            wake = self._wake
        self._ended.set()
        wake()


def _cancelled() -> SignInAborted:
    return SignInAborted("The sign-in was cancelled. Nothing was stored.", code="sign-in-cancelled")
