"""From what was filled in to a message that can be sent.

Must stay true: what is no address is refused, never repaired; a report in test mode reaches nobody but the tester; a
file all recipients get is one content (mail/shelf.py, outbox/letters.py), not one for each.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from datapallas.errors import AddressError, AttachmentError, MessageError
from datapallas.mail.address import NamedAddress, parse_many, parse_one
from datapallas.mail.attachment import Attachment
from datapallas.mail.encoding import base64_size
from datapallas.mail.message import Message
from datapallas.reports.model import Problem
from datapallas.reports.paths import data_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from datapallas.reports.model import Document, Recipient, Rendered, Report

_QUOTED_OR_SEMICOLON = re.compile(r'"(?:[^"\\]|\\.)*"|;')
_INNER_BLANKS = re.compile(r"<\s*([^<>\"]*?)\s*>")
_TEST_FOR = "X-DataPallas-Test-For"
_MOST_SHOWN = 500


class TooLarge(MessageError):
    """The message has more octets than the report allows."""

    code = "report-message-size"


def addresses(text: str) -> tuple[NamedAddress, ...]:
    """The addresses of a text, separated by commas or semicolons. Raises AddressError."""
    one_line = _INNER_BLANKS.sub(r"<\1>", " ".join(text.split()))
    return parse_many(_QUOTED_OR_SEMICOLON.sub(lambda found: "," if found[0] == ";" else found[0], one_line))


def message_of(report: Report, rendered: Rendered) -> Message:
    """The message of one recipient.

    Raises AddressError, AttachmentError, TooLarge and MessageError; `problem_of` makes problems of them.
    """
    to, cc, bcc = addresses(rendered.to), addresses(rendered.cc), addresses(rendered.bcc)
    if not (to or cc or bcc):
        raise AddressError("There is no address: the column of `to` is empty.", address="")
    headers: dict[str, str] = {}
    if report.test_to:
        asked = ", ".join([person.address for person in (*to, *cc, *bcc)])
        headers[_TEST_FOR] = asked[:_MOST_SHOWN]
        to, cc, bcc = addresses(report.test_to), (), ()
    message = Message(
        to=to,
        cc=cc,
        bcc=bcc,
        reply_to=addresses(rendered.reply_to),
        sender=parse_one(rendered.sender) if rendered.sender else None,
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        attachments=[_attachment(document) for document in rendered.documents],
        inline=[(document.name, _attachment(document)) for document in rendered.inline],
        headers=headers,
    )
    size = octets(message)
    if size > report.limits.message_octets:
        raise TooLarge(
            f"The email has about {size:,} octets; the report allows {report.limits.message_octets:,}.",
            size=size,
        )
    return message


def message_or_problem(report: Report, recipient: Recipient, rendered: Rendered) -> Message | Problem:
    """The message of one recipient, or why there is none."""
    try:
        return message_of(report, rendered)
    except MessageError as error:
        return problem_of(recipient, error)


def complete(
    report: Report, results: Iterable[tuple[Recipient, Rendered | Problem]]
) -> Iterator[tuple[Recipient, Rendered | Problem]]:
    """What was made whole, with a problem in the place of each email that could not be sent with its documents."""
    for recipient, made in results:
        found = made if isinstance(made, Problem) else message_or_problem(report, recipient, made)
        # Addresses are told field by field by the check.
        wrong = isinstance(found, Problem) and found.code in {"size", "document"}
        yield recipient, found if wrong and isinstance(found, Problem) else made


def problem_of(recipient: Recipient, error: MessageError) -> Problem:
    """What the person who keeps the list reads."""
    match error:
        case AddressError():
            kind = "address"
        case TooLarge():
            kind = "size"
        case AttachmentError():
            kind = "document"
        case _:
            kind = "template"
    return Problem(code=kind, text=error.message, place=recipient.place, key=recipient.key)


def octets(message: Message) -> int:
    """About how many octets the message has on the wire; files are asked for their size, not read."""
    files: Iterable[Attachment] = (*message.attachments, *[one for _, one in message.inline])
    bodies = len(message.text.encode("utf-8", "replace")) + len(message.html.encode("utf-8", "replace"))
    return 1024 + bodies + sum([base64_size(one.content.size()) + 512 for one in files])


def too_large(report: Report) -> str:
    """Why no email of the report can be sent: files that everybody gets are too large; empty when they are not."""
    names = [one.file for one in report.attachments if one.file and "{" not in one.file]
    sizes: dict[str, int] = {}
    for name in names:
        with contextlib.suppress(OSError):  # one that is not there is told with its recipient
            sizes[name] = data_file(report.folder, name).stat().st_size
    if sum(map(base64_size, sizes.values())) <= report.limits.message_octets:
        return ""
    files = " and ".join(f"{Path(name).name} ({size:,})" for name, size in sizes.items())
    return f"What everybody gets is too large: {files} octets; a message may have {report.limits.message_octets:,}."


def _attachment(document: Document) -> Attachment:
    return Attachment(document.name, document.path if document.path is not None else document.data)
