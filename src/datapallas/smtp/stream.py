"""The blocking driver: a session with a mail server, for the library and the command line.

A session is used by one thread at a time. Must stay true: it sends again nothing that the server may have; it is
closed as soon as it is not known what the server's next reply would answer.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Self

from datapallas.errors import DataPallasError
from datapallas.smtp import command
from datapallas.smtp.client import Client, Handshake, Lost
from datapallas.smtp.inbox import Inbox, closed, too_slow
from datapallas.smtp.judging import ChunkingRefused
from datapallas.smtp.opening import opening
from datapallas.smtp.parcels import BOUNDS
from datapallas.smtp.pipeline import pipeline
from datapallas.smtp.target import Deadlines, Sent, Stage, Target
from datapallas.smtp.transaction import transaction
from datapallas.smtp.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from datapallas.smtp.body import Body
    from datapallas.smtp.client import Conversation, Exchange, T
    from datapallas.smtp.features import Features
    from datapallas.smtp.parcels import Bounds, Parcel
    from datapallas.smtp.pipeline import Told
    from datapallas.smtp.reply import Reply
    from datapallas.smtp.sasl import Login
    from datapallas.smtp.target import Stages, Watch

_DEADLINES = Deadlines()


class Session:
    """A connection that is greeted, secured and signed in.

    Attributes:
        round_trips: how often we waited for the server.
    """

    def __init__(
        self,
        target: Target,
        login: Login | None,
        deadlines: Deadlines,
        watch: Watch | None,
        stages: Stages | None = None,
    ) -> None:
        """Connect; use `open`."""
        self.round_trips = 0
        self._writes = 0
        self._target, self._login, self._deadlines, self._watch = target, login, deadlines, watch
        self._stages = stages
        self._connect()

    @classmethod
    def open(
        cls,
        target: Target,
        *,
        login: Login | None = None,
        deadlines: Deadlines = _DEADLINES,
        watch: Watch | None = None,
        stages: Stages | None = None,
    ) -> Self:
        """Connect, secure the way, sign in; `stages` is told how that goes on.

        Raises Unreachable, TlsRefused, SmtpRefused (its `step` says where), SmtpUnsupported, ProtocolError.
        """
        return cls(target, login, deadlines, watch, stages)

    def _connect(self) -> None:
        if self._stages is not None:
            self._stages.began(Stage.CONNECT)
        self._wire = wire = Wire.connect(self._target, self._deadlines.connect)
        self._closed = False
        self._inbox = Inbox()
        self._client = client = Client(self._target, self._watch, self._stages)
        client.loopback = wire.loopback
        try:
            self._run(opening(client, self._target.local_name or wire.literal, self._login))
        except BaseException:
            self.close()
            raise
        if client.secured:
            wire.remember(self._target)

    @property
    def features(self) -> Features:
        """What the server can do, as it said last."""
        return self._client.features

    @property
    def target(self) -> Target:
        """The server; its `chunking` becomes False when the server turns out to announce it in vain."""
        return self._target

    @property
    def unsteady(self) -> bool:
        """The server did not stand several messages in flight."""
        return self._client.unsteady

    @property
    def writes(self) -> int:
        """How often octets were handed to the system."""
        return self._writes + self._wire.writes

    @property
    def alive(self) -> bool:
        """False when the server has closed the session, or said what nobody asked for."""
        return not self._closed and self._wire.quiet(self._inbox)

    def send(self, sender: str, recipients: Sequence[str], body: Body) -> Sent:
        """Send one message.

        Args:
            sender: the envelope's; empty for the null path.
            recipients: the envelope's; not empty.
            body: its octets are asked for once, or twice when the server announces BDAT in vain.

        Raises what `transaction` says. When the error's fact `after_body` is ``yes``, the server may have the message.
        """
        try:
            return self._run(transaction(self._usable(), sender, recipients, body))
        except ChunkingRefused:
            # Not accepted, and perhaps read as commands: only a new connection is in step again.
            self.close()
            self._writes += self._wire.writes
            self._target = dataclasses.replace(self._target, chunking=False)
            self._connect()
            return self._run(transaction(self._client, sender, recipients, body))

    def send_all(self, parcels: Iterator[Parcel], told: Told, bounds: Bounds = BOUNDS) -> None:
        """Send messages, in this order, several in flight where the server can; see `pipeline`."""
        self._run(pipeline(self._usable(), parcels, told, bounds))

    def noop(self) -> Reply:
        """Ask whether the server is there."""
        return self._run(self._usable().noop())

    def try_sender(self, sender: str) -> None:
        """Ask whether the server takes mail from `sender`; nothing is sent. Raises SmtpRefused (step MAIL)."""
        client = self._usable()
        reply = self._run(client.trial(sender))
        if not reply.positive:
            raise client.refused(command.MAIL, reply, sender=sender)

    def reset(self) -> Reply:
        """Say RSET. Not needed between messages."""
        return self._run(self._usable().reset())

    def quit(self) -> None:
        """Say good-bye and close; never raises for what the server does."""
        if not self._closed:
            try:
                self._run(self._client.quit())
            except DataPallasError:
                pass  # it was about to end anyway
            finally:
                self.close()

    def close(self) -> None:
        """Close without a word; what is under way is not sent, or its outcome unknown."""
        self._closed = True
        self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.quit()
        else:
            self.close()

    def _usable(self) -> Client:
        if self._closed:
            error = closed()
            error.facts.update(self._client.where, after_body="no")
            raise error
        return self._client

    def _run(self, conversation: Conversation[T]) -> T:
        try:
            step = next(conversation)
            while True:
                if isinstance(step, Handshake):
                    self._handshake()
                    step = conversation.send([])
                else:
                    step = conversation.send(self._exchange(step))
        except StopIteration as stop:
            value: T = stop.value
            return value
        finally:
            inbox, client = self._inbox, self._client
            if inbox.due or inbox.broken is not None or client.closed or client.midway:
                self.close()

    def _exchange(self, step: Exchange) -> list[Reply]:
        out, asks, wanted, wait, rest = step
        inbox, wire = self._inbox, self._wire
        if out and not inbox.due and not wire.quiet(inbox):
            return self._short(step, written=False)
        inbox.due += asks
        inbox.patient = rest
        wire.taken = 0
        try:
            for octets in out:
                wire.write(octets, self._deadlines.body, inbox)
        except OSError as error:
            return self._unwritten(error, step)
        if not wanted:
            return []
        self.round_trips += 1
        if not inbox.ready(wanted):
            wire.read(wanted, getattr(self._deadlines, wait), inbox)
        if inbox.broken is not None:
            return self._short(step, written=True)
        return inbox.all() if rest else inbox.take(wanted)

    def _unwritten(self, error: OSError, step: Exchange) -> list[Reply]:
        """The server takes no more; perhaps it said why."""
        self._wire.look(self._inbox)
        if isinstance(error, TimeoutError):
            self._inbox.broken = too_slow(self._deadlines.body, "take what we sent")
        elif self._inbox.broken is None:
            self._inbox.broken = closed(str(error))
        return self._short(step, written=False)

    def _short(self, step: Exchange, *, written: bool) -> list[Reply]:
        inbox = self._inbox
        assert inbox.broken is not None  # noqa: S101 - the callers' condition
        if self._client.lost is None:  # what ended the session was the first of it
            self._client.lost = Lost(inbox.broken, written, self._wire.taken)
        return inbox.all() if step.rest else inbox.take(step.replies)

    def _handshake(self) -> None:
        self._inbox.clear()
        self._wire.secure(self._target, self._deadlines.tls)
        self._client.secured = True
        if self._stages is not None:
            self._client.tls = self._wire.tls_facts()
