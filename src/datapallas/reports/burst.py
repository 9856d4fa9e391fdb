"""Which pages of one PDF belong together: by the text `{token}` on them, by bookmarks, or every so many pages.

Must stay true: a page belongs to one part or to none; a page of which that is not certain is an error and never a
guess, because a part goes to a stranger of the others.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from typing import TYPE_CHECKING

from datapallas.errors import ConfigurationError
from datapallas.reports.model import Burst
from datapallas.reports.paths import data_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pypdfium2

    from datapallas.reports.model import BurstPlan

_TOKEN = re.compile(r"\{([^{}]{1,300})\}")
_BROKEN_WORD = re.compile(r"[\ufffe\u00ad\x02][\r\n]*")  # what PDFium puts for a hyphen at the end of a line


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """The pages of one recipient.

    Attributes:
        token: the text between the braces, the bookmark's title, or the part's number from 1.
        pages: from 0, in the order of the file.
    """

    token: str
    pages: tuple[int, ...]


def parts(plan: BurstPlan, folder: Path) -> list[Part]:
    """Find the parts of the plan's PDF, in the order they begin. A relative path begins in `folder`.

    Pages before the first token or bookmark belong to nobody. Raises ConfigurationError: `burst-file`,
    `burst-broken`, `burst-encrypted`, `burst-empty` (nothing to go by), `burst-shared` (a page of two parts).
    """
    path = data_file(folder, plan.file)
    with _opened(path) as pdf:
        count = len(pdf)
        if count == 0:
            raise _empty(path, "it has no pages")
        match plan.by:
            case Burst.PAGES:
                if plan.pages < 1:
                    raise ConfigurationError(
                        "[burst] pages is 1 or more.", code="report-template", template="report.toml"
                    )
                starts = range(0, count, plan.pages)
                return [
                    Part(str(n), tuple(range(at, min(at + plan.pages, count))))
                    for n, at in enumerate(starts, 1)
                ]
            case Burst.BOOKMARKS:
                marks, none = _bookmarks(pdf, path), "it has no bookmarks"
            case _:
                marks, none = _tokens(pdf, path), "no page has a text in braces such as {name@x.example}"
    if not marks:
        raise _empty(path, none)
    return _together(marks, count)


def _together(marks: dict[int, str], count: int) -> list[Part]:
    """A page without a mark goes on with the one before; a mark that comes again goes on with its part."""
    found: dict[str, list[int]] = {}
    first = min(marks)
    token = marks[first]
    for page in range(first, count):
        token = marks.get(page, token)
        found.setdefault(token, []).append(page)
    return [Part(token, tuple(pages)) for token, pages in found.items()]


def _tokens(pdf: pypdfium2.PdfDocument, path: Path) -> dict[int, str]:
    """The token of each page that has one."""
    return _one_each(
        ((number, token) for number in range(len(pdf)) for token in tokens_of(_text(pdf, number))), path
    )


def tokens_of(text: str) -> list[str]:
    """The tokens in a page's text, with single spaces where lines were broken."""
    whole = _BROKEN_WORD.sub("", text)
    found = [" ".join(token.split()) for token in _TOKEN.findall(whole)]
    return [token for token in found if token]


def _text(pdf: pypdfium2.PdfDocument, number: int) -> str:
    import pypdfium2

    try:
        page = pdf[number]
        try:
            words = page.get_textpage()
            try:
                return str(words.get_text_range())
            finally:
                words.close()
        finally:
            page.close()
    except pypdfium2.PdfiumError as problem:
        raise ConfigurationError(
            f"Page {number + 1} of the PDF cannot be read.", code="burst-broken", raw=str(problem)
        ) from None


def _bookmarks(pdf: pypdfium2.PdfDocument, path: Path) -> dict[int, str]:
    """The title of the bookmark of the first level that leads to a page."""

    def marks() -> Iterator[tuple[int, str]]:
        for bookmark in pdf.get_toc(max_depth=1):
            where = bookmark.get_dest()
            page = where.get_index() if where else None
            title = " ".join(bookmark.get_title().split())
            if page is not None and title:
                yield page, title

    return _one_each(marks(), path)


def _one_each(marks: Iterable[tuple[int, str]], path: Path) -> dict[int, str]:
    found: dict[int, str] = {}
    for page, token in marks:
        if found.setdefault(page, token) != token:
            raise ConfigurationError(
                f"Page {page + 1} of {path.name} belongs to {found[page]!a} and to {token!a}; a page goes to one only.",
                code="burst-shared",
                path=path,
                page=page + 1,
            )
    return found


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[pypdfium2.PdfDocument]:
    import pypdfium2

    try:
        with path.open("rb"):
            pass
        pdf = pypdfium2.PdfDocument(path)
    except OSError as problem:
        raise ConfigurationError(
            f"The PDF {path.name} cannot be read: {problem.strerror}.", code="burst-file", path=path
        ) from None
    except pypdfium2.PdfiumError as problem:
        raise _why_not(path, str(problem)) from None
    try:
        yield pdf
    finally:
        pdf.close()


def _why_not(path: Path, said: str) -> ConfigurationError:
    """What is wrong with a PDF that PDFium does not open: its own reason may be that of the file before."""
    import pikepdf

    try:
        with pikepdf.open(path) as pdf:
            if not len(pdf.pages):
                return _empty(path, "it has no pages")
    except pikepdf.PasswordError:
        return ConfigurationError(
            f"{path.name} opens with a password only, so it cannot be cut.", code="burst-encrypted", path=path
        )
    except pikepdf.PdfError:
        pass
    return ConfigurationError(
        f"{path.name} is not a PDF that can be read.", code="burst-broken", raw=said, path=path
    )


def _empty(path: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path.name} cannot be cut: {reason}.", code="burst-empty", path=path, reason=reason
    )
