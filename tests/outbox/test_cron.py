"""When something that is scheduled runs, in every time zone and across clock changes."""

from __future__ import annotations

import datetime as dt
import itertools
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapallas.outbox.runs import cron

BERLIN = "Europe/Berlin"


def at(text: str, zone: str = "UTC") -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=zoneinfo.ZoneInfo(zone)).timestamp()


def shown(times: list[float], zone: str) -> list[str]:
    return [f"{dt.datetime.fromtimestamp(one, zoneinfo.ZoneInfo(zone)):%m-%d %H:%M%z}" for one in times]


def both(expression: str, zone: str, after: float, until: float) -> list[float]:
    """The times of a span, asked forwards and backwards."""
    forwards = list(itertools.takewhile(lambda one: one <= until, cron.upcoming(expression, zone, after)))
    assert forwards == cron.passed(expression, zone, after, until, 10_000)
    return forwards


def test_every_morning_stays_seven_o_clock() -> None:
    """Seven in the morning is seven in the morning before and after the clocks change."""
    spring = both("0 7 * * *", BERLIN, at("2026-03-27T12:00"), at("2026-03-30T12:00"))
    assert shown(spring, BERLIN) == ["03-28 07:00+0100", "03-29 07:00+0200", "03-30 07:00+0200"]
    autumn = both("0 7 * * 1-7", BERLIN, at("2026-10-23T12:00"), at("2026-10-26T12:00"))
    assert shown(autumn, BERLIN) == ["10-24 07:00+0200", "10-25 07:00+0100", "10-26 07:00+0100"]


def test_a_time_that_does_not_exist_runs_once_and_later() -> None:
    """02:30 is skipped on the last Sunday of March: it runs at 03:30, once."""
    found = both("30 2 * * *", BERLIN, at("2026-03-28T12:00"), at("2026-03-30T12:00"))
    assert shown(found, BERLIN) == ["03-29 03:30+0200", "03-30 02:30+0200"]


def test_a_time_that_comes_twice_runs_once() -> None:
    """02:30 comes twice on the last Sunday of October: it runs the first time."""
    found = both("30 2 * * *", BERLIN, at("2026-10-24T12:00"), at("2026-10-26T12:00"))
    assert shown(found, BERLIN) == ["10-25 02:30+0200", "10-26 02:30+0100"]


def test_each_hour_means_each_real_hour() -> None:
    """With a wildcard for the hour the day of a change has 23 or 25 runs, an hour apart."""
    for day, hours in (("2026-03-29", 23), ("2026-10-25", 25)):
        found = both("0 * * * *", BERLIN, at(day, BERLIN) - 1, at(f"{day}T23:30", BERLIN))
        assert len(found) == hours
        assert {later - one for one, later in itertools.pairwise(found)} == {3600.0}
        quarters = both("*/15 * * * *", BERLIN, at(day, BERLIN) - 1, at(f"{day}T23:59", BERLIN))
        assert len(quarters) == 4 * hours


def test_half_an_hour_of_summer() -> None:
    """Lord Howe Island moves its clocks by half an hour."""
    zone = "Australia/Lord_Howe"
    found = both("15 2 * * *", zone, at("2026-10-03T00:00"), at("2026-10-05T20:00"))
    assert len(found) == 3 and shown(found, zone)[0] == "10-04 02:45+1100"


def test_the_newest_of_many() -> None:
    """Of a year that was missed only as many as are asked for are looked at."""
    found = cron.passed("* * * * *", BERLIN, at("2025-01-01"), at("2026-01-01"), 3)
    assert found == [at("2025-12-31T23:58"), at("2025-12-31T23:59"), at("2026-01-01")]
    assert cron.passed("0 0 29 2 *", "UTC", at("2023-01-01"), at("2028-12-31"), 9) == [
        at("2024-02-29"),
        at("2028-02-29"),
    ]


@pytest.mark.parametrize(
    ("expression", "zone", "part"),
    [
        ("0 7 * *", "UTC", "five fields"),
        ("0 7 * * * *", "UTC", "five fields"),
        ("61 7 * * *", "UTC", "not a cron"),
        ("0 7 * * *", "Berlin", "no time zone"),
        ("0 7 * * *", "../etc/passwd", "no time zone"),
        ("0 7 30 2 *", "UTC", "never"),
    ],
)
def test_what_cannot_be_used_is_said(expression: str, zone: str, part: str) -> None:
    """The reason is one that can be acted on."""
    assert part in cron.fault(expression, zone)


def test_words() -> None:
    """The time is shown as the wall of that zone shows it."""
    assert not cron.fault("0 7 * * MON", BERLIN)
    assert cron.words(at("2026-11-30T06:00"), BERLIN) == "Mon 2026-11-30 07:00 (Europe/Berlin)"


@given(
    minute=st.integers(0, 59),
    hour=st.one_of(st.integers(0, 23).map(str), st.just("*"), st.just("*/5")),
    zone=st.sampled_from(
        [BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/St_Johns"]
    ),
    start=st.integers(1_750_000_000, 1_850_000_000),
)
def test_forwards_is_backwards(minute: int, hour: str, zone: str, start: int) -> None:
    """What is announced is what has passed later, in order, each time once, at the right minute."""
    found = both(f"{minute} {hour} * * *", zone, float(start), start + 5 * 86_400.0)
    assert found == sorted(set(found)) and len(found) >= 4
