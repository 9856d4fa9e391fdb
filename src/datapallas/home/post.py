"""One connection's way out through the outbox, for one process: promised first, then sent by a courier of this process.

Must stay true: a message is on the disk before the server hears of it; whoever waits learns the outcome also when
another process has sent it; a message that is taken back is sent by nobody.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from datapallas.home.outbox import HomeMailroom, open_outbox
from datapallas.mail.compose import Composed, Composer
from datapallas.mail.mailbox import sender_of
from datapallas.outbox import single
from datapallas.outbox.accept import Item, Job, accept
from datapallas.outbox.background import draining
from datapallas.outbox.courier import Courier, Only

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from datapallas.home import Home
    from datapallas.mail.message import Message
    from datapallas.outbox.single import Standing

LOOK = 0.25
"""Seconds between two looks at the ledger; what this process sends is known at once."""
LINGER = 30.0
"""Seconds an idle session of this process is kept open; it counts against the mailbox's sessions."""
_OWN_SECONDS = 30.0  # for which a message is this process's alone, when its dialogue is to be shown


class Promised(NamedTuple):
    """A message's key in its job; `new`: it was not promised before."""

    key: str
    new: bool


class Post:
    """Used with `with`; threads may share it.

    Args:
        home: the home.
        job: what is promised belongs to it; it names the connection.
        watch: is shown the dialogue, secrets masked; then no other process sends what is promised here.

    Raises ConfigurationError, StorageError: the outbox cannot be used, and nothing will be sent.
    """

    def __init__(self, home: Home, job: Job, watch: Callable[[str, str], None] | None = None) -> None:
        self.job = job
        self.connection = home.folder.load(job.connection)
        self._composer = Composer(sender_of(self.connection))
        self._outbox = open_outbox(home)
        room = HomeMailroom(home, watch)
        only = Only(job.id, LINGER, self._noted)
        self._courier = Courier(self._outbox.database, room, only=only)
        self._watched = watch is not None
        self._starting = threading.Lock()
        self._running = contextlib.ExitStack()
        self._started = False
        self._waiting: dict[str, Callable[[], None]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the courier: what is being handed over is finished, what is promised stays promised."""
        try:
            self._running.close()
        finally:
            self._outbox.close()

    def promise(
        self, message: Message | Composed, key: str = "", *, envelope_from: str | None = None
    ) -> Promised:
        """Promise a message. The same key again is the same message; if it was taken back, it is to be sent again.

        A mailbox that waits for a sign-in or a change is tried once more.

        Raises StorageError (nothing was promised), MessageError, ConfigurationError.
        """
        database = self._outbox.database
        if not isinstance(message, Composed):
            message = self._composer.compose(message, envelope_from=envelope_from)
        due = time.time() + _OWN_SECONDS if self._watched else 0.0
        item = Item(key or message.message_id, message.envelope, message, due)
        with database.write() as tx:
            new = bool(accept(database, self.job, [item], within=tx).new)
            again = not new and single.asked_again(tx, self.job.id, item.key, database.now(tx))
            single.unpause(tx, self.job.connection)
        return Promised(item.key, new or again)

    def send(self) -> None:
        """Have what was promised sent by this process, too, from now on."""
        with self._starting:
            if not self._started:
                self._running.enter_context(draining(self._courier))
                self._started = True
        self._courier.nudge()

    def listen(self, key: str, call: Callable[[], None]) -> None:
        """Call `call`, in any thread, when something was noted about a message."""
        self._waiting[key] = call

    def forget(self, key: str) -> None:
        """Nobody waits for it any more."""
        self._waiting.pop(key, None)

    def standing(self, key: str) -> Standing:
        """Where a message stands."""
        return single.standing(self._outbox.database, self.job.id, key)

    def wait(self, key: str, enough: Callable[[Standing], bool], seconds: float | None = None) -> Standing:
        """Wait until a message stands so that it is enough, or for so many seconds; where it stands then."""
        changed = threading.Event()
        until = None if seconds is None else time.monotonic() + seconds
        self.listen(key, changed.set)
        try:
            while True:
                changed.clear()
                found = self.standing(key)
                left = LOOK if until is None else min(LOOK, until - time.monotonic())
                if enough(found) or left <= 0:
                    return found
                changed.wait(left)
        finally:
            self.forget(key)

    def take_back(self, key: str) -> Standing | None:
        """Have it sent by nobody; where it stood. None: it is being handed over just now, so wait for that."""
        return single.take_back(self._outbox.database, self.job.id, key)

    def _noted(self, key: str) -> None:
        call = self._waiting.get(key)
        if call is not None:
            call()
