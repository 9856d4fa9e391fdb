"""Sends over SMTP, with asyncio: the twin of `smtp_transport`, over the same `delivery`.

Must stay true: see `smtp_transport`; and nothing here blocks the event loop for longer than it takes to read a
piece of a file (a small attachment, at most 2 MiB, is one piece): tokens and passwords, which may wait for locks and
providers, are fetched in a thread.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from datapallas.errors import DataPallasError, UsageError
from datapallas.mail.delivery import STALE, Check, Open, Send, delivery
from datapallas.mail.smtp_transport import receipt
from datapallas.mail.transport import Options, target
from datapallas.smtp.async_stream import AsyncSession
from datapallas.smtp.target import Deadlines

if TYPE_CHECKING:
    from datapallas.connection.model import Connection
    from datapallas.mail.delivery import Step
    from datapallas.mail.envelope import Envelope, Receipt, RecipientOutcome
    from datapallas.mail.transport import Letter, LoginSource
    from datapallas.smtp.target import Sent


class AsyncSmtpTransport:
    """One mailbox's way out, for one event loop. See SmtpTransport."""

    def __init__(self, connection: Connection, login: LoginSource, options: Options | None = None) -> None:
        self._options = options or Options()
        self._target = target(connection, self._options.local_name)
        self._login = login
        self._slots = asyncio.Semaphore(self._options.sessions)
        self._idle: list[tuple[AsyncSession, float]] = []
        self._closed = False

    async def send(self, envelope: Envelope, body: Letter) -> Receipt:
        """See MailTransport.send. Waits while all sessions are in use."""
        async with self._slots:
            if self._closed:
                raise UsageError("The mailbox is closed.", code="mailbox-closed")
            session, since = self._take()
            hand = _Hand(self, session, envelope, body)
            try:
                outcomes = await hand.run(stale=time.monotonic() - since > STALE)
            except BaseException:  # cancellation, too: the session may be in the middle of a message
                hand.drop()
                raise
            await self._keep(hand.session)
        return receipt(self._target.host, self._target.port, envelope, body, outcomes)

    async def close(self) -> None:
        """Say good-bye on all sessions that are not in use; the others end with their message."""
        self._closed = True
        while self._idle:
            await self._idle.pop()[0].quit()

    async def open(self, *, force: bool) -> AsyncSession:
        """Open a session and sign in."""
        login = await asyncio.to_thread(self._login.login, force=force)
        return await AsyncSession.open(
            self._target,
            login=login,
            deadlines=self._options.deadlines or Deadlines(),
            watch=self._options.watch,
            stages=self._options.stages,
        )

    @property
    def renewable(self) -> bool:
        """A refused login may be made anew."""
        return self._login.renewable

    def _take(self) -> tuple[AsyncSession | None, float]:
        return self._idle.pop() if self._idle else (None, 0.0)

    async def _keep(self, session: AsyncSession | None) -> None:
        if session is None or not session.alive:
            return
        self._target = session.target  # it may have found out that BDAT does not work there
        if self._closed:
            await session.quit()
        else:
            self._idle.append((session, time.monotonic()))


class _Hand:
    """One delivery under way, and the session it holds."""

    def __init__(
        self, transport: AsyncSmtpTransport, session: AsyncSession | None, envelope: Envelope, body: Letter
    ) -> None:
        self.session = session
        self._transport = transport
        self._envelope = envelope
        self._body = body

    async def run(self, *, stale: bool) -> tuple[RecipientOutcome, ...]:
        """Do what `delivery` says."""
        kept = self.session is not None
        steps = delivery(self._envelope, kept=kept, stale=stale, bearer=self._transport.renewable)
        step: Step = next(steps)
        while True:
            try:
                try:
                    result = await self._do(step)
                except DataPallasError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
            except StopIteration as done:
                outcomes: tuple[RecipientOutcome, ...] = done.value
                return outcomes

    def drop(self) -> None:
        """Close the session without a word."""
        if self.session is not None:
            session, self.session = self.session, None
            session.close()

    async def _do(self, step: Step) -> Sent | None:
        session = self.session
        match step:
            case Send(recipients) if session is not None:
                return await session.send(self._envelope.sender, recipients, self._body)
            case Check() if session is not None:
                await session.noop()
            case Open(force):
                self.drop()
                self.session = await self._transport.open(force=force)
        return None
