"""Encoded attachments, kept for the next message that has the same ones.

People attach one file to a thousand messages and should not need to say so: equal content is encoded once per
mailbox. Must stay true: what is kept is bounded; a file that changed is never answered from here.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from datapallas.mail.encoding import base64_lines
from datapallas.mail.source import IN_MEMORY

if TYPE_CHECKING:
    from datapallas.mail.source import Source

BUDGET = 16 * 1024 * 1024
"""Octets kept at most, content and encoded form together."""


class Shelf:
    """A bounded store of encoded attachments, least recently used out first; threads may share it."""

    def __init__(self, budget: int = BUDGET) -> None:
        self._budget = budget
        self._kept: dict[object, bytes] = {}
        self._weight = 0
        self._lock = threading.Lock()

    def encoded(self, source: Source) -> bytes | None:
        """Give the base64 lines of a source, or None when it is so long that it must be streamed."""
        version = source.version()
        if version is not None:
            with self._lock:
                found = self._kept.pop(version, None)
                if found is not None:
                    self._kept[version] = found  # now the most recently used
                    return found
        size = source.size()
        if size > IN_MEMORY:
            return None
        made = base64_lines(b"".join(source.read(size, IN_MEMORY)))
        if version is not None:
            self._keep(version, made)
        return made

    def _keep(self, version: object, made: bytes) -> None:
        with self._lock:
            if version not in self._kept:
                self._weight += _weight(made)
            self._kept[version] = made
            while self._weight > self._budget:
                oldest = next(iter(self._kept))
                self._weight -= _weight(self._kept.pop(oldest))


def _weight(made: bytes) -> int:
    return 2 * len(made) + 1024  # the content itself may be the key
