"""Work of a server that goes on in a thread of its own for as long as a block lasts.

Must stay true: what cannot be used ends no page, is told once, and is tried again; nothing is imported or made before
there is something to do.
"""

from __future__ import annotations

import abc
import threading
from typing import TYPE_CHECKING, Protocol

from datapallas.errors import DataPallasError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

LOOK = 1.0
"""Seconds between two looks whether there is something to do, or whether our turn has come."""
_AGAIN = 60.0  # seconds after which what could not be used is tried again
_END = 30.0


class Stoppable(Protocol):
    """What does the work."""

    def stop(self) -> None:
        """Ask it to end; returns at once."""


class Background(abc.ABC):
    """Used with `with`; `tell` is told once about each failure. A subclass says whether there is work, and does it.

    `busy` is a failure's code that says: another process does it.
    """

    busy = ""

    def __init__(self, name: str, tell: Callable[[BaseException], None]) -> None:
        self._tell = tell
        self._ended = threading.Event()
        self._worker: Stoppable | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join(_END)

    def stop(self) -> None:
        """Ask it to end; returns at once."""
        self._ended.set()
        worker = self._worker
        if worker is not None:
            worker.stop()

    @abc.abstractmethod
    def _there(self) -> bool:
        """Something to do."""

    @abc.abstractmethod
    def _run(self) -> None:
        """Do it until `_ended` is set."""

    def _work(self) -> None:
        told = ""
        while not self._ended.is_set():
            if not self._there():
                self._ended.wait(LOOK)
                continue
            try:
                self._run()
            except Exception as error:  # noqa: BLE001 - told, and tried again: what was promised must not wait for ever
                name = error.code if isinstance(error, DataPallasError) else type(error).__name__
                if name == self.busy:
                    self._ended.wait(LOOK)
                    continue
                if name != told:
                    told = name
                    self._tell(error)
                self._ended.wait(_AGAIN)
