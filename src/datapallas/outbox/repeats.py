"""A key that comes again: the same message, or another one that would be lost without a word.

Must stay true: Date, Message-ID and boundaries, which are new each time a message is composed, make no difference;
anything else does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from datapallas.errors import UsageError
from datapallas.outbox.tables import contents, messages, recipients

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BOUNDARY = re.compile(rb"=_[0-9a-f]{24}")
_DATE = re.compile(rb"(?:\A|(?<=\r\n))Date: [^\r\n]*\r\n")
_HASH = 64  # characters of a SHA-256 in hex


def refuse_others(
    tx: sa.Connection, job: str, given: Sequence[Mapping[str, Any]], people: Mapping[str, tuple[str, ...]]
) -> None:
    """Compare messages whose keys a job knows with those it has; `given` are rows as they would be stored.

    Raises UsageError (code ``key-reused``) for the first that is another message.
    """
    keys = [row["key"] for row in given]
    query = sa.select(messages).where(messages.c.job == job, messages.c.key.in_(keys))
    known = {row.key: row for row in tx.execute(query)}
    for row in given:
        difference = _difference(tx, row, known[row["key"]], people[row["key"]])
        if difference:
            raise UsageError(
                f"The key {row['key']!r} of the job {job!r} belongs to another message, with {difference}; "
                "nothing was added.",
                code="key-reused",
                job=job,
            )


def _difference(tx: sa.Connection, given: Mapping[str, Any], known: Any, people: tuple[str, ...]) -> str:
    """What is not the same, in words; empty: they are one message."""
    query = sa.select(recipients.c.address).where(recipients.c.message == known.id)
    if tuple(tx.execute(query.order_by(recipients.c.position)).scalars()) != people:
        return "other recipients"
    if known.sender != given["sender"]:
        return "another sender"
    cleaned = not known.layout and known.size  # retention has deleted what it said; its size is all there is
    same = known.size == given["size"] if cleaned else _alike(tx, given, known)
    return "" if same else "another subject, text or attachment"


def _alike(tx: sa.Connection, given: Mapping[str, Any], known: Any) -> bool:
    if known.size - len(known.message_id) != given["size"] - len(given["message_id"]):
        return False
    octets = [_plain(given["own"], given["message_id"]), _plain(known.own, known.message_id)]
    if given["layout"] == known.layout:
        return octets[0] == octets[1]
    # a head with very many recipients is a content of its own, with its Date in it
    whole = [
        _octets(tx, known.job, one["own"], one["layout"])
        for one in (given, dict(known._mapping))  # noqa: SLF001
    ]
    return _plain(whole[0], given["message_id"]) == _plain(whole[1], known.message_id)


def _plain(octets: bytes, message_id: str) -> bytes:
    """Without what is new in each composing."""
    bare = _DATE.sub(b"", bytes(octets), count=1).replace(message_id.encode(), b"")
    return _BOUNDARY.sub(b"=_", bare)


def _octets(tx: sa.Connection, job: str, own: bytes, layout: str) -> bytes:
    pieces, at = [], 0
    for piece in layout.split(",") if layout else ():
        if len(piece) == _HASH:
            query = sa.select(contents.c.data).where(contents.c.job == job, contents.c.hash == piece)
            pieces.append(bytes(tx.execute(query).scalar() or b""))
        else:
            pieces.append(bytes(own[at : at + int(piece)]))
            at += int(piece)
    return b"".join(pieces)
