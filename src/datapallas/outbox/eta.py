"""How long what waits in a mailbox still takes, from how fast it goes now, its limits and its day. Pure.

Must stay true: what is measured counts more than what is allowed; a day's limit is looked at hour by hour, as the
courier counts it (pacing.day_left).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from datapallas.outbox import pacing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datapallas.outbox.limits import Limits

FAST = 50.0
"""Messages a second a server without limits is assumed to take, before anything was measured."""
ENOUGH = 5
"""Messages from which a measured pace is believed."""
_LONGEST = 400 * pacing.HOUR * 24  # further away than anybody plans


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a mailbox is doing.

    Attributes:
        limits: in force.
        slow: how many times slower than its limits it sends, because its server asked for less.
        measured: messages a second of late; 0: nothing was measured.
        rests: seconds until it sends again.
        counts: recipients by hour, as pairs.
        now: seconds since 1970.
    """

    limits: Limits
    slow: float = 1.0
    measured: float = 0.0
    rests: float = 0.0
    counts: Sequence[tuple[int, int]] = ()
    now: float = 0.0

    @property
    def a_second(self) -> float:
        """Messages a second."""
        interval = pacing.slowed(self.limits.interval, self.slow)
        allowed = 1 / interval if interval else 0.0
        if self.measured:
            return min(self.measured, allowed) if allowed else self.measured
        return allowed or FAST


def measured(moments: Sequence[float], now: float) -> float:
    """Messages a second, from the moments of the last ones (the newest first); 0: too few to say."""
    if len(moments) < ENOUGH:
        return 0.0
    span = max(now, moments[0]) - moments[-1]
    return (len(moments) - 1) / span if span > 0 else 0.0


def seconds_left(messages: int, recipients: int, pace: Pace) -> float:
    """Seconds until so many waiting messages, with so many recipients, are handed over."""
    if messages <= 0:
        return 0.0
    begin = pace.now + pace.rests
    if not pace.limits.per_day:
        return pace.rests + messages / pace.a_second
    a_second = pace.a_second * max(1.0, recipients / messages)  # recipients
    counts = {hour: n for hour, n in pace.counts if abs(hour - pacing.hour_of(pace.now)) <= pacing.DAY_HOURS}
    left, moment = float(recipients), begin
    while moment - pace.now < _LONGEST:
        hour = pacing.hour_of(moment)
        used = sum(n for at, n in counts.items() if at >= hour - pacing.DAY_HOURS)
        room = max(0.0, pace.limits.per_day - used)
        end = (hour + 1) * pacing.HOUR
        sent = min(left, room, (end - moment) * a_second)
        if sent >= left:
            return moment + left / a_second - pace.now
        counts[hour] = counts.get(hour, 0) + int(sent)
        left -= sent
        moment = end
    return moment - pace.now
