"""Servers that break off, dawdle, talk out of turn or lie: what a session makes of them, with both drivers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from datapallas.connection.model import Security
from datapallas.errors import DataPallasError, ProtocolError, SmtpRefused, Unreachable
from datapallas.secret import Secret
from datapallas.smtp.async_stream import AsyncSession
from datapallas.smtp.body import Body, BytesBody
from datapallas.smtp.sasl import BearerLogin, PasswordLogin
from datapallas.smtp.target import Deadlines, Target
from smtp.harness import MESSAGE, PATIENCE, Asyncio, Driver, Peer, Script

ME, TO = "me@sender.example", ["a@x.example"]
LARGE = BytesBody((b"x" * 76 + b"\r\n") * 200_000)
ALL = ("PIPELINING", "CHUNKING")
Start = Callable[..., Script]


def soon(*steps: str, seconds: float = 0.2) -> Deadlines:
    """Short patience at these steps only: a busy machine takes its time for the others."""
    return Deadlines(**dict.fromkeys(steps, seconds))


def to(server: Script) -> Target:
    return Target("127.0.0.1", server.port, Security.NONE)


def take_message(peer: Peer) -> None:
    """Hear MAIL, RCPT and BDAT LAST with its message, and answer nothing."""
    size = int(peer.lines(3)[2].split()[1])
    peer.exactly(size)


class Endless:
    """A body that is far larger than any buffer, and counts what is asked for."""

    smtputf8 = eightbit = False
    size = 256 * 1024 * 1024

    def __init__(self) -> None:
        self.read = 0

    def chunks(self) -> Iterator[bytes]:
        chunk = (b"x" * 62 + b"\r\n") * 4096
        while self.read < self.size:
            self.read += len(chunk)
            yield chunk


def send(driver: Driver, server: Script, body: Body | None = None, **options: object) -> DataPallasError:
    with pytest.raises(DataPallasError) as caught, driver.open(to(server), **options) as session:
        session.send(ME, TO, body or BytesBody(MESSAGE))
    return caught.value


class TestTheConnectionEnds:
    """At each step, and what is known of the message then."""

    @pytest.mark.parametrize(
        ("features", "heard"),
        [(None, 0), ((), 0), ((), 1), ((), 2), ((), 3), (("PIPELINING",), 3)],
        ids=["before the greeting", "before MAIL", "after MAIL", "after RCPT", "after DATA", "after a group"],
    )
    @pytest.mark.parametrize("abruptly", [False, True])
    def test_before_the_message(
        self, driver: Driver, script: Start, features: tuple[str, ...] | None, heard: int, abruptly: bool
    ) -> None:
        """A server that dies before the message is out has not taken it, and it is known."""

        def play(peer: Peer) -> None:
            if features is not None:
                peer.greet(*features)
                for _ in range(heard - 1):
                    peer.line()
                    if not features:
                        peer.say("250 ok")
                if heard:
                    peer.line()
            if abruptly:
                peer.reset()

        error = send(driver, script(play))
        assert isinstance(error, Unreachable)
        # Who hangs up at once may do so before we have noticed that we are connected.
        assert error.facts["phase"] in ({"closed", "connect"} if features is None else {"closed"})
        assert error.facts["after_body"] == "no"
        assert error.transient

    @pytest.mark.parametrize("features", [ALL, ("PIPELINING",), ("CHUNKING",), ()])
    @pytest.mark.parametrize("abruptly", [False, True])
    def test_after_the_message(
        self, driver: Driver, script: Start, features: tuple[str, ...], abruptly: bool
    ) -> None:
        """A server that dies after the last octet, without an answer, may have taken the message."""

        def play(peer: Peer) -> None:
            peer.greet(*features)
            if features == ALL:
                take_message(peer)
            else:
                for _ in range(2):
                    peer.line()
                    peer.say("250 ok")
                if features == ("CHUNKING",):
                    peer.exactly(int(peer.line().split()[1]))
                else:
                    peer.line()
                    peer.say("354 go on")
                    peer.until(b"\r\n.\r\n")
            if abruptly:
                peer.reset()

        error = send(driver, script(play))
        assert isinstance(error, Unreachable)
        assert (error.facts["phase"], error.facts["after_body"]) == ("closed", "yes")

    @pytest.mark.parametrize("features", [ALL, ("PIPELINING",)])
    def test_in_the_middle_of_a_large_message(
        self, driver: Driver, script: Start, features: tuple[str, ...]
    ) -> None:
        """A server that dies in the middle of a message has not taken it, and its file is not read to the end."""

        def play(peer: Peer) -> None:
            peer.greet(*features)
            peer.lines(2 if features == ALL else 3)
            peer.say("250 ok", "250 ok", *([] if features == ALL else ["354 go on"]))
            peer.exactly(100_000)
            peer.reset()

        body = Endless()
        error = send(driver, script(play), body)
        assert (error.facts["phase"], error.facts["after_body"]) == ("closed", "no")
        assert body.read < body.size / 2

    def test_a_reason_given_in_the_middle_counts(self, driver: Driver, script: Start) -> None:
        """A server that says why before it breaks off is heard."""

        def play(peer: Peer) -> None:
            peer.greet("PIPELINING")
            peer.lines(3)
            peer.say("250 ok", "250 ok", "354 go on")
            peer.exactly(100_000)
            peer.say("552 5.3.4 too much for me")
            peer.until(b"\r\n.\r\n")

        with driver.open(to(script(play))) as session:
            sent = session.send(ME, TO, LARGE)
        assert sent.final is not None
        assert sent.final.code == 552

    def test_a_refused_chunk_ends_the_sending(self, driver: Driver, script: Start) -> None:
        """A server that has enough after the first chunk is not sent the other megabytes."""

        def play(peer: Peer) -> None:
            peer.greet(*ALL)
            peer.lines(2)
            peer.say("250 ok", "250 ok")
            first = peer.line()
            assert "LAST" not in first
            peer.exactly(int(first.split()[1]))
            peer.say("552 5.3.4 too much for me")
            while (line := peer.line()).startswith("BDAT"):
                assert "LAST" not in line
                peer.exactly(int(line.split()[1]))
                peer.say("503 5.5.1 no")
            assert line == "QUIT"
            peer.say("221 bye")

        with driver.open(to(script(play))) as session:
            sent = session.send(ME, TO, LARGE)
            assert sent.final is not None
            assert sent.final.code == 552

    def test_while_idle(self, driver: Driver, script: Start) -> None:
        """A session that the server closed meanwhile is known to be dead, and nothing is lost in it."""

        def play(peer: Peer) -> None:
            peer.greet(*ALL)
            take_message(peer)
            peer.say("250 ok", "250 ok", "250 ok")
            peer.line()
            peer.say("250 ok", "421 4.4.2 idle for too long")

        server = script(play)
        session = driver.open(to(server))
        session.send(ME, TO, BytesBody(MESSAGE))
        alive = [session.alive]
        session.noop()
        server.join()
        assert [*alive, session.alive] == [True, False]
        with pytest.raises(Unreachable) as caught:
            session.send(ME, TO, BytesBody(MESSAGE))
        assert caught.value.facts["after_body"] == "no"

    def test_while_idle_and_nobody_looked(self, driver: Driver, script: Start) -> None:
        """A message is not written into a session that the server has closed: it is known not to be sent."""
        opened = threading.Event()

        def play(peer: Peer) -> None:
            peer.greet(*ALL)
            opened.wait(PATIENCE)

        server = script(play)
        session = driver.open(to(server))
        opened.set()
        server.join()
        with pytest.raises(Unreachable) as caught:
            session.send(ME, TO, BytesBody(MESSAGE))
        assert caught.value.facts["after_body"] == "no"
        assert server.peers[0].heard.count(b"MAIL") == 0


class TestDeadlines:
    """Each step ends in time, however the server dawdles."""

    @pytest.mark.parametrize(
        ("step", "replies", "after_body"),
        [
            ("greeting", [], "no"),
            ("command", ["220 hi"], "no"),
            ("command", ["220 hi", "250 mail.example"], "no"),
            ("final", ["220 hi", "250 mail.example", "250 ok", "250 ok", "354 go on"], "yes"),
        ],
        ids=["greeting", "EHLO", "MAIL", "final"],
    )
    def test_a_silent_server(
        self, driver: Driver, script: Start, step: str, replies: list[str], after_body: str
    ) -> None:
        """A server that says nothing is given up, and the error tells whether the message was out."""

        def play(peer: Peer) -> None:
            for number, reply in enumerate(replies):
                if number:
                    peer.line()
                peer.say(reply)
            peer.wait_for_the_end()

        started = time.monotonic()
        error = send(driver, script(play), deadlines=soon(step, seconds=1.0))
        assert isinstance(error, Unreachable)
        assert (error.facts["phase"], error.facts["after_body"]) == ("timeout", after_body)
        assert 0.9 < time.monotonic() - started < PATIENCE / 2

    def test_a_reply_that_trickles(self, driver: Driver, script: Start) -> None:
        """A server that sends an octet now and then does not keep us beyond the deadline."""

        def play(peer: Peer) -> None:
            peer.send(b"220 ")
            peer.sock.settimeout(0.02)
            while True:
                peer.send(b"x")
                try:
                    if not peer.sock.recv(1):
                        return
                except TimeoutError:
                    continue
                except OSError:
                    return

        started = time.monotonic()
        error = send(driver, script(play), deadlines=soon("greeting"))
        assert error.facts["phase"] == "timeout"
        assert time.monotonic() - started < PATIENCE / 2

    def test_a_server_that_takes_nothing(self, driver: Driver, script: Start) -> None:
        """A server that stops reading in the middle of a message is given up."""

        def play(peer: Peer) -> None:
            peer.greet("PIPELINING")
            peer.lines(3)
            peer.say("250 ok", "250 ok", "354 go on")
            ended.wait_for(peer)

        class Ended:
            def __init__(self) -> None:
                self.pair = socket.socketpair()

            def wait_for(self, peer: Peer) -> None:
                self.pair[0].settimeout(60)
                self.pair[0].recv(1)

        ended = Ended()
        server = script(play)
        try:
            error = send(driver, server, LARGE, deadlines=soon("body"))
        finally:
            ended.pair[1].send(b".")
        server.join()
        for end in ended.pair:
            end.close()
        assert isinstance(error, Unreachable)
        assert (error.facts["phase"], error.facts["after_body"]) == ("timeout", "no")

    @pytest.mark.parametrize("octets", [30_000, 262_000])
    def test_a_server_that_takes_a_part(self, driver: Driver, script: Start, octets: int) -> None:
        """A message of which a part never left this machine is known not to be sent."""
        over = threading.Event()

        def play(peer: Peer) -> None:
            peer.greet(*ALL)
            over.wait(PATIENCE)

        server = script(play)
        server._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        session: Any = driver.open(to(server), deadlines=soon("body", "final"))
        wire = getattr(session, "_session", session)._wire
        sock = wire._sock if driver.name == "blocking" else wire._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # or all of it leaves at once
        with pytest.raises(Unreachable) as caught:
            session.send(ME, TO, BytesBody(b"x" * octets))
        over.set()
        assert (caught.value.facts["phase"], caught.value.facts["after_body"]) == ("timeout", "no")

    def test_the_handshake(self, driver: Driver, script: Start) -> None:
        """A server that goes silent in the TLS handshake is given up."""
        server = script(lambda peer: peer.wait_for_the_end())
        with pytest.raises(Unreachable) as caught:
            driver.open(Target("127.0.0.1", server.port, Security.TLS), deadlines=soon("tls"))
        assert (caught.value.facts["phase"], caught.value.facts["step"]) == ("timeout", "TLS")


class TestReplies:
    """What a server says is bounded, and in order, or the session ends."""

    def test_a_line_without_end(self, driver: Driver, script: Start) -> None:
        """An endless line is given up long before it fills the memory."""

        def play(peer: Peer) -> None:
            while True:
                peer.send(b"2" * 10_000)

        server = script(play)
        assert isinstance(send(driver, server), ProtocolError)

    def test_lines_without_end(self, driver: Driver, script: Start) -> None:
        """So is a reply of endless lines."""

        def play(peer: Peer) -> None:
            while True:
                peer.send(b"220-and another one\r\n" * 100)

        assert isinstance(send(driver, script(play)), ProtocolError)

    def test_another_protocol(self, driver: Driver, script: Start) -> None:
        """A web server is told from a mail server, in its own words."""
        error = send(driver, script(lambda peer: peer.say("HTTP/1.1 400 Bad Request", "", "")))
        assert isinstance(error, ProtocolError)
        assert error.raw == "HTTP/1.1 400 Bad Request"

    def test_a_reply_ahead_of_its_command(self, driver: Driver, script: Start) -> None:
        """A reply that comes before we asked is not taken for the answer; the session ends."""

        def play(peer: Peer) -> None:
            peer.greet(*ALL)
            peer.line()
            peer.say("250 ok", "250 ahead")
            peer.wait_for_the_end()

        session = driver.open(to(script(play)))
        assert session.noop().code == 250
        with pytest.raises(DataPallasError):
            session.noop()
        assert not session.alive

    def test_an_accepted_message_stays_accepted(self, driver: Driver, script: Start) -> None:
        """What follows an acceptance, a surplus reply or the end, does not take it back."""
        for surplus in ("250 surplus", "nonsense", "421 bye"):

            def play(peer: Peer, surplus: str = surplus) -> None:
                peer.greet(*ALL)
                take_message(peer)
                peer.say("250 ok", "250 ok", "250 taken", surplus)

            session = driver.open(to(script(play)))
            sent = session.send(ME, TO, BytesBody(MESSAGE))
            assert sent.final is not None
            assert sent.final.text == "taken"
            assert not session.alive

    @pytest.mark.parametrize(
        ("replies", "after_body"),
        [(("354 what?", "250 ok", "250 ok"), "yes"), (("250 ok", "334 what?", "250 ok"), "yes")],
    )
    def test_an_answer_without_meaning(
        self, driver: Driver, script: Start, replies: tuple[str, ...], after_body: str
    ) -> None:
        """An answer that has no meaning where it stands ends the session; whether the message arrived is unknown."""

        def play(peer: Peer) -> None:
            peer.greet(*ALL)
            take_message(peer)
            peer.say(*replies)

        error = send(driver, script(play))
        assert isinstance(error, ProtocolError)
        assert error.facts["after_body"] == after_body


class TestChunking:
    """BDAT, and servers that only announce it."""

    @pytest.mark.parametrize("code", [500, 502, 503])
    @pytest.mark.parametrize("reads_on", [True, False])
    def test_a_server_that_announces_it_in_vain(
        self, driver: Driver, script: Start, code: int, reads_on: bool
    ) -> None:
        """The message goes by DATA over a new connection, once; and so does every further one of the session."""

        def first(peer: Peer) -> None:
            peer.greet(*ALL)
            take_message(peer)
            peer.say("250 ok", "250 ok", f"{code} what is BDAT?")
            if reads_on:
                peer.say("500 what is Subject:?")
            peer.wait_for_the_end()

        def second(peer: Peer) -> None:
            peer.greet(*ALL)
            for _ in range(2):
                assert [line.split()[0] for line in peer.lines(3)] == ["MAIL", "RCPT", "DATA"]
                peer.say("250 ok", "250 ok", "354 go on")
                peer.until(b"\r\n.\r\n")
                peer.say("250 taken")
            peer.line()
            peer.say("221 bye")

        server = script(first, second)
        with driver.open(to(server)) as session:
            for _ in range(2):
                sent = session.send(ME, TO, BytesBody(MESSAGE))
                assert sent.final is not None
                assert sent.final.text == "taken"
            assert session.target.chunking is False
        assert len(server.peers) == 2

    def test_a_server_that_refuses_the_message_is_not_asked_again(
        self, driver: Driver, script: Start
    ) -> None:
        """A refusal for another reason is the answer."""

        def play(peer: Peer) -> None:
            peer.greet(*ALL)
            take_message(peer)
            peer.say("250 ok", "250 ok", "554 5.7.1 spam")
            peer.line()
            peer.say("221 bye")

        server = script(play)
        with driver.open(to(server)) as session:
            sent = session.send(ME, TO, BytesBody(MESSAGE))
        assert sent.final is not None
        assert sent.final.code == 554
        assert len(server.peers) == 1


def test_no_deadlock_with_a_server_that_waits_for_us_to_read(driver: Driver, script: Start) -> None:
    """10,000 recipients, and a server that reads nothing more until its long answers are read."""
    answer = "250 2.1.5 " + "ok " * 40

    def play(peer: Peer) -> None:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.greet(*ALL)
        assert peer.line().startswith("MAIL")
        peer.say("250 ok")
        while not (line := peer.line()).startswith("BDAT"):
            assert line.startswith("RCPT")
            peer.say(answer)
        peer.exactly(int(line.split()[1]))
        peer.say("250 taken")
        peer.line()
        peer.say("221 bye")

    with driver.open(to(script(play))) as session:
        sent = session.send(ME, [f"reader{number}@x.example" for number in range(10_000)], BytesBody(MESSAGE))
    assert len(sent.recipients) == 10_000
    assert sent.final is not None
    assert sent.final.text == "taken"


@pytest.mark.parametrize("part", [slice(None), slice(20), slice(-30, None)])
def test_a_server_that_repeats_a_secret(driver: Driver, script: Start, part: slice) -> None:
    """A server that quotes the AUTH line, whole or cut, in its refusal: the secret is in no error and no log."""
    seen: list[str] = []
    token = "eyJ0eXAiOiJKV1QiLCJub25jZSI6Ik" * 4

    def play(peer: Peer) -> None:
        peer.greet("AUTH XOAUTH2")
        payload = peer.line().split()[2][part]
        peer.say(f"535 5.7.8 I do not like AUTH XOAUTH2 {payload} or {token[part]} or <{token[part]}>")

    with pytest.raises(SmtpRefused) as caught:
        driver.open(
            to(script(play)),
            login=BearerLogin("u@x.example", Secret(token)),
            watch=lambda _, line: seen.append(line),
        )
    shown = f"{caught.value} {caught.value.raw} {caught.value.text} {caught.value.facts}"
    assert "******" in shown
    assert token[part] not in shown + "".join(seen)
    assert token[:8] not in shown + "".join(seen)
    assert caught.value.facts["user"] == "u@x.example"


def test_nonsense_that_repeats_a_secret(driver: Driver, script: Start) -> None:
    """A server that is none, and sends our line back, does not get the secret into the error either."""
    for prefix in ("", "399 ", "220-"):

        def play(peer: Peer, prefix: str = prefix) -> None:
            peer.greet("AUTH PLAIN")
            peer.say(prefix + peer.line(), "hunter2hunter2")

        with pytest.raises(DataPallasError) as caught:
            driver.open(to(script(play)), login=PasswordLogin("u", Secret("hunter2hunter2")))
        assert "hunter2" not in caught.value.raw
        assert "AHUAaHVudGVyMmh1bnRlcjI=" not in caught.value.raw


def test_a_server_that_repeats_a_short_password(driver: Driver, script: Start) -> None:
    """A password of a few letters is not quoted either."""

    def play(peer: Peer) -> None:
        peer.greet("AUTH PLAIN")
        peer.line()
        peer.say("535 wrong: 'hunter2'")

    with pytest.raises(SmtpRefused) as caught:
        driver.open(to(script(play)), login=PasswordLogin("u", Secret("hunter2")))
    assert "hunter2" not in caught.value.raw


def test_endless_challenges(driver: Driver, script: Start) -> None:
    """A server that always has one more challenge is cancelled, then given up."""

    def play(peer: Peer) -> None:
        peer.greet("AUTH XOAUTH2")
        while True:
            peer.line()
            peer.say("334 e30=")

    server = script(play)
    with pytest.raises(ProtocolError):
        driver.open(to(server), login=BearerLogin("u", Secret("t")))
    server.join()
    assert server.peers[0].heard.endswith(b"\r\n\r\n*\r\n")
    assert server.peers[0].heard.count(b"AUTH XOAUTH2") == 1


def test_no_host_and_nobody_there(driver: Driver) -> None:
    """A name that is none, and a port where nobody listens, are told apart."""
    with pytest.raises(Unreachable) as caught:
        driver.open(Target("no-such-host.invalid", 25, Security.NONE))
    assert caught.value.facts["phase"] == "dns"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable) as caught:
        driver.open(Target("127.0.0.1", port, Security.NONE))
    assert caught.value.facts["phase"] == "connect"
    assert caught.value.facts["port"] == str(port)


def test_a_cancelled_task_closes_its_session(script: Start) -> None:
    """A task that is cancelled while a server is to answer leaves no session that is out of step."""
    driver = Asyncio()

    def play(peer: Peer) -> None:
        peer.greet(*ALL)
        take_message(peer)
        peer.wait_for_the_end()

    async def main(server: Script) -> bool:
        session = await AsyncSession.open(to(server))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await session.send(ME, TO, BytesBody(MESSAGE))
        return session.alive

    server = script(play)
    assert driver.run(main(server)) is False
    server.join()
    driver.close()


def test_a_script_that_fails_fails_its_test() -> None:
    """What goes wrong at the scripted server is not hidden; only a client that goes away is no failure."""
    for heard, problem in ((b"QUIT\r\n", AssertionError), (b"", None)):

        def play(peer: Peer) -> None:
            assert peer.line() == "NOOP"

        server = Script(play)
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(heard)
        server.join()
        with pytest.raises(problem) if problem else contextlib.nullcontext():
            server.finish()
