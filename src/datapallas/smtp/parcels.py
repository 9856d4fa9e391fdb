"""What several messages in flight are made of: the messages, their bounds, and the source that gives them one by one.

Must stay true: a parcel is asked for only when it may go out; what its source fails with is kept until the others in
flight are told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from datapallas.smtp.body import Body


class Parcel(NamedTuple):
    """A message to send: what `transaction` takes."""

    sender: str
    recipients: Sequence[str]
    body: Body


class Bounds(NamedTuple):
    """How much may be unanswered at once; one message may, whatever its size.

    Attributes:
        messages: 1 is lock-step.
        octets: of messages, commands not counted.
    """

    messages: int = 16
    octets: int = 1024 * 1024


BOUNDS = Bounds()


class Source:
    """Gives parcels one at a time."""

    def __init__(self, parcels: Iterator[Parcel]) -> None:
        self._parcels = parcels
        self._next: Parcel | None = None
        self.over = False
        self.problem: Exception | None = None

    def peek(self) -> Parcel | None:
        """The next one; None when there is none, or no more is wanted."""
        if self._next is None and not self.over:
            try:
                self._next = next(self._parcels, None)
            except Exception as problem:  # noqa: BLE001 - raised again when what is in flight is told
                self.fail(problem)
            self.over = self._next is None
        return None if self.over else self._next

    def take(self) -> Parcel:
        """Take the one that was looked at."""
        parcel, self._next = self._next, None
        assert parcel is not None  # noqa: S101 - the callers' condition
        return parcel

    def fail(self, problem: Exception) -> None:
        """Give nothing more, and `problem` in the end."""
        self.problem, self.over = problem, True

    def left(self) -> Iterator[Parcel]:
        """What was looked at and not taken."""
        if self._next is not None:
            yield self.take()
