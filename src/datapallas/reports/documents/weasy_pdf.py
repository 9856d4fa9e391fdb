"""PDF from HTML templates, by WeasyPrint (an extra, and Pango on the machine).

Must stay true: nothing but files of the report's folder and `data:` is ever loaded; stylesheets and fonts are read
and parsed once a process.
"""

from __future__ import annotations

import mimetypes
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from datapallas.errors import ConfigurationError
from datapallas.reports.trouble import Trouble

if TYPE_CHECKING:
    from pathlib import Path

    from datapallas.reports.places import Place

_STYLE = re.compile(r"<style\s*>(.*?)</style\s*>", re.IGNORECASE | re.DOTALL)
_LINK = re.compile(r"""<link\s+rel=["']?stylesheet["']?\s+href=["']([^"']+)["']\s*/?>""", re.IGNORECASE)
_ANY_STYLE = re.compile(r"<style\b|<link\b[^>]*stylesheet", re.IGNORECASE)
_MOST = 64 * 1024 * 1024
_KEPT = 64  # stylesheets, images


class WeasyPdf:
    """Lays HTML out as PDF. Raises ConfigurationError when WeasyPrint or Pango is not there."""

    def __init__(self, folder: Path, place: Place) -> None:
        weasy = _weasyprint()
        from weasyprint.css.counters import CounterStyle
        from weasyprint.text.fonts import FontConfiguration

        self._weasy = weasy
        self._base = folder.resolve().as_uri() + "/"
        self._fetch = _fetcher(place)
        self._shared = {"font_config": FontConfiguration(), "counter_style": CounterStyle()}
        self._sheets: dict[str, Any] = {}
        self._images: dict[str, Any] = {}

    def make(self, html: str, name: str) -> bytes:
        """The PDF of filled-in HTML. Raises Trouble."""
        from weasyprint.urls import FatalURLFetchingError

        if len(self._images) > _KEPT:
            self._images.clear()
        try:
            bare, sheets = self._styles(html)
            page = self._weasy.HTML(string=bare, base_url=self._base, url_fetcher=self._fetch)
            made: bytes = page.write_pdf(stylesheets=sheets, cache=self._images, **self._shared)
        except FatalURLFetchingError as problem:
            raise Trouble("template", f"{name}: {problem}") from None
        return made

    def _styles(self, html: str) -> tuple[str, list[Any]]:
        """Take the stylesheets out, parsed; as they are when one is written so that order could be lost."""
        if len(_ANY_STYLE.findall(html)) != len(_STYLE.findall(html)) + len(_LINK.findall(html)):
            return html, []
        found = re.compile(f"{_STYLE.pattern}|{_LINK.pattern}", re.IGNORECASE | re.DOTALL)
        sheets = [self._sheet(one[1], one[2]) for one in found.finditer(html)]
        return found.sub("", html), sheets

    def _sheet(self, text: str | None, href: str | None) -> Any:
        key = f"href {href}" if text is None else f"text {text}"
        if key not in self._sheets:
            if len(self._sheets) >= _KEPT:
                self._sheets.clear()
            what = {"string": text} if text is not None else {"url": self._base + (href or "")}
            if href and (urlsplit(href).scheme or href.startswith("//")):
                what = {"url": href}
            self._sheets[key] = self._weasy.CSS(
                base_url=self._base, url_fetcher=self._fetch, **what, **self._shared
            )
        return self._sheets[key]


def _weasyprint() -> Any:
    try:
        import weasyprint
    except ImportError:
        raise ConfigurationError(
            "PDF from an HTML template needs WeasyPrint, which is not installed.", code="weasyprint-missing"
        ) from None
    except OSError as problem:  # cffi's: a library of the system
        raise ConfigurationError(
            "PDF from an HTML template needs Pango, which is not on this machine.",
            code="pango-missing",
            raw=str(problem).partition("\n")[0],
        ) from None
    weasyprint.LOGGER.disabled = True  # it tells stderr about each unknown property of each recipient
    return weasyprint


def _fetcher(place: Place) -> Any:
    from weasyprint.urls import FatalURLFetchingError, URLFetcher, URLFetcherResponse

    class Local(URLFetcher):  # type: ignore[misc]  # the library has no types
        """Files the report may use."""

        def fetch(self, url: str, headers: Any = None) -> Any:
            parts = urlsplit(url)
            if parts.scheme == "data":
                return super().fetch(url, headers)
            if parts.scheme != "file" or parts.netloc not in {"", "localhost"}:
                raise FatalURLFetchingError(
                    f"{_short(url)} is not a file of the report's folder; nothing is loaded."
                )
            try:
                path, size = place.file(unquote(parts.path), "template")
            except Trouble as problem:
                raise FatalURLFetchingError(problem.text) from None
            if size > _MOST:
                raise FatalURLFetchingError(f"{path.name} is larger than 64 MB.")
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            return URLFetcherResponse(url, path.read_bytes(), {"Content-Type": kind})

    return Local(allowed_protocols={"data"}, allow_redirects=False)


def _short(url: str) -> str:
    return ascii(url if len(url) <= 120 else url[:117] + "...")[1:-1]  # noqa: PLR2004 - a line of a screen
