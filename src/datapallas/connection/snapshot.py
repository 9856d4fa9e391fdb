"""A folder of connections as it was at one moment, for looking at all of them: each is read once.

Must stay true: it is looked at and never changed through; two files with one code are still an error that names both.
"""

from __future__ import annotations

import functools
from collections import Counter
from typing import TYPE_CHECKING

from datapallas.connection.folder import Folder
from datapallas.connection.store import Broken, Entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.connection.store import Store
    from datapallas.connection.vault import Keyring


class _Seen:
    """What was there when this was made; everything else is asked of the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._entries = store.entries()
        good = [entry for entry in self._entries if not isinstance(entry.connection, Broken)]
        count = Counter(entry.good.code for entry in good)
        self._by_code = {entry.good.code: entry for entry in good if count[entry.good.code] == 1}

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def entries(self) -> list[Entry]:
        """Every connection, broken ones among them."""
        return self._entries

    def find(self, code: str) -> Entry:
        """The one whose `<code>` is `code`; raises as `Store.find` does."""
        return self._by_code.get(code) or self._store.find(code)


def snapshot(store: Store, keys: Callable[[], Keyring]) -> Folder:
    """The connections of `store` as they are now; `keys` is asked once at the most."""
    return Folder(store.root, functools.cache(keys), _Seen(store))  # type: ignore[arg-type]  # by __getattr__
