"""Makes the emails of one report, one recipient after the other; runs in the child process (child.py).

Programs and fonts are loaded when it is made; then the process is confined; then `load` meets the templates.
Must stay true: everything that is the same for all recipients is read and parsed once, before the first of them, and
a fault in it is a ConfigurationError; what goes wrong with one recipient is a Trouble of that recipient.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from datapallas.reports.documents.kinds import Workshop
from datapallas.reports.documents.naming import numbered
from datapallas.reports.filling import Filler, Text, context_of
from datapallas.reports.model import Document, Rendered
from datapallas.reports.trouble import Trouble

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from datapallas.reports.documents.kinds import Maker
    from datapallas.reports.model import Recipient, Report

_ENVELOPE = ("to", "cc", "bcc", "reply_to", "sender", "subject")


class Press:
    """One report, loaded.

    Args:
        report: the report.
        today: what templates see as `today`.
        envelope_only: addresses and subject, no bodies and no documents.
        step: called with the name of what is being made.
    """

    def __init__(
        self, report: Report, today: dt.date, *, envelope_only: bool, step: Callable[[str], None]
    ) -> None:
        self._report = report
        self._today = today
        self._step = step
        self._most = report.limits.message_octets
        self._envelope_only = envelope_only
        self._filler = Filler(report.folder, str(report.values.get("locale") or "en"), max(self._most, 1024))
        self._shop = Workshop(report, self._filler)
        self._lines: list[tuple[str, Text]] = []
        self._text: Text | None = None
        self._html: Text | None = None
        self._makers: list[Maker] = []
        if not envelope_only:
            self._shop.warm()
            if report.email.html:
                from datapallas.reports.bodies import Bodies

                self._bodies = Bodies(self._shop.place)

    def load(self) -> None:
        """Compile the templates. Raises ConfigurationError with the line."""
        email, report, filler = self._report.email, self._report, self._filler
        self._lines = [
            (name, filler.text(source, f"email.{'from' if name == 'sender' else name}"))
            for name in _ENVELOPE
            if (source := getattr(email, name))
        ]
        if self._envelope_only:
            return
        self._text = filler.file(email.text) if email.text else None
        self._html = filler.file(email.html) if email.html else None
        if report.burst is not None:
            self._makers.append(self._shop.part_maker(report.burst))
        self._makers += [self._shop.maker(one, number) for number, one in enumerate(report.attachments, 1)]

    def make(self, recipient: Recipient) -> Rendered:
        """Make one recipient's email. Raises Trouble."""
        context = context_of(self._report, recipient, self._today)
        if self._report.burst is not None:
            context["part_pages"] = recipient.part or ()
            context.setdefault("token", context["row"].get(self._report.burst.match, ""))
            context.setdefault("pages", len(recipient.part or ()))
        made: dict[str, Any] = {
            name: " ".join(text.fill(context).split("\n")).strip() for name, text in self._lines
        }
        made["text"] = self._text.fill(context) if self._text else ""
        if self._html:
            self._step(self._html.name)
            made["html"], made["inline"] = self._fit(self._html.name, self._html.fill(context))
            if not self._text:
                from datapallas.reports.reading import text_of

                made["text"] = text_of(made["html"])
        documents = []
        left = self._most - len(made["text"]) - len(made.get("html", ""))
        for maker in self._makers:
            self._step(maker.what)
            document = maker.make(context)
            left -= len(document.data)
            if left < 0:
                raise Trouble(
                    "size", f"The email is larger than the {self._most:,} octets a message may have."
                )
            documents.append(document)
        return Rendered(**{"to": "", **made}, documents=_numbered(documents))

    def _fit(self, name: str, html: str) -> tuple[str, tuple[Document, ...]]:
        try:
            return self._bodies.fit(html)
        except Trouble as problem:
            raise Trouble(problem.code, f"{name}: {problem.text}") from None


def _numbered(documents: list[Document]) -> tuple[Document, ...]:
    names = numbered([document.name for document in documents])
    return tuple(
        [
            document if document.name == name else dataclasses.replace(document, name=name)
            for document, name in zip(documents, names, strict=True)
        ]
    )
