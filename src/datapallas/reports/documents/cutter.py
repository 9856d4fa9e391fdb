"""Cuts pages out of a PDF that stays open.

Must stay true: a part holds what its pages show and nothing of any other page: no link, outline or name leads to one.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from datapallas.errors import ConfigurationError
from datapallas.reports.documents.sealing import encryption
from datapallas.reports.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# What of a page leads to other pages, or to the structure of the whole document.
_TIES = ("/B", "/StructParents", "/Tabs")


class Cutter:
    """One PDF, opened once. Raises ConfigurationError: it is not there, broken, or has a password."""

    def __init__(self, file: Path) -> None:
        import pikepdf

        try:
            self._pdf = pikepdf.open(file)
        except pikepdf.PasswordError:
            raise ConfigurationError(
                f"{file.name} opens with a password only, so it cannot be cut.",
                code="burst-encrypted",
                path=file,
            ) from None
        except pikepdf.PdfError as problem:
            raise ConfigurationError(
                f"{file.name} is not a PDF that can be read.",
                code="burst-broken",
                raw=str(problem),
                path=file,
            ) from None
        except OSError as problem:
            raise ConfigurationError(
                f"The PDF {file.name} cannot be read: {problem.strerror or problem}.",
                code="burst-file",
                path=file,
            ) from None
        self._pages = list(self._pdf.pages)
        self._loosened: set[int] = set()

    def __len__(self) -> int:
        return len(self._pages)

    def cut(self, pages: Sequence[int], password: str | None = None) -> bytes:
        """A PDF of these pages, counted from 0. Raises Trouble: there is no such page, or the password is empty."""
        import pikepdf

        how = encryption(password) if password is not None else False
        out = io.BytesIO()
        with pikepdf.new() as part:
            for number in pages:
                if not 0 <= number < len(self._pages):
                    raise Trouble("document", f"The PDF has no page {number + 1}.")
                self._loosen(number)
                part.pages.append(self._pages[number])
            part.save(out, encryption=how, object_stream_mode=pikepdf.ObjectStreamMode.generate)
        return out.getvalue()

    def _loosen(self, number: int) -> None:
        """Take out of the page what leads elsewhere; pikepdf itself copies no other page."""
        if number in self._loosened:
            return
        self._loosened.add(number)
        page = self._pages[number].obj
        for name in _TIES:
            if name in page:
                del page[name]
