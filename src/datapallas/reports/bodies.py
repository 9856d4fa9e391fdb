"""The bodies of an email: HTML as mail programs want it, its images, and the text beside it.

Must stay true: nothing is fetched from anywhere; a stylesheet or an image is a file the report may use; the octets
of an image are not read here, so that one shared by all is read once, where it is sent.
"""

from __future__ import annotations

import html as markup
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from datapallas.reports.model import Document
from datapallas.reports.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datapallas.reports.places import Place

_LINK = re.compile(r"<link\b[^>]*>", re.IGNORECASE)
_IMAGE = re.compile(r"""(<img\b[^>]*?\ssrc=)(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([a-z-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_MOST_CSS = 1024 * 1024


class Bodies:
    """Makes HTML fit for mail; stylesheets are read once."""

    def __init__(self, place: Place) -> None:
        import css_inline

        self._place = place
        self._sheets: dict[str, str] = {}
        self._images: dict[str, Document] = {}
        self._inline: Callable[[str], str] = css_inline.CSSInliner(
            load_remote_stylesheets=False, keep_at_rules=True
        ).inline

    def fit(self, html: str) -> tuple[str, tuple[Document, ...]]:
        """Write CSS into the elements; images become parts of the mail. Raises Trouble."""
        with_styles = _LINK.sub(self._style, html) if "<link" in html.lower() else html
        try:
            inlined = self._inline(with_styles)
        except ValueError as problem:  # css_inline.InlineError is one
            raise Trouble("template", f"The CSS of the HTML body cannot be used: {problem}.") from None
        images: dict[str, Document] = {}
        made = _IMAGE.sub(lambda found: self._image(found, images), inlined)
        return made, tuple(images.values())

    def _style(self, link: re.Match[str]) -> str:
        given = {name.lower(): a or b or c for name, a, b, c in _ATTRIBUTE.findall(link[0])}
        if "stylesheet" not in given.get("rel", "").lower():
            return link[0]
        href = markup.unescape(given.get("href", ""))
        if _ELSEWHERE.match(href):
            raise Trouble(
                "template",
                f"The stylesheet {href} is not a file beside the template; mail programs load none.",
            )
        if href not in self._sheets:
            path, size = self._place.file(unquote(href), "template")
            if size > _MOST_CSS:
                raise Trouble("template", f"The stylesheet {href} is larger than 1 MB.")
            self._sheets[href] = _read(path, href)
        return f"<style>{self._sheets[href]}</style>"

    def _image(self, found: re.Match[str], images: dict[str, Document]) -> str:
        source = markup.unescape(found[2] if found[2] is not None else found[3])
        if not source or _ELSEWHERE.match(source):
            return found[0]
        document = self._images.get(source)
        if document is None:
            path, _ = self._place.file(unquote(source.partition("?")[0]), "template")
            if len(self._images) > 1000:  # noqa: PLR2004 - one image for each recipient must not add up
                self._images.clear()
            document = self._images[source] = Document(_cid(path, source), path=path)
        images[document.name] = document
        return f'{found[1]}"cid:{document.name}"'


def _cid(path: Path, source: str) -> str:
    """A name that is the same for the same image of every recipient: `logo-1f3a90c2.png`."""
    import hashlib

    mark = hashlib.sha256(source.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{_UNSAFE.sub('-', path.stem)[:60]}-{mark}{_UNSAFE.sub('-', path.suffix)[:10]}"


def _read(path: Path, href: str) -> str:
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise Trouble("template", f"The stylesheet {href} cannot be read: {problem}.") from None
    if "</style" in text.lower():
        raise Trouble("template", f"The stylesheet {href} holds </style>, which is not CSS.")
    return text
