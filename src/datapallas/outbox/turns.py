"""Many sessions in few threads: one that waits for its moment gives its thread to another.

A session is a generator that yields the seconds it has nothing to do for. Must stay true: one session is never in two
threads at a time; whoever is woken goes on at once, also when it was woken while it ran; nobody waits for one that is
held up, as long as there are threads.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Ended = Callable[[BaseException | None], None]

_IDLE_SECONDS = 5.0  # after which a thread that nobody needs ends


class Turn:
    """One session's place in the row."""

    def __init__(self, steps: Iterator[float], ended: Ended) -> None:
        self.steps = steps
        self.ended = ended
        self.done = threading.Event()
        self.number = 0  # of its last place in the row; the others are stale
        self.running = False
        self.woken = False


class Turns:
    """Runs turns in at most `threads` threads, which are made when they are needed."""

    def __init__(self, threads: int) -> None:
        self._most = threads
        self._changed = threading.Condition()
        self._row: list[tuple[float, int, Turn]] = []
        self._numbers = itertools.count(1)
        self._threads = self._free = 0

    def start(self, steps: Iterator[float], ended: Ended) -> Turn:
        """Begin; `ended` is called in its thread when it is over, with what ended it."""
        turn = Turn(steps, ended)
        with self._changed:
            self._place(turn, time.monotonic())
        return turn

    def wake(self, turn: Turn) -> None:
        """Let it go on now."""
        with self._changed:
            if turn.running:
                turn.woken = True
            elif not turn.done.is_set():
                self._place(turn, time.monotonic())

    def _place(self, turn: Turn, at: float) -> None:
        turn.number = next(self._numbers)
        heapq.heappush(self._row, (at, turn.number, turn))
        self._cover()
        self._changed.notify()

    def _cover(self) -> None:
        """Somebody waits for the first in the row, as long as there are threads."""
        if self._row and not self._free and self._threads < self._most:
            self._threads += 1
            threading.Thread(target=self._work, name="outbox-session", daemon=True).start()

    def _work(self) -> None:
        while (turn := self._next()) is not None:
            self._step(turn)

    def _next(self) -> Turn | None:
        """The turn whose moment has come, waited for; None when this thread is not needed any more."""
        with self._changed:
            since = time.monotonic()
            while True:
                now = time.monotonic()
                while self._row and self._row[0][1] != self._row[0][2].number:
                    heapq.heappop(self._row)
                if self._row and self._row[0][0] <= now:
                    turn = heapq.heappop(self._row)[2]
                    turn.running = True
                    self._cover()  # this one may take minutes, and others' moments come meanwhile
                    return turn
                if now - since > _IDLE_SECONDS and (self._free or not self._row):
                    self._threads -= 1
                    return None
                wait = min(_IDLE_SECONDS, self._row[0][0] - now) if self._row else _IDLE_SECONDS
                self._free += 1
                self._changed.wait(wait)
                self._free -= 1

    def _step(self, turn: Turn) -> None:
        problem: BaseException | None = None
        try:
            wait = next(turn.steps)
        except StopIteration:
            pass
        except BaseException as error:  # noqa: BLE001 - told to whoever began it
            problem = error
        else:
            with self._changed:
                turn.running = False
                self._place(turn, time.monotonic() + (0.0 if turn.woken else wait))
                turn.woken = False
            return
        try:
            turn.ended(problem)
        finally:
            turn.done.set()
