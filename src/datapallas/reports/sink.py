"""Problems as they are found while rows stream past.

Must stay true: nobody has to read them for the memory to stay the same, and none is lost without being counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.reports.model import Problem, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 1000
"""How many are kept that nobody has taken yet; of the others only the count is."""


def error(kind: str, text: str, place: str = "", key: str = "", number: int = 0) -> Problem:
    """What keeps a recipient from getting anything; `kind` is a word of `Problem.code`."""
    return Problem(code=kind, text=text, place=place, key=key, number=number)


def warning(kind: str, text: str, place: str = "", key: str = "") -> Problem:
    """What is probably not what was meant."""
    return Problem(code=kind, text=text, severity=Severity.WARNING, place=place, key=key)


class Sink:
    """What was found so far.

    Attributes:
        errors: how many errors there were in all.
        warnings: how many warnings.
    """

    def __init__(self) -> None:
        self.errors = 0
        self.warnings = 0
        self._kept: list[Problem] = []

    def add(self, problem: Problem) -> None:
        """Note one."""
        if problem.severity is Severity.ERROR:
            self.errors += 1
        else:
            self.warnings += 1
        if len(self._kept) < MOST:
            self._kept.append(problem)

    def take(self) -> list[Problem]:
        """Those that were not taken yet."""
        taken, self._kept = self._kept, []
        return taken

    def __iter__(self) -> Iterator[Problem]:
        return iter(tuple(self._kept))

    def __bool__(self) -> bool:
        return bool(self.errors or self.warnings)
