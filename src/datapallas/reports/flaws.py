"""What is wrong with a report's files, with file, line and reason; all of it at once.

Must stay true: a flaw's reason is one sentence without its full stop, and holds no password.
"""

from __future__ import annotations

import dataclasses
import difflib
from typing import TYPE_CHECKING

from datapallas.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

FILE = "report.toml"


@dataclasses.dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that must be changed.

    Attributes:
        reason: why, a sentence without its full stop.
        line: in `file`, from 1.
        file: the name of the file in the report's folder.
        key: such as `rows.file`; empty: none in particular.
    """

    reason: str
    line: int = 1
    file: str = FILE
    key: str = ""

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


class Flaws(list[Flaw]):
    """What was found so far."""

    def error(self, folder: Path) -> ConfigurationError:
        """All of them as one error: code `report-definition`; facts `file`, `line`, `reason`, `problems`, `report`."""
        first = self[0]
        path = folder / first.file
        words = f"{path}, line {first.line}: {first.reason}."
        others = [f"{'' if one.file == first.file else one.file + ', '}{one}" for one in self[1:]]
        if others:
            words += f" Also: {'; '.join(others)}."
        return ConfigurationError(
            words,
            code="report-definition",
            file=path,
            line=first.line,
            reason=first.reason,
            problems="\n".join(f"{one.file}, {one}" for one in self),
            report=folder.name,
        )


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, or all of them, as the end of a sentence."""
    words: Sequence[str] = [str(one) for one in known]
    folded = {one.casefold(): one for one in reversed(words)}
    near = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return (
        f" (did you mean {folded[near[0]]!r}?)" if near else f" (known: {', '.join(words)})" if words else ""
    )
