"""A string that cannot be printed.

Must stay true: nothing but `reveal()` gives the value, so a secret in a log line, an f-string, a traceback,
a dataclass's repr or a JSON dump shows `******`, or fails. Python cannot wipe strings; docs/security.md says so.
"""

from __future__ import annotations

import hmac
from typing import NoReturn, final

MASK = "******"


@final
class Secret:
    """A password, token, code or key."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Give the value itself. Call it where the value goes on the wire or into a seal, nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment]  # a hash would let the value be searched for

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled or copied to disk")
