"""When the next message may leave, and when a failed one is tried again. Pure: time and chance are arguments.

The generic cell rate algorithm (ITU-T I.371) without a burst: each message takes the next free moment and moves it
on. Must stay true: in any window there are no more reservations than the rate allows, whatever the clock does; a
clock that jumps never makes anybody wait longer than what was reserved before it can explain.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

HORIZON = 5.0
"""Seconds of sending that one claim reserves: short, so that an urgent message is not behind many."""
MOST = 128
"""Messages of one claim: so many windows (see WINDOW) that it costs little."""
LATE = 0.1
"""Seconds behind a reserved moment from which it must be given back: late ones bunch up otherwise (measured). See `late`."""
WINDOW = 32
"""Messages that may be handed over before their results are written, where nothing limits the pace: so many are in
doubt when the worker is killed. A commit takes as long as the disk, and a fast server has taken many by then."""
_WINDOW_SECONDS = 0.25
HOUR = 3600.0
DAY_HOURS = 24
MAX_BACKOFF = 300.0
LONGEST_DELAY = 4 * HOUR
LIFETIME = 48 * HOUR
LONGEST_PROBE = HOUR
_FIRST_PROBE = 300.0
_FIRST_DELAY = 60.0
_FIRST_BACKOFF = 5.0
_SLOWEST = 16.0
_SLOWED_INTERVAL = 0.05  # what "half the speed" starts from where nothing limits it


@dataclasses.dataclass(frozen=True, slots=True)
class Reserved:
    """Moments taken: when each message may leave, and the next free moment after them."""

    at: tuple[float, ...]
    next_free: float


def free_moment(next_free: float, now: float, interval: float) -> float:
    """The next moment that may be taken. One further ahead than all sessions could have reserved is a clock's jump."""
    ahead = next_free - now
    if ahead > 20 * (HORIZON + interval):
        return now + interval
    return max(next_free, now)


def room(next_free: float, now: float, interval: float, seconds: float) -> int:
    """How many messages to claim: what leaves within the horizon, one message taking `seconds` in this session."""
    start = free_moment(next_free, now, interval)
    if start - now > HORIZON:
        return 0
    each = max(interval, seconds)
    if not interval:
        return max(20, min(MOST, int(HORIZON / each))) if each else MOST
    if seconds > interval:  # this session cannot keep up, so another one may have the next moment
        return 1
    return max(1, min(MOST, int((HORIZON - (start - now)) / interval)))


class Speed(NamedTuple):
    """What a session has measured.

    Attributes:
        message, commit: seconds each takes; 0: not known yet. Of messages that are in flight together, each one's share.
        depth: messages the server lets be in flight at once; 1: one after the other.
    """

    message: float = 0.0
    commit: float = 0.0
    depth: int = 1


def window(interval: float, speed: Speed) -> int:
    """How many messages go out before their results are written together: no more than the disk makes worth while.

    Where several are in flight at once, so many that most of the time they are: after each commit the way is empty.
    """
    if interval or not speed.message:  # paced, or not known yet how fast the server is
        return 1
    worth = math.ceil(2 * speed.commit / speed.message)
    if speed.depth > 1:
        worth = max(worth, 2 * speed.depth)
    return max(1, min(WINDOW, worth, int(_WINDOW_SECONDS * speed.depth / speed.message)))


def mean(before: float, now: float) -> float:
    """A moving mean; `before` is 0 for none."""
    return 0.8 * before + 0.2 * now if before else now


def reserve(next_free: float, now: float, interval: float, weights: Sequence[int]) -> Reserved:
    """Take one moment for each message; one of weight 2 keeps the next moment free as well."""
    at = []
    moment = free_moment(next_free, now, interval)
    for weight in weights:
        at.append(moment)
        moment += interval * weight
    return Reserved(tuple(at), moment)


def late(interval: float) -> float:
    """Seconds behind a reserved moment from which it is given back: a quarter of a long interval bunches up nothing."""
    return max(LATE, min(1.0, interval / 4))


def slowed(interval: float, slow: float) -> float:
    """The interval of a mailbox whose server asked for less: `slow` is 1, 2, 4, 8 or 16."""
    return interval if slow <= 1 else max(interval, _SLOWED_INTERVAL) * slow


def slower(slow: float) -> float:
    """Half the speed."""
    return min(_SLOWEST, max(1.0, slow) * 2)


def faster(slow: float) -> float:
    """Twice the speed, up to the whole."""
    return max(1.0, slow / 2)


def backoff(step: int, chance: float, asked: float = 0.0) -> float:
    """Seconds to leave a server alone after `step` (0, 1, ...) failures in a row; `chance` in [0, 1) spreads workers.

    Never less than it `asked` for, as long as that is no more than twice MAX_BACKOFF: then it is asked again.
    """
    own = float(min(MAX_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(step, 10)) * (0.75 + chance / 2))
    return max(own, min(asked, 2 * MAX_BACKOFF))


def probe_delay(step: int) -> float:
    """Seconds until a mailbox that could not sign in `step` times in a row tries again: somebody may have mended it elsewhere."""
    return float(min(LONGEST_PROBE, _FIRST_PROBE * 2.0 ** min(step, 10)))


def retry_delay(waited: float, chance: float, lifetime: float) -> float | None:
    """Seconds until a deferred message is tried again, or None when it has waited for its lifetime.

    `waited` is the sum of the delays before, not a difference of clock times: a clock that jumps a year expires nothing.
    """
    if waited >= lifetime:
        return None
    base = min(LONGEST_DELAY, max(_FIRST_DELAY, waited))  # doubles the whole wait each time
    return min(base * (0.8 + 0.4 * chance), max(_FIRST_DELAY, lifetime - waited))


def hour_of(now: float) -> int:
    """The hour a recipient is counted in."""
    return int(now // HOUR)


def day_left(counts: Sequence[tuple[int, int]], now: float, per_day: int) -> tuple[int, float]:
    """How many recipients may still be sent to, and when there will be room if there is none.

    `counts` are pairs of hour and recipients. Any 24 hours are counted by whole hours, the oldest one included: rather
    a few less than one too many. Hours more than a day ahead are a clock's jump, and are not counted.
    """
    here = hour_of(now)
    counted = sorted((hour, n) for hour, n in counts if abs(hour - here) <= DAY_HOURS)
    left = per_day - sum(n for _, n in counted)
    if left > 0 or not counted:
        return max(0, left), now
    return 0, (counted[0][0] + DAY_HOURS + 1) * HOUR
