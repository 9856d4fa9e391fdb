"""A server in memory: octets go in, its questions are answered by rules, its replies come out."""

from __future__ import annotations

import base64
import dataclasses
import itertools
from typing import TYPE_CHECKING

from datapallas.smtp.reply import Reply
from datapallas.smtp.sasl import BearerLogin
from datapallas.smtp.server import words
from datapallas.smtp.server.machine import Server
from datapallas.smtp.server.policy import (
    Closed,
    Dropped,
    Limits,
    LoginAsked,
    MailAsked,
    MessageAsked,
    Offer,
    RecipientAsked,
    StartTls,
    Taken,
    Text,
    TlsAsked,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datapallas.smtp.sasl import Login
    from datapallas.smtp.server.policy import Event, Question

GREETING = Reply.of(220, "mx.example ESMTP")
REASON = '{"status":"400"}'
TOKEN, PASSWORD = "good-token", "good-password"


def plain(user: str = "u@x.example", password: str = PASSWORD) -> str:
    """The one line of AUTH PLAIN."""
    return "AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode()


@dataclasses.dataclass
class Desk:
    """A server, and whoever answers its questions: good secrets get in, `NNN-...@` is refused with NNN."""

    offer: Offer = dataclasses.field(default_factory=lambda: Offer(host="mx.example"))
    limits: Limits | None = None
    secure: bool = True
    challenge: str = REASON
    refuse_text: Reply | None = None
    refuse_login: Reply | None = None

    def __post_init__(self) -> None:
        self.server = Server(self.offer, self.limits, secure=self.secure)
        self.server.greet(GREETING)
        self.said = b""
        self.text = b""
        self.mails: list[tuple[Taken, bytes]] = []
        self.events: list[Event] = []
        self.closed = False

    def hear(self, octets: bytes, piece: int = 0) -> str:
        """Give octets to the server, `piece` at a time; what it said since then, without the greeting."""
        before = len(self.said)
        pieces: Iterable[bytes] = [octets]
        if piece:
            pieces = (octets[at : at + piece] for at in range(0, len(octets), piece))
        for part in itertools.chain(pieces, [b""]):
            self.server.receive(part)
            self.work()
        return self.said[before:].decode()

    def work(self) -> None:
        """Answer everything there is to answer."""
        while (event := self.server.next_event()) is not None:
            self.events.append(event)
            if isinstance(event, Text):
                self.text += event.data
            elif isinstance(event, Dropped):
                self.text = b""
            elif isinstance(event, Closed):
                self.closed = True
            elif not isinstance(event, StartTls):
                self.server.answer(self.answer(event))
            self.said += self.server.output()
        self.said += self.server.output()

    def answer(self, question: Question) -> Reply | Verdict:
        """Say yes or no."""
        if isinstance(question, LoginAsked):
            return self._judge(question.login)
        if isinstance(question, MailAsked):
            return _wanted(question.sender.local if question.sender else "", words.SENDER_OK)
        if isinstance(question, RecipientAsked):
            return _wanted(question.address.local, words.RECIPIENT_OK)
        if isinstance(question, MessageAsked):
            self.mails.append((question.envelope, self.text))
            self.text = b""
            return words.OK
        return words.TLS_READY if isinstance(question, TlsAsked) else self.refuse_text or words.GO_AHEAD

    def _judge(self, login: Login) -> Verdict:
        if self.refuse_login:
            return Verdict(self.refuse_login)
        secret = login.token if isinstance(login, BearerLogin) else login.password
        if secret.reveal() in {TOKEN, PASSWORD}:
            return Verdict(words.SIGNED_IN)
        refusal = Reply.of(535, "No", enhanced="5.7.8")
        return Verdict(refusal, self.challenge if isinstance(login, BearerLogin) else "")


def _wanted(local: str, otherwise: Reply) -> Reply:
    code = local.partition("-")[0]
    return Reply.of(int(code), "As asked") if code.isdigit() and len(code) == 3 else otherwise


def signed_in(**more: object) -> Desk:
    """A session in which somebody has signed in."""
    desk = Desk(**more)  # type: ignore[arg-type]
    desk.hear(b"EHLO c.example\r\n" + plain().encode() + b"\r\n")
    assert desk.server.user == "u@x.example"
    return desk
