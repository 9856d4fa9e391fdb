"""Our client and our server joined in memory: everything the one says the other understands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapallas.connection.model import Security
from datapallas.errors import SmtpRefused
from datapallas.secret import Secret
from datapallas.smtp.body import BytesBody
from datapallas.smtp.client import Client, Handshake
from datapallas.smtp.inbox import Inbox
from datapallas.smtp.opening import opening
from datapallas.smtp.sasl import BearerLogin, PasswordLogin
from datapallas.smtp.server.policy import Offer
from datapallas.smtp.target import Sent, Target
from datapallas.smtp.transaction import transaction
from smtp.server_harness import GREETING, PASSWORD, TOKEN, Desk

if TYPE_CHECKING:
    from datapallas.smtp.client import Conversation
    from datapallas.smtp.sasl import Login

USER = "u@x.example"


class Pair:
    """A client and a server with nothing between them."""

    def __init__(self, offer: Offer | None = None) -> None:
        self.desk = Desk(offer=offer or Offer(host="mx.example"), secure=False)
        self.client = Client(Target("mx.example", 587, Security.STARTTLS))
        self.inbox = Inbox()
        self.inbox.feed(GREETING.encode())
        self.desk.hear(b"")

    def run(self, conversation: Conversation[object]) -> object:
        """Let the conversation go on to its end, and give what it ends with."""
        try:
            step = next(conversation)
            while True:
                if isinstance(step, Handshake):
                    self.inbox.clear()
                    self.client.secured = True
                    self.desk.server.secured()
                    step = conversation.send([])
                    continue
                self.inbox.due += step.asks
                for octets in step.out:
                    self.inbox.feed(self.desk.hear(bytes(octets)).encode())
                assert self.inbox.ready(step.replies), "the server owes a reply"
                step = conversation.send(self.inbox.take(step.replies))
        except StopIteration as stop:
            value: object = stop.value
            return value

    def open(self, login: Login) -> None:
        """Greet, secure, sign in."""
        self.run(opening(self.client, "c.example", login))

    def send(self, body: bytes, *recipients: str, sender: str = USER) -> Sent:
        """Send one message."""
        sent = self.run(transaction(self.client, sender, recipients, BytesBody(body)))
        assert isinstance(sent, Sent)
        return sent


OFFERS = [
    Offer(host="mx.example"),
    Offer(host="mx.example", chunking=False),
    Offer(host="mx.example", pipelining=False),
    Offer(host="mx.example", pipelining=False, chunking=False, enhanced=False, announce_size=False),
]
LOGINS: list[tuple[str, Login]] = [
    ("XOAUTH2", BearerLogin(USER, Secret(TOKEN))),
    ("OAUTHBEARER", BearerLogin(USER, Secret(TOKEN))),
    ("PLAIN", PasswordLogin(USER, Secret(PASSWORD))),
    ("LOGIN", PasswordLogin(USER, Secret(PASSWORD))),
]


@pytest.mark.parametrize(("mechanism", "login"), LOGINS)
def test_every_mechanism_signs_in(mechanism: str, login: Login) -> None:
    """What the client's side of a mechanism says, the server's side reads."""
    pair = Pair(Offer(host="mx.example", mechanisms=(mechanism,)))
    pair.open(login)
    assert pair.desk.server.user == USER and pair.desk.server.secure


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_the_reason_of_a_refusal_reaches_the_client(mechanism: str) -> None:
    """The JSON of the 334 and the 535 after it both stand in the error."""
    pair = Pair(Offer(host="mx.example", mechanisms=(mechanism,)))
    with pytest.raises(SmtpRefused) as refused:
        pair.open(BearerLogin(USER, Secret("bad")))
    assert (refused.value.reply_code, refused.value.challenge) == (535, '{"status":"400"}')


@pytest.mark.parametrize("offer", OFFERS)
def test_mails_go_whatever_is_offered(offer: Offer) -> None:
    """Good, refused and mixed recipients, one after the other on one session; the text arrives as it was."""
    pair = Pair(offer)
    pair.open(BearerLogin(USER, Secret(TOKEN)))
    bodies = [b"Subject: x\r\n\r\n.\r\n..\r\nend\r\n", b"x\r\n", b"line\r\n" * 100_000]
    for body in bodies:
        mixed = pair.send(body, "a@y.example", "550-b@y.example", "c@y.example")
        assert [reply.code for reply in mixed.recipients] == [250, 550, 250]
        assert mixed.final is not None and mixed.final.code == 250
        nobody = pair.send(body, "451-a@y.example")
        assert nobody.final is None and nobody.recipients[0].code == 451
        with pytest.raises(SmtpRefused):
            pair.send(body, "a@y.example", sender="550-u@x.example")
    assert [text for _, text in pair.desk.mails] == bodies


@given(st.lists(st.sampled_from([b".", b"..", b"a", b"\xc3\xa4", b"\r\n", b"\r\n."]), max_size=30))
def test_any_text_arrives_as_it_was(parts: list[bytes]) -> None:
    """By dots and by chunks."""
    body = b"".join(parts) + b"\r\n"
    for chunking in (True, False):
        pair = Pair(Offer(host="mx.example", chunking=chunking))
        pair.open(BearerLogin(USER, Secret(TOKEN)))
        pair.send(body, "a@y.example")
        assert pair.desk.mails[0][1] == body
