"""Client and server joined in memory, over the one grammar: no socket, no clock."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datapallas.connection.model import Security
from datapallas.secret import Secret
from datapallas.smtp.body import BytesBody
from datapallas.smtp.client import Client, Conversation, Exchange, State, T
from datapallas.smtp.features import Features
from datapallas.smtp.inbox import Inbox
from datapallas.smtp.opening import opening
from datapallas.smtp.reply import Reply
from datapallas.smtp.sasl import BearerLogin, Login, PasswordLogin
from datapallas.smtp.server.machine import Server
from datapallas.smtp.server.policy import (
    ContentAsked,
    LoginAsked,
    MessageAsked,
    Offer,
    RecipientAsked,
    StartTls,
    Text,
    TlsAsked,
    Verdict,
)
from datapallas.smtp.target import Sent, Target
from datapallas.smtp.transaction import GROUP, transaction

offers = st.builds(
    Offer,
    host=st.just("mail.example"),
    pipelining=st.booleans(),
    chunking=st.booleans(),
    enhanced=st.booleans(),
    announce_size=st.booleans(),
    mechanisms=st.lists(st.sampled_from(["XOAUTH2", "OAUTHBEARER"]), min_size=1, unique=True).map(
        lambda names: (*names, "PLAIN")
    ),
)
logins = st.sampled_from(
    [BearerLogin("u@x.example", Secret("t" * size)) for size in (10, 300, 380, 3000)]
    + [PasswordLogin("u@x.example", Secret("pässword"))]
)
texts = st.lists(st.text(".axé", max_size=20)).map(
    lambda lines: "".join(f"{line}\r\n" for line in lines).encode()
)


class Joined:
    """A server, and the client's conversations with it; what is sent is cut at every `stride` octets."""

    def __init__(self, offer: Offer, stride: int) -> None:
        self.server, self.stride = Server(offer), stride
        self.client = Client(Target("mail.example", 587, Security.STARTTLS))
        self.inbox = Inbox()
        self.texts: list[bytes] = []
        self.login: Login | None = None
        self.text = b""
        self.server.greet(Reply.of(220, "mail.example"))

    def hold(self, conversation: Conversation[T]) -> T:
        """Hold one conversation to its end."""
        try:
            step = next(conversation)
            while True:
                if isinstance(step, Exchange):
                    self.inbox.due += step.asks
                    self._carry(b"".join(step.out))
                    assert self.inbox.ready(step.replies), "the client waits for what does not come"
                    step = conversation.send(self.inbox.take(step.replies))
                else:
                    self.inbox.clear()
                    self.server.secured()
                    self.client.secured = True
                    step = conversation.send([])
        except StopIteration as stop:
            value: T = stop.value
            return value

    def _carry(self, data: bytes) -> None:
        self._serve()
        for start in range(0, len(data), self.stride):
            self.server.receive(data[start : start + self.stride])
            self._serve()
        assert self.inbox.broken is None

    def _serve(self) -> None:
        while (event := self.server.next_event()) is not None:
            match event:
                case LoginAsked():
                    self.login = event.login
                    self.server.answer(Verdict(Reply.of(235, "in")))
                case Text():
                    self.text += event.data
                case MessageAsked():
                    self.texts.append(self.text)
                    self.text = b""
                    self.server.answer(Reply.of(250, "taken"))
                case ContentAsked():
                    self.server.answer(Reply.of(354, "go on"))
                case RecipientAsked():
                    gone = event.address.local.startswith("no")
                    self.server.answer(Reply.of(550, "no") if gone else Reply.of(250, "ok"))
                case TlsAsked():
                    self.server.answer(Reply.of(220, "go"))
                case StartTls():
                    pass
                case _:
                    self.server.answer(Reply.of(250, "ok"))
            self.inbox.feed(self.server.output())
        self.inbox.feed(self.server.output())


@pytest.mark.parametrize("body", [BytesBody(b"small\r\n"), BytesBody(b"x" * 78 * 10_000)])
def test_no_group_is_larger_than_a_buffer(body: BytesBody) -> None:
    """However many recipients there are, what is sent without reading fits into a socket's buffer."""
    client = Client(Target("mail.example", 587, Security.NONE))
    client.state, client.features = State.READY, Features(pipelining=True, chunking=True)
    recipients = [f"reader{number}@x.example" for number in range(10_000)]
    conversation = transaction(client, "me@x.example", recipients, body)
    step, answered = next(conversation), 0
    while answered <= len(recipients):
        assert isinstance(step, Exchange)
        assert step.asks == step.replies
        assert sum(map(len, step.out)) <= GROUP
        answered += step.replies
        step = conversation.send([Reply(250)] * step.replies)
    assert answered == len(recipients) + 1


@settings(deadline=None)  # a long token, octet by octet, takes a while on a slow machine
@given(offers, logins, st.lists(texts, max_size=3), st.integers(1, 600), st.integers(0, 2), st.integers(0, 3))
def test_what_goes_in_comes_out(  # noqa: PLR0917 - drawn by hypothesis
    offer: Offer, login: Login, messages: list[bytes], stride: int, gone: int, there: int
) -> None:
    """Whatever the server offers and however the octets are cut: the login, the answers and the messages arrive."""
    both = Joined(offer, stride)
    features = both.hold(opening(both.client, "client.example", login))
    assert features.pipelining is offer.pipelining
    assert both.login == login
    recipients = [f"no{number}@x.example" for number in range(gone)]
    recipients += [f"a{number}@x.example" for number in range(there)]
    if not recipients:
        return
    for text in messages:
        sent: Sent = both.hold(transaction(both.client, "me@x.example", recipients, BytesBody(text)))
        assert [reply.code for reply in sent.recipients] == [550] * gone + [250] * there
        assert (sent.final is not None) is (there > 0)
    assert both.texts == (messages if there else [])
    assert both.hold(both.client.quit()).code == 221
    assert both.client.state is State.CLOSED
