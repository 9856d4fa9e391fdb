"""How long a job will take, said honestly before it starts."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from datapallas.outbox.eta import Pace, seconds_left

if TYPE_CHECKING:
    from datapallas.outbox.limits import Limits

_DAY = 86_400.0
_HOUR = 3_600.0
_MINUTE = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """How long, in seconds and in words, and what to consider (may be empty)."""

    seconds: float
    words: str
    advice: str


def estimate(messages: int, recipients: int, limits: Limits, *, sent_today: int = 0) -> Estimate:
    """Say how long `messages` to `recipients` take through one mailbox with these limits, before it begins.

    `sent_today` is what the last 24 hours have used of the day's recipients already.
    """
    return left(messages, recipients, Pace(limits=limits, counts=((0, sent_today),) if sent_today else ()))


def left(messages: int, recipients: int, pace: Pace) -> Estimate:
    """Say how long what waits still takes."""
    seconds = seconds_left(messages, recipients, pace)
    who = f"{recipients:,} recipient{'' if recipients == 1 else 's'}"
    words = f"{who} through this mailbox: {duration(seconds)}" if messages else "nobody to send to"
    advice = ""
    if seconds > 2 * _DAY:
        advice = "Consider more mailboxes, or a service made for bulk mail: the provider allows one mailbox no more."
    return Estimate(seconds, words, advice)


def duration(seconds: float) -> str:
    """Write a length of time as people say it: `40 s`, `12 min`, `2 h 47 min`, `10 days`."""
    if seconds < _MINUTE:
        return f"{max(1, round(seconds))} s"
    if seconds < _HOUR:
        return f"{round(seconds / _MINUTE)} min"
    if seconds < 2 * _DAY:
        hours, minutes = divmod(round(seconds / _MINUTE), 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{-int(-seconds // _DAY)} days"
