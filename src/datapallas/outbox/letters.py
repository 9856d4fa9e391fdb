"""The octets of messages in the ledger: what many share is kept once per job, addressed by its hash.

A layout is a list of pieces separated by commas: a number takes so many octets of the message's own, anything else is
the hash of a content. Must stay true: what comes out is, octet for octet, what went in.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from typing import TYPE_CHECKING

import sqlalchemy as sa

from datapallas.errors import ConfigurationError
from datapallas.outbox.tables import contents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datapallas.mail.transport import Letter
    from datapallas.outbox.database import Database
    from datapallas.smtp.body import Octets

SHARED = 16 * 1024
"""Octets from which a piece is kept apart: composed messages have their attachments as pieces of their own."""
PIECE = 1024 * 1024
_CACHED = 32 * 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """A message taken apart."""

    own: bytes
    layout: str


class Splitter:
    """Takes the messages of one job apart; gives each content to `keep` once, before the message that needs it."""

    def __init__(self) -> None:
        self.fresh: dict[str, bytes] = {}  # contents that are not stored yet
        self.octets = 0
        self._known: set[str] = set()
        self._recent: collections.OrderedDict[int, tuple[Octets, str]] = collections.OrderedDict()

    def take(self, letter: Letter) -> Taken:
        """Take one message apart. Raises AttachmentError when a file is no longer what it was."""
        own: list[Octets] = []
        layout: list[str] = []
        run = 0
        for chunk in letter.chunks():
            if len(chunk) < SHARED:
                own.append(chunk)
                run += len(chunk)
                continue
            if run:
                layout.append(str(run))
                run = 0
            layout += self._names(chunk)
        if run:
            layout.append(str(run))
        return Taken(b"".join(own), ",".join(layout))

    def flushed(self) -> dict[str, bytes]:
        """Give what is not stored yet, and forget it."""
        fresh, self.fresh, self.octets = self.fresh, {}, 0
        return fresh

    def _names(self, chunk: Octets) -> list[str]:
        if len(chunk) <= PIECE:
            return [self._name(chunk)]
        view = memoryview(chunk)
        return [self._name(view[at : at + PIECE]) for at in range(0, len(view), PIECE)]

    def _name(self, chunk: Octets) -> str:
        kept = self._recent.get(id(chunk))
        if kept is not None and kept[0] is chunk:  # the same object as before: a shared attachment
            return kept[1]
        name = hashlib.sha256(chunk).hexdigest()
        if isinstance(chunk, bytes):
            self._recent[id(chunk)] = (chunk, name)
            if len(self._recent) > 16:  # noqa: PLR2004 - attachments of one job
                self._recent.popitem(last=False)
        if name not in self._known:
            self._known.add(name)
            self.fresh[name] = bytes(chunk)
            self.octets += len(chunk)
        return name


class Contents:
    """Contents read from the ledger, the last ones kept in memory; one thread uses it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: collections.OrderedDict[tuple[str, str], bytes] = collections.OrderedDict()
        self._weight = 0

    def get(self, job: str, name: str) -> bytes:
        """The octets called `name`."""
        key = (job, name)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        query = sa.select(contents.c.data).where(contents.c.job == job, contents.c.hash == name)
        with self._database.read() as tx:
            found = tx.execute(query).scalar()
        if found is None:
            raise ConfigurationError(
                f"The outbox lacks the content {name[:12]} of the job {job}.", code="outbox-broken"
            )
        self._kept[key] = found
        self._weight += len(found)
        while self._weight > _CACHED and len(self._kept) > 1:
            self._weight -= len(self._kept.popitem(last=False)[1])
        return bytes(found)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoredLetter:
    """A message of the ledger, ready to be sent any number of times."""

    job: str
    message_id: str
    size: int
    smtputf8: bool
    eightbit: bool
    own: bytes
    layout: str
    contents: Contents

    def chunks(self) -> Iterator[Octets]:
        """Give the octets."""
        at = 0
        for piece in self.layout.split(",") if self.layout else ():
            if len(piece) == 64:  # noqa: PLR2004 - a SHA-256 in hex
                yield self.contents.get(self.job, piece)
            else:
                end = at + int(piece)
                yield self.own[at:end]
                at = end
