"""The outbox as its templates show it: words, colours and numbers, made from what the services say. Pure."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, NamedTuple

from datapallas.diagnosis.explain import explain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from datapallas.diagnosis.explain import Diagnosis
    from datapallas.errors import DataPallasError
    from datapallas.outbox.history import History
    from datapallas.outbox.overview import JobLine, MailboxLine

FATES = ("accepted", "deferred", "refused", "unknown", "parked", "queued")
"""Outcomes in the order people ask for them."""
COLOURS = {
    "accepted": "good",
    "deferred": "warn",
    "refused": "bad",
    "unknown": "bad",
    "parked": "warn",
    "queued": "calm",
}
STATES = {
    "queued": "waits",
    "held": "is held",
    "claimed": "is being sent",
    "done": "is done",
}
PAUSES = {
    "person": "Somebody paused it. Resume lets it go on.",
    "sign-in": "It cannot sign in; it goes on when somebody has signed in again. By itself one message tries again from time to time; Resume tries at once.",
    "configuration": "Its connection cannot be used; it goes on when that was changed. By itself one message tries again from time to time; Resume tries at once.",
    "sender": "The provider does not let it send. Press Resume when that is mended: nothing tries again before.",
    "quota": "Its day is used up, the server says; one message tries again each hour.",
}
RANGES = {"hour": ("the last hour", 60.0, 60), "day": ("the last 24 hours", 1800.0, 48)}
"""What a chart shows: words, seconds of one span, spans."""
WIDTH, HEIGHT, GAP = 600, 120, 1
_MINUTE = 60.0
_SOON = 1.5


class Count(NamedTuple):
    """How many recipients came to an outcome."""

    name: str
    number: int
    colour: str


@dataclasses.dataclass(frozen=True, slots=True)
class JobView:
    """A job; `seconds_left` is None when nothing of it waits."""

    line: JobLine
    seconds_left: float | None
    mailbox: MailboxLine | None

    @property
    def total(self) -> int:
        """Its recipients."""
        return sum(self.line.fates.values())

    @property
    def done(self) -> int:
        """Recipients with an outcome."""
        return self.total - self.line.open

    @property
    def percent(self) -> int:
        """How much is done; 100 only when everything is."""
        return 100 if not self.line.open else min(99, 100 * self.done // max(1, self.total))

    @property
    def counts(self) -> list[Count]:
        """Outcomes there are."""
        return [Count(name, n, COLOURS[name]) for name in FATES if (n := self.line.fates[name])]

    @property
    def state(self) -> tuple[str, str]:
        """The state in words, and its colour."""
        if self.line.state == "cancelled":
            return "Cancelled", "calm"
        if not self.line.open:
            lost = any(self.line.fates[name] for name in ("refused", "unknown", "parked"))
            return ("Done, not for all", "warn") if lost else ("Done", "good")
        if self.line.state == "paused":
            return "Paused", "warn"
        waits = self.mailbox is not None and self.mailbox.pause
        return ("Waits: its mailbox is paused", "warn") if waits else ("Under way", "calm")

    @property
    def pace(self) -> str:
        """How fast it goes and how long it takes, in words; empty when nothing waits."""
        if self.seconds_left is None or self.line.state != "open":
            return ""
        from datapallas.outbox.estimate import duration

        left = f"about {duration(self.seconds_left)} left"
        rate = self.mailbox.rate if self.mailbox else 0.0
        return f"{speed(rate)}, {left}" if rate else left


@dataclasses.dataclass(frozen=True, slots=True)
class MailboxView:
    """A mailbox."""

    line: MailboxLine

    @property
    def state(self) -> tuple[str, str]:
        """The state in words, and its colour."""
        line = self.line
        if line.pause:
            return f"Paused ({line.pause})", "bad" if line.pause in {"sign-in", "sender"} else "warn"
        if line.waits > _SOON:
            from datapallas.outbox.estimate import duration

            return f"Rests for {duration(line.waits)}", "warn"
        return ("Sends", "good") if line.sessions else ("Ready", "calm")

    @property
    def why(self) -> str:
        """Why it is paused."""
        return PAUSES.get(self.line.pause, "")

    @property
    def limits(self) -> str:
        """Its limits, in words."""
        limits = self.line.limits
        words = [f"{limits.sessions} session{'s' if limits.sessions != 1 else ''}"]
        words += [f"{limits.per_minute:g} a minute"] if limits.per_minute else []
        words += [f"{self.line.last_day:,} of {limits.per_day:,} recipients today"] if limits.per_day else []
        return ", ".join(words)

    @property
    def pace(self) -> str:
        """How fast it goes and how long the rest takes, in words; empty when nothing waits."""
        if not self.line.waiting or self.line.pause:
            return ""
        from datapallas.outbox.estimate import duration

        now = f"{speed(self.line.rate)}; " if self.line.rate else ""
        slow = f" {self.line.slow:g} times slower, as its server asked;" if self.line.slow > 1 else ""
        return f"{now}{slow} about {duration(self.line.left.seconds)} left".strip()

    @property
    def problem(self) -> Diagnosis | None:
        """What stops it."""
        shown = self.line.pause or self.line.waits > _SOON
        return explained(self.line.problem, {"connection": self.line.code}) if shown else None


class Bar(NamedTuple):
    """A piece of a column: x, y, width, height in the chart's units."""

    kind: str
    x: float
    y: float
    width: float
    height: float


class Row(NamedTuple):
    """One span as the table shows it."""

    at: str
    accepted: int
    deferred: int
    refused: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart of stacked columns; `limit` is the height of the provider's limit, None when there is none."""

    words: str
    bars: Sequence[Bar]
    limit: float | None
    limit_words: str
    most: int
    rows: Sequence[Row]
    totals: tuple[int, int, int]


def chart(history: History, per_minute: float, words: str) -> Chart:
    """The chart of a mailbox's tries."""
    limit = per_minute * history.seconds / _MINUTE
    most = max([1.0, limit, *[span.all for span in history.spans]])
    wide = WIDTH / len(history.spans)
    bars: list[Bar] = []
    for place, span in enumerate(history.spans):
        below = 0
        for kind, count in (
            ("accepted", span.accepted),
            ("deferred", span.deferred),
            ("refused", span.refused),
        ):
            if count:
                high = count / most * HEIGHT
                top = HEIGHT - below / most * HEIGHT - high
                bars.append(
                    Bar(kind, round(place * wide, 2), round(top, 2), round(wide - GAP, 2), round(high, 2))
                )
                below += count
    rows = [
        Row(_clock(span.at), span.accepted, span.deferred, span.refused) for span in history.spans if span.all
    ]
    return Chart(
        words=words,
        bars=bars,
        limit=round(HEIGHT - limit / most * HEIGHT, 2) if limit else None,
        limit_words=f"the limit, {limit:g} in {history.seconds / _MINUTE:g} min" if limit else "",
        most=int(most),
        rows=rows[::-1],
        totals=(
            sum(span.accepted for span in history.spans),
            sum(span.deferred for span in history.spans),
            sum(span.refused for span in history.spans),
        ),
    )


def explained(problem: DataPallasError | None, facts: Mapping[str, str]) -> Diagnosis | None:
    """Why something was not accepted; `facts` make its commands complete."""
    return explain(problem, facts) if problem is not None else None


def speed(a_second: float) -> str:
    """A pace, in words."""
    minute = a_second * _MINUTE
    return f"{a_second:,.0f} a second" if minute > 600 else f"{minute:,.0f} a minute"  # noqa: PLR2004 - 10 a second


def _clock(at: float) -> str:
    return time.strftime("%H:%M UTC", time.gmtime(at))
