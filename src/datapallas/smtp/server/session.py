"""One SMTP session as the server remembers it, and the few things that may be done to it.

Must stay true: every reply leaves through `send`, every change of state through `move`, `wait_for_chunk` or `close`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.smtp.command import Command
from datapallas.smtp.server import words
from datapallas.smtp.server.content import Intake
from datapallas.smtp.server.envelope import Transaction
from datapallas.smtp.server.lines import LineReader
from datapallas.smtp.server.login import LoginExchange
from datapallas.smtp.server.policy import Closed, Dropped
from datapallas.smtp.server.state import TRANSITIONS, State

if TYPE_CHECKING:
    from datapallas.smtp.reply import Reply
    from datapallas.smtp.server.policy import Event, Limits, Offer


class Session:
    """What is known about one session.

    Attributes:
        lines: octets that came and were not used.
        output: octets to be sent.
        events: what the driver is to be told, in order.
        command: the one that is being worked on, or that the open question is about.
        after: where the end of a refused chunk leads.
    """

    def __init__(self, offer: Offer, limits: Limits, *, secure: bool) -> None:
        self.offer = offer
        self.limits = limits
        self.secure = secure
        self.state = State.START
        self.user = ""
        self.lines = LineReader()
        self.output = bytearray()
        self.events: list[Event] = []
        self.command = Command("")
        self.login = LoginExchange("")
        self.mail = Transaction()
        self.intake = Intake(max_size=0, max_line=0)
        self.after = State.READY
        self.idle = 0
        self._errors = 0
        self._refused_logins = 0

    def move(self, happening: str) -> None:
        """Go where `happening` leads; KeyError for what cannot happen now, which would be our fault."""
        self.state = TRANSITIONS[self.state][happening]

    def wait_for_chunk(self, command: Command, refusal: Reply | None = None) -> None:
        """Take the octets of a chunk next; with a `refusal` let them go by, wherever the session stands."""
        if refusal is not None:
            self.intake = Intake(max_size=0, max_line=0)
        self.command = command
        self.intake.expect(command.size, refusal)
        self.state = State.CHUNK

    def send(self, reply: Reply) -> None:
        """Say `reply`, after what was said before."""
        self.output += (reply if self.offer.enhanced else words.without_status(reply)).encode()

    def bad(self, reply: Reply) -> None:
        """Refuse what no correct client sends; too much of it ends the session."""
        self.send(reply)
        self._errors += 1
        if self._errors >= self.limits.errors:
            self.end(words.TOO_MANY_ERRORS)

    def refused_login(self, reply: Reply) -> None:
        """Refuse a sign-in; the last one allowed ends the session."""
        self.send(reply)
        self._refused_logins += not reply.transient
        if self._refused_logins >= self.limits.logins:
            self.end(words.TOO_MANY_LOGINS)

    def got_message(self) -> None:
        """A message was dealt with: the client is of use."""
        self.idle = self._errors = 0

    def end(self, reply: Reply | None = None) -> None:
        """Say a last word, unless the other side has gone or speaks TLS just now, and close."""
        if self.state is State.CLOSED:
            return
        if reply is not None and self.state is not State.TLS:
            self.send(reply)
        self.close()

    def close(self) -> None:
        """The session is over; what is half in is dropped."""
        if self.state in {State.DATA, State.CHUNK, State.CHUNKED}:
            self.events.append(Dropped())
        self.state = State.CLOSED
        self.lines.take()
        self.events.append(Closed())
