"""Processes that refresh one connection at the same moment, again and again."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING

from datapallas.errors import DataPallasError
from datapallas.home import Home
from strangers.installation import CODE

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier
    from pathlib import Path

_SECONDS = 180


def refresh_together(root: Path, processes: int, rounds: int) -> list[str]:
    """What each refresh of each process ended with: "ok", or the error."""
    # Spawned, not forked: they share nothing but the files, as two programs do.
    context = multiprocessing.get_context("spawn")
    barrier, told = context.Barrier(processes), context.Queue()
    started = [context.Process(target=_refresh, args=(root, rounds, barrier, told)) for _ in range(processes)]
    for process in started:
        process.start()
    found = [told.get(timeout=_SECONDS) for _ in range(processes * rounds)]
    for process in started:
        process.join(_SECONDS)
    return found


def _refresh(root: Path, rounds: int, barrier: Barrier, told: Queue[str]) -> None:
    tokens = Home(root, {}).tokens(CODE)
    for _ in range(rounds):
        barrier.wait(_SECONDS)
        try:
            tokens.refresh()
        except DataPallasError as problem:
            told.put(f"{problem.code}: {problem.message}")
        else:
            told.put("ok")
