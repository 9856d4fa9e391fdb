"""Five-field cron expressions in a time zone. Pure.

Must stay true: a time that the clocks skip runs once, as much later as they jump; one that they repeat runs once, the
first time - unless the hours are a wildcard, which means "every real hour".
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import TYPE_CHECKING

from croniter import croniter

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIELDS = 5
_LONGEST = dt.timedelta(hours=3)  # no clock change is longer
_YEARS = 6  # a 29 February comes within eight years, or never in practice


def fault(cron: str, zone: str) -> str:
    """Why a schedule cannot be used, in words; empty when it can."""
    if len(cron.split()) != _FIELDS:
        return f"a cron expression has five fields (minute hour day month weekday), not {cron!r}"
    if not croniter.is_valid(cron):
        return f"{cron!r} is not a cron expression"
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return f"there is no time zone {zone!r}; one is called Europe/Berlin, for example"
    if next(upcoming(cron, zone, 0.0), None) is None:
        return f"{cron!r} never comes"
    return ""


def upcoming(cron: str, zone: str, after: float) -> Iterator[float]:
    """The times after `after`, seconds since 1970, without end; none when it never comes."""
    place, last = zoneinfo.ZoneInfo(zone), after
    local = _local(after, place) - _LONGEST
    steps = croniter(cron, local, max_years_between_matches=_YEARS + 2)
    held: list[float] = []
    while True:
        try:
            naive = steps.get_next(dt.datetime)
        except ValueError:  # croniter's own, and one past year 9999
            return
        held = sorted({*held, *_real(naive, place, cron)})
        certain = (naive - _LONGEST).replace(tzinfo=place).timestamp()
        while held and held[0] <= certain:
            at = held.pop(0)
            if at > last:
                last = at
                yield at


def passed(cron: str, zone: str, after: float, until: float, most: int) -> list[float]:
    """The times after `after` up to and with `until`, oldest first; the newest `most` of them."""
    place = zoneinfo.ZoneInfo(zone)
    steps = croniter(cron, _local(until, place) + _LONGEST, max_years_between_matches=_YEARS + 2)
    first = _local(after, place) - _LONGEST
    found: set[float] = set()
    while True:
        try:
            naive = steps.get_prev(dt.datetime)
        except ValueError:
            break
        if naive < first:
            break
        found |= {at for at in _real(naive, place, cron) if after < at <= until}
        if len(found) > most and naive < _local(sorted(found)[-most], place) - _LONGEST:
            break
    return sorted(found)[-most:]


def words(at: float, zone: str) -> str:
    """A time as people of that zone read it: `Mon 2026-11-30 07:00 (Europe/Berlin)`."""
    return f"{dt.datetime.fromtimestamp(at, zoneinfo.ZoneInfo(zone)):%a %Y-%m-%d %H:%M} ({zone})"


def _local(at: float, zone: zoneinfo.ZoneInfo) -> dt.datetime:
    """What a clock on the wall shows."""
    return dt.datetime.fromtimestamp(at, zone).replace(tzinfo=None)


def _real(naive: dt.datetime, zone: zoneinfo.ZoneInfo, cron: str) -> list[float]:
    """The moments at which the wall shows it: one, or two in the hour that comes twice when each hour is meant."""
    first = naive.replace(tzinfo=zone).timestamp()
    second = naive.replace(tzinfo=zone, fold=1).timestamp()
    twice = second > first and cron.split()[1].startswith("*")
    return [first, second] if twice else [first]
