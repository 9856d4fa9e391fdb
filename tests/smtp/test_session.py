"""What a session promises: one contract, two drivers, a server of our own at the other end."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from datapallas.connection.model import Security
from datapallas.errors import AddressError, MessageError, SmtpRefused, SmtpUnsupported, Unreachable
from datapallas.smtp.body import CHUNK, BytesBody, Octets
from datapallas.smtp.reply import Reply
from datapallas.smtp.server.policy import Limits, Offer
from datapallas.smtp.target import Target
from smtp.harness import MESSAGE, Driver
from smtp.post import OFFER, Post, Start

if TYPE_CHECKING:
    from collections.abc import Iterator

FOUR_KB = (b"x" * 62 + b"\r\n") * 64
LINE = b"x" * 76 + b"\r\n"
ME = "me@sender.example"


def to(post: Post, **values: Any) -> Target:
    return Target("127.0.0.1", post.port, Security.NONE, **values)


def without(*features: str) -> Offer:
    missing: dict[str, Any] = dict.fromkeys(features, False)
    return dataclasses.replace(OFFER, **missing)


class Chunks:
    """A body that is made while it is read."""

    smtputf8 = eightbit = False

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks
        self.size = sum(map(len, chunks))

    def chunks(self) -> Iterator[Octets]:
        return iter(self._chunks)


class TestSession:
    """The contract of `Session` and `AsyncSession`."""

    @pytest.mark.parametrize(
        ("offer", "chunking", "writes", "round_trips"),
        [
            (OFFER, True, 1, 1),
            (OFFER, False, 2, 2),
            (without("chunking"), True, 2, 2),
            (without("pipelining"), True, 3, 3),
            (without("chunking", "pipelining"), True, 4, 4),
        ],
    )
    def test_writes_and_round_trips(  # noqa: PLR0917 - fixtures
        self, driver: Driver, post: Start, offer: Offer, chunking: bool, writes: int, round_trips: int
    ) -> None:
        """A 4 KB message on an open session is one write and one round trip, where the server can do it."""
        server = post(offer)
        with driver.open(to(server, chunking=chunking)) as session:
            session.send(ME, ["a@x.example"], BytesBody(FOUR_KB))
            before = session.writes, session.round_trips
            for _ in range(10):
                sent = session.send(ME, ["a@x.example"], BytesBody(FOUR_KB))
                assert sent.final is not None and sent.final.code == 250
            assert session.writes - before[0] == 10 * writes
            assert session.round_trips - before[1] == 10 * round_trips
        assert [data for _, data in server.messages] == [FOUR_KB] * 11

    @pytest.mark.parametrize("offer", [OFFER, without("pipelining"), without("chunking")])
    @pytest.mark.parametrize(
        "body",
        [
            BytesBody(MESSAGE),
            BytesBody(LINE * 300),
            BytesBody(LINE * 20_000),
            BytesBody(LINE * 4),
            Chunks(*[b".\r\n"] * 5000),
            Chunks(b"a\r", b"\n", b".", b"b\r\n" * CHUNK),
            Chunks(LINE * 10_000, b"", b"tail\r\n"),
            Chunks(),
        ],
        ids=["dots", "23 KB", "1.5 MB", "300 B", "many pieces", "awkward pieces", "two pieces", "empty"],
    )
    def test_the_message_arrives_as_it_was(
        self, driver: Driver, post: Start, offer: Offer, body: BytesBody | Chunks
    ) -> None:
        """Whatever way a message of any size takes, every octet arrives, and the session goes on."""
        server = post(offer)
        with driver.open(to(server)) as session:
            for _ in range(2):
                sent = session.send(ME, ["a@x.example", "b@x.example"], body)
                assert [reply.code for reply in sent.recipients] == [250, 250]
                assert sent.final is not None and sent.final.enhanced == "2.0.0"
        expected = b"".join(bytes(chunk) for chunk in body.chunks())
        assert [data for _, data in server.messages] == [expected] * 2

    @pytest.mark.parametrize("offer", [OFFER, without("pipelining"), without("chunking")])
    def test_ten_thousand_recipients(self, driver: Driver, post: Start, offer: Offer) -> None:
        """Each of 10,000 recipients gets an answer; past the server's limit it is: later."""
        server = post(offer, limits=Limits(recipients=9000))
        recipients = [f"reader{number}@x.example" for number in range(10_000)]
        with driver.open(to(server)) as session:
            sent = session.send(ME, recipients, BytesBody(MESSAGE))
            if session.features.pipelining:
                assert session.round_trips < 50
        assert [reply.code for reply in sent.recipients] == [250] * 9000 + [452] * 1000
        assert sent.recipients[-1].enhanced == "4.5.3"
        ((envelope, _),) = server.messages
        assert [str(address) for address in envelope.recipients] == recipients[:9000]

    @pytest.mark.parametrize("offer", [OFFER, without("pipelining"), without("chunking")])
    def test_mixed_answers(self, driver: Driver, post: Start, offer: Offer) -> None:
        """One recipient is refused and one put off: each has its own outcome, and the third gets the message."""
        server = post(
            offer, replies={"no@x.example": Reply.of(550, "who?"), "later@x.example": Reply.of(451, "later")}
        )
        with driver.open(to(server)) as session:
            sent = session.send(ME, ["no@x.example", "a@x.example", "later@x.example"], BytesBody(MESSAGE))
            assert [reply.code for reply in sent.recipients] == [550, 250, 451]
            assert sent.final is not None
            nobody = session.send(ME, ["no@x.example", "later@x.example"], BytesBody(MESSAGE))
            assert ([reply.code for reply in nobody.recipients], nobody.final) == ([550, 451], None)
            again = session.send(ME, ["a@x.example"], BytesBody(MESSAGE))
            assert again.final is not None and again.final.positive
        assert [[str(to) for to in envelope.recipients] for envelope, _ in server.messages] == [
            ["a@x.example"]
        ] * 2

    @pytest.mark.parametrize("offer", [OFFER, without("pipelining"), without("chunking")])
    def test_a_refused_sender_or_message_leaves_the_session_usable(
        self, driver: Driver, post: Start, offer: Offer
    ) -> None:
        """A sender that is refused is an error, a refused message an answer; the next message goes its way."""
        server = post(offer, replies={"not@sender.example": Reply.of(550, "not you", enhanced="5.7.60")})
        with driver.open(to(server)) as session:
            with pytest.raises(SmtpRefused) as caught:
                session.send("not@sender.example", ["a@x.example"], BytesBody(MESSAGE))
            assert (caught.value.step, caught.value.reply_code, caught.value.enhanced) == (
                "MAIL",
                550,
                "5.7.60",
            )
            server.final = Reply.of(452, "disk full", enhanced="4.3.1")
            refused = session.send(ME, ["a@x.example"], BytesBody(MESSAGE))
            assert refused.final is not None and refused.final.code == 452
            server.final = Reply.of(250, "ok")
            assert session.alive
            taken = session.send(ME, ["a@x.example"], BytesBody(MESSAGE))
            assert taken.final is not None and taken.final.positive

    def test_a_large_message_nobody_gets_is_not_sent(self, driver: Driver, post: Start) -> None:
        """When every recipient is refused, the megabytes of the message stay here."""
        server = post(replies={"no@x.example": Reply.of(550, "who?")})
        with driver.open(to(server)) as session:
            sent = session.send(ME, ["no@x.example"], BytesBody(LINE * 40_000))
        assert (sent.final, server.octets) == (None, 0)

    def test_a_message_that_is_too_large_is_not_sent(self, driver: Driver, post: Start) -> None:
        """A message longer than the server takes is refused here, with both sizes; the session stays."""
        server = post(dataclasses.replace(OFFER, size=1000))
        with driver.open(to(server)) as session:
            with pytest.raises(MessageError) as caught:
                session.send(ME, ["a@x.example"], BytesBody(FOUR_KB))
            assert caught.value.code == "message-too-large"
            assert (caught.value.facts["size"], caught.value.facts["limit"]) == ("4096", "1000")
            assert session.send(ME, ["a@x.example"], BytesBody(MESSAGE)).final is not None
        assert len(server.messages) == 1

    def test_extensions_are_used_or_the_message_is_refused(self, driver: Driver, post: Start) -> None:
        """8BITMIME and SMTPUTF8 are announced where the server has them; elsewhere nothing is sent, and it is said."""
        utf8, eightbit = BytesBody("Subject: é\r\n".encode(), smtputf8=True), BytesBody("é\r\n".encode())
        server = post()
        with driver.open(to(server)) as session:
            session.send("ä@sender.example", ["a@müller.example"], utf8)
            session.send(ME, ["a@müller.example"], eightbit)
        envelopes = [envelope for envelope, _ in server.messages]
        assert [(envelope.smtputf8, envelope.eightbit) for envelope in envelopes] == [
            (True, True),
            (False, True),
        ]
        assert str(envelopes[0].sender) == "ä@sender.example"
        assert str(envelopes[1].recipients[0]) == "a@xn--mller-kva.example"
        plain = post(without("smtputf8", "eightbit"))
        with driver.open(to(plain)) as session:
            for body, sender, recipient, extension in (
                (utf8, ME, "a@x.example", "8BITMIME"),
                (eightbit, ME, "a@x.example", "8BITMIME"),
                (BytesBody(MESSAGE), "ä@sender.example", "a@x.example", "SMTPUTF8"),
                (BytesBody(MESSAGE), ME, "ä@x.example", "SMTPUTF8"),
                (BytesBody(MESSAGE, smtputf8=True), ME, "a@x.example", "SMTPUTF8"),
            ):
                with pytest.raises(SmtpUnsupported) as caught:
                    session.send(sender, [recipient], body)
                assert caught.value.facts["extension"] == extension
            assert session.send("", ["a@x.example"], BytesBody(MESSAGE)).final is not None
        assert [envelope.sender for envelope, _ in plain.messages] == [None]

    def test_wrong_envelopes_are_refused_before_anything_is_sent(self, driver: Driver, post: Start) -> None:
        """No recipient, or an address with a line end in it: nothing goes out, the session stays."""
        server = post()
        with driver.open(to(server)) as session:
            before = session.writes
            with pytest.raises(MessageError):
                session.send(ME, [], BytesBody(MESSAGE))
            for bad in ("a@x>\r\nRCPT TO:<b@y", "a b@x.example", ""):
                with pytest.raises(AddressError):
                    session.send(ME, ["a@x.example", bad], BytesBody(MESSAGE))
            with pytest.raises(AddressError):
                session.send("me\n@sender.example", ["a@x.example"], BytesBody(MESSAGE))
            assert session.writes == before
            assert session.alive

    def test_a_body_that_fails_sends_nothing(self, driver: Driver, post: Start) -> None:
        """A message whose file vanishes while it is read is not delivered cut off."""

        class Vanishing(Chunks):
            def chunks(self) -> Iterator[Octets]:
                yield LINE * 10_000
                raise FileNotFoundError

        for offer in (OFFER, without("chunking")):
            server = post(offer)
            session = driver.open(to(server))
            with pytest.raises(FileNotFoundError):
                session.send(ME, ["a@x.example"], Vanishing(LINE * 20_000))
            assert not session.alive
            with pytest.raises(Unreachable) as caught:
                session.send(ME, ["a@x.example"], BytesBody(MESSAGE))
            assert caught.value.facts["after_body"] == "no"
            assert server.messages == []

    def test_a_bare_line_end_in_a_stream_sends_nothing(self, driver: Driver, post: Start) -> None:
        """A bare LF that turns up in the middle of DATA ends the session; the server gets no message."""
        server = post(without("chunking"))
        session = driver.open(to(server))
        with pytest.raises(MessageError):
            session.send(ME, ["a@x.example"], Chunks(LINE * 10_000, b"bare\n.\n"))
        assert not session.alive
        assert server.messages == []

    def test_noop_reset_and_quit(self, driver: Driver, post: Start) -> None:
        """A session can be asked whether it lives, and closed twice."""
        session = driver.open(to(post()))
        assert session.noop().code == 250
        assert session.reset().code == 250
        alive = [session.alive]
        session.quit()
        assert [*alive, session.alive] == [True, False]
        session.quit()
        session.close()
        with pytest.raises(Unreachable):
            session.noop()

    def test_the_dialogue_can_be_watched(self, driver: Driver, post: Start) -> None:
        """A watcher sees every line and of the message only its length."""
        seen: list[str] = []
        server = post()
        with driver.open(to(server), watch=lambda side, line: seen.append(f"{side} {line}")) as session:
            session.send(ME, ["a@x.example"], BytesBody(MESSAGE))
        assert seen[0] == "S 220 mail.example"
        assert seen[1] == "C EHLO [127.0.0.1]"
        at = seen.index(f"C MAIL FROM:<me@sender.example> SIZE={len(MESSAGE)}")
        assert seen[at:] == [
            f"C MAIL FROM:<me@sender.example> SIZE={len(MESSAGE)}",
            "C RCPT TO:<a@x.example>",
            f"C BDAT {len(MESSAGE)} LAST",
            f"C ({len(MESSAGE)} octets)",
            "S 250 2.1.0 ok",
            "S 250 2.1.5 ok",
            "S 250 2.0.0 queued",
            "C QUIT",
            seen[-1],
        ]
        assert seen[-1].startswith("S 221")
