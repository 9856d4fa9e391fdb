"""How long a failing connection waits before a provider is asked again.

Must stay true: at most one request a minute reaches the provider for a connection that fails, whatever it is asked for
here (AADSTS50196 is what happens otherwise); what the provider asks for in Retry-After is kept; a success ends it.
Pure: time and chance are arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.errors import DataPallasError, TokenRefused

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST, LONGEST = 5.0, 900.0  # seconds
PER_REQUEST = 60.0  # seconds for each request that reached the provider
LONGEST_ASKED = 86400.0  # seconds; a Retry-After beyond a day is a mistake
FORCED_A_MINUTE = 3  # new tokens a minute for mail servers that refuse good ones


class Pace:
    """What is known about a connection's last failures. Not safe for threads: its owner holds a lock."""

    def __init__(self, chance: Callable[[], float]) -> None:
        """`chance` gives numbers from 0 to 1."""
        self._chance = chance
        self._failures = 0
        self._not_before = 0.0
        self._problem: DataPallasError | None = None
        self._forced: list[float] = []

    def failed(self, problem: DataPallasError, now: float, requests: int) -> None:
        """A try failed after `requests` of them had reached the provider; `now` is monotonic seconds."""
        self._failures += 1
        grown = min(FIRST * 2.0 ** min(self._failures - 1, 30), LONGEST) * (0.75 + 0.5 * self._chance())
        asked = problem.retry_after if isinstance(problem, TokenRefused) and problem.retry_after else 0.0
        self._not_before = now + max(grown, PER_REQUEST * requests, min(asked, LONGEST_ASKED))
        self._problem = problem

    def succeeded(self) -> None:
        """The provider answered well."""
        self._failures, self._problem, self._not_before = 0, None, 0.0

    def check(self, now: float) -> None:
        """Raise the last failure again, with `retry_in` seconds, while it is too early to ask."""
        if self._problem is not None and now < self._not_before:
            self._problem.facts["retry_in"] = f"{self._not_before - now:.0f}"
            raise self._problem

    def may_force(self, now: float) -> bool:
        """Whether a token that is still good may be replaced; counts when it may."""
        self._forced = [at for at in self._forced if at > now - 60.0]
        if len(self._forced) >= FORCED_A_MINUTE:
            return False
        self._forced.append(now)
        return True
