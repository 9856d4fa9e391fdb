"""Sessions that take turns in a few threads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from datapallas.outbox import turns
from datapallas.outbox.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


def test_one_that_is_held_up_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one session waits for a mail server that has vanished, another one's moment comes, and it goes on."""
    monkeypatch.setattr(turns, "_IDLE_SECONDS", 0.05)  # by then there is one thread for both
    vanished, sent = threading.Event(), threading.Event()

    def stuck() -> Iterator[float]:
        yield 0.5
        vanished.wait(120)

    def well() -> Iterator[float]:
        yield 0.6
        sent.set()

    row = Turns(4)
    both = [row.start(steps(), lambda _: None) for steps in (stuck, well)]
    try:
        assert sent.wait(60)
        assert not both[0].done.is_set()
    finally:
        vanished.set()
    assert all(turn.done.wait(60) for turn in both)
