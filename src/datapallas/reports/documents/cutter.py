"""Cuts pages out of a PDF that stays open.

Must stay true: a part holds what its pages show and nothing of any other page: no link, outline or name leads to one.
"""

from __future__ import annotations

import collections
import io
from typing import TYPE_CHECKING

from datapallas.errors import ConfigurationError
from datapallas.reports.documents.sealing import encryption
from datapallas.reports.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pikepdf

# What of a page leads to other pages or to the structure of the whole document, or is a program's private note.
_TIES = ("/B", "/StructParents", "/PieceInfo", "/AA", "/Metadata")
_FIELD = (
    "/Parent",
    "/StructParent",
    "/FT",
    "/T",
    "/TU",
    "/TM",
    "/V",
    "/DV",
    "/Ff",
    "/A",
    "/AA",
    "/Kids",
    "/Opt",
    "/MK",
)


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
        if "/AcroForm" in self._pdf.Root:
            self._pdf.generate_appearance_streams()
        self._pages = list(self._pdf.pages)
        self._users = collections.Counter([_resources(page) for page in self._pages])
        self._loosened: set[int] = set()
        self._dictionary, self._stamp = pikepdf.Dictionary, pikepdf.Name("/Stamp")

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
        """Take out of the page what leads elsewhere, and what it does not show; pikepdf copies no other page."""
        if number in self._loosened:
            return
        self._loosened.add(number)
        page = self._pages[number]
        for name in _TIES:
            if name in page.obj:
                del page.obj[name]
        for note in page.obj.get("/Annots", ()):
            if isinstance(note, self._dictionary):
                self._loosen_note(note)
        if self._users[_resources(page)] > 1:
            page.remove_unreferenced_resources()

    def _loosen_note(self, note: pikepdf.Dictionary) -> None:
        """A field of a form names its parent, and that one the fields of all other pages with their values.

        What a field looks like is all a part needs.
        """
        field = note.get("/Subtype") == "/Widget"
        for name in _FIELD if field else ("/StructParent",):
            if name in note:
                del note[name]
        if field:
            note["/Subtype"] = self._stamp


def _resources(page: pikepdf.Page) -> tuple[int, int]:
    """Which dictionary of fonts and pictures the page has; (0, 0): the one of all pages that have none of their own.

    Many programs give all pages one dictionary with the pictures of all.
    """
    found = page.obj.get("/Resources")
    if found is None:
        return 0, 0
    return found.objgen if found.is_indirect else page.obj.objgen
