"""The server's side of SMTP submission as a machine: octets in, events and octets out (RFC 5321, 6409).

Must stay true:
- one question is open at a time; what comes in meanwhile waits, so answers go out in the order of the commands;
- the machine does not know the time, the network or who is allowed what: `policy` says what it asks.

A driver calls `greet`, then `receive` with what came, and `next_event` until it gives None; it answers each question
with `answer`, and sends what `output` gives. What may happen when is in `state`, what it does in
`commands`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.errors import ProtocolError
from datapallas.smtp import command as c
from datapallas.smtp.command import BadCommand, Command, parse_command
from datapallas.smtp.server import commands, words
from datapallas.smtp.server.policy import (
    Closed,
    ContentAsked,
    Dropped,
    Limits,
    LoginAsked,
    MessageAsked,
    StartTls,
    Text,
    Verdict,
)
from datapallas.smtp.server.session import Session
from datapallas.smtp.server.state import END, State, forgivable, idle, why_not

if TYPE_CHECKING:
    from datapallas.smtp.reply import Reply
    from datapallas.smtp.server.policy import Event, Offer, Question


class Server:
    """One session. `secure` is True when TLS protects it from the start (RFC 8314)."""

    def __init__(self, offer: Offer, limits: Limits | None = None, *, secure: bool = False) -> None:
        self._session = Session(offer, limits or Limits(), secure=secure)
        self._question: Question | None = None

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self._session.state

    @property
    def user(self) -> str:
        """Who signed in; empty when nobody did."""
        return self._session.user

    @property
    def secure(self) -> bool:
        """Whether TLS protects the way."""
        return self._session.secure

    def greet(self, reply: Reply) -> None:
        """Send the greeting; anything but a 2yz closes (RFC 5321 section 3.1)."""
        self._session.send(reply)
        if not reply.positive:
            self._session.close()

    def receive(self, data: bytes | bytearray | memoryview) -> None:
        """Take octets from the other side."""
        if self.state not in {State.CLOSED, State.TLS}:
            self._session.lines.held += data

    def next_event(self) -> Event | None:
        """Give the next event; None while a question is open, or when more octets are needed."""
        events = self._session.events
        while not events and self._question is None and self._step():
            pass
        if self._question is not None or not events:
            return None
        event = events.pop(0)
        if not isinstance(event, Text | Dropped | StartTls | Closed):
            self._question = event
        return event

    def output(self) -> bytes:
        """Take what is to be sent."""
        data = bytes(self._session.output)
        self._session.output.clear()
        return data

    def answer(self, answer: Reply | Verdict) -> None:
        """Answer the open question; an answer that comes after the session has ended is dropped."""
        question, self._question = self._question, None
        if question is None or self.state is State.CLOSED:
            return
        session = self._session
        if isinstance(question, LoginAsked):
            commands.judge(
                session, question.login, answer if isinstance(answer, Verdict) else Verdict(answer)
            )
        elif isinstance(answer, Verdict):
            raise TypeError("a verdict answers a login only")
        elif isinstance(question, ContentAsked):
            commands.begin_text(session, answer)
        elif isinstance(question, MessageAsked):
            session.send(answer)
            session.got_message()
            session.move(END)
        else:
            session.send(answer)
            if answer.positive:
                commands.took(session, question)

    def secured(self) -> None:
        """The handshake is done: begin anew (RFC 3207 section 4.2)."""
        self._session.secure = True
        self._session.move(END)

    def end(self, reply: Reply | None = None) -> None:
        """End the session from our side, with a last word unless the other side has gone."""
        self._question = None
        self._session.end(reply)

    def _step(self) -> bool:
        """Work on what is there; False when more is needed."""
        session = self._session
        if session.state in {State.CLOSED, State.TLS}:
            return False
        if session.state in {State.DATA, State.CHUNK}:
            return commands.read_text(session)
        limits = session.limits
        try:
            line = session.lines.next(
                limits.auth_line if session.state is State.LOGIN else limits.command_line
            )
            if line is None:
                return False
            if session.state is State.LOGIN:
                commands.respond(session, line)
            else:
                self._take_line(line)
        except BadCommand as bad:
            if session.state is State.LOGIN:
                session.move(END)
            session.bad(bad.reply)
        except ProtocolError:
            session.end(words.ENDLESS)
        return True

    def _take_line(self, line: bytes) -> None:
        session = self._session
        try:
            command = parse_command(line)
        except BadCommand as bad:
            session.bad(bad.reply)
            if line[:4].upper() == b"BDAT":  # octets follow, and nobody knows how many
                session.end(words.OUT_OF_STEP)
            return
        refusal = why_not(command, session.state, session.offer, secure=session.secure, user=session.user)
        if refusal is not None:
            self._refuse(command, refusal)
            return
        session.idle += idle(command.verb, session.state)
        if session.idle > session.limits.idle_commands:
            session.end(words.TOO_IDLE)
            return
        session.command = command
        commands.DO[command.verb](session, command)

    def _refuse(self, command: Command, reply: Reply) -> None:
        session = self._session
        if command.verb == c.BDAT:
            session.after = State.READY if session.state is State.CHUNKED else session.state
            session.wait_for_chunk(command, reply)
        elif forgivable(command.verb, session.state):
            session.send(reply)
        else:
            session.bad(reply)
