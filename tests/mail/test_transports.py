"""What every transport does, blocking and asyncio alike, against a server over real sockets."""

from __future__ import annotations

import asyncio
import dataclasses
import email
import email.policy
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from datapallas.connection.model import Password, Transport
from datapallas.errors import (
    AttachmentError,
    ConfigurationError,
    DataPallasError,
    MessageError,
    NotSignedIn,
    RecipientsRefused,
    SmtpRefused,
    SmtpUnsupported,
    Unreachable,
    UsageError,
)
from datapallas.mail.attachment import Attachment
from datapallas.mail.envelope import Outcome
from datapallas.mail.mailbox import AsyncMailbox, Mailbox
from datapallas.mail.message import Message
from datapallas.mail.transport import BearerSource, Options, PasswordSource, login_source
from datapallas.oauth.token import AccessToken
from datapallas.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from datapallas.connection.model import Connection, Server
    from datapallas.mail.compose import Composed
    from datapallas.mail.envelope import Receipt
    from datapallas.mail.transport import LoginSource

    Stage = Any  # conftest's; test folders are no packages


class Tokens:
    """A token source that counts: `old` until a new one is forced, then `new`."""

    def __init__(self) -> None:
        self.asked: list[bool] = []

    def token(self, *, force: bool = False) -> AccessToken:
        self.asked.append(force)
        value = Secret("new" if True in self.asked else "old")
        return AccessToken(value=value, expires_at=3600, scope="", reuse_until=3300)


class BlockingAsAsync:
    """The blocking mailbox behind the other one's methods, so that one contract serves both."""

    def __init__(self, connection: Connection, login: LoginSource, options: Options | None = None) -> None:
        self.inner = Mailbox(connection, login, options)

    async def send(self, message: Message | Composed, *, envelope_from: str | None = None) -> Receipt:
        return self.inner.send(message, envelope_from=envelope_from)

    async def send_at_once(self, messages: list[Message]) -> list[Receipt]:
        return await asyncio.gather(*[asyncio.to_thread(self.inner.send, message) for message in messages])

    async def send_all(self, messages: list[Message | Composed]) -> list[Receipt]:
        return list(self.inner.send_many(messages))

    async def close(self) -> None:
        self.inner.close()


class Async(AsyncMailbox):
    """The asyncio mailbox, with the same two helpers."""

    async def send_at_once(self, messages: list[Message]) -> list[Receipt]:
        return await asyncio.gather(*[self.send(message) for message in messages])

    async def send_all(self, messages: list[Message | Composed]) -> list[Receipt]:
        return [receipt async for receipt in self.send_many(messages)]


Box = BlockingAsAsync | Async


def message(to: str | list[str] = "a@x.example", **more: object) -> Message:
    return Message(to=to, subject="Figures", text="see below", **more)  # type: ignore[arg-type]


class MailboxContract:
    """A mailbox over SMTP must pass these."""

    kind: type[Box]

    def run(
        self,
        stage: Stage,
        work: Callable[[Box], Awaitable[object]],
        login: LoginSource | None = None,
        options: Options | None = None,
    ) -> None:
        async def body() -> None:
            box = self.kind(stage.connection(), login or PasswordSource("", lambda: Secret("")), options)
            try:
                await work(box)
            finally:
                await box.close()

        asyncio.run(body())

    def test_a_message_arrives(self, stage: Stage) -> None:
        """What is sent arrives octet for octet, and the receipt says who took it, where and when."""

        async def work(box: Box) -> None:
            receipt = await box.send(
                message(["a@x.example", "b@x.example"], bcc="c@x.example", html="<p>é</p>")
            )
            assert [one.address for one in receipt.accepted] == ["a@x.example", "b@x.example", "c@x.example"]
            assert receipt.outcomes[0].reply == "250 2.6.0 Queued"
            assert receipt.server == f"127.0.0.1:{stage.port}"
            said = receipt.to_dict()
            assert said["message_id"] == receipt.message_id
            assert said["sent_at"].endswith("Z")
            assert said["recipients"][2] == {
                "address": "c@x.example",
                "outcome": "accepted",
                "reply": "250 2.6.0 Queued",
                "error": None,
                "transient": False,
            }

        self.run(stage, work)
        (taken,) = stage.taken
        assert taken.sender == "reports@contoso.example"
        assert taken.recipients == ["a@x.example", "b@x.example", "c@x.example"]
        parsed = email.message_from_bytes(taken.data, policy=email.policy.SMTP)
        assert parsed["From"] == "Reports <reports@contoso.example>"
        assert parsed["Bcc"] is None

    def test_one_session_for_many_messages(self, stage: Stage) -> None:
        """A hundred messages one after the other use one connection and one sign-in, and end with a good-bye."""
        tokens = Tokens()

        async def work(box: Box) -> None:
            for number in range(100):
                await box.send(message(f"p{number}@x.example"))

        self.run(stage, work, BearerSource("robot@contoso.example", tokens))
        assert [one.recipients for one in stage.taken] == [[f"p{number}@x.example"] for number in range(100)]
        assert (stage.connections, len(stage.auths), tokens.asked) == (1, 1, [False])
        assert stage.auths[0].startswith("user=robot@contoso.example\1auth=Bearer old")
        assert stage.said[-1] == "QUIT"

    def test_at_most_three_sessions(self, stage: Stage) -> None:
        """However many messages are sent at once, no more than three connections are open."""

        async def work(box: Box) -> None:
            receipts = await box.send_at_once([message(f"p{number}@x.example") for number in range(30)])
            assert all(receipt.accepted for receipt in receipts)

        self.run(stage, work)
        assert len(stage.taken) == 30
        assert 1 <= stage.most_open <= 3

    def test_mixed_recipients(self, stage: Stage) -> None:
        """One recipient refused now, one for good: the others get the message, and the receipt tells each reply."""
        stage.recipients = {
            "later@x.example": b"450 4.2.0 Greylisted",
            "never@x.example": b"550 5.1.1 Unknown",
        }

        async def work(box: Box) -> None:
            receipt = await box.send(message(["later@x.example", "a@x.example", "never@x.example"]))
            kinds = [one.outcome for one in receipt.outcomes]
            assert kinds == [Outcome.DEFERRED, Outcome.ACCEPTED, Outcome.REFUSED]
            assert [one.reply for one in receipt.refused] == ["450 4.2.0 Greylisted", "550 5.1.1 Unknown"]
            await box.send(message())

        self.run(stage, work)
        assert [one.recipients for one in stage.taken] == [["a@x.example"], ["a@x.example"]]

    @pytest.mark.parametrize(
        ("code", "transient", "exit_code"), [(b"450 4.2.0", True, 75), (b"550 5.1.1", False, 69)]
    )
    def test_nobody_accepted(self, stage: Stage, code: bytes, transient: bool, exit_code: int) -> None:
        """When every recipient is refused it is an error that carries the receipt, and the next message is fine."""
        stage.recipients = {"no@x.example": code + b" No"}

        async def work(box: Box) -> None:
            with pytest.raises(RecipientsRefused) as caught:
                await box.send(message("no@x.example"))
            assert (caught.value.transient, caught.value.exit_code) == (transient, exit_code)
            assert caught.value.receipt.outcomes[0].reply == f"{code.decode()} No"  # type: ignore[attr-defined]
            assert isinstance(caught.value.__cause__, SmtpRefused)
            await box.send(message())

        self.run(stage, work)
        assert len(stage.taken) == 1

    @pytest.mark.parametrize("step", ["MAIL", "message"])
    def test_the_sender_or_the_message_is_refused(self, stage: Stage, step: str) -> None:
        """A refused sender or message is the outcome of every recipient, with the server's words."""
        stage.replies = {step: [b"554 5.2.252 SendAsDenied; robot not allowed to send as reports"]}

        async def work(box: Box) -> None:
            with pytest.raises(RecipientsRefused) as caught:
                await box.send(message(["a@x.example", "b@x.example"]))
            assert "SendAsDenied" in caught.value.raw
            assert isinstance(caught.value.__cause__, SmtpRefused) and caught.value.__cause__.step == step
            await box.send(message())

        self.run(stage, work)
        assert len(stage.taken) == 1

    def test_a_refused_token_is_renewed_once(self, stage: Stage) -> None:
        """The server refuses the token: one new one is asked for, one more try is made, and the message goes out."""
        stage.tokens = {"new"}
        tokens = Tokens()
        self.run(stage, lambda box: box.send(message()), BearerSource("robot@contoso.example", tokens))
        assert (tokens.asked, len(stage.auths), len(stage.taken)) == ([False, True], 2, 1)

    def test_a_token_that_stays_refused_is_the_end(self, stage: Stage) -> None:
        """Two refusals are enough: no third sign-in reaches the server."""
        stage.tokens = set()
        tokens = Tokens()

        async def work(box: Box) -> None:
            with pytest.raises(SmtpRefused) as caught:
                await box.send(message())
            assert (caught.value.step, caught.value.enhanced, caught.value.exit_code) == ("AUTH", "5.7.3", 77)

        self.run(stage, work, BearerSource("robot@contoso.example", tokens))
        assert (tokens.asked, len(stage.auths)) == ([False, True], 2)

    def test_a_refused_password_is_tried_once(self, stage: Stage) -> None:
        """A password does not get better by trying: some servers lock the account."""
        stage.tokens = set()

        async def work(box: Box) -> None:
            with pytest.raises(SmtpRefused):
                await box.send(message())

        self.run(stage, work, PasswordSource("robot", lambda: Secret("pass word")))
        assert stage.auths == ["\0robot\0pass word"]

    def test_an_idle_connection_that_was_closed_is_replaced(self, stage: Stage) -> None:
        """The server closes an idle connection: the next message is sent over a new one, and nobody notices."""

        async def work(box: Box) -> None:
            await box.send(message("one@x.example"))
            stage.hang_up()
            await box.send(message("two@x.example"))

        self.run(stage, work)
        assert [one.recipients for one in stage.taken] == [["one@x.example"], ["two@x.example"]]
        assert stage.connections == 2

    def test_a_server_that_leaves_politely_is_replaced(self, stage: Stage) -> None:
        """421 to the next message on a kept connection means a new connection, not an error."""

        async def work(box: Box) -> None:
            await box.send(message("one@x.example"))
            stage.replies = {"MAIL": [b"421 4.4.2 Idle too long"]}
            await box.send(message("two@x.example"))

        self.run(stage, work)
        assert [one.recipients for one in stage.taken] == [["one@x.example"], ["two@x.example"]]

    def test_dying_before_the_message_on_a_new_connection_is_an_error(self, stage: Stage) -> None:
        """A connection that was just opened and dies is an error that passes by itself; nothing is tried behind it."""
        stage.die_at = {"MAIL": 1}
        stage.extensions.remove("CHUNKING")

        async def work(box: Box) -> None:
            with pytest.raises(Unreachable) as caught:
                await box.send(message())
            assert caught.value.transient

        self.run(stage, work)
        assert (stage.connections, stage.taken) == (1, [])

    @pytest.mark.parametrize("chunking", [True, False])
    @pytest.mark.parametrize("kept", [True, False])
    def test_dying_after_the_message_is_unknown_and_not_repeated(
        self, stage: Stage, chunking: bool, kept: bool
    ) -> None:
        """The server dies after the final octet: nobody knows, the receipt says so, and nothing is sent twice."""
        if not chunking:
            stage.extensions.remove("CHUNKING")

        async def work(box: Box) -> None:
            if kept:
                await box.send(message())
            stage.die_after_body = 1
            with pytest.raises(RecipientsRefused) as caught:
                await box.send(message(["b@x.example", "c@x.example"]))
            assert (caught.value.code, caught.value.transient, caught.value.exit_code) == (
                "outcome-unknown",
                False,
                69,
            )
            outcomes = caught.value.receipt.outcomes  # type: ignore[attr-defined]
            assert [one.outcome for one in outcomes] == [Outcome.UNKNOWN, Outcome.UNKNOWN]

        self.run(stage, work)
        assert [one.recipients for one in stage.taken if "b@x.example" in one.recipients] == [
            ["b@x.example", "c@x.example"]
        ]

    def test_bdat_announced_and_refused(self, stage: Stage) -> None:
        """A server that announces CHUNKING and cannot do it gets DATA, from then on."""
        stage.replies = {"message": [b"502 5.5.1 BDAT not implemented"]}

        async def work(box: Box) -> None:
            for _ in range(3):
                await box.send(message())

        self.run(stage, work)
        assert (len(stage.taken), stage.said.count("BDAT"), stage.said.count("DATA")) == (3, 1, 3)

    def test_a_server_that_can_do_nothing(self, stage: Stage) -> None:
        """Without any extension the same message arrives; what needs an extension is refused before it is sent."""
        stage.extensions = []

        async def work(box: Box) -> None:
            await box.send(message(html="<p>é</p>"))
            with pytest.raises(SmtpUnsupported):
                await box.send(Message(to="jörg@x.example", text="t"))
            await box.send(message())

        self.run(stage, work)
        assert [one.recipients for one in stage.taken] == [["a@x.example"], ["a@x.example"]]

    def test_lines_with_dots_survive(self, stage: Stage) -> None:
        """A body with lines of dots arrives as it was, with and without BDAT."""
        body = ".\r\n..\r\n.leading\r\nend\r\n.\r\n"

        async def work(box: Box) -> None:
            await box.send(Message(to="a@x.example", text=body))

        self.run(stage, work)
        stage.extensions.remove("CHUNKING")
        self.run(stage, work)
        for taken in stage.taken:
            assert taken.data.decode().partition("\r\n\r\n")[2] == body

    def test_more_recipients_than_the_server_takes(self, stage: Stage) -> None:
        """1,200 recipients at a server that takes 100 at a time: each gets the message exactly once."""
        stage.most_recipients = 100
        everyone = [f"p{number}@x.example" for number in range(1200)]

        async def work(box: Box) -> None:
            receipt = await box.send(Message(bcc=everyone, text="t"))
            assert len(receipt.accepted) == 1200

        self.run(stage, work)
        assert sorted(one for taken in stage.taken for one in taken.recipients) == sorted(everyone)
        assert len({taken.data for taken in stage.taken}) == 1

    def test_too_large_for_the_server(self, stage: Stage) -> None:
        """A message beyond the server's SIZE is refused before it is sent."""
        stage.extensions[3] = "SIZE 1000"

        async def work(box: Box) -> None:
            with pytest.raises(MessageError, match="1000"):
                await box.send(message(attachments=[Attachment("a", b"x" * 2000)]))
            await box.send(message())

        self.run(stage, work)
        assert len(stage.taken) == 1

    @pytest.mark.parametrize("chunking", [True, False])
    def test_a_large_file_arrives_whole_and_a_changed_one_never(
        self, stage: Stage, chunking: bool, tmp_path: Path
    ) -> None:
        """A file of 5 MB is streamed; one that changes under way is not taken by the server in any form."""
        if not chunking:
            stage.extensions.remove("CHUNKING")
        file = tmp_path / "large.bin"
        file.write_bytes(b"0123456789" * 500_000)
        attached = message(attachments=[file])

        async def work(box: Box) -> None:
            await box.send(attached)
            desk = box.inner if isinstance(box, BlockingAsAsync) else box
            composed = desk.skeleton(attached).compose()
            file.write_bytes(b"0123456789" * 499_999)
            with pytest.raises(AttachmentError, match="changed"):
                await box.send(composed)
            await box.send(message("after@x.example"))

        self.run(stage, work)
        assert [taken.recipients for taken in stage.taken] == [["a@x.example"], ["after@x.example"]]
        parsed = email.message_from_bytes(stage.taken[0].data, policy=email.policy.SMTP)
        attachment = list(parsed.walk())[-1]
        assert attachment.get_payload(decode=True) == b"0123456789" * 500_000

    def test_many_messages_have_a_receipt_each(self, stage: Stage, tmp_path: Path) -> None:
        """In a run, a refused recipient or a lost file is one receipt; the others are sent."""
        stage.recipients = {"no@x.example": b"550 5.1.1 Unknown"}
        lost = tmp_path / "lost.pdf"
        lost.write_bytes(b"x")
        messages: list[Message | Composed] = [
            message("one@x.example"),
            message("no@x.example"),
            message("lost@x.example", attachments=[lost]),
            message("two@x.example"),
        ]
        lost.unlink()

        async def work(box: Box) -> None:
            receipts = await box.send_all(messages)
            kinds = [receipt.outcomes[0].outcome for receipt in receipts]
            assert kinds == [Outcome.ACCEPTED, Outcome.REFUSED, Outcome.REFUSED, Outcome.ACCEPTED]
            assert isinstance(receipts[2].outcomes[0].error, AttachmentError)

        self.run(stage, work)

    def test_a_run_ends_when_the_mailbox_cannot_send(self, stage: Stage) -> None:
        """When the sign-in is refused a run of a thousand messages ends at once, not after a thousand refusals."""
        stage.tokens = set()

        async def work(box: Box) -> None:
            with pytest.raises(SmtpRefused):
                await box.send_all([message() for _ in range(10)])

        self.run(stage, work, BearerSource("robot@contoso.example", Tokens()))
        assert len(stage.auths) == 2

    def test_who_it_is_from(self, stage: Stage) -> None:
        """From and the envelope's sender follow the message, unless told otherwise."""

        async def work(box: Box) -> None:
            await box.send(message(sender="Ann <ann@fabrikam.example>"))
            await box.send(message(), envelope_from="bounces@contoso.example")
            await box.send(message(), envelope_from="")

        self.run(stage, work)
        assert [one.sender for one in stage.taken] == ["ann@fabrikam.example", "bounces@contoso.example", ""]

    def test_the_dialogue_can_be_watched_without_secrets(self, stage: Stage) -> None:
        """A watcher sees what both sides say; tokens are masked."""
        seen: list[str] = []
        options = Options(watch=lambda direction, line: seen.append(f"{direction}: {line}"))
        self.run(
            stage, lambda box: box.send(message()), BearerSource("robot@contoso.example", Tokens()), options
        )
        assert "S: 250 2.6.0 Queued" in seen
        assert "C: AUTH XOAUTH2 ******" in seen
        assert not any("old" in line for line in seen)

    def test_after_close_nothing_is_sent(self, stage: Stage) -> None:
        """A closed mailbox says so."""

        async def work(box: Box) -> None:
            await box.close()
            with pytest.raises(UsageError):
                await box.send(message())

        self.run(stage, work)
        assert stage.connections == 0

    def test_no_server_there(self, stage: Stage) -> None:
        """Where nobody listens the error says so, and that it may pass."""
        connection = stage.connection()

        async def body(server: Server) -> None:
            box = self.kind(
                dataclasses.replace(connection, server=server), PasswordSource("", lambda: Secret(""))
            )
            with pytest.raises(Unreachable):
                await box.send(message())
            await box.close()

        with socket.socket() as kept:  # so that nobody else can listen there
            kept.bind(("127.0.0.1", 0))
            asyncio.run(body(dataclasses.replace(connection.server, port=str(kept.getsockname()[1]))))

    @pytest.mark.parametrize("change", [{"transport": Transport.GRAPH}, {"transport": Transport.GMAIL}])
    def test_a_transport_we_do_not_have(self, stage: Stage, change: dict[str, Transport]) -> None:
        """A connection that asks for another transport is told that this version sends by SMTP only."""
        with pytest.raises(ConfigurationError, match="by SMTP only"):
            self.kind(
                dataclasses.replace(stage.connection(), **change), PasswordSource("", lambda: Secret(""))
            )


class TestBlocking(MailboxContract):
    """The blocking mailbox."""

    kind = BlockingAsAsync


class TestAsync(MailboxContract):
    """The asyncio mailbox."""

    kind = Async

    def test_a_cancelled_sending_leaves_no_half_session(self, stage: Stage) -> None:
        """A task that is cancelled in the middle of a message does not spoil the connection for the next one."""
        stage.gate = threading.Event()

        async def work(box: Box) -> None:
            task = asyncio.ensure_future(box.send(message("one@x.example")))
            assert await asyncio.to_thread(
                stage.waiting.wait, 5
            )  # the server has it and keeps its answer back
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert stage.gate is not None
            stage.gate.set()
            await box.send(message("two@x.example"))

        self.run(stage, work)
        assert [one.recipients for one in stage.taken] == [["one@x.example"], ["two@x.example"]]
        assert stage.connections == 2


def test_the_login_of_a_connection(stage: Stage) -> None:
    """A password connection signs in with its password, any other with tokens for the mailbox that signed in."""
    oauth = stage.connection()
    with pytest.raises(NotSignedIn):
        login_source(oauth, None, None)
    assert login_source(oauth, Tokens(), None).renewable
    password = dataclasses.replace(oauth, credential=Password(user="robot"))
    with pytest.raises(NotSignedIn):
        login_source(password, None, None)
    assert not login_source(password, None, lambda: Secret("p")).renewable
    assert login_source(dataclasses.replace(oauth, credential=Password()), None, None).login() is None


@pytest.mark.parametrize(
    "change",
    [
        {"from_address": "${sender}"},
        {"server": {"host": ""}},
        {"server": {"host": "${h}"}},
        {"server": {"port": "x"}},
    ],
)
def test_a_connection_that_lacks_something(stage: Stage, change: dict[str, object]) -> None:
    """No server, no number for a port, a variable where an address belongs: said when the mailbox is opened."""
    connection = stage.connection()
    if isinstance(server := change.get("server"), dict):
        change = {"server": dataclasses.replace(connection.server, **server)}
    with pytest.raises(DataPallasError) as caught:
        Mailbox(dataclasses.replace(connection, **change), PasswordSource("", lambda: Secret("")))
    assert caught.value.exit_code == 78
