"""A folder of connections as it was at one moment, for looking at all of them: each file is read once.

Must stay true: it is looked at and never changed through; two files with one code are still an error that names both.
"""

from __future__ import annotations

import functools
from collections import Counter
from typing import TYPE_CHECKING

from datapallas.connection.folder import Folder
from datapallas.connection.store import Broken, Entry, Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datapallas.connection.vault import Keyring


class _Seen(Store):
    """The files as they were when this was made."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._entries = super().entries()
        good = [entry for entry in self._entries if not isinstance(entry.connection, Broken)]
        count = Counter(entry.good.code for entry in good)
        self._by_code = {entry.good.code: entry for entry in good if count[entry.good.code] == 1}

    def entries(self) -> list[Entry]:
        """Every file of the folder, broken ones among them."""
        return self._entries

    def find(self, code: str) -> Entry:
        """The one file whose `<code>` is `code`; raises as `Store.find` does."""
        return self._by_code.get(code) or super().find(code)


def snapshot(root: Path, keys: Callable[[], Keyring]) -> Folder:
    """The connections of the home `root` as they are now; `keys` is asked once at the most."""
    seen = Folder(root, functools.cache(keys))
    seen.store = _Seen(root)
    return seen
