"""The mailboxes `datapallas.open` gives: promised in the outbox first, then sent, and the receipt when it is there.

Must stay true: the same receipts and the same errors as from a mailbox that sends straight to its server; an error
means that this message is sent by nobody, unless its outcome is unknown; the event loop waits for no disk and no server.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from typing import TYPE_CHECKING

from datapallas.errors import MessageError, SmtpUnsupported, UsageError
from datapallas.home.outbox import open_outbox
from datapallas.home.post import LOOK, Post
from datapallas.mail.mailbox import Desk, unsendable
from datapallas.mail.message import Message
from datapallas.outbox.accept import Job, new_job_id
from datapallas.outbox.receipts import receipt, settled
from datapallas.outbox.tables import Doubt, Priority, State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from datapallas.home import Home
    from datapallas.mail.compose import Composed
    from datapallas.mail.envelope import Receipt
    from datapallas.outbox.single import Standing

PATIENCE = 60.0
"""Seconds a mailbox may rest (a throttle, a full day) before whoever waits is told."""


class _Postbox(Desk):
    def __init__(self, home: Home, code: str) -> None:
        self._home = home
        job = Job(connection=code, name="library", priority=Priority.URGENT, doubt=Doubt.HOLD)
        self._post = Post(home, job)
        super().__init__(self._post.connection)
        self._numbers = itertools.count(1)

    def _key(self) -> str:
        return str(next(self._numbers))

    def _promise(self, message: Message | Composed, key: str, envelope_from: str | None) -> None:
        self._post.promise(message, key, envelope_from=envelope_from)
        self._post.send()

    def _queue(self, messages: Message | Iterable[Message], key: str | Iterable[str], job: str) -> str:
        if isinstance(messages, Message):
            messages = [messages]
        if key and not job:
            raise UsageError("A key is looked up within a job: give `job` too.", code="key-without-job")
        wanted = Job(connection=self.connection.code, id=job or new_job_id(), name="library")
        with contextlib.closing(open_outbox(self._home)) as outbox:
            return outbox.accept(wanted, messages, [key] if isinstance(key, str) else key).job

    def _over(self, key: str) -> Standing | None:
        """Where a message stands when nothing more will come of it by itself; None before."""
        found = self._post.standing(key)
        if not _enough(found):
            return None
        return found if found.done else self._post.take_back(key)


class Postbox(_Postbox):
    """Sends through one connection. Threads may share it. Every message is in the outbox before it is sent."""

    def send(self, message: Message | Composed, *, envelope_from: str | None = None) -> Receipt:
        """Send one message, at the pace the provider allows.

        Args:
            message: what to send.
            envelope_from: where notices of failure go; None: to the From address; empty: nowhere.

        Raises RecipientsRefused, with the receipt, when the server accepted it for nobody, or when that is not known
        (code ``outcome-unknown``); any other DataPallasError when nothing was handed over. It is not tried again by
        itself then. StorageError: the outbox cannot be written, and nothing was sent.
        """
        return settled(self._sent(message, envelope_from))

    def send_many(self, messages: Iterable[Message | Composed]) -> Iterator[Receipt]:
        """Send messages one after the other and give a receipt for each, in their order, whatever it says.

        A message that cannot be sent (a file is gone, it is too large for the server) has a receipt that says so.
        Raises when the mailbox cannot send at all; the messages that have no receipt then were not sent.
        """
        for message in messages:
            try:
                yield _whatever(self._sent(message, None))
            except (MessageError, SmtpUnsupported) as error:
                yield unsendable(message, error)

    def queue(
        self, messages: Message | Iterable[Message], *, key: str | Iterable[str] = "", job: str = ""
    ) -> str:
        """Promise messages and return; the job's id. A running `datapallas serve` or `outbox run` sends them.

        `key`: for one message, or one for each; the same key of the same `job` is sent once. Raises UsageError: a key
        without a job (code ``key-without-job``), or one that came with another message before (``key-reused``);
        nothing was promised then.
        """
        return self._queue(messages, key, job)

    def close(self) -> None:
        """Finish what is being sent. Nothing can be sent after that."""
        self._post.close()

    def _sent(self, message: Message | Composed, envelope_from: str | None) -> Standing:
        key, changed = self._key(), threading.Event()
        self._post.listen(key, changed.set)  # before it is promised, so that nothing is missed
        try:
            self._promise(message, key, envelope_from)
            while True:
                changed.wait(LOOK)
                changed.clear()
                over = self._over(key)
                if over is not None:
                    return over
        finally:
            self._post.forget(key)


class AsyncPostbox(_Postbox):
    """Sends through one connection, in one event loop; tasks may share it. See Postbox."""

    async def send(self, message: Message | Composed, *, envelope_from: str | None = None) -> Receipt:
        """Send one message. See Postbox.send."""
        return settled(await self._sent(message, envelope_from))

    async def send_many(self, messages: Iterable[Message | Composed]) -> AsyncIterator[Receipt]:
        """Send messages one after the other and give a receipt for each. See Postbox.send_many."""
        for message in messages:
            try:
                yield _whatever(await self._sent(message, None))
            except (MessageError, SmtpUnsupported) as error:
                yield unsendable(message, error)

    async def queue(
        self, messages: Message | Iterable[Message], *, key: str | Iterable[str] = "", job: str = ""
    ) -> str:
        """Promise messages and return; the job's id. See Postbox.queue."""
        return await asyncio.to_thread(self._queue, messages, key, job)

    async def close(self) -> None:
        """Finish what is being sent. Nothing can be sent after that."""
        await asyncio.to_thread(self._post.close)

    async def _sent(self, message: Message | Composed, envelope_from: str | None) -> Standing:
        key, changed = self._key(), asyncio.Event()
        loop = asyncio.get_running_loop()
        self._post.listen(key, lambda: _tell(loop, changed))
        try:
            await asyncio.to_thread(self._promise, message, key, envelope_from)
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), LOOK)
                changed.clear()
                over = await asyncio.to_thread(self._over, key)
                if over is not None:
                    return over
        finally:
            self._post.forget(key)


def _tell(loop: asyncio.AbstractEventLoop, changed: asyncio.Event) -> None:
    """Wake a task from a session's thread; a loop that has ended waits for nothing."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(changed.set)


def _enough(found: Standing) -> bool:
    """Nothing more comes of it by itself, or not soon."""
    tried = found.attempts > 0 and found.state is State.QUEUED
    stopped = found.state is State.HELD or (bool(found.pause) and found.state is not State.CLAIMED)
    return found.done or tried or stopped or found.waits > PATIENCE


def _whatever(found: Standing) -> Receipt:
    """Its receipt, also when nobody took it; raises when the mailbox cannot send at all."""
    shown = receipt(found)
    return shown if shown.accepted or all(one.reply for one in shown.outcomes) else settled(found)
