"""A mailbox one can send from: the library's front, sync and async.

    with Mailbox(connection, login) as mailbox:
        receipt = mailbox.send(Message(to="a@x.example", subject="Figures", attachments=["figures.pdf"]))

Must stay true: `send` returns only when at least one recipient was accepted; nothing is sent twice by itself.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from datapallas.errors import (
    AddressError,
    ConfigurationError,
    DataPallasError,
    MessageError,
    SmtpUnsupported,
)
from datapallas.mail.address import NamedAddress
from datapallas.mail.compose import Composed, Composer
from datapallas.mail.envelope import Envelope, Outcome, Receipt, RecipientOutcome
from datapallas.mail.transport import choose, choose_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator
    from types import TracebackType
    from typing import Self

    from datapallas.connection.model import Connection
    from datapallas.mail.compose import Skeleton
    from datapallas.mail.message import Message
    from datapallas.mail.transport import LoginSource, Options


class Desk:
    """What both mailboxes do before a message leaves."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._composer = Composer(sender_of(connection))

    def skeleton(self, template: Message) -> Skeleton:
        """Compile what all messages of a job share; what its `compose` gives can be sent."""
        return self._composer.skeleton(template)

    def _composed(self, message: Message | Composed, envelope_from: str | None = None) -> Composed:
        if isinstance(message, Composed):
            return message
        return self._composer.compose(message, envelope_from=envelope_from)


class Mailbox(Desk):
    """Sends through one connection. Threads may share it.

    Args:
        connection: the mailbox and its server.
        login: how it signs in, see `transport.login_source`.
        options: a watcher of the dialogue, the number of sessions, deadlines.

    Raises ConfigurationError when the connection lacks a server or a sender.
    """

    def __init__(self, connection: Connection, login: LoginSource, options: Options | None = None) -> None:
        super().__init__(connection)
        self._transport = choose(connection, login, options)

    def send(self, message: Message | Composed, *, envelope_from: str | None = None) -> Receipt:
        """Send one message.

        Args:
            message: what to send.
            envelope_from: where notices of failure go; None: to the From address; empty: nowhere.

        Raises RecipientsRefused, with the receipt, when the server accepted it for nobody, or when that is not known
        (code ``outcome-unknown``); any other DataPallasError when nothing was handed over.
        """
        composed = self._composed(message, envelope_from)
        with _told_of(composed):
            return _named(composed, self._transport.send(composed.envelope, composed)).raise_if_nobody()

    def send_many(self, messages: Iterable[Message | Composed]) -> Iterator[Receipt]:
        """Send messages one after the other and give a receipt for each, in their order, whatever it says.

        A message that cannot be sent (a file is gone, it is too large for the server) has a receipt that says so.
        Raises when the mailbox cannot send at all; the messages that have no receipt then were not sent.
        """
        for message in messages:
            try:
                composed = self._composed(message)
                receipt = self._transport.send(composed.envelope, composed)
            except (MessageError, SmtpUnsupported) as error:
                receipt = unsendable(message, error)
            yield receipt

    def close(self) -> None:
        """Say good-bye to the server. Nothing can be sent after that."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncMailbox(Desk):
    """Sends through one connection, in one event loop; tasks may share it. See Mailbox."""

    def __init__(self, connection: Connection, login: LoginSource, options: Options | None = None) -> None:
        super().__init__(connection)
        self._transport = choose_async(connection, login, options)

    async def send(self, message: Message | Composed, *, envelope_from: str | None = None) -> Receipt:
        """Send one message. See Mailbox.send."""
        composed = self._composed(message, envelope_from)
        with _told_of(composed):
            return _named(composed, await self._transport.send(composed.envelope, composed)).raise_if_nobody()

    async def send_many(self, messages: Iterable[Message | Composed]) -> AsyncIterator[Receipt]:
        """Send messages one after the other and give a receipt for each. See Mailbox.send_many."""
        for message in messages:
            try:
                composed = self._composed(message)
                receipt = await self._transport.send(composed.envelope, composed)
            except (MessageError, SmtpUnsupported) as error:
                receipt = unsendable(message, error)
            yield receipt

    async def close(self) -> None:
        """Say good-bye to the server. Nothing can be sent after that."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def sender_of(connection: Connection) -> NamedAddress:
    """Give the From of a connection's messages. Raises ConfigurationError when it has none that could be sent from."""
    address = connection.from_address or connection.mailbox
    try:
        return NamedAddress(connection.from_name, address)
    except AddressError as problem:
        raise ConfigurationError(
            f"The connection {connection.code} cannot send from {address!r}: {problem.message}",
            code="bad-from-address",
            connection=connection.code,
        ) from problem


@contextlib.contextmanager
def _told_of(composed: Composed) -> Iterator[None]:
    """Whatever is refused is told with the sender of this message, which need not be the connection's."""
    try:
        yield
    except DataPallasError as problem:
        _name(composed, problem)
        raise


def _named(composed: Composed, receipt: Receipt) -> Receipt:
    for one in receipt.refused:
        if one.error is not None:
            _name(composed, one.error)
    return receipt


def _name(composed: Composed, problem: DataPallasError) -> None:
    if composed.envelope.sender:
        problem.facts.setdefault("sender", composed.envelope.sender)


def unsendable(message: Message | Composed, error: MessageError | SmtpUnsupported) -> Receipt:
    """Give the receipt of a message that no server was asked to take."""
    if isinstance(message, Composed):
        envelope = message.envelope
    else:
        envelope = Envelope(message.sender.address if message.sender else "", message.recipients)
    outcomes = tuple([RecipientOutcome(one, Outcome.REFUSED, "", error) for one in envelope.recipients])
    return Receipt(message.message_id, envelope, outcomes, "", "")
