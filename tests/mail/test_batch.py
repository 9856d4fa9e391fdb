"""Many messages at a time over one session: what a transport makes of servers that leave, die and refuse in between."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from datapallas.errors import DataPallasError, SmtpRefused, Unreachable
from datapallas.mail.address import NamedAddress
from datapallas.mail.caution import SECONDS, Caution
from datapallas.mail.compose import Composer
from datapallas.mail.envelope import Receipt
from datapallas.mail.message import Message
from datapallas.mail.smtp_transport import SmtpTransport
from datapallas.mail.transport import Options, PasswordSource
from datapallas.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datapallas.mail.transport import Mail

    Stage = Any  # conftest's; test folders are no packages
    Said = Receipt | DataPallasError | None


class Way:
    """A transport, and what it told of each message."""

    def __init__(self, stage: Stage, **options: Any) -> None:
        login = PasswordSource("", lambda: Secret(""))
        self.caution = Caution()
        self.transport = SmtpTransport(
            stage.connection(), login, Options(sessions=1, caution=self.caution, **options)
        )
        self.server = f"127.0.0.1:{stage.port}"
        self.told: dict[int, Said] = {}
        self.begun = 0

    def mail(self, *people: list[str]) -> Iterator[Mail]:
        composer = Composer(NamedAddress("", "reports@contoso.example"))
        for number, to in enumerate(people):
            self.begun = number + 1
            composed = composer.compose(Message(to=to, subject=f"Mail {number}", text="Hello"))
            yield composed.envelope, composed

    def send(self, *people: list[str], until: int = -1) -> None:
        def told(number: int, said: Said) -> bool:
            assert number not in self.told
            self.told[number] = said
            return number != until

        self.transport.send_all(self.mail(*people), told)

    def outcomes(self) -> list[str]:
        """In one word each."""
        return [self._word(self.told[number]) for number in sorted(self.told)]

    @staticmethod
    def _word(said: Said) -> str:
        if isinstance(said, Receipt):
            return "+".join(one.outcome.value.lower() for one in said.outcomes)
        return "-" if said is None else type(said).__name__


def people(count: int) -> list[list[str]]:
    return [[f"p{number}@x.example"] for number in range(count)]


@pytest.mark.parametrize("missing", ["", "CHUNKING", "PIPELINING"])
def test_all_arrive_in_order(stage: Stage, missing: str) -> None:
    """Forty messages over one session, whatever the server offers."""
    stage.extensions = [word for word in stage.extensions if word != missing]
    way = Way(stage)
    way.send(*people(40))
    assert way.outcomes() == ["accepted"] * 40
    assert [mail.recipients for mail in stage.taken] == people(40)
    assert stage.connections == 1
    assert way.transport.depth == (1 if missing == "PIPELINING" else 16)
    way.transport.close()


def test_what_was_not_sent_goes_over_the_next_session(stage: Stage) -> None:
    """A server that says 421 after some: what is behind goes over a new session, once, and nothing is in doubt."""
    stage.replies["MAIL"] = [b"250 ok"] * 9 + [b"421 4.4.2 That was enough for one session"]
    way = Way(stage)
    way.send(*people(30))
    assert way.outcomes() == ["accepted"] * 30
    assert sorted(mail.recipients for mail in stage.taken) == sorted(people(30))
    assert stage.connections == 2
    assert way.caution.trusts(way.server)
    way.transport.close()


def test_a_server_that_leaves_after_each_is_asked_for_one_at_a_time(stage: Stage) -> None:
    """A server that takes one message a session is not sent sixteen again and again."""
    stage.replies["MAIL"] = [b"250 ok", b"421 4.4.2 One is enough"] * 12
    way = Way(stage)
    way.send(*people(6))
    assert way.outcomes() == ["accepted"] * 6
    assert len(stage.taken) == 6
    assert not way.caution.trusts(way.server)
    assert stage.said.count("MAIL") <= 13
    way.transport.close()


def test_a_lost_connection_is_in_doubt_and_then_careful(stage: Stage) -> None:
    """The server dies with many in flight: those without an answer are unknown, the rest goes, one at a time."""
    stage.replies["message"] = [b"250 ok"] * 5
    way = Way(stage)

    class Dying(list):  # type: ignore[type-arg]
        def append(self, mail: object) -> None:
            super().append(mail)
            if len(self) == 6:
                stage.die_after_body = 1

    stage.taken = Dying()
    way.send(*people(40))
    outcomes = way.outcomes()
    assert outcomes[:5] == ["accepted"] * 5
    doubtful = outcomes.count("unknown")
    assert 1 <= doubtful <= 16
    assert outcomes[5 : 5 + doubtful] == ["unknown"] * doubtful
    assert outcomes[5 + doubtful :] == ["accepted"] * (35 - doubtful)
    assert len(stage.taken) == len({tuple(mail.recipients) for mail in stage.taken}), "none is sent twice"
    assert not way.caution.trusts(way.server)
    assert way.transport.depth == 1
    way.transport.close()


def test_refusals_of_recipients_senders_and_messages(stage: Stage) -> None:
    """Each has its own outcome; those for which there were only too many recipients go once more."""
    stage.recipients = {"no@x.example": b"550 5.1.1 Nobody", "later@x.example": b"451 4.2.1 Busy"}
    stage.most_recipients = 3
    crowd = [f"c{number}@x.example" for number in range(7)]
    way = Way(stage)
    way.send(["a@x.example"], ["no@x.example"], ["b@x.example", "later@x.example"], crowd, ["z@x.example"])
    assert way.outcomes() == [
        "accepted",
        "refused",
        "accepted+deferred",
        "+".join(["accepted"] * 7),
        "accepted",
    ]
    assert [len(mail.recipients) for mail in stage.taken if mail.recipients[0].startswith("c")] == [3, 3, 1]
    way.transport.close()


def test_a_refused_sender_is_told_for_each(stage: Stage) -> None:
    """MAIL refused to one in the middle: that one alone, with what the server said."""
    stage.replies["MAIL"] = [b"250 ok"] * 4 + [b"550 5.7.60 Not you"]
    way = Way(stage)
    way.send(*people(9))
    assert way.outcomes() == ["accepted"] * 4 + ["refused"] + ["accepted"] * 4
    said = way.told[4]
    assert isinstance(said, Receipt)
    error = said.outcomes[0].error
    assert isinstance(error, SmtpRefused) and error.enhanced == "5.7.60"
    way.transport.close()


def test_nothing_more_is_begun_when_nobody_wants_it(stage: Stage) -> None:
    """After "no more", those in flight are told, the others are not taken; one that was not sent is told as that."""
    stage.replies["MAIL"] = [b"250 ok"] * 6 + [b"421 4.3.2 Too many"] * 40
    way = Way(stage)
    way.send(*people(60), until=5)
    assert way.outcomes()[:6] == ["accepted"] * 6
    assert set(way.outcomes()[6:]) <= {"-"}
    assert len(way.told) == way.begun < 30
    assert len(stage.taken) == 6
    way.transport.close()


def test_a_server_that_cannot_be_reached(stage: Stage) -> None:
    """The first message is told the error; the next ones as well, each, as if it were sent alone."""
    stage.port = 1
    way = Way(stage)
    way.send(*people(2))
    assert all(isinstance(said, Unreachable) for said in way.told.values())
    assert len(way.told) == 2


def test_a_session_that_died_while_it_was_idle(stage: Stage) -> None:
    """A kept session that the server closed meanwhile is replaced; nobody is in doubt."""
    way = Way(stage)
    way.send(*people(3))
    stage.hang_up()
    way.told.clear()
    way.send(*people(20))
    assert way.outcomes() == ["accepted"] * 20
    assert len(stage.taken) == 23
    way.transport.close()


def test_one_after_the_other_when_that_is_wished(stage: Stage) -> None:
    """With `in_flight` 1 no message leaves before the last one is answered."""
    stage.gate = threading.Event()
    way = Way(stage, in_flight=1)
    thread = threading.Thread(target=way.send, args=people(3))
    thread.start()
    assert stage.waiting.wait(5)
    assert stage.said.count("MAIL") == 1
    stage.gate.set()
    thread.join(10)
    assert way.outcomes() == ["accepted"] * 3
    way.transport.close()


def test_caution_passes() -> None:
    """A server that did not stand it is trusted again after a while."""
    now = [0.0]
    caution = Caution(lambda: now[0])
    caution.blame("a:25")
    assert not caution.trusts("a:25") and caution.trusts("b:25")
    now[0] = SECONDS - 1
    assert not caution.trusts("a:25")
    now[0] = SECONDS + 1
    assert caution.trusts("a:25")
