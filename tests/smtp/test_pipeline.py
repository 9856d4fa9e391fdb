"""Several messages in flight, without a socket: any server, any cut, any end; each message has its own outcome."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datapallas.connection.model import Security
from datapallas.errors import AddressError, AttachmentError, DataPallasError, SmtpRefused
from datapallas.smtp.body import BytesBody
from datapallas.smtp.client import Client, Exchange, Lost, State
from datapallas.smtp.features import Features
from datapallas.smtp.inbox import Inbox, closed
from datapallas.smtp.parcels import Bounds, Parcel
from datapallas.smtp.pipeline import pipeline
from datapallas.smtp.target import Sent, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datapallas.smtp.body import Octets
    from datapallas.smtp.client import Conversation
    from datapallas.smtp.reply import Reply

Told = Sent | DataPallasError


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the server says to one message, and how large that is."""

    mail: int = 250
    rcpt: tuple[int, ...] = (250,)
    final: int = 250
    size: int = 20

    @property
    def accepted(self) -> bool:
        return self.mail == 250 and 250 in self.rcpt and self.final == 250


@dataclasses.dataclass
class Weather:
    """What the server is like.

    Attributes:
        keeps: a message that failed after BDAT leaves its transaction open: the next MAIL is "nested", and its recipients are
            added, until RSET.
        dies: it takes so many texts, and vanishes before it answers the last of them.
        leaves: it answers the MAIL of this message with 421, and closes; or goes on, if `stays`.
        cuts: how many octets of its replies arrive together, in turn.
    """

    keeps: bool = False
    dies: int = -1
    leaves: int = -1
    stays: bool = False
    cuts: tuple[int, ...] = (1000,)
    chunking: bool = True


class Town:
    """A server that follows plans; each of its replies names what it answers."""

    def __init__(self, plans: list[Plan], weather: Weather) -> None:
        self._plans, self._weather = plans, weather
        self._heard = b""
        self._text: int | None = None  # octets of a text that is due; -1: until a dot
        self._sender, self._people = -1, list[str]()
        self.replies = b""
        self.gone = False
        self.texts = 0
        self.met = 0  # envelopes
        self.taken: dict[int, tuple[int, list[str]]] = {}  # text -> sender and recipients

    def hear(self, octets: bytes) -> None:
        """Take what the client says."""
        self._heard += octets
        while not self.gone and self._step():
            pass

    def _step(self) -> bool:
        if self._text is not None:
            return self._body()
        line, end, rest = self._heard.partition(b"\r\n")
        if not end:
            return False
        self._heard = rest
        verb, _, argument = line.decode().partition(" ")
        getattr(self, f"_{verb.lower()}")(argument)
        return True

    def _say(self, code: int, what: str) -> None:
        self.replies += f"{code} {what}\r\n".encode()

    def _rset(self, _: str) -> None:
        self._sender, self._people = -1, []
        self._say(250, "reset")

    def _mail(self, argument: str) -> None:
        number = int(argument.split("@", maxsplit=1)[0].removeprefix("FROM:<s"))
        self.met = number + 1
        if number == self._weather.leaves:
            self._say(421, f"mail {number}")
            self.gone = not self._weather.stays
            return
        if self._sender >= 0:
            self._say(503, "nested")
            return
        code = self._plans[number].mail
        if code == 250:
            self._sender, self._people = number, []
        self._say(code, f"mail {number}")

    def _rcpt(self, argument: str) -> None:
        name = argument.split("@", maxsplit=1)[0].removeprefix("TO:<")
        number, place = (int(word) for word in name.removeprefix("r").split("."))
        code = self._plans[number].rcpt[place] if self._sender >= 0 else 503
        if code == 250:
            self._people.append(name)
        self._say(code, f"rcpt {name}")

    def _bdat(self, argument: str) -> None:
        self._text = int(argument.split(maxsplit=1)[0])

    def _data(self, _: str) -> None:
        if not self._people:
            self._say(554, "nobody")
        else:
            self._say(354, "go on")
            self._text = -1

    def _body(self) -> bool:
        due = self._text
        assert due is not None
        if due < 0:
            text, end, rest = self._heard.partition(b"\r\n.\r\n")
            if not end:
                return False
            self._heard = rest
        else:
            if len(self._heard) < due:
                return False
            text, self._heard = self._heard[:due], self._heard[due:]
        self._text = None
        self._take(int(text.split(b" ")[0].removeprefix(b"m")))
        return True

    def _take(self, number: int) -> None:
        self.texts += 1
        code = self._plans[number].final if self._people else 503
        if code == 250:
            assert number not in self.taken, "taken twice"
            self.taken[number] = (self._sender, self._people)
        if self.texts == self._weather.dies:
            self.gone = True
            return
        self._say(code, f"final {number}")
        if code == 250 or not (self._weather.keeps and self._weather.chunking):
            self._sender, self._people = -1, []


class Way:
    """Client and server with nothing between them; replies arrive as late, and cut as small, as the weather has it."""

    def __init__(self, plans: list[Plan], weather: Weather, bounds: Bounds) -> None:
        self.town, self._weather, self._bounds = Town(plans, weather), weather, bounds
        self.client = Client(Target("mail.example", 587, Security.NONE))
        self.client.state = State.READY
        self.client.features = Features(pipelining=True, chunking=weather.chunking)
        self.inbox = Inbox()
        self.inbox.due = 0
        self.told: list[Told] = []
        self.begun = 0
        self.most = 0  # messages in flight
        self.heaviest = 0  # octets of them, when there were several
        self.exchanges = 0
        self._plans = plans
        self._at = 0

    def parcels(self) -> Iterator[Parcel]:
        for number, plan in enumerate(self._plans):
            self.begun = number + 1
            text = f"m{number} ".encode().ljust(plan.size, b"x") + b"\r\n"
            people = [f"r{number}.{place}@x.example" for place in range(len(plan.rcpt))]
            yield Parcel(f"s{number}@x.example", people, BytesBody(text))

    def run(self, conversation: Conversation[None]) -> None:
        """Let it go on to its end."""
        try:
            step = next(conversation)
            while True:
                assert isinstance(step, Exchange)
                step = conversation.send(self._exchange(step))
        except StopIteration:
            pass

    def _exchange(self, step: Exchange) -> list[Reply]:
        self.exchanges += 1
        inbox, town = self.inbox, self.town
        inbox.due += step.asks
        inbox.patient = step.rest
        was_gone = town.gone
        for octets in step.out:
            town.hear(bytes(octets))
        self._watch()
        if was_gone and step.out:
            inbox.broken = inbox.broken or closed()
        while not inbox.ready(step.replies) and inbox.broken is None:
            self._deliver()
        if inbox.broken is not None and self.client.lost is None:
            self.client.lost = Lost(inbox.broken, written=True)
        return inbox.all() if step.rest else inbox.take(step.replies)

    def _deliver(self) -> None:
        cut = self._weather.cuts[self._at % len(self._weather.cuts)]
        self._at += 1
        data, self.town.replies = self.town.replies[:cut], self.town.replies[cut:]
        if data:
            self.inbox.feed(data)
        else:
            assert self.town.gone, "the client waits for what does not come"
            self.inbox.broken = closed()

    def _watch(self) -> None:
        flying = [plan.size + 2 for plan in self._plans[len(self.told) : self.town.met]]
        self.most = max(self.most, len(flying))
        if len(flying) > 1:
            self.heaviest = max(self.heaviest, sum(flying))


codes = st.sampled_from([250, 250, 250, 250, 450, 550])
plans = st.builds(
    Plan,
    mail=codes,
    rcpt=st.lists(codes, min_size=1, max_size=3).map(tuple),
    final=codes,
    size=st.integers(5, 3000),
)
weathers = st.builds(
    Weather,
    keeps=st.booleans(),
    dies=st.one_of(st.just(-1), st.integers(1, 12)),
    leaves=st.one_of(st.just(-1), st.integers(0, 12)),
    stays=st.booleans(),
    cuts=st.lists(st.integers(1, 400), min_size=1, max_size=5).map(tuple),
    chunking=st.booleans(),
)
limits = st.builds(Bounds, messages=st.integers(1, 9), octets=st.integers(1, 9000))


def sent_by(plans: list[Plan], weather: Weather, bounds: Bounds | None = None) -> Way:
    way = Way(plans, weather, bounds or Bounds())
    way.run(pipeline(way.client, way.parcels(), way.told.append, bounds or Bounds()))
    return way


@settings(deadline=None, max_examples=400)
@given(st.lists(plans, max_size=14), weathers, limits)
def test_each_message_has_its_own_outcome(plans: list[Plan], weather: Weather, bounds: Bounds) -> None:
    """Whatever the server says, however it is cut, and wherever it ends: each message is told its own replies."""
    way = sent_by(plans, weather, bounds)
    town = way.town
    assert len(way.told) == way.begun
    for number, told in enumerate(way.told):
        plan = plans[number]
        taken = number in town.taken
        if isinstance(told, Sent):
            for place, reply in enumerate(told.recipients):
                assert reply.text == f"rcpt r{number}.{place}" and reply.code == plan.rcpt[place]
            if told.final is not None and plan.mail == 250 and 250 in plan.rcpt:
                expected = {f"final {number}"} if weather.chunking or told.final.code != 554 else {"nobody"}
                assert told.final.text in expected
            assert taken is (told.final is not None and told.final.positive)
        elif isinstance(told, SmtpRefused):
            assert not taken
            assert told.text == f"mail {number}"
        else:
            assert not taken or told.facts["after_body"] == "yes"
    for number, (sender, people) in town.taken.items():
        assert sender == number  # never under another one's envelope
        right = [f"r{number}.{place}" for place, code in enumerate(plans[number].rcpt) if code == 250]
        assert people == right
    if weather.dies < 0 and weather.leaves < 0:
        assert way.begun == len(plans)
        assert {number for number, plan in enumerate(plans) if plan.accepted} == set(town.taken)


@settings(deadline=None)
@given(st.lists(plans, max_size=30), limits, st.booleans())
def test_the_bounds_hold(plans: list[Plan], bounds: Bounds, chunking: bool) -> None:
    """Never more messages, nor octets, are unanswered than allowed; one message alone may be of any size."""
    way = sent_by(plans, Weather(chunking=chunking, cuts=(50,)), bounds)
    assert way.most <= (max(bounds.messages, 1) if chunking else 2)
    if chunking:
        assert way.heaviest <= bounds.octets


def test_many_in_one_round_trip() -> None:
    """After the first message, alone, sixteen go out together."""
    way = sent_by([Plan()] * 97, Weather())
    assert way.exchanges == 1 + 6
    assert len(way.town.taken) == 97


def test_without_chunking_one_round_trip_each() -> None:
    """Where there is no BDAT the next envelope goes out behind a text: one round trip a message, not two."""
    way = sent_by([Plan()] * 97, Weather(chunking=False))
    assert way.exchanges == 2 + 1 + 96
    assert len(way.town.taken) == 97


def test_who_is_behind_a_server_that_leaves_was_not_sent() -> None:
    """421 to one of sixteen in flight: those behind it are known not to be sent, and nobody else is begun."""
    way = sent_by([Plan()] * 40, Weather(leaves=5))
    assert [isinstance(one, Sent) for one in way.told] == [True] * 5 + [False] * 12
    left, *behind = way.told[5:]
    assert isinstance(left, SmtpRefused) and left.reply_code == 421
    assert all(isinstance(one, DataPallasError) and one.facts["after_body"] == "no" for one in behind)
    assert way.begun == 17 and not way.client.unsteady


def test_who_is_behind_a_421_and_answered_all_the_same_is_heard() -> None:
    """A server that says 421 and goes on: what it then takes counts as taken, and the session still ends."""
    way = sent_by([Plan()] * 40, Weather(leaves=5, stays=True))
    assert set(way.town.taken) == {number for number in range(17) if number != 5}
    assert [isinstance(one, Sent) for one in way.told] == [number != 5 for number in range(17)]
    assert way.client.closed


def test_the_connection_dies_with_many_in_flight() -> None:
    """Those whose answer is missing may have been taken, each; what was not begun is not touched."""
    way = sent_by([Plan()] * 40, Weather(dies=4))
    assert [isinstance(one, Sent) for one in way.told] == [True] * 3 + [False] * 14
    assert {one.facts["after_body"] for one in way.told[3:] if isinstance(one, DataPallasError)} == {"yes"}
    assert len({id(one.facts) for one in way.told[3:] if isinstance(one, DataPallasError)}) == 14
    assert way.client.unsteady


@pytest.mark.parametrize("chunking", [True, False])
def test_a_message_that_cannot_be_sent_holds_up_nobody(chunking: bool) -> None:
    """A wrong address and a file that is gone, in the middle of others: told in their turn; all others go."""

    class Gone(BytesBody):
        def chunks(self) -> Iterator[Octets]:
            raise AttachmentError("It is gone.")

    way = Way([Plan()] * 9, Weather(chunking=chunking), Bounds())

    def parcels() -> Iterator[Parcel]:
        for number, parcel in enumerate(way.parcels()):
            if number == 3:
                yield parcel._replace(recipients=["not an address"])
            elif number == 6:
                yield parcel._replace(body=Gone(b"gone\r\n"))
            else:
                yield parcel

    way.run(pipeline(way.client, parcels(), way.told.append))
    kinds = [type(one) for one in way.told]
    assert kinds == [Sent, Sent, Sent, AddressError, Sent, Sent, AttachmentError, Sent, Sent]
    assert len(way.town.taken) == 7


@pytest.mark.parametrize("chunking", [True, False])
def test_what_its_source_fails_with_waits_for_the_others(chunking: bool) -> None:
    """Whoever gives the messages fails: those in flight are told first."""
    way = Way([Plan()] * 9, Weather(chunking=chunking), Bounds())

    def parcels() -> Iterator[Parcel]:
        for number, parcel in enumerate(way.parcels()):
            if number == 6:
                raise KeyError(number)
            yield parcel

    with pytest.raises(KeyError):
        way.run(pipeline(way.client, parcels(), way.told.append))
    assert [type(one) for one in way.told] == [Sent] * 6
    assert len(way.town.taken) == 6


@pytest.mark.parametrize("features", [Features(), Features(chunking=True), Features(pipelining=True)])
def test_a_server_that_does_not_offer_it(features: Features) -> None:
    """Without PIPELINING nothing is ever sent ahead."""
    way = Way([Plan()] * 5, Weather(chunking=features.chunking), Bounds())
    way.client.features = features
    way.run(pipeline(way.client, way.parcels(), way.told.append))
    assert way.most <= (2 if features.pipelining else 1)
    assert len(way.town.taken) == 5


def test_nothing_is_taken_when_nothing_more_is_wanted() -> None:
    """The next message is asked for only when it may go out: whoever stops in between has begun no other."""
    way = Way([Plan()] * 40, Weather(), Bounds(messages=4))
    stop: list[bool] = []

    def parcels() -> Iterator[Parcel]:
        for parcel in way.parcels():
            yield parcel
            if stop:
                return

    def told(one: Told) -> None:
        way.told.append(one)
        stop.append(True)

    check: Callable[[Told], None] = told
    way.run(pipeline(way.client, parcels(), check, Bounds(messages=4)))
    assert way.begun == 1 and len(way.town.taken) == 1
