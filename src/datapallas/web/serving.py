"""Which server serves a home: one at a time; the others find its address.

Must stay true: the lock dies with the server, so an address that a killed one left behind is never believed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from typing import TYPE_CHECKING

from datapallas import files
from datapallas.errors import ConfigurationError, StorageError
from datapallas.web.access import web_folder
from datapallas.web.services import Mode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from datapallas.web.services import Settings

_SECONDS = 0.5
"""How long to wait for a lock that somebody holds only to look."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that runs: its address, process and mode."""

    origin: str
    process: int
    mode: Mode


@contextlib.contextmanager
def registered(root: Path, settings: Settings) -> Iterator[None]:
    """Be the server of the home `root`. Raises ConfigurationError when there is one already."""
    folder = web_folder(root)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(files.locked(folder / "serving.lock", seconds=_SECONDS))
        except StorageError as problem:
            if problem.code != "lock-busy":
                raise
            raise _already(_read(root)) from None
        about = Running(origin=settings.origin, process=os.getpid(), mode=settings.mode)
        files.replace(folder / "serving.json", json.dumps(dataclasses.asdict(about)).encode())
        try:
            yield
        finally:
            with contextlib.suppress(StorageError):
                files.remove(folder / "serving.json")


def refuse_a_second(root: Path) -> None:
    """Say that the home is served already, before a port that is taken says less. Raises ConfigurationError."""
    other = running(root)
    if other is not None:
        raise _already(other)


def _already(other: Running | None) -> ConfigurationError:
    where = other.origin if other else "an address it has not told yet"
    return ConfigurationError(
        f"This home is served already, at {where}.", code="already-serving", address=where
    )


def running(root: Path) -> Running | None:
    """The server of the home `root`, or None when none runs."""
    if not (web_folder(root) / "serving.lock").exists():
        return None
    try:
        with files.locked(web_folder(root) / "serving.lock", seconds=0):
            return None  # nobody holds it, whatever is in the file
    except StorageError as problem:
        if problem.code != "lock-busy":
            raise
        return _read(root)


def _read(root: Path) -> Running | None:
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
        found = json.loads(files.read(web_folder(root) / "serving.json", limit=65_536))
        return Running(origin=found["origin"], process=int(found["process"]), mode=Mode(found["mode"]))
    return None
