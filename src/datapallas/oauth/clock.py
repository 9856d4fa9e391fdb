"""What time it is, as an argument: wall time to tell people, monotonic time to measure with.

Must stay true: no expiry is decided by the wall clock, which people and NTP may set at any moment.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import Protocol


class Clock(Protocol):
    """Both kinds of time."""

    def wall(self) -> float:
        """Seconds since 1970 UTC, as this machine believes."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow, from an arbitrary start."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def wall(self) -> float:
        """Seconds since 1970 UTC, as this machine believes."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that only ever grow, from an arbitrary start."""
        return time.monotonic()


def iso(seconds: float) -> str:
    """Wall time as ISO 8601 in UTC, to the second, as connection files hold it: ``2026-11-24T08:00:00Z``."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_iso(text: str) -> float | None:
    """Seconds since 1970 of an ISO 8601 time (UTC when it names no zone), or None when it is not one."""
    try:
        parsed = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=dt.UTC)
    return parsed.timestamp()
