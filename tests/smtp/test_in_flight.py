"""Several messages in flight over real sockets, with both drivers: fast, slow, greedy and rude servers."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from datapallas.connection.model import Security
from datapallas.errors import DataPallasError, ProtocolError
from datapallas.smtp.body import BytesBody
from datapallas.smtp.parcels import Bounds, Parcel
from datapallas.smtp.reply import Reply
from datapallas.smtp.target import Deadlines, Sent, Target
from smtp.harness import Driver, Peer, Script
from smtp.post import OFFER, Post, Start

ME = "me@sender.example"
ALL = ("PIPELINING", "CHUNKING")
LINE = b"x" * 76 + b"\r\n"
Play = Callable[..., Script]


def to(server: Post | Script, **values: Any) -> Target:
    return Target("127.0.0.1", server.port, Security.NONE, **values)


def text(number: int, lines: int = 1) -> bytes:
    return f"m{number}\r\n".encode() + LINE * lines


def parcels(count: int, lines: int = 1) -> Iterator[Parcel]:
    for number in range(count):
        yield Parcel(ME, [f"p{number}@x.example"], BytesBody(text(number, lines)))


def codes(told: list[Sent | DataPallasError]) -> list[int]:
    return [one.final.code if isinstance(one, Sent) and one.final is not None else 0 for one in told]


@pytest.mark.parametrize(("features", "waits"), [((), 100), (("chunking",), 102), (("pipelining",), 300)])
def test_a_hundred_messages(driver: Driver, post: Start, features: tuple[str, ...], waits: int) -> None:
    """A hundred messages arrive whole and in order, in as few round trips as what the server offers allows."""
    server = post(dataclasses.replace(OFFER, **dict.fromkeys(features, False)))  # type: ignore[arg-type]
    told: list[Sent | DataPallasError] = []
    with driver.open(to(server)) as session:
        before = session.round_trips
        session.send_all(parcels(100), told.append)
        assert session.round_trips - before <= waits
        assert features or session.writes < 30
        assert session.alive and not session.unsteady
    assert codes(told) == [250] * 100
    assert [data for _, data in server.messages] == [text(number) for number in range(100)]
    assert [str(mail.recipients[0]) for mail, _ in server.messages] == [
        f"p{number}@x.example" for number in range(100)
    ]


@pytest.mark.parametrize("chunking", [True, False])
def test_refusals_among_others(driver: Driver, post: Start, chunking: bool) -> None:
    """Refused senders and recipients among others in flight: each is told its own, all others arrive."""
    server = post(
        dataclasses.replace(OFFER, chunking=chunking),
        replies={
            "p3@x.example": Reply.of(550, "nobody"),
            "p4@x.example": Reply.of(451, "later"),
            "not@sender.example": Reply.of(550, "not you"),
        },
    )
    told: list[Sent | DataPallasError] = []
    mail = [
        one._replace(sender="not@sender.example") if number == 7 else one
        for number, one in enumerate(parcels(20))
    ]
    with driver.open(to(server)) as session:
        session.send_all(iter(mail), told.append)
        assert session.alive
    assert codes(told) == [0 if number in {3, 4, 7} else 250 for number in range(20)]
    third, fourth = told[3], told[4]
    assert isinstance(third, Sent) and isinstance(fourth, Sent)
    assert (third.recipients[0].code, fourth.recipients[0].code) == (550, 451)
    assert isinstance(told[7], DataPallasError)
    assert len(server.messages) == 17


def test_large_and_small_ones_mixed(driver: Driver, post: Start) -> None:
    """A large message waits for those in flight, goes by itself, and the small ones behind it together again."""
    server = post()
    mail = [
        Parcel(ME, ["a@x.example"], BytesBody(text(number, 8000 if number in {5, 6, 11} else 3)))
        for number in range(20)
    ]
    told: list[Sent | DataPallasError] = []
    with driver.open(to(server)) as session:
        session.send_all(iter(mail), told.append)
    assert codes(told) == [250] * 20
    assert [len(data) for _, data in server.messages] == [one.body.size for one in mail]


def serve(peer: Peer, take: Callable[[Peer, int], bytes], answer: Callable[[Peer, int], None]) -> int:
    """Play a server with BDAT until QUIT; give how many messages it took."""
    peer.greet(*ALL)
    number = 0
    while (line := peer.line()) != "QUIT":
        if line.startswith("BDAT"):
            assert take(peer, int(line.split()[1])).startswith(f"m{number}\r\n".encode())
            answer(peer, number)
            number += 1
        else:
            peer.say("250 ok")
    peer.say("221 bye")
    return number


def whole(peer: Peer, size: int) -> bytes:
    return peer.exactly(size)


def taken(peer: Peer, number: int) -> None:
    peer.say(f"250 taken {number}")


def narrow(peer: Peer) -> None:
    """Buffers as small as the system allows."""
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        peer.sock.setsockopt(socket.SOL_SOCKET, option, 16384)


def test_a_server_that_reads_slowly(driver: Driver, script: Play) -> None:
    """A server that takes a few octets at a time gets every message; nobody waits for the other for ever."""

    def trickled(peer: Peer, size: int) -> bytes:
        return b"".join(peer.exactly(min(size - at, 4096)) for at in range(0, size, 4096))

    def play(peer: Peer) -> None:
        narrow(peer)
        assert serve(peer, trickled, taken) == 40

    told: list[Sent | DataPallasError] = []
    with driver.open(to(script(play))) as session:
        session.send_all(parcels(40, 500), told.append)
    assert codes(told) == [250] * 40


def test_a_server_that_talks_so_much_that_it_cannot_read(driver: Driver, script: Play) -> None:
    """Replies that fill every buffer, from a server that reads nothing until they are taken: they are taken."""
    chatter = [f"250-{'word ' * 150}"] * 60

    def talkative(peer: Peer, number: int) -> None:
        peer.say(*chatter, f"250 taken {number}")  # waits until we have read it

    def play(peer: Peer) -> None:
        narrow(peer)
        assert serve(peer, whole, talkative) == 40

    told: list[Sent | DataPallasError] = []
    with driver.open(to(script(play))) as session:
        session.send_all(parcels(40, 1000), told.append)
    assert codes(told) == [250] * 40


def test_a_server_that_answers_all_at_once_in_the_end(driver: Driver, script: Play) -> None:
    """A server that answers only when nothing more comes: the bounds make it answer, and nothing is lost."""
    bounds = Bounds(messages=4, octets=10_000)

    def play(peer: Peer) -> None:
        peer.greet(*ALL)
        said: list[str] = []
        number = 0
        while True:
            if not peer.more(0.05):
                peer.say(*said)
                said = []
            line = peer.line()
            if line == "QUIT":
                peer.say("221 bye")
                return
            if line.startswith("BDAT"):
                peer.exactly(int(line.split()[1]))
                number += 1
                assert len([one for one in said if "taken" in one]) < bounds.messages
                said.append(f"250 taken {number}")
            else:
                said.append("250 ok")

    told: list[Sent | DataPallasError] = []
    with driver.open(to(script(play))) as session:
        session.send_all(parcels(20), told.append, bounds)
    assert codes(told) == [250] * 20


@pytest.mark.parametrize("abruptly", [False, True])
def test_the_connection_dies_with_many_in_flight(driver: Driver, script: Play, abruptly: bool) -> None:
    """Answered ones are sent, the others in flight unknown, and what had not begun was not taken from its source."""

    def play(peer: Peer) -> None:
        def answer(peer: Peer, number: int) -> None:
            if number == 5:
                if abruptly:
                    peer.reset()
                raise ConnectionAbortedError
            taken(peer, number)

        with contextlib.suppress(ConnectionAbortedError):
            serve(peer, whole, answer)

    told: list[Sent | DataPallasError] = []
    source = parcels(100)
    session = driver.open(to(script(play)))
    session.send_all(source, told.append)
    answered = codes(told).index(0)
    assert answered == 5 or (
        abruptly and 1 <= answered < 5
    )  # a reset takes answers with it that were on their way
    assert len(told) > answered
    assert {one.facts["after_body"] for one in told[answered:] if isinstance(one, DataPallasError)} == {"yes"}
    assert session.unsteady and not session.alive
    left = len(list(source))
    assert len(told) + left == 100


def test_what_never_left_is_known_not_to_be_sent(driver: Driver, script: Play) -> None:
    """A server that stops reading and is given up: the messages that were not whole on their way were not sent."""
    over = socket.socketpair()

    def play(peer: Peer) -> None:
        narrow(peer)
        peer.greet(*ALL)
        size = int(peer.lines(3)[2].split()[1])
        peer.exactly(size)
        peer.say("250 ok", "250 ok", "250 taken")
        over[0].recv(1)

    deadlines = Deadlines(body=0.3, final=5)
    told: list[Sent | DataPallasError] = []
    server = script(play)
    try:
        session = driver.open(to(server), deadlines=deadlines)
        session.send_all(parcels(60, 3000), told.append, Bounds(messages=60, octets=99_000_000))
    finally:
        over[1].send(b".")
    server.join()
    for end in over:
        end.close()
    facts = [one.facts["after_body"] for one in told[1:] if isinstance(one, DataPallasError)]
    assert len(facts) == 59
    assert facts == sorted(facts, reverse=True)  # those that may be there are the first
    assert facts[-1] == "no"


@pytest.mark.parametrize(
    "words", ["500 what?", "354 go on", "garbage", "250 ok\r\n250 ok\r\n250 ok\r\n250 more"]
)
def test_a_server_that_answers_nonsense(driver: Driver, script: Play, words: str) -> None:
    """A server that gets out of step ends the session; nobody's answer is taken for another one's."""

    def play(peer: Peer) -> None:
        def answer(peer: Peer, number: int) -> None:
            if number == 2:
                peer.send(b"354 go on\r\n" if words == "500 what?" else f"{words}\r\n".encode())
                peer.wait_for_the_end()
                raise ConnectionAbortedError
            taken(peer, number)

        with contextlib.suppress(ConnectionAbortedError):
            serve(peer, whole, answer)

    told: list[Sent | DataPallasError] = []
    session = driver.open(to(script(play)), deadlines=Deadlines(final=1))
    session.send_all(parcels(9), told.append)
    assert codes(told[:2]) == [250, 250]
    assert not session.alive and session.unsteady
    if "250" not in words:
        error = told[2]
        assert isinstance(error, ProtocolError) and error.facts["after_body"] == "yes"


def test_a_server_that_takes_bdat_once(driver: Driver, script: Play) -> None:
    """A server that refuses BDAT when several are in flight: that message was not accepted, and the session ends."""

    def play(peer: Peer) -> None:
        def answer(peer: Peer, number: int) -> None:
            peer.say("503 5.5.1 out of order" if number == 1 else "250 taken")

        serve(peer, whole, answer)

    told: list[Sent | DataPallasError] = []
    session = driver.open(to(script(play)))
    session.send_all(parcels(9), told.append)
    refused = told[1]
    assert isinstance(refused, DataPallasError) and refused.code == "chunking-refused"
    assert refused.facts["after_body"] == "no"
    assert [code for number, code in enumerate(codes(told)) if number != 1] == [250] * (len(told) - 1)
    assert session.unsteady and not session.alive
