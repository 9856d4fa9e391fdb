"""Work that goes on in the background while somebody watches: a sign-in, a test email.

Must stay true: a watcher sees whole, frozen states, in order, and the last one for sure; work belongs to whoever began
it, and nobody else finds it; what ended is forgotten after a while, and nobody can pile work up.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from datapallas.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datapallas.oauth.clock import Clock

S = TypeVar("S")

KEPT_SECONDS = 600.0
"""How long the end of a piece of work can still be looked at."""
MOST_AT_ONCE = 5
"""Pieces of work of one kind that one owner may have under way."""


class Live(Generic[S]):
    """A state that changes, and those who wait for it to."""

    def __init__(self, first: S) -> None:
        self._state = first
        self._version = 1
        self._changed = threading.Condition()
        self._wakes: list[Callable[[], None]] = []

    def now(self) -> tuple[int, S]:
        """The version, which grows with each change, and the state."""
        with self._changed:
            return self._version, self._state

    def put(self, state: S) -> None:
        """Change the state and wake whoever waits."""
        with self._changed:
            self._state = state
            self._version += 1
            self._changed.notify_all()
            wakes = tuple(self._wakes)
        for wake in wakes:
            wake()

    def wait(self, seen: int, seconds: float) -> tuple[int, S]:
        """The state once it is newer than version `seen`, or as it is after `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: self._version > seen, seconds)
            return self._version, self._state

    @contextlib.contextmanager
    def woken(self, wake: Callable[[], None]) -> Iterator[None]:
        """Have `wake` called after each change, as long as the block: for those who must not wait in a thread.

        It is called in any thread, must return at once and raise nothing.
        """
        with self._changed:
            self._wakes.append(wake)
        try:
            yield
        finally:
            with self._changed:
                self._wakes.remove(wake)


class Work(Protocol):
    """A piece of work in a `Register`."""

    @property
    def id(self) -> str:
        """What it is found by; cannot be guessed."""

    @property
    def owner(self) -> str:
        """Whose it is: the session or the API token that began it."""

    @property
    def finished(self) -> bool:
        """Nothing will change any more."""

    def cancel(self) -> None:
        """End it, if it has not ended; may be called again."""


W = TypeVar("W", bound=Work)


def new_id() -> str:
    """An id that cannot be guessed (128 bits)."""
    return secrets.token_urlsafe(16)


class Register(Generic[W]):
    """The pieces of work of one kind. Threads may share it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._works: dict[str, tuple[W, float]] = {}  # with when it was last seen unfinished

    def add(self, work: W) -> W:
        """Take a piece of work in. Raises UsageError (code ``too-many``) when its owner has too many under way."""
        with self._lock:
            self._forget()
            under_way = sum(1 for w, _ in self._works.values() if w.owner == work.owner and not w.finished)
            if under_way >= MOST_AT_ONCE:
                raise UsageError(
                    f"{under_way} of these are under way already. Wait for one to end, or cancel one.",
                    code="too-many",
                )
            self._works[work.id] = (work, self._clock.monotonic())
        return work

    def find(self, id_: str, owner: str) -> W | None:
        """The work `id_` of `owner`; None when there is none, or it is somebody else's."""
        with self._lock:
            self._forget()
            work, _ = self._works.get(id_, (None, 0.0))
        return work if work is not None and work.owner == owner else None

    def all(self) -> list[W]:
        """All that is kept, the oldest first."""
        with self._lock:
            self._forget()
            return [work for work, _ in self._works.values()]

    def close(self) -> None:
        """Cancel what is under way."""
        for work in self.all():
            work.cancel()

    def _forget(self) -> None:
        now = self._clock.monotonic()
        for id_, (work, seen) in list(self._works.items()):
            if not work.finished:
                self._works[id_] = (work, now)
            elif now - seen > KEPT_SECONDS:
                del self._works[id_]
