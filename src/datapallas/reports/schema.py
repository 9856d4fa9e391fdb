"""Every key of report.toml, as a table: its shape, and when it may stand. Pure.

Must stay true: a key is here, in docs/reports.md and in `model`, or in none of them.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING

from datapallas.reports.model import Burst, Kind, Missed, OnProblem

if TYPE_CHECKING:
    from collections.abc import Mapping


class Shape(enum.Enum):
    """What a value may be, in the words of an error."""

    TEXT = "a text in quotes"
    TEMPLATE = "a text in quotes, filled in with Jinja2"
    WHOLE = "a whole number"
    NUMBER = "a number"
    TEXTS = "a text in quotes, or a list of them"
    SHEET = "the sheet's name in quotes, or its number from 1"


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """One key.

    Attributes:
        name: in the file.
        shape: of its value.
        field: of `model`, when it is called otherwise there.
        needed: it must be there, and not be empty.
        choices: the only texts it may be.
        least: the smallest number it may be.
        only: of `[rows]`: the kinds it goes with; empty: all.
    """

    name: str
    shape: Shape = Shape.TEXT
    field: str = ""
    needed: bool = False
    choices: tuple[str, ...] = ()
    least: float = 0
    only: tuple[Kind, ...] = ()


_FILES = (Kind.CSV, Kind.EXCEL, Kind.JSONL)
_T = Shape.TEMPLATE

SECTIONS: Mapping[str, tuple[Key, ...]] = {
    "": (Key("name"), Key("connection")),
    "rows": (
        Key("kind", choices=tuple(Kind)),
        Key("file", only=_FILES),
        Key("encoding", only=(Kind.CSV, Kind.JSONL)),
        Key("delimiter", only=(Kind.CSV,)),
        Key("sheet", Shape.SHEET, only=(Kind.EXCEL,)),
        Key("header_row", Shape.WHOLE, least=1, only=(Kind.CSV, Kind.EXCEL)),
        Key("url", only=(Kind.SQL,)),
        Key("query", only=(Kind.SQL,)),
        Key("password", only=(Kind.SQL,)),
        Key("password_env", only=(Kind.SQL,)),
        Key("password_file", only=(Kind.SQL,)),
        Key("group_by", Shape.TEXTS),
    ),
    "email": (
        Key("to", _T, needed=True),
        Key("cc", _T),
        Key("bcc", _T),
        Key("reply_to", _T),
        Key("from", _T, field="sender"),
        Key("subject", _T, needed=True),
        Key("text"),
        Key("html"),
    ),
    "attachments": (
        Key("name", _T),
        Key("template"),
        Key("file", _T),
        Key("rows", choices=("xlsx", "csv")),
        Key("columns", Shape.TEXTS),
        Key("password", _T),
    ),
    "burst": (
        Key("file", needed=True),
        Key("by", choices=tuple(Burst)),
        Key("pages", Shape.WHOLE, least=1),
        Key("match"),
        Key("name", _T),
        Key("password", _T),
    ),
    "schedule": (
        Key("cron", needed=True),
        Key("time_zone"),
        Key("missed", choices=tuple(Missed)),
    ),
    "limits": (
        Key("recipients", Shape.WHOLE),
        Key("on_problem", choices=tuple(OnProblem)),
        Key("message_octets", Shape.WHOLE, least=1024),
        Key("render_seconds", Shape.NUMBER, least=0.1),
        Key("render_megabytes", Shape.WHOLE, least=64),
    ),
    "test": (Key("to", needed=True),),
    "values": (),
}
"""Section to its keys; the empty one is what stands above all sections. `[values]` takes any name."""

LISTS = frozenset({"attachments"})
"""Sections that may stand many times: `[[attachments]]`."""


def section_name(name: str) -> str:
    """A section as it is written."""
    return f"[[{name}]]" if name in LISTS else f"[{name}]"


def home_of(key: str) -> list[str]:
    """The sections that know a key, for somebody who wrote it into another one."""
    return [section for section, keys in SECTIONS.items() if key in {one.name for one in keys}]
