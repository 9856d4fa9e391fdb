"""Which store holds the connections of a home: its files, or the database a fleet shares.

Must stay true: a home never works on files while the database it names has its connections, nor the other way round;
without DATAPALLAS_DATABASE no database is asked, and no driver is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.connection.file_store import FileStore
from datapallas.connection.folder import Folder
from datapallas.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from datapallas.connection.migration import Moved
    from datapallas.connection.store import Store
    from datapallas.home.home import Home

VARIABLE = "DATAPALLAS_DATABASE"


def store_of(root: Path, environ: Mapping[str, str]) -> Store:
    """The store of the home `root`. Raises ConfigurationError when it is not clear which, StorageError."""
    url = environ.get(VARIABLE)
    if not url:
        return FileStore(root)
    from datapallas.connection.migration import shared_store

    return shared_store(root, url) or FileStore(root)


def migrate(home: Home, *, into_database: bool, dry_run: bool) -> Moved:
    """Move all connections of `home`. Raises UsageError without DATAPALLAS_DATABASE, and as `migration` does."""
    from datapallas.connection import keys, migration

    url = home.environ.get(VARIABLE)
    if not url:
        raise UsageError(f"{VARIABLE} is not set: name the database there.", code="no-database")
    store = FileStore(home.root, moved=True)
    folder = Folder(home.root, lambda: keys.ensure(home.root, home.environ), store)
    move = migration.to_database if into_database else migration.to_files
    return move(folder, url, dry_run=dry_run)
