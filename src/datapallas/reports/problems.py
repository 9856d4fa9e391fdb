"""What is wrong with a list, found before anything is sent: addresses, duplicates, empty values, too many recipients.

Must stay true: it costs hardly more memory for a million recipients than for a thousand; all problems are counted, also
those that are not kept; it only looks, and what it lets
pass is checked again when the message is made.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from datapallas.errors import AddressError
from datapallas.mail.address import control_in, parse_one
from datapallas.reports import typos
from datapallas.reports.letters import addresses, too_large
from datapallas.reports.model import Kind, Problem, Rendered, Severity
from datapallas.reports.names import GIVEN
from datapallas.reports.seen import Seen
from datapallas.reports.sink import error, warning
from datapallas.reports.texts import Texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from datapallas.mail.address import NamedAddress
    from datapallas.reports.model import Recipient, Report
    from datapallas.reports.sink import Sink

_FIELDS = (("to", "To"), ("cc", "Cc"), ("bcc", "Bcc"), ("reply_to", "Reply-To"))


class Check:
    """One pass over a list.

    Args:
        report: whose list it is.
        columns: of its rows; a template that names another one is told at once.
        sinks: where reading and grouping leave their problems; they are told in between.

    Attributes:
        recipients: how many there were so far, those with problems among them.
    """

    def __init__(self, report: Report, columns: Sequence[str] = (), sinks: Sequence[Sink] = ()) -> None:
        self.recipients = self._errors = self._warnings = 0
        self._early: list[Problem] = []
        self._report, self._columns, self._sinks = report, columns, sinks
        self._ragged = report.rows is not None and report.rows.kind is Kind.JSONL
        self._texts = Texts(report)

    @property
    def errors(self) -> int:
        """How many errors so far."""
        return self._errors + sum(sink.errors for sink in self._sinks)

    @property
    def warnings(self) -> int:
        """How many warnings so far."""
        return self._warnings + sum(sink.warnings for sink in self._sinks)

    def problems(self, results: Iterable[tuple[Recipient, Rendered | Problem]]) -> Iterator[Problem]:
        """Each problem, in the order of the list; `results` need hold no more than envelopes."""
        yield from self._counted(self._before())
        seen = Seen()
        for recipient, made in results:
            yield from self._read_before(recipient.rows[0].number)
            self.recipients += 1
            yield from self._counted(self._of_recipient(recipient, made, seen))
        yield from self._read_before(None)
        if not self.recipients and not self.errors:
            yield from self._counted([warning("row", "There are no rows, so nobody would get anything.")])

    def _counted(self, problems: Iterable[Problem]) -> Iterator[Problem]:
        for problem in problems:
            if problem.severity is Severity.ERROR:
                self._errors += 1
            else:
                self._warnings += 1
            yield problem

    def _before(self) -> Iterator[Problem]:
        for name in self._columns:
            if name in GIVEN:
                yield warning(
                    "missing",
                    f"In templates {name!r} is not this column: write row[{name!r}].",
                    f"column {name}",
                )
        if words := too_large(self._report):
            yield error("size", words, "report.toml")
        yield from self._texts.lost()
        if self._columns and not self._ragged:
            yield from self._texts.strangers(self._columns)

    def _read_before(self, number: int | None) -> Iterator[Problem]:
        """What reading and grouping found in the rows before this one; they are some rows ahead."""
        for sink in self._sinks:
            self._early += sink.take()
        if not self._early:
            return
        self._early.sort(key=lambda problem: problem.number or sys.maxsize)
        while self._early and (number is None or 0 < self._early[0].number <= number):
            yield self._early.pop(0)

    def _of_recipient(self, recipient: Recipient, made: Rendered | Problem, seen: Seen) -> Iterator[Problem]:
        if self.recipients - 1 == self._report.limits.recipients > 0:
            text = (
                f"There are more than the {self._report.limits.recipients:,} recipients that [limits] allows."
            )
            yield error("limit", text, recipient.place)
        yield from [made] if isinstance(made, Problem) else self._of_one(recipient, made, seen)

    def _of_one(self, recipient: Recipient, made: Rendered, seen: Seen) -> Iterator[Problem]:
        place, key = recipient.place, recipient.key
        found: dict[str, tuple[NamedAddress, ...]] = {}
        told: set[str] = set()
        row = recipient.rows[0].values
        for field, name in _FIELDS:
            text = getattr(made, field)
            try:
                found[field] = addresses(text) if text else ()
            except AddressError as problem:
                empty = self._texts.empty_of(field, row)
                told.update(empty)
                words = f"{problem.message.rstrip('.')}{_because(empty)}." if empty else problem.message
                yield error("address", f"{name}: {words}", place, key)
        if not any(found.get(field) for field in ("to", "cc", "bcc")) and len(found) == len(_FIELDS):
            empty = self._texts.empty_of("to", row)
            told.update(empty)
            yield error("address", f"To is empty{_because(empty)}.", place, key)
        if made.sender:
            try:
                parse_one(made.sender)
            except AddressError as problem:
                yield error("address", f"From: {problem.message}", place, key)
        for person in found.get("to", ()):
            yield from _of_address(person, place, key, seen)
        if lacking := self._texts.without_password(row):
            told.update(lacking)
            text = f"The password of a document is empty{_because(lacking)}, and nothing is sent without it."
            yield error("document", text, place, key)
        yield from self._of_texts(recipient, made, told)

    def _of_texts(self, recipient: Recipient, made: Rendered, told: set[str]) -> Iterator[Problem]:
        """What the email shows; `told`: empty columns that have an error of their own already."""
        place, key = recipient.place, recipient.key
        if bad := control_in(made.subject):
            yield error("template", f"The subject holds {bad}.", place, key)
        elif not made.subject.strip():
            yield warning("missing", "The subject is empty.", place, key)
        row = recipient.rows[0].values
        if self._ragged:
            yield from self._texts.lacking(row, place, key)
        if empty := [name for name in self._texts.empty_in(row) if name not in told]:
            names = ", ".join(map(repr, empty))
            text = f"{names} {'is' if len(empty) == 1 else 'are'} empty here, and the email shows {'it' if len(empty) == 1 else 'them'}."
            yield warning("missing", text, place, key)


def _because(empty: Sequence[str]) -> str:
    return f": the column {empty[0]!r} is empty" if empty else ""


def _of_address(person: NamedAddress, place: str, key: str, seen: Seen) -> Iterator[Problem]:
    before = seen.place_of(person.address.lower(), place)
    if before:
        yield warning("duplicate", f"{person.address} gets an email by {before} already.", place, key)
    elif other := typos.meant(person.domain):
        yield warning(
            "address", f"{person.address}: was {other!r} meant, and not {person.domain!r}?", place, key
        )
    elif "." not in person.domain and not person.domain.startswith("["):
        yield warning("address", f"{person.address}: the domain has no dot.", place, key)
