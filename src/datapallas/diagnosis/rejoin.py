"""Lines that a narrow column cut in the middle of a code: text read from a screenshot, a mail that was wrapped.

Must stay true: only what becomes a number or a word of the catalogue is joined, and only where neither half is one;
what is not cut stays as it is. Pure.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from datapallas.diagnosis.catalogue import rows

_LAST = re.compile(r"[A-Za-z0-9_.]+$")
_FIRST = re.compile(r"[A-Za-z0-9_.]+")
_MICROSOFT = re.compile(r"AADSTS(\d{1,8})")
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_LONGEST = 60  # characters of a half that are looked at


class _Known(NamedTuple):
    """What the catalogue has a name for."""

    numbers: frozenset[str]
    words: frozenset[str]
    statuses: frozenset[str]


def rejoined(lines: list[str]) -> list[str]:
    """The lines, without the breaks that cut a code in two."""
    joined: list[str] = []
    for line in lines:
        if joined and _cut(joined[-1][-_LONGEST:], line[:_LONGEST]):
            joined[-1] += line
        else:
            joined.append(line)
    return joined


def _cut(before: str, after: str) -> bool:
    """True where the end of one line and the beginning of the next are one code."""
    last, first = _LAST.search(before), _FIRST.match(after)
    if not last or not first:
        return False
    return _is_number(last[0], first[0]) or _is_word(last[0], first[0].rstrip("."))


def _is_number(last: str, first: str) -> bool:
    """AADST + S700, AADSTS700 + 16: Microsoft's numbers have five digits or more."""
    if "AADSTS".startswith(last) and len(last) > 1:
        return (last + first).startswith("AADSTS")
    found = _MICROSOFT.fullmatch(last)
    digits = re.match(r"\d+", first)
    if not digits or not (found or last == "AADSTS"):
        return False
    known = _known().numbers
    half = found[1] if found else ""
    return half not in known and (len(half) < 5 or half + digits[0] in known)  # noqa: PLR2004 - five digits


def _is_word(last: str, first: str) -> bool:
    """redirect_uri_mis + match, 5.7.1 + 39."""
    known = _known()
    if _STATUS.fullmatch(last + first):
        return last + first in known.statuses
    return (last + first).lower() in known.words and last.lower() not in known.words


@functools.cache
def _known() -> _Known:
    numbers: set[str] = set()
    words: set[str] = set()
    statuses: set[str] = set()
    for row in rows():
        for entry in row.match:
            numbers.update(str(one) for one in entry.get("aadsts", ()))
            words.update(one.lower() for one in entry.get("error", ()) if "_" in one)
            statuses.update(one for one in entry.get("status", ()) if re.fullmatch(r"[245]\.\d\.\d{3}", one))
    return _Known(frozenset(numbers), frozenset(words), frozenset(statuses))
