"""What tests of reports are given: a report's folder with files in it, and rows read from text."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from datapallas.reports.model import Email, Kind, Report, Source
from datapallas.reports.rows import open_rows

if TYPE_CHECKING:
    from pathlib import Path

    from datapallas.reports.model import Problem, Row

MINIMAL = """\
name = "Letters"

[rows]
file = "people.csv"

[email]
to = "{{ email }}"
subject = "Hello {{ name }}"
text = "mail.txt"
"""


def folder(root: Path, code: str = "letters", **files: str | bytes) -> Path:
    """The folder of a report; `mail_txt` stands for the file mail.txt."""
    place = root / "config" / "reports" / code
    place.mkdir(parents=True, exist_ok=True)
    for name, content in {"mail_txt": "Hello {{ name }}", **files}.items():
        data = content.encode() if isinstance(content, str) else content
        place.joinpath(name.replace("_", ".")).write_bytes(data)
    return place


@dataclasses.dataclass
class Read:
    """What came out of a file of rows."""

    columns: tuple[str, ...]
    rows: list[Row]
    problems: list[Problem]
    about: dict[str, str]

    @property
    def values(self) -> list[tuple[Any, ...]]:
        """The values of each row."""
        return [tuple(row.values.values()) for row in self.rows]


def read(place: Path, data: bytes | str, source: Source | None = None, **how: Any) -> Read:
    """Write a file and read it as rows."""
    source = source or Source(kind=Kind.CSV, file="rows.csv", **how)
    (place / source.file).write_bytes(data.encode() if isinstance(data, str) else data)
    with open_rows(source, place) as rows:
        found = list(rows)
        return Read(rows.columns, found, list(rows.problems), rows.about)


def report(place: Path, **more: Any) -> Report:
    """A report, without a file."""
    known: dict[str, Any] = {
        "email": Email(to="{{ email }}", subject="Hello", text="mail.txt"),
        "rows": Source(kind=Kind.CSV, file="rows.csv"),
    }
    return Report(code="letters", folder=place, name="Letters", **(known | more))
