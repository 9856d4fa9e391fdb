"""How fast, how long, and when again: pure functions, with time as an argument."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapallas.connection.model import Connection, OAuth2Client, Password, Provider, Server
from datapallas.errors import Unreachable
from datapallas.outbox import pacing, verdict
from datapallas.outbox.estimate import duration, estimate
from datapallas.outbox.eta import Pace, measured, seconds_left
from datapallas.outbox.history import PACE_MOST, PACE_SECONDS
from datapallas.outbox.limits import EXCHANGE, GMAIL, UNLIMITED, Limits, OwnLimits, preset

WEIGHTS = st.lists(st.integers(1, 3), min_size=1, max_size=20)
STEPS = st.lists(st.tuples(st.floats(0, 30), WEIGHTS), min_size=1, max_size=40)


@given(STEPS, st.sampled_from([0.12, 2.07, 10.0]))
def test_no_window_holds_more_than_the_rate(steps: list[tuple[float, list[int]]], interval: float) -> None:
    """However the claims come, in any minute there are no more messages than a minute may have, and one at its edge."""
    now, free, taken = 1000.0, 0.0, list[tuple[float, int]]()
    for pause, weights in steps:
        now += pause
        fits = weights[: pacing.room(free, now, interval, 0.0)]
        if not fits:
            continue
        reserved = pacing.reserve(free, now, interval, fits)
        assert all(moment >= now for moment in reserved.at)
        taken += zip(reserved.at, fits, strict=True)
        free = reserved.next_free
    for begin, _ in taken:
        inside = [weight for moment, weight in taken if begin <= moment < begin + 60]
        assert sum(inside[:-1]) <= 60 / interval + 1


@given(st.floats(-4e7, 4e7), st.sampled_from([0.0, 0.12, 2.07]))
def test_a_clock_that_jumps_holds_nothing_up(jump: float, interval: float) -> None:
    """A year forward or back: the next message leaves within the time that reservations can explain."""
    now = 1.8e9
    free = pacing.reserve(0.0, now, interval, [1] * 3).next_free
    assert (
        0 <= pacing.free_moment(free, now + jump, interval) - (now + jump) <= 20 * (pacing.HORIZON + interval)
    )


@given(st.floats(0, 1, exclude_max=True), st.floats(3600, 1e6))
def test_a_deferred_recipient_is_tried_for_its_lifetime(chance: float, lifetime: float) -> None:
    """The waits grow, add up to the lifetime and not much more, and then end; there are not many of them."""
    waited, tries = 0.0, 0
    while (delay := pacing.retry_delay(waited, chance, lifetime)) is not None:
        assert 0 < delay <= 1.2 * pacing.LONGEST_DELAY
        waited, tries = waited + delay, tries + 1
    assert lifetime <= waited <= lifetime + 1.2 * 60
    assert tries <= 15 + lifetime / (0.7 * pacing.LONGEST_DELAY)


@given(st.integers(0, 30), st.floats(0, 1, exclude_max=True))
def test_a_server_in_trouble_is_left_alone_longer_and_longer(step: int, chance: float) -> None:
    """From seconds to minutes, never for ever."""
    assert 3 < pacing.backoff(step, chance) <= 1.25 * pacing.MAX_BACKOFF
    assert pacing.backoff(step, chance) <= pacing.backoff(step + 1, chance)


@given(st.lists(st.tuples(st.floats(0, 7200), st.integers(1, 500)), max_size=100))
def test_no_day_holds_more_recipients_than_allowed(steps: list[tuple[float, int]]) -> None:
    """In any 24 hours, wherever they begin, there are at most as many recipients as a day may have."""
    now, hours, sent = 1.8e9, dict[int, int](), list[tuple[float, int]]()
    for pause, wanted in steps:
        now += pause
        left, again = pacing.day_left(list(hours.items()), now, 3000)
        assert again >= now
        count = min(wanted, left)
        hours[pacing.hour_of(now)] = hours.get(pacing.hour_of(now), 0) + count
        sent.append((now, count))
    for begin, _ in sent:
        assert sum(count for at, count in sent if begin <= at < begin + 86400) <= 3000


def test_what_hours_a_day_ahead_say_is_not_counted() -> None:
    """A clock that was a year ahead for a moment does not stop a mailbox for a year."""
    now = 1.8e9
    ahead = pacing.hour_of(now + 3e7)
    assert pacing.day_left([(ahead, 3000)], now, 3000) == (3000, now)


@pytest.mark.parametrize(
    ("recipients", "words"),
    [(1, "1 recipient through this mailbox: 2 s"), (5000, "2 h 52 min"), (100_000, "11 days")],
)
def test_the_estimate_is_honest(recipients: int, words: str) -> None:
    """Exchange Online: 29 a minute and 9,900 a day, said before a run; what takes days is said to need another way."""
    found = estimate(recipients, recipients, EXCHANGE)
    assert words in found.words
    assert bool(found.advice) is (recipients == 100_000)


def test_what_is_sent_already_counts() -> None:
    """An estimate knows what the last 24 hours have used."""
    assert estimate(100, 100, GMAIL).seconds < 60
    assert estimate(100, 100, GMAIL, sent_today=1980).seconds > 86_000
    assert "5,000 recipients through this mailbox" in estimate(5000, 5000, UNLIMITED).words
    assert [duration(s) for s in (0.2, 61, 7200, 86400 * 2.5)] == ["1 s", "1 min", "2 h", "3 days"]


def test_limits_are_the_providers_unless_somebody_says_otherwise() -> None:
    """Exchange and Gmail are known by sign-in or server, with a password too; own values win one by one."""
    microsoft = OAuth2Client(provider=Provider.MICROSOFT)
    assert preset(Connection(code="eml-a", credential=microsoft)) == EXCHANGE
    assert (
        preset(Connection(code="eml-a", server=Server(host="SMTP.Office365.com"), credential=Password()))
        == EXCHANGE
    )
    assert preset(Connection(code="eml-a", server=Server(host="smtp.gmail.com"))) == GMAIL
    assert preset(Connection(code="eml-a", server=Server(host="mail.example"))) == UNLIMITED
    assert OwnLimits(per_day=5).over(EXCHANGE) == Limits(sessions=3, per_minute=29, per_day=5)


def test_a_window_is_what_the_disk_makes_worth_while() -> None:
    """Results are written together only where nothing limits the pace, the server is fast and the disk is not."""
    fast, slow = pacing.Speed(0.001, 0.01), pacing.Speed(0.02, 0.002)
    assert pacing.window(0.0, fast) == 20 and pacing.window(0.0, slow) == 1
    assert pacing.window(0.0, pacing.Speed(0.0001, 0.1)) == pacing.WINDOW
    assert pacing.window(2.0, fast) == 1 and pacing.window(0.0, pacing.Speed()) == 1
    assert pacing.window(0.0, pacing.Speed(10.0, 100.0)) == 1


def test_who_asks_for_time_gets_it() -> None:
    """Retry-After is kept to, up to ten minutes; a number that is none counts for nothing."""
    assert pacing.backoff(0, 0.5) == 5.0 and pacing.backoff(0, 0.5, 90.0) == 90.0
    assert pacing.backoff(9, 0.0, 10.0) == 225.0 and pacing.backoff(0, 0.5, 86_400.0) == 600.0
    for said, seconds in (("120", 120.0), ("soon", 0.0), ("-1", 0.0), ("inf", 0.0)):
        error = Unreachable("429 Too Many Requests", retry_after=said)
        assert verdict.asked_after(error) == seconds
        judged = verdict.of_error(verdict.Case(recipients=[(0, "a@x.example")]), error)
        assert judged.throttled and judged.slower is bool(seconds) and judged.after == seconds


@dataclasses.dataclass
class Run:
    """A mailbox that sends, by the rules of pacing and a clock of its own; `taken` are the moments."""

    limits: Limits
    total: int
    now: float = 1.8e9
    slow: float = 1.0
    server: float = 0.0  # seconds the server takes for each
    taken: list[float] = dataclasses.field(default_factory=list)
    counts: dict[int, int] = dataclasses.field(default_factory=dict)
    said: list[tuple[float, float]] = dataclasses.field(default_factory=list)

    def go(self, until: int) -> None:
        """Send up to the message `until`, and say now and then how long the rest will take."""
        free = self.now
        while len(self.taken) < until:
            if self.limits.per_day:
                left, again = pacing.day_left(list(self.counts.items()), self.now, self.limits.per_day)
                if not left:
                    self.now = max(again, self.now + 1)
                    continue
            interval = pacing.slowed(self.limits.interval, self.slow)
            reserved = pacing.reserve(free, self.now, interval, [1])
            self.now, free = reserved.at[0] + self.server, reserved.next_free
            self.taken.append(self.now)
            hour = pacing.hour_of(self.now)
            self.counts[hour] = self.counts.get(hour, 0) + 1
            if len(self.taken) % 50 == 0:
                self.said.append((self.now, self.eta()))

    def eta(self) -> float:
        """What the page says."""
        last = [at for at in reversed(self.taken[-PACE_MOST:]) if at >= self.now - PACE_SECONDS]
        pace = Pace(
            limits=self.limits,
            slow=self.slow,
            measured=measured(last, self.now),
            counts=list(self.counts.items()),
            now=self.now,
        )
        left = self.total - len(self.taken)
        return seconds_left(left, left, pace)

    def wrong(self, after: float = 0.0) -> float:
        """By how much it was wrong at most, as a share of what was left; what is said of the last minute is not asked."""
        end = self.taken[-1]
        return max(abs(said - (end - at)) / (end - at) for at, said in self.said if after <= at < end - 60)


def test_the_time_left_is_right_within_a_tenth() -> None:
    """Paced evenly; by a slow server; slowed down in the middle; over several days: what is said comes true."""
    steady = Run(EXCHANGE, 2000)
    steady.go(2000)
    assert steady.wrong() < 0.1
    behind = Run(Limits(per_minute=60), 3000, server=3.0)
    behind.go(3000)
    assert behind.wrong() < 0.1
    free = Run(UNLIMITED, 5000, server=0.05)
    free.go(5000)
    assert free.wrong() < 0.1
    throttled = Run(Limits(per_minute=60), 3000)
    throttled.go(1000)
    throttled.slow, changed = 4.0, throttled.now
    throttled.go(3000)
    assert throttled.wrong(after=changed + 1) < 0.1
    days = Run(Limits(per_minute=29, per_day=3000), 10_000)
    days.go(10_000)
    assert days.taken[-1] - days.taken[0] > 2 * 86_400 and days.wrong() < 0.1
