"""Finds the elements of a connection file with their places in bytes.

Must stay true: pure; no DOCTYPE, so no entity but the five of XML itself; bounded in size and depth; offsets are exact,
which is why only encodings are taken in which ASCII is ASCII.

What expat says about places (pinned by tests): `CurrentByteIndex` is an index into the bytes given, a BOM included.
At a start tag it is the `<`. At an end it is the `<` of `</name>`; for an empty element, `<name/>`, it is the byte
after it.
"""

from __future__ import annotations

import dataclasses
import re
from typing import NoReturn
from xml.parsers import expat

from datapallas.errors import BrokenConnection

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
_ENCODINGS = re.compile(r"utf-?8|us-ascii|ascii|iso-8859-\d+|latin-?1|windows-125\d|cp125\d", re.IGNORECASE)
_TAG_END = re.compile(rb"""<[^"'>]*(?:"[^"]*"[^"'>]*|'[^']*'[^"'>]*)*>""")


@dataclasses.dataclass(slots=True)
class Element:
    """One element and its place: `start` is its `<`, `end` the byte after its last `>`."""

    name: str
    line: int
    start: int
    inner_start: int = 0
    inner_end: int = 0
    end: int = 0
    text: str = ""
    children: list[Element] = dataclasses.field(default_factory=list)

    @property
    def empty(self) -> bool:
        """True for `<name/>`, which has no inside."""
        return self.inner_start == self.end


def broken(reason: str, line: int | str = "") -> NoReturn:
    """Raise BrokenConnection; the folder adds the file's path."""
    where = f"line {line}: " if line else ""
    raise BrokenConnection(f"The connection file cannot be read: {where}{reason}.", reason=reason, line=line)


def scan(data: bytes) -> tuple[Element, str]:
    """The root element and the name of the encoding; BrokenConnection with line and reason when there is none."""
    if len(data) > MAX_BYTES:
        broken(f"it is longer than {MAX_BYTES >> 20} MiB")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:4]:
        broken("it is UTF-16 or UTF-32; save it as UTF-8", 1)
    scanner = _Scanner(data)
    return scanner.run(), scanner.encoding


class _Scanner:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.encoding = "utf-8"
        self.open: list[Element] = []
        self.root: Element | None = None
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = False
        self.parser.XmlDeclHandler = self._declared
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def run(self) -> Element:
        try:
            self.parser.Parse(self.data, True)  # noqa: FBT003 - expat takes no keyword
        except expat.ExpatError as problem:
            broken(self._why(problem), problem.lineno)
        if self.root is None:
            broken("it holds no element", 1)
        return self.root

    def _why(self, problem: expat.ExpatError) -> str:
        try:
            self.data.decode(self.encoding)
        except UnicodeDecodeError as wrong:
            return f"byte 0x{self.data[wrong.start]:02X} is not {self.encoding.upper()}; the file has another encoding than it says"
        if problem.code == expat.errors.codes[expat.errors.XML_ERROR_INVALID_TOKEN]:
            return "it is not well-formed XML here"  # expat's "invalid token" sounds like a sign-in
        return expat.errors.messages.get(problem.code, str(problem))

    def _declared(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is None:
            return
        if not _ENCODINGS.fullmatch(encoding):
            broken(f"encoding {encoding!r} is not supported; save it as UTF-8", self.parser.CurrentLineNumber)
        self.encoding = encoding.lower()

    def _doctype(self, *_about: object) -> None:
        broken("it has a DOCTYPE, which is refused", self.parser.CurrentLineNumber)

    def _start(self, name: str, _attributes: object) -> None:
        at = self.parser.CurrentByteIndex
        if len(self.open) == MAX_DEPTH:
            broken(f"elements are nested more than {MAX_DEPTH} deep", self.parser.CurrentLineNumber)
        tag = _TAG_END.match(self.data, at)
        if tag is None:  # expat saw a whole tag here
            broken("its tags cannot be placed", self.parser.CurrentLineNumber)
        element = Element(name, self.parser.CurrentLineNumber, at, inner_start=tag.end())
        if self.open:
            self.open[-1].children.append(element)
        else:
            self.root = element
        self.open.append(element)

    def _end(self, _name: str) -> None:
        element, at = self.open.pop(), self.parser.CurrentByteIndex
        element.inner_end = at
        if self.data[element.inner_start - 2 : element.inner_start] == b"/>":
            element.inner_end = element.end = element.inner_start
        else:
            element.end = self.data.index(b">", at) + 1

    def _text(self, text: str) -> None:
        if self.open:
            self.open[-1].text += text
