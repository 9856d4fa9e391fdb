"""HTML as plain text, for the mail programs and people that read no HTML. Pure.

Must stay true: no word a reader would see is lost, and the target of a link stands beside its words.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

_SILENT = frozenset({"head", "style", "script", "title", "template"})
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "dd",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "hr",
        "li",
        "main",
        "nav",
        "ol",
        "section",
        "table",
        "tr",
        "ul",
    ]
)
_SPACED = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "table", "ul", "ol", "blockquote"})


def text_of(html: str) -> str:
    """The text of an HTML document: paragraphs, lists and rows of tables as lines."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    text = "".join(reader.out)
    lines = [line.rstrip() for line in text.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n") + "\n"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self._silent = 0
        self._literal = 0
        self._links: list[tuple[str, int]] = []
        self._lists: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in _SILENT:
            self._silent += 1
        elif tag == "br":
            self.out.append("\n")
        elif tag == "hr":
            self.out.append("\n" + "-" * 40 + "\n")
        elif tag == "img":
            self._say(given.get("alt") or "")
        elif tag == "a":
            self._links.append((given.get("href") or "", len(self.out)))
        elif tag in {"td", "th"}:
            if not self._at_line_start():
                self.out.append(" | ")
        elif tag == "li":
            self._break()
            self.out.append(self._bullet())
        else:
            self._open(tag)

    def _open(self, tag: str) -> None:
        if tag in {"ul", "ol"}:
            self._lists.append(0 if tag == "ol" else -1)
        if tag == "pre":
            self._literal += 1
        if tag in _SPACED and len(self._lists) < 2:  # noqa: PLR2004 - a list in a list needs no empty line
            self._break(empty=True)
        elif tag in _BLOCKS:
            self._break()

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag == "a" and self._links:
            href, at = self._links.pop()
            words = "".join(self.out[at:]).strip()
            if href.startswith(("http:", "https:", "mailto:")) and href.removeprefix("mailto:") != words:
                self.out.append(f" ({href})")
        else:
            if tag in {"ul", "ol"} and self._lists:
                self._lists.pop()
            if tag == "pre":
                self._literal = max(0, self._literal - 1)
            if tag in _SPACED and not self._lists:
                self._break(empty=True)
            elif tag in _BLOCKS:
                self._break()

    def handle_data(self, data: str) -> None:
        self._say(data)

    def _say(self, words: str) -> None:
        if self._silent or not words:
            return
        if self._literal:
            self.out.append(words)
            return
        words = re.sub(r"[ \t\r\n\f]+", " ", words)
        if words.startswith(" ") and (self._at_line_start() or self.out[-1].endswith(" ")):
            words = words[1:]
        if words:
            self.out.append(words)

    def _at_line_start(self) -> bool:
        return not self.out or self.out[-1].endswith("\n")

    def _break(self, *, empty: bool = False) -> None:
        if self.out and not self._at_line_start():
            self.out.append("\n")
        if empty and self.out:
            self.out.append("\n")

    def _bullet(self) -> str:
        indent = "  " * max(0, len(self._lists) - 1)
        if self._lists and self._lists[-1] >= 0:
            self._lists[-1] += 1
            return f"{indent}{self._lists[-1]}. "
        return f"{indent}- "
