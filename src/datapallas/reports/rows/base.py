"""What every kind of rows has in common: columns with names, numbers, places, problems.

Must stay true: a column has a name, and no two have the same one; a row that is a problem has a number all the same,
so that the others keep theirs when it is mended.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

from datapallas.errors import RowsError
from datapallas.reports.sink import Sink, error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from datapallas.reports.model import Row

_INVISIBLE = "\ufeff\u200b\u2060"
_SHOWN = 40


class Rows(abc.ABC):
    """Rows that are being read.

    Attributes:
        columns: their names, in the source's order.
        problems: rows that could not be read, so far.
        about: how they are read, for a person: `encoding`, `delimiter`, `sheet`, `database`.
        total: how many there have been so far, those that are a problem among them.
    """

    columns: tuple[str, ...]

    def __init__(self, after: int) -> None:
        self.problems = Sink()
        self.about: dict[str, str] = {}
        self.total = 0
        self._after = after

    @abc.abstractmethod
    def __iter__(self) -> Iterator[Row]:
        """Each row that can be read, once."""

    def close(self) -> None:  # noqa: B027 - most have nothing to let go of
        """Let go of what was opened for reading, but for the file itself."""

    def _bad(self, place: str, reason: str) -> None:
        """Note a row that cannot be read."""
        self.total += 1
        if self.total > self._after:
            self.problems.add(error("row", f"{reason[:1].upper()}{reason[1:]}.", place, number=self.total))


def columns_of(cells: Sequence[object], place: str, file: str) -> tuple[str, ...]:
    """The names of the columns as a header gives them, white space tidied; empty cells at its end are no columns.

    Raises RowsError (code `rows-header`).
    """
    names = [" ".join(str("" if cell is None else cell).translate(_GONE).split()) for cell in cells]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise header_error(file, place, "there are no names of columns")
    for at, name in enumerate(names, 1):
        if not name:
            raise header_error(file, place, f"column {at} has no name")
        if "@" in name and " " not in name:
            raise header_error(
                file,
                place,
                f"column {at} is called {shown(name)}: the names of the columns seem to be missing",
            )
        if name in names[: at - 1]:
            first = names.index(name) + 1
            raise header_error(file, place, f"columns {first} and {at} are both called {shown(name)}")
    return tuple(names)


_GONE = dict.fromkeys(map(ord, _INVISIBLE))


def header_error(file: str, place: str, reason: str) -> RowsError:
    """Why the header cannot be used."""
    return RowsError(
        f"{file}, {place}: {reason}.",
        code="rows-header",
        file=file,
        line=place.removeprefix("line "),
        reason=reason,
    )


def shown(text: str) -> str:
    """A text from the data on one line, not endless."""
    short = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    return repr(short) if short.isprintable() else ascii(short)
