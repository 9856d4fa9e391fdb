"""The client's side of a session, without a socket: what may be said when, and what the answers mean.

Everything that changes the state is the one table below; it does not know who drives us. A conversation is a
generator: it yields what to write and how many replies to wait for, and is sent the replies. `stream` and
`async_stream` are the two drivers; tests drive it from text files.

Must stay true: AUTH is said only inside verified TLS, or on loopback where the connection asks for no TLS at all;
never is STARTTLS left out because a server does not announce it; after AUTH no EHLO follows (Exchange forgets the
sign-in then); a reply that has no place in the table ends the session; no secret is in an error.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from datapallas.errors import DataPallasError, ProtocolError, SmtpRefused
from datapallas.smtp import command
from datapallas.smtp.features import Features
from datapallas.smtp.inbox import CLOSING, closed

if TYPE_CHECKING:
    from datapallas.smtp.body import Octets
    from datapallas.smtp.reply import Reply
    from datapallas.smtp.target import Stage, Stages, Target, Watch


class State(StrEnum):
    """Where a session is (RFC 5321 section 4.1.4)."""

    __hash__ = str.__hash__  # Enum's own is a Python function, and each reply costs one look-up

    CONNECTED = "connected"  # the greeting is due
    GREETED = "greeted"  # EHLO is due: at the start, and again inside TLS
    READY = "ready"  # no transaction
    SECURING = "securing"  # 220 to STARTTLS: the handshake is due
    SIGNING = "signing"  # inside AUTH
    MAIL = "mail"  # a sender, and no recipient yet
    RCPT = "rcpt"  # at least one recipient
    TEXT = "text"  # 354: the text is due
    CHUNK = "chunk"  # a chunk was taken, more are due
    SPOILT = "spoilt"  # a transaction that only RSET ends
    CLOSED = "closed"


CONNECT, MESSAGE, LAST = "connect", "message", "BDAT LAST"
_EHLO, _HELO, _STARTTLS, _AUTH = command.EHLO, command.HELO, command.STARTTLS, command.AUTH
_MAIL, _RCPT, _DATA, _BDAT = command.MAIL, command.RCPT, command.DATA, command.BDAT
_RSET, _NOOP, _QUIT = command.RSET, command.NOOP, command.QUIT
_S = State

# (state, what was said, first digit of the reply) -> state. With pipelining RCPT, DATA and chunks go out before the
# answer to MAIL is known; so each has a row in the states that a refusal leaves behind.
TRANSITIONS: Mapping[tuple[str, str, int], State] = {
    (state, said, int(digit)): after
    for state, said, digits, after in (
        (_S.CONNECTED, CONNECT, "2", _S.GREETED),
        (_S.CONNECTED, CONNECT, "45", _S.CLOSED),
        (_S.GREETED, _EHLO, "2", _S.READY),
        (_S.GREETED, _EHLO, "45", _S.GREETED),
        (_S.GREETED, _HELO, "2", _S.READY),
        (_S.GREETED, _HELO, "45", _S.GREETED),
        (_S.READY, _STARTTLS, "2", _S.SECURING),
        (_S.READY, _STARTTLS, "45", _S.READY),
        (_S.READY, _AUTH, "3", _S.SIGNING),
        (_S.READY, _AUTH, "245", _S.READY),
        (_S.SIGNING, _AUTH, "3", _S.SIGNING),
        (_S.SIGNING, _AUTH, "245", _S.READY),
        (_S.READY, _MAIL, "2", _S.MAIL),
        (_S.READY, _MAIL, "45", _S.READY),
        (_S.READY, _RCPT, "45", _S.READY),
        (_S.MAIL, _RCPT, "2", _S.RCPT),
        (_S.MAIL, _RCPT, "45", _S.MAIL),
        (_S.RCPT, _RCPT, "245", _S.RCPT),
        # A server may say 354 although it refused every recipient (RFC 2920 section 3.1): the text is due then.
        *((state, _DATA, "3", _S.TEXT) for state in (_S.READY, _S.MAIL, _S.RCPT)),
        (_S.READY, _DATA, "45", _S.READY),
        *((state, _DATA, "45", _S.SPOILT) for state in (_S.MAIL, _S.RCPT)),
        (_S.TEXT, MESSAGE, "245", _S.READY),
        # A server takes the octets of a chunk that has no recipient, whatever it says to it (RFC 3030 section 2).
        *(
            (state, said, "245", _S.SPOILT)
            for state in (_S.READY, _S.MAIL, _S.SPOILT)
            for said in (_BDAT, LAST)
        ),
        *((state, _BDAT, "2", _S.CHUNK) for state in (_S.RCPT, _S.CHUNK)),
        *((state, LAST, "2", _S.READY) for state in (_S.RCPT, _S.CHUNK)),
        *((state, said, "45", _S.SPOILT) for state in (_S.RCPT, _S.CHUNK) for said in (_BDAT, LAST)),
        *((state, _RSET, "2", _S.READY) for state in (_S.READY, _S.MAIL, _S.RCPT, _S.CHUNK, _S.SPOILT)),
        *((state, _NOOP, "245", state) for state in (_S.READY, _S.MAIL, _S.RCPT, _S.SPOILT)),
        *((state, _QUIT, "245", _S.CLOSED) for state in _S),
    )
    for digit in digits
}


class Exchange(NamedTuple):
    """Write `out`, in as few writes as there are buffers, then wait for `replies` replies.

    Attributes:
        asks: replies that `out` makes due; more than `replies` when we go on without waiting for all.
        wait: the field of `Deadlines` that bounds the waiting.
        rest: give every reply that has come, however many more; a 421 does not end the listening then.
    """

    out: Sequence[Octets]
    asks: int
    replies: int
    wait: str = "command"
    rest: bool = False


class Handshake(NamedTuple):
    """Forget what was received and not read, then begin TLS; verified, or an exception."""


class Lost(NamedTuple):
    """Why a driver gave fewer replies than asked for, and how much of `out` had gone out before.

    Attributes:
        written: all of it.
        octets: at most so many of it; counts when not all was.
    """

    error: DataPallasError
    written: bool
    octets: int = 0


T = TypeVar("T")
Conversation = Generator[Exchange | Handshake, "list[Reply]", T]

_WORDS = {
    CONNECT: "the connection",
    _EHLO: "the greeting",
    _AUTH: "the sign-in",
    _MAIL: "the sender",
    _RCPT: "the recipient",
    MESSAGE: "the message",
    LAST: "the message",
    _BDAT: "the message",
}


class Client:
    """One session.

    Attributes:
        features: what the server announced last; empty before.
        secured: set by the driver's handshake.
        loopback: set by the driver: the other end of the connection is this machine.
        lost: set by a driver that gives fewer replies than asked for.
        midway: True while a text is partly out, so that nothing else may be said.
        served: a message was accepted in the way the next ones are to go, so that several may be in flight.
        unsteady: the server did not stand several messages in flight: it broke off, or answered what has no meaning.
        mask: takes our secrets out of what a server says, while there is one it may repeat.
        tls: what a driver's handshake ended with, for `stages`; empty when nobody is told.
    """

    def __init__(self, target: Target, watch: Watch | None = None, stages: Stages | None = None) -> None:
        self.target = target
        self.watch = watch
        self.stages = stages
        self.tls: Mapping[str, str] = {}
        self.state = State.CONNECTED
        self.features = Features()
        self.secured = self.loopback = self.midway = self.served = self.unsteady = False
        self.lost: Lost | None = None
        self.mask: Callable[[str], str] = str

    @property
    def closed(self) -> bool:
        """True when nothing more may be said."""
        return self.state is State.CLOSED

    def heard(self, said: Sequence[str], replies: Sequence[Reply]) -> None:
        """Take replies, in the order of what was said; fewer than that when the connection ended.

        Raises ProtocolError for one that has no place here.
        """
        if self.watch is not None:
            self.overheard(replies)
        state = self.state
        for verb, reply in zip(said, replies, strict=False):
            code = reply.code
            after = TRANSITIONS.get((state, verb, code // 100))
            if after is None:
                raise self.misplaced(verb, reply)
            if code == CLOSING:  # what else the server says has no order
                self.state = State.CLOSED
                return
            state = after
        self.state = state

    def overheard(self, replies: Sequence[Reply]) -> None:
        """Show a watcher replies, whatever they mean."""
        if self.watch is not None:
            for reply in replies:
                for line in reply.wire_lines():
                    self.watch("S", self.mask(line))

    def misplaced(self, said: str, reply: Reply) -> ProtocolError:
        """Make the error for a reply that has no meaning where it stands, and end the session."""
        self.state = State.CLOSED
        return ProtocolError(
            f"The mail server answered {said} with {reply.code}, which has no meaning there.",
            raw=self.mask("\n".join(reply.wire_lines())),
            **self.where,
        )

    def say(self, line: bytes, said: str, wait: str = "command", *, shown: str = "") -> Conversation[Reply]:
        """Say one line and give the reply to it, good or bad. `shown` is what a watcher sees instead."""
        if self.watch is not None and line:
            self.watch("C", shown or line.decode(errors="replace").rstrip("\r\n"))
        # The greeting is due without being asked for.
        replies = yield Exchange((line,), 1, 1, wait) if line else Exchange((), 0, 1, wait)
        if not replies:
            raise self.broken(said)
        self.heard((said,), replies)
        return replies[0]

    def tell(self, text: str, octets: int = 0) -> None:
        """Show a watcher what goes out: command lines, and of a message only how long it is."""
        if self.watch is not None:
            for line in text.split("\r\n")[:-1]:
                self.watch("C", line)
            if octets:
                self.watch("C", f"({octets} octets)")

    def began(self, stage: Stage) -> None:
        """Tell that a stage begins."""
        if self.stages is not None:
            self.stages.began(stage)

    def ended(self, stage: Stage, **facts: str) -> None:
        """Tell that a stage ended well."""
        if self.stages is not None:
            self.stages.ended(stage, facts)

    @property
    def where(self) -> dict[str, str]:
        """The facts every error of this session carries."""
        return {"host": self.target.host, "port": str(self.target.port)}

    def refused(self, said: str, reply: Reply, **facts: str) -> SmtpRefused:
        """Make the error for a reply of 4yz or 5yz."""
        step = MESSAGE if said in (LAST, _BDAT) else said
        words = _WORDS.get(said, said)
        return SmtpRefused(
            f"{self.target.host} refused {words}: {reply.code} {reply.lines[0]}",
            step=step,
            reply_code=reply.code,
            enhanced=reply.enhanced,
            text=reply.text,
            **(self.where | facts),
        )

    def broken(self, said: str, *, final: bool = False) -> DataPallasError:
        """Make the error for a connection that ended; `final` when the end of a message had been in the last write.

        Fact `after_body` is ``yes`` when the server may have the message although it did not say so (RFC 1047).
        """
        self.state = State.CLOSED
        lost = self.lost
        if lost is None:
            lost = Lost(closed(), written=True)
        unknown = final and lost.written
        lost.error.facts.update(self.where, step=said, after_body="yes" if unknown else "no")
        return lost.error

    def gone(self, error: DataPallasError) -> Lost:
        """Give the loss of the connection once more: each message has an error of its own."""
        kind = type(error)
        return Lost(kind(error.message, code=error.code, raw=error.raw, **error.facts), written=True)

    def noop(self) -> Conversation[Reply]:
        """Ask whether the server is there."""
        return (yield from self.say(b"NOOP\r\n", _NOOP))

    def trial(self, sender: str) -> Conversation[Reply]:
        """Offer a sender and take it back, so that nothing is sent; the reply to the offer, good or bad."""
        params = () if sender.isascii() else ("SMTPUTF8",)
        reply = yield from self.say(command.mail_from(sender, params), _MAIL)
        if reply.positive:
            yield from self.reset()
        return reply

    def reset(self) -> Conversation[Reply]:
        """End a transaction that came to nothing."""
        reply = yield from self.say(b"RSET\r\n", _RSET)
        return reply

    def quit(self) -> Conversation[Reply]:
        """Say good-bye."""
        return (yield from self.say(b"QUIT\r\n", _QUIT, "quit"))
