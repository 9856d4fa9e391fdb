"""Where the runs of a home are kept: their records in a database, what they work with in folders.

Must stay true: only what needs them imports this (SQLAlchemy takes about 300 ms).
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from datapallas import files
from datapallas.home.stores import VARIABLE
from datapallas.outbox.runs.records import Records

if TYPE_CHECKING:
    from datapallas.home import Home

FILE = Path("data", "runs.db")
FOLDERS = Path("data", "runs")
_PLACE = Path("data", "runs", "place")


def url(home: Home) -> str | Path:
    """The database that DATAPALLAS_DATABASE names, else a file."""
    return home.environ.get(VARIABLE) or home.root / FILE


def open_records(home: Home) -> Records:
    """The records of a home. Raises as Database does."""
    return Records(url(home))


def folder(home: Home, run: str) -> Path:
    """Where what a run works with is."""
    return home.root / FOLDERS / run


def place(home: Home) -> str:
    """The name of this installation among those that share a database: made once, kept in the home."""
    path = home.root / _PLACE
    with files.locked(path.with_name("place.lock")):
        try:
            return files.read(path, limit=100).decode().strip()
        except FileNotFoundError:
            name = secrets.token_hex(6)
            files.replace(path, f"{name}\n".encode())
            return name
