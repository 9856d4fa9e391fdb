"""Reads a PDF for burst.py: how many pages it has, and which of them begin a part. Runs in the child process.

Must stay true: a page has one mark or none; a page with two different ones is an error and never a guess, because a
part goes to a stranger of the others.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from datapallas.errors import ConfigurationError
from datapallas.reports.model import Burst

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pypdfium2

_TOKEN = re.compile(r"\{([^{}]{1,300})\}")
_BROKEN_WORD = re.compile(r"[\ufffe\u00ad\x02][\r\n]*")  # what PDFium puts for a hyphen at the end of a line


def marks(path: Path, by: Burst, share: int = 0, shares: int = 1) -> tuple[int, dict[int, str]]:
    """The number of pages, and the mark of each page that has one.

    Tokens are looked for in one of `shares` equal parts of the pages only. Raises ConfigurationError.
    """
    with _opened(path) as pdf:
        count = len(pdf)
        match by:
            case Burst.PAGES:
                return count, {}
            case Burst.BOOKMARKS:
                return count, _bookmarks(pdf, path)
            case _:
                pages = range(count * share // shares, count * (share + 1) // shares)
                return count, _tokens(pdf, path, pages)


def _tokens(pdf: pypdfium2.PdfDocument, path: Path, pages: Iterable[int]) -> dict[int, str]:
    """The token of each page that has one."""
    return _one_each(((number, token) for number in pages for token in tokens_of(_text(pdf, number))), path)


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
                return empty(path, "it has no pages")
    except pikepdf.PasswordError:
        return ConfigurationError(
            f"{path.name} opens with a password only, so it cannot be cut.", code="burst-encrypted", path=path
        )
    except pikepdf.PdfError:
        pass
    return ConfigurationError(
        f"{path.name} is not a PDF that can be read.", code="burst-broken", raw=said, path=path
    )


def empty(path: Path, reason: str) -> ConfigurationError:
    """The error of a PDF with nothing to cut by."""
    return ConfigurationError(
        f"{path.name} cannot be cut: {reason}.", code="burst-empty", path=path, reason=reason
    )
