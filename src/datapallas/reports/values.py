"""Recipients as lines of JSON, and back, so that a run goes on with just what it began with. Pure.

Must stay true: what a template sees is the same after the way through a file: a price stays a Decimal, a day a date.
What has no kind of its own here becomes its text.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from datapallas.reports.model import Recipient, Row

if TYPE_CHECKING:
    from collections.abc import Callable

_MARK = "$"
_KINDS: dict[str, tuple[type, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "decimal": (decimal.Decimal, str, decimal.Decimal),
    "datetime": (dt.datetime, dt.datetime.isoformat, dt.datetime.fromisoformat),
    "date": (dt.date, dt.date.isoformat, dt.date.fromisoformat),
    "time": (dt.time, dt.time.isoformat, dt.time.fromisoformat),
    "timedelta": (
        dt.timedelta,
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda value: dt.timedelta(*value),
    ),
    "uuid": (uuid.UUID, str, uuid.UUID),
    "bytes": (bytes, bytes.hex, bytes.fromhex),
}


def line_of(recipient: Recipient) -> bytes:
    """One recipient as a line."""
    rows = [[row.number, row.place, _plain(dict(row.values))] for row in recipient.rows]
    part = list(recipient.part) if recipient.part is not None else None
    return json.dumps([recipient.key, part, rows], ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def recipient_of(line: bytes) -> Recipient:
    """The recipient a line was made of. Raises ValueError."""
    key, part, rows = json.loads(line)
    return Recipient(
        key=key,
        rows=tuple([Row(number, _value(values), place) for number, place, values in rows]),
        part=tuple(part) if part is not None else None,
    )


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        found = {str(name): _plain(one) for name, one in value.items()}
        return {_MARK: ["dict", found]} if _MARK in found else found
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    for name, (kind, write, _) in _KINDS.items():
        if isinstance(value, kind):
            return {_MARK: [name, write(value)]}
    return str(value)


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return [_value(one) for one in value]
    if not isinstance(value, dict):
        return value
    if _MARK not in value:
        return {name: _value(one) for name, one in value.items()}
    name, given = value[_MARK]
    if name == "dict":
        return {name: _value(one) for name, one in given.items()}
    return _KINDS[name][2](given)
