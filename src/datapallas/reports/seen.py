"""Which addresses of a list came before, and where: 12 octets for each, so that a million fit into 24 MB. Pure.

Two addresses are taken for one when their 64-bit hashes are equal: among a million that happens once in thirty million
lists, and costs a warning too many. (SQLite took a fifth more time for a whole check: it lets go of the interpreter at
every look, and the threads that read what was rendered take it.)

Must stay true: places of one list differ in their last number only.
"""

from __future__ import annotations

import array
import re

_BEGIN = 1 << 10
_NUMBER = re.compile(r"\d+(?!.*\d)", re.DOTALL)
_64, _MOST = (1 << 64) - 1, (1 << 32) - 1


class Seen:
    """A set that grows; open addressing over two arrays."""

    def __init__(self) -> None:
        self._used = 0
        self._make(_BEGIN)

    def place_of(self, address: str, place: str) -> str:
        """Where `address` came first; empty when it is new, and then noted with `place`."""
        key = (hash(address) & _64) or 1
        at = self._find(key)
        if self._keys[at]:
            return _NUMBER.sub(str(self._numbers[at]), place) or "another row"
        number = _NUMBER.search(place)
        self._keys[at] = key
        self._numbers[at] = min(int(number[0]), _MOST) if number else 0
        self._used += 1
        if self._used * 4 > len(self._keys) * 3:
            self._grow()
        return ""

    def _find(self, key: int) -> int:
        """Where a key is, or would be."""
        keys, mask = self._keys, self._mask
        at = key & mask
        while (there := keys[at]) and there != key:
            at = (at + 1) & mask
        return at

    def _make(self, size: int) -> None:
        self._mask = size - 1
        self._keys = array.array("Q", bytes(8 * size))
        self._numbers = array.array("I", bytes(4 * size))

    def _grow(self) -> None:
        keys, numbers = self._keys, self._numbers
        self._make(len(keys) * 2)
        for key, number in zip(keys, numbers, strict=True):
            if key:
                at = self._find(key)
                self._keys[at], self._numbers[at] = key, number
