"""Rows become recipients: one each, or all that share the columns of `group_by`; and each gets its part of the PDF.

Must stay true:
- rows of one recipient need not stand together, and may be more than fit into memory together with all the others;
- keys are unique, and the same rows give the same keys;
- a row without its part, and a part without its row, is a problem and never somebody else's.
"""

from __future__ import annotations

import contextlib
import pickle
import sqlite3
from typing import TYPE_CHECKING, Any, Protocol

from datapallas.reports.flaws import nearest
from datapallas.reports.model import Recipient, Row
from datapallas.reports.sink import Sink, error, warning

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from datapallas.reports.model import Report

_AT_A_TIME = 500
_TABLES = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16000;
CREATE TABLE groups (key TEXT PRIMARY KEY, number INTEGER) WITHOUT ROWID;
CREATE TABLE rows (number INTEGER, data BLOB);
"""


class Part(Protocol):
    """A recipient's share of the PDF that is cut."""

    @property
    def token(self) -> str:
        """What `match` finds it by."""

    @property
    def pages(self) -> tuple[int, ...]:
        """Its pages, from 0."""


def recipients(report: Report, rows: Iterable[Row] | None, parts: Iterable[Part] = ()) -> Recipients:
    """The recipients of `rows`, in the order in which each appears first; of `parts` when there are no rows."""
    return Recipients(report, rows, parts)


class Recipients:
    """An iterator of recipients.

    Attributes:
        problems: rows and parts that belong to nobody, so far.
        parts_alone: how many parts are among them.
    """

    def __init__(self, report: Report, rows: Iterable[Row] | None, parts: Iterable[Part]) -> None:
        self.problems = Sink()
        self.parts_alone = 0
        self._report = report
        self._parts = self._by_token(parts)
        self._all = self._joined(rows) if rows is not None else self._of_parts()

    def __iter__(self) -> Generator[Recipient]:
        return self._all

    def __next__(self) -> Recipient:
        return next(self._all)

    def close(self) -> None:
        """Let go of what was read, in the thread that read it; nothing more comes."""
        self._all.close()

    # Without rows

    def _of_parts(self) -> Generator[Recipient]:
        for number, (token, pages) in enumerate(self._parts.items(), 1):
            row = Row(number, {"token": token, "part": number, "pages": len(pages)}, f"part {number}")
            yield Recipient(token, (row,), pages)

    def _by_token(self, parts: Iterable[Part]) -> dict[str, tuple[int, ...]]:
        """The pages of each token. What stands in several places is one part, which a person should know."""
        found: dict[str, tuple[int, ...]] = {}
        for part in parts:
            token = part.token.strip()
            if token in found:
                text = f"The token {token!r} stands on pages that do not follow each other; they go out together."
                self.problems.add(warning("part", text, _pages(part.pages), token))
            found[token] = found.get(token, ()) + part.pages
        return found

    # With rows

    def _joined(self, rows: Iterable[Row]) -> Generator[Recipient]:
        source = self._report.rows
        columns = source.group_by if source else ()
        found = self._grouped(rows, columns) if columns else self._single(rows)
        if self._report.burst is None:
            return found
        return self._with_parts(found, self._report.burst.match)

    @staticmethod
    def _single(rows: Iterable[Row]) -> Generator[Recipient]:
        for row in rows:
            yield Recipient(str(row.number), (row,))

    def _with_parts(self, found: Iterator[Recipient], match: str) -> Generator[Recipient]:
        taken: dict[str, str] = {}
        for one in found:
            value = _column(one.rows[0], match)
            token = "" if value is None else str(value).strip()
            pages = self._parts.get(token)
            if pages is None:
                self._unmatched(one, match, value, token)
                continue
            if token in taken:
                text = f"The part {token!r} goes to {taken[token]} as well."
                self.problems.add(warning("part", text, one.place, one.key))
            taken.setdefault(token, one.place)
            yield Recipient(one.key, one.rows, pages)
        for token, pages in self._parts.items():
            if token not in taken:
                self.parts_alone += 1
                text = f"No row has {token!r} in its column {match!r}, so nobody gets this part."
                self.problems.add(error("part", text, _pages(pages), token))

    def _unmatched(self, one: Recipient, match: str, value: Any, token: str) -> None:
        if value is None:
            text = f"There is no column {match!r}{nearest(match, one.rows[0].values)}."
        elif not token:
            text = f"The column {match!r} is empty, so no part of the PDF belongs to this row."
        else:
            text = f"No part of the PDF belongs to this row: none is called {token!r}."
        self.problems.add(error("part", text, one.place, one.key, one.rows[0].number))

    # Grouping

    def _grouped(self, rows: Iterable[Row], columns: tuple[str, ...]) -> Generator[Recipient]:
        """Collect rows in a private database that grows onto the disk, then give them group by group."""
        # One thread at a time uses it; who stops half-way may have it closed by another one.
        store = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        with contextlib.closing(store):
            store.executescript(_TABLES)
            store.execute("BEGIN")
            self._collect(store, rows, columns)
            store.execute("CREATE INDEX in_order ON rows (number)")
            yield from _groups(store)

    def _collect(self, store: sqlite3.Connection, rows: Iterable[Row], columns: tuple[str, ...]) -> None:
        groups, last, number = 0, None, 0
        waiting: list[tuple[int, bytes]] = []
        for row in rows:
            key = self._key(row, columns)
            if key is None:
                continue
            if key != last:
                last, known = key, store.execute("SELECT number FROM groups WHERE key = ?", (key,)).fetchone()
                number = known[0] if known else groups
                if known is None:
                    store.execute("INSERT INTO groups VALUES (?, ?)", (key, groups))
                    groups += 1
            data = pickle.dumps((row.number, dict(row.values), row.place), pickle.HIGHEST_PROTOCOL)
            waiting.append((number, data))
            if len(waiting) >= _AT_A_TIME:
                store.executemany("INSERT INTO rows VALUES (?, ?)", waiting)
                waiting.clear()
        store.executemany("INSERT INTO rows VALUES (?, ?)", waiting)

    def _key(self, row: Row, columns: tuple[str, ...]) -> str | None:
        """What the row is grouped by, the same text for the same values only; None when it cannot be grouped."""
        values = []
        for name in columns:
            value = _column(row, name)
            text = "" if value is None else str(value).strip()
            if not text:
                words = (
                    f"There is no column {name!r}{nearest(name, row.values)}"
                    if value is None
                    else f"The column {name!r}, which rows are grouped by, is empty"
                )
                self.problems.add(error("missing", f"{words}.", row.place, number=row.number))
                return None
            values.append(text)
        if len(values) == 1:
            return values[0]
        return ", ".join(text.replace("\\", r"\\").replace(",", r"\,") for text in values)


def _groups(store: sqlite3.Connection) -> Generator[Recipient]:
    """The groups in the order in which they were seen first, their rows in the order in which they came."""
    keys = store.execute("SELECT key FROM groups ORDER BY number")
    found = store.execute("SELECT number, data FROM rows ORDER BY number, rowid")
    group: list[Row] = []
    current = 0
    for number, data in found:
        if number != current:
            yield Recipient(keys.fetchone()[0], tuple(group))
            group, current = [], number
        group.append(Row(*pickle.loads(data)))  # noqa: S301 - written a moment ago, into a file only we have
    if group:
        yield Recipient(keys.fetchone()[0], tuple(group))


def _column(row: Row, name: str) -> Any:
    """A value; None when there is no such column. Rows hold no other None."""
    values: Mapping[str, Any] = row.values
    return values.get(name)


def _pages(pages: tuple[int, ...]) -> str:
    if not pages:
        return ""
    first, last = pages[0] + 1, pages[-1] + 1
    return f"page {first}" if first == last else f"pages {first} to {last}"
