"""Sending to DataPallas' own sandbox: verified TLS, a real token, one of them no longer valid."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

import pytest

from datapallas.errors import SmtpRefused, TlsRefused
from datapallas.mail.attachment import Attachment
from datapallas.mail.mailbox import AsyncMailbox, Mailbox
from datapallas.mail.message import Message
from datapallas.mail.transport import BearerSource
from datapallas.oauth.token import AccessToken
from datapallas.sandbox import Sandbox
from datapallas.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator


class Tokens:
    """A stale token first; a good one when it is forced."""

    def __init__(self, good: Secret, first: Secret | None = None) -> None:
        self.good = good
        self.first = first or good
        self.asked: list[bool] = []

    def token(self, *, force: bool = False) -> AccessToken:
        self.asked.append(force)
        value = self.good if True in self.asked else self.first
        return AccessToken(value=value, expires_at=3600, scope="", reuse_until=3300)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """An identity provider and a mail server on loopback."""
    with Sandbox() as running:
        yield running


def test_mail_reaches_the_sandbox(sandbox: Sandbox) -> None:
    """Text, HTML, an inline image and an attachment arrive, over STARTTLS, signed in with a token."""
    connection = sandbox.connection()
    user = connection.from_address
    message = Message(
        to="Ann Übermut <ann@x.example>",
        bcc="boss@x.example",
        subject="Zahlen für März",
        text="Grüße\n",
        html='<p>Grüße <img src="cid:logo"></p>',
        inline={"logo": b"\x89PNG\r\n"},
        attachments=[Attachment("figures.bin", b"x" * 3_000_000)],
    )
    with Mailbox(connection, BearerSource(user, Tokens(sandbox.access_token()))) as mailbox:
        receipts = list(mailbox.send_many([message, message]))
    assert all(not receipt.refused for receipt in receipts)
    one, two = sandbox.wait(2)
    assert one.user == user
    assert one.recipients == ("ann@x.example", "boss@x.example")
    assert one.subject == "Zahlen für März"
    assert (one.message["Message-ID"], two.message["Message-ID"]) == tuple(r.message_id for r in receipts)
    assert b"boss" not in one.data


def test_an_expired_token_is_renewed_once(sandbox: Sandbox) -> None:
    """The server refuses the first token; the second is made and taken, blocking and with asyncio."""
    connection = sandbox.connection()

    async def work(tokens: Tokens) -> None:
        async with AsyncMailbox(connection, BearerSource(connection.from_address, tokens)) as mailbox:
            await mailbox.send(Message(to="a@x.example", text="t"))

    for use in ("blocking", "asyncio"):
        tokens = Tokens(sandbox.access_token(), Secret("expired-token"))
        if use == "asyncio":
            asyncio.run(work(tokens))
        else:
            with Mailbox(connection, BearerSource(connection.from_address, tokens)) as mailbox:
                mailbox.send(Message(to="a@x.example", text="t"))
        assert tokens.asked == [False, True]
    bad = Tokens(Secret("never-valid"))
    with (
        Mailbox(connection, BearerSource(connection.from_address, bad)) as mailbox,
        pytest.raises(SmtpRefused) as caught,
    ):
        mailbox.send(Message(to="a@x.example", text="t"))
    assert bad.asked == [False, True]
    assert caught.value.challenge
    assert "never-valid" not in caught.value.raw + caught.value.message
    assert len(sandbox.messages) == 2


def test_no_token_without_a_verified_server(sandbox: Sandbox) -> None:
    """A server whose certificate we have no reason to trust does not see the token."""
    connection = sandbox.connection()
    server = dataclasses.replace(connection.server, root_certificate="")
    tokens = Tokens(sandbox.access_token())
    strange = dataclasses.replace(connection, server=server)
    with (
        Mailbox(strange, BearerSource(connection.from_address, tokens)) as mailbox,
        pytest.raises(TlsRefused),
    ):
        mailbox.send(Message(to="a@x.example", text="t"))
