"""One piece of work that many threads wait for, and that Ctrl-C does not tear in two.

Must stay true: the work runs to its end in a thread of its own. A refresh that was sent is stored even when the thread
that asked for it was interrupted; the interpreter waits for it when it exits (a second Ctrl-C ends that wait).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Flight(Generic[T]):
    """A result that is on its way."""

    def __init__(self, work: Callable[[], T], name: str) -> None:
        self._work = work
        self._done = threading.Event()
        self._result: list[T] = []
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def result(self) -> T:
        """Wait for the result; raises what the work raised."""
        self._done.wait()
        if self._problem is not None:
            raise self._problem
        return self._result[0]

    def _run(self) -> None:
        try:
            self._result.append(self._work())
        except BaseException as problem:  # noqa: BLE001 - carried to every thread that waits
            self._problem = problem
        finally:
            self._done.set()
