"""What documents are called. Pure.

Must stay true: a name is one harmless file name on every system, whatever the data says: no folder, no control or
direction-changing character, no reserved name, at most 150 octets; two documents of one email never share a name.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST = 150
_FORBIDDEN = re.compile(r'[/\\:*?"<>|]+')
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)", re.IGNORECASE)  # Windows


def safe_name(wanted: str, ending: str = "", fallback: str = "document") -> str:
    """A file name like `wanted`; `ending`, such as `.pdf`, is added where it is missing."""
    visible = "".join([c for c in wanted if unicodedata.category(c)[0] != "C"])
    name = " ".join(_FORBIDDEN.sub("-", visible).split()).strip(" .-")
    if ending and name.lower().endswith(ending.lower()):
        name, ending = name[: -len(ending)], name[-len(ending) :]
    elif not ending and "." in name:
        name, _, last = name.rpartition(".")
        ending = f".{last}"
    name = name.rstrip(" .") or fallback
    if _RESERVED.match(name):
        name = f"_{name}"
    ending = _cut(ending, 20)
    return _cut(name, MOST - len(ending.encode())).rstrip(" .") + ending


def numbered(names: Iterable[str]) -> list[str]:
    """Make names differ: the second `a.pdf` is `a (2).pdf`. Case does not tell names apart everywhere."""
    taken: set[str] = set()
    found = []
    for name in names:
        stem, dot, ending = name.rpartition(".")
        stem, ending = (stem, dot + ending) if dot and stem else (name, "")
        now, count = name, 1
        while now.casefold() in taken:
            count += 1
            now = f"{stem} ({count}){ending}"
        taken.add(now.casefold())
        found.append(now)
    return found


def _cut(text: str, octets: int) -> str:
    data = text.encode("utf-8", "replace")
    return data[:octets].decode("utf-8", "ignore") if len(data) > octets else data.decode()
