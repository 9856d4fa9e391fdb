"""One recipient's email as it would be, to look at: found in the rows, rendered, and written to a folder.

Must stay true: nothing is sent, and nothing is promised; what is shown is made by the same code as what is sent.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from typing import TYPE_CHECKING, Any

from datapallas.errors import ConfigurationError, StorageError, UsageError
from datapallas.files import private_directory
from datapallas.reports.letters import message_or_problem
from datapallas.reports.model import Problem

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable
    from pathlib import Path

    from datapallas.mail.message import Message
    from datapallas.reports.model import Document, Recipient, Rendered, Report


@dataclasses.dataclass(frozen=True, slots=True)
class Preview:
    """One recipient's email.

    Attributes:
        recipient: who it is for.
        rendered: what was filled in; None when that was not possible.
        message: the message; None when it cannot be sent as it is.
        problem: why not.
    """

    recipient: Recipient
    rendered: Rendered | None
    message: Message | None
    problem: Problem | None


def preview(report: Report, *, only: str = "", row: int = 0, today: dt.date | None = None) -> Preview:
    """The email of the recipient with the key `only`, or of the one with the row `row` (from 1); else of the first.

    Raises UsageError (there is no such recipient), ConfigurationError and RowsError (the report or its rows).
    """
    return preview_for(report, chosen(report, only=only, row=row), today)


def preview_for(report: Report, recipient: Recipient, today: dt.date | None = None) -> Preview:
    """The email of this recipient. Raises ConfigurationError: a template cannot be read."""
    from datapallas.reports.rendering import Renderer

    with Renderer(report, processes=1, today=today) as renderer:
        ((_, made),) = renderer.render([recipient])
    if isinstance(made, Problem):
        return Preview(recipient, None, None, made)
    message = message_or_problem(report, recipient, made)
    if isinstance(message, Problem):
        return Preview(recipient, made, None, message)
    return Preview(recipient, made, message, None)


def chosen(report: Report, *, only: str = "", row: int = 0) -> Recipient:
    """The recipient a person means. Raises UsageError when there is none."""
    from datapallas.reports.agreeing import agree
    from datapallas.reports.burst import parts
    from datapallas.reports.recipients import recipients
    from datapallas.reports.rows import open_rows

    with contextlib.ExitStack() as stack:
        rows = stack.enter_context(open_rows(report.rows, report.folder)) if report.rows else None
        agree(report, () if rows is None else rows.columns)
        cut: Iterable[Any] = parts(report.burst, report.folder) if report.burst else ()
        for one in recipients(report, rows, cut):
            if (only and one.key == only) or (row and any(each.number == row for each in one.rows)):
                return one
            if not only and not row:
                return one
    what = (
        f"No recipient has the key {only!a}." if only else f"No recipient has the row {row}." if row else ""
    )
    raise UsageError(
        what or "The report has no recipients.", code="report-key", key=only or row, report=report.code
    )


def write(shown: Preview, folder: Path, eml: bytes) -> list[Path]:
    """Write `email.eml`, `email.html`, `email.txt` and the documents to `folder`; give their paths.

    Files of these names are replaced. Raises StorageError.
    """
    rendered = shown.rendered
    if rendered is None:
        return []
    made: list[Path] = []
    private_directory(folder)
    try:
        if eml:
            made.append(_put(folder / "email.eml", eml))
        if rendered.html:
            made.append(_put(folder / "email.html", _with_files(rendered).encode("utf-8", "replace")))
        made.append(_put(folder / "email.txt", rendered.text.encode("utf-8", "replace")))
        made += [_document(folder, one) for one in (*rendered.documents, *rendered.inline)]
    except OSError as problem:
        raise StorageError(
            f"Cannot write the preview to {folder}: {problem.strerror}.", path=folder
        ) from problem
    return made


def _with_files(rendered: Rendered) -> str:
    """The HTML with its images as files beside it."""
    html = rendered.html
    for image in rendered.inline:
        html = html.replace(f'"cid:{image.name}"', f'"{image.name}"')
    return html


def _document(folder: Path, document: Document) -> Path:
    path = folder / document.name
    if document.path is None:
        return _put(path, document.data)
    if document.path == path.resolve():
        raise ConfigurationError(
            "The preview would replace a file of the report: choose another folder.",
            code="report-preview",
            path=path,
        )
    path.unlink(missing_ok=True)  # never through a link somebody put there
    shutil.copyfile(document.path, path)
    return path


def _put(path: Path, data: bytes) -> Path:
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    return path
