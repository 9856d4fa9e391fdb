"""Sends over SMTP, with blocking sockets: sessions of one mailbox, kept open and shared by threads.

What to do when is `delivery`'s; here it is done. Must stay true: never more sessions than allowed; a session that
something unexpected happened on is closed, never given to the next message.
"""

from __future__ import annotations

import functools
import threading
import time
from typing import TYPE_CHECKING

from datapallas.errors import DataPallasError, UsageError
from datapallas.mail.caution import Caution
from datapallas.mail.delivery import STALE, Check, Open, Send, delivery
from datapallas.mail.envelope import Receipt
from datapallas.mail.transport import Options, target
from datapallas.smtp.parcels import BOUNDS
from datapallas.smtp.stream import Session
from datapallas.smtp.target import Deadlines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datapallas.connection.model import Connection
    from datapallas.mail.delivery import Step
    from datapallas.mail.envelope import Envelope, RecipientOutcome
    from datapallas.mail.transport import Letter, LoginSource, Mail, Told
    from datapallas.smtp.parcels import Bounds
    from datapallas.smtp.target import Sent


class SmtpTransport:
    """One mailbox's way out.

    Args:
        connection: its server; a host that is missing or a port that is none is a ConfigurationError here.
        login: asked once for each session that is opened.
        options: see there.
    """

    def __init__(self, connection: Connection, login: LoginSource, options: Options | None = None) -> None:
        self._options = options or Options()
        self._target = target(connection, self._options.local_name)
        self._server = f"{self._target.host}:{self._target.port}"
        self._caution = self._options.caution or Caution()
        self._login = login
        self._slots = threading.Semaphore(self._options.sessions)
        self._idle: list[tuple[Session, float]] = []  # the last one used is taken first: the others may end
        self._closed = False
        self._lock = threading.Lock()  # for `_idle` and `_closed`

    def send(self, envelope: Envelope, body: Letter) -> Receipt:
        """See MailTransport.send. Waits while all sessions are in use."""
        with self._slots:
            if self._closed:
                raise UsageError("The mailbox is closed.", code="mailbox-closed")
            session, since = self._take()
            hand = Hand(self, session, envelope, body)
            try:
                outcomes = hand.run(stale=time.monotonic() - since > STALE)
            except BaseException:
                hand.drop()
                raise
            self._keep(hand.session)
        return self.receipt(envelope, body, outcomes)

    def send_all(self, mail: Iterator[Mail], told: Told) -> None:
        """See MailTransport.send_all. Waits while all sessions are in use."""
        from datapallas.mail.smtp_batch import Batch

        with self._slots:
            if self._closed:
                raise UsageError("The mailbox is closed.", code="mailbox-closed")
            session, since = self._take()
            batch = Batch(self, mail, told)
            try:
                batch.run(session, stale=time.monotonic() - since > STALE)
            except BaseException:
                if batch.session is not None:
                    batch.session.close()
                raise
            self._keep(batch.session)

    @property
    def depth(self) -> int:
        """See MailTransport.depth."""
        with self._lock:
            session = self._idle[-1][0] if self._idle else None
        return self.depth_of(session) if session is not None else 1

    def depth_of(self, session: Session) -> int:
        """How many messages may be in flight on this session."""
        able = session.features.pipelining and self._caution.trusts(self._server)
        return self._options.in_flight if able else 1

    def blame(self, session: Session) -> None:
        """The server of this session did not stand several messages in flight."""
        self._caution.blame(f"{session.target.host}:{session.target.port}")

    @property
    def bounds(self) -> Bounds:
        """How much may be unanswered at once."""
        return BOUNDS._replace(messages=self._options.in_flight)

    def hand(self, session: Session | None, envelope: Envelope, body: Letter) -> Hand:
        """Deliver one message, beginning with this session."""
        return Hand(self, session, envelope, body)

    def receipt(self, envelope: Envelope, body: Letter, outcomes: tuple[RecipientOutcome, ...]) -> Receipt:
        """Make the receipt of a message that was answered just now."""
        return receipt(self._target.host, self._target.port, envelope, body, outcomes)

    def close(self) -> None:
        """Say good-bye on all sessions that are not in use; the others end with their message."""
        with self._lock:
            self._closed, idle = True, self._idle
            self._idle = []
        for session, _ in idle:
            session.quit()

    def open(self, *, force: bool) -> Session:
        """Open a session and sign in."""
        login = self._login.login(force=force)
        return Session.open(
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

    def _take(self) -> tuple[Session | None, float]:
        with self._lock:  # whether it still lives shows when it is used
            return self._idle.pop() if self._idle else (None, 0.0)

    def _keep(self, session: Session | None) -> None:
        if session is None or not session.alive:
            return
        self._target = session.target  # it may have found out that BDAT does not work there
        with self._lock:
            if not self._closed:
                self._idle.append((session, time.monotonic()))
                return
        session.quit()


class Hand:
    """One delivery under way, and the session it holds: open, or None."""

    def __init__(
        self, transport: SmtpTransport, session: Session | None, envelope: Envelope, body: Letter
    ) -> None:
        self.session = session
        self._transport = transport
        self._envelope = envelope
        self._body = body

    def run(self, *, stale: bool) -> tuple[RecipientOutcome, ...]:
        """Do what `delivery` says."""
        kept = self.session is not None
        steps = delivery(self._envelope, kept=kept, stale=stale, bearer=self._transport.renewable)
        try:
            step = next(steps)
            while True:
                try:
                    result = self._do(step)
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

    def _do(self, step: Step) -> Sent | None:
        session = self.session
        match step:
            case Send(recipients) if session is not None:
                return session.send(self._envelope.sender, recipients, self._body)
            case Check() if session is not None:
                session.noop()
            case Open(force):
                self.drop()
                self.session = self._transport.open(force=force)
        return None


def receipt(
    host: str, port: int, envelope: Envelope, body: Letter, outcomes: tuple[RecipientOutcome, ...]
) -> Receipt:
    """Make the receipt of a message that was answered just now."""
    return Receipt(body.message_id, envelope, outcomes, f"{host}:{port}", _at(int(time.time())))


@functools.lru_cache(maxsize=4)  # a job has thousands of messages a second
def _at(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
