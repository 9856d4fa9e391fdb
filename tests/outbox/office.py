"""What the tests of the outbox share: a mailroom without a home, and messages to promise."""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import TYPE_CHECKING

from datapallas.connection.model import Connection, Server
from datapallas.mail.address import NamedAddress
from datapallas.mail.compose import Composer
from datapallas.mail.message import Message
from datapallas.mail.transport import Options, PasswordSource, choose
from datapallas.outbox.accept import Item
from datapallas.outbox.courier import Courier
from datapallas.outbox.limits import UNLIMITED, Limits
from datapallas.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datapallas.mail.transport import MailTransport
    from datapallas.outbox.database import Database

SENDER = "reports@contoso.example"
CODE = "eml-stage"


@dataclasses.dataclass
class Office:
    """A mailroom that knows one server."""

    port: int
    limit: Limits = UNLIMITED
    marked: str = "1"
    made: int = 0
    host: str = "127.0.0.1"

    def limits(self, code: str) -> Limits:
        return self.limit

    def transport(self, code: str) -> MailTransport:
        from datapallas.connection.model import Security

        self.made += 1
        connection = Connection(
            code=code,
            server=Server(host=self.host, port=str(self.port), security=Security.NONE),
            from_address=SENDER,
        )
        return choose(connection, PasswordSource("", lambda: Secret("")), Options(sessions=1))

    def sender(self, code: str) -> str:
        return SENDER

    def mark(self, code: str) -> str:
        return self.marked


def items(count: int, *, first: int = 0, to: str = "p{}@x.example", text: str = "Hello") -> Iterator[Item]:
    """Messages to one recipient each, with a key each."""
    composer = Composer(NamedAddress("", SENDER))
    for number in range(first, first + count):
        message = Message(to=to.format(number), subject=f"Mail {number}", text=text)
        yield Item.of(composer.compose(message), key=str(number))


def one(*to: str, sender: str = "", key: str = "") -> Item:
    """One message to several recipients."""
    composer = Composer(NamedAddress("", sender or SENDER))
    return Item.of(composer.compose(Message(to=list(to), subject="One", text="Hello")), key)


def drain(database: Database, office: Office, until: Callable[[], bool], seconds: float = 180.0) -> None:
    """Run a courier until something is so."""
    courier = Courier(database, office)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            courier.drain(forever=True)
        except BaseException as error:
            failed.append(error)
            raise

    thread = threading.Thread(target=work)
    thread.start()
    end = time.monotonic() + seconds
    try:
        while not until():
            assert time.monotonic() < end, "it did not come to that"
            assert not failed, failed
            time.sleep(0.01)
    finally:
        courier.stop()
        thread.join(60)
        assert not thread.is_alive()
