"""In which encoding a file of text is written.

Must stay true: a byte order mark wins; what is UTF-8 from start to end is UTF-8; the rest is a guess that is told to
the person (`about`) and that `encoding` in report.toml overrides. One stray byte does not turn a UTF-8 file into
something else: its row is a problem.
"""

from __future__ import annotations

import codecs
import dataclasses
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

SAMPLE = 256 * 1024
_STEP = 1024 * 1024
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_OTHERS = [
    "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "iso8859_2", "koi8_r",
    "cp850", "cp437", "mac_roman", "shift_jis", "gb18030", "big5", "euc_kr", "euc_jp",
]  # fmt: skip
_MARKS = (
    "€“”„«»©®°·…£§ºª\N{EN DASH}\N{EM DASH}\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}\xa0"
)
# Letters of a few languages in the code page they are written in; the first line that has all letters of a file wins.
# Hungarian stands before the western ones, which have all its letters but two, as far as bytes go.
_ALPHABETS = (
    ("cp1250", "áéíóöőúüűÁÉÍÓÖŐÚÜŰ", "őűŐŰ"),
    ("cp1252", "äöüßÄÖÜéèêëÉÈÊàâáãåæÀÂÁÃÅÆçÇíîïÍÎñÑóòôõøÓÔÕØœŒúùûÿÚ", ""),
    ("cp1254", "çğıöşüÇĞİÖŞÜâîû", ""),
    ("cp1250", "ąćęłńóśźżĄĆĘŁŃÓŚŹŻ", ""),
    ("iso8859_2", "ąćęłńóśźżĄĆĘŁŃÓŚŹŻ", ""),
    ("cp1250", "áčďéěíňóřšťúůýžäľĺôŕÁČĎÉĚÍŇÓŘŠŤÚŮÝŽÄĽĹÔŔ", ""),
    ("cp850", "äöüßÄÖÜéèêëÉàâáåæÀÂÁÅÆçÇíîïñÑóòôøÓÔØúùû", ""),
)
_HIGH = re.compile(rb"[\x80-\xff]")
# Quotation marks and dashes of Windows-1252 that would stand between two letters: letters of an older encoding.
_NO_LETTER = re.compile(rb"(?<=[A-Za-z])[\x81-\x91\x93-\x9b\x9d-\x9f](?=[a-z])")
_FEW_ZEROS = 0.05
_MANY_ZEROS = 0.2
_MOSTLY = 0.95


@dataclasses.dataclass(frozen=True, slots=True)
class Encoding:
    """How bytes become text.

    Attributes:
        name: as Python knows it.
        begin: where the text begins, after a byte order mark.
        errors: what becomes of bytes that have no meaning; `stray` finds them in the text.
        sure: it was given, or it is certain.
    """

    name: str
    begin: int = 0
    errors: str = "surrogateescape"
    sure: bool = True

    @property
    def stray(self) -> re.Pattern[str]:
        """What stands in the text for bytes that have no meaning."""
        return _REPLACED if self.errors == "replace" else _ESCAPED


_ESCAPED, _REPLACED = re.compile("[\udc80-\udcff]"), re.compile("\ufffd")


def find(file: BinaryIO, given: str = "") -> Encoding:
    """The encoding of `file`, which can seek; `given` is what the person says, empty when nothing."""
    file.seek(0)
    head = file.read(SAMPLE)
    for bom, name in _BOMS:
        if head.startswith(bom):
            begin = len(bom)
            while head.startswith(bom, begin):  # some tools put one before another
                begin += len(bom)
            return _encoding(name, begin)
    wide = _wide(head)
    if given:
        canonical = codecs.lookup(given).name
        if canonical in {"utf-16", "utf-32"}:
            canonical = wide if wide.startswith(canonical) else f"{canonical}-le"
        return _encoding("utf-8" if canonical == "utf-8-sig" else canonical)
    if wide:
        return _encoding(wide)
    return _eight_bits(file, head)


def _encoding(name: str, begin: int = 0, *, sure: bool = True) -> Encoding:
    errors = "replace" if name.startswith(("utf-16", "utf-32")) else "surrogateescape"
    return Encoding(name, begin, errors, sure)


def _wide(head: bytes) -> str:
    """UTF-16 or UTF-32 without a mark, seen by where its zero bytes are; empty when it is neither."""
    if b"\0" not in head:
        return ""
    size = max(len(head) // 4, 1)
    zeros = [head[at::4].count(0) / size for at in range(4)]
    if min(zeros[2], zeros[3]) > _MOSTLY > zeros[0]:
        return "utf-32-le"
    if min(zeros[0], zeros[1]) > _MOSTLY > zeros[3]:
        return "utf-32-be"
    even, odd = (zeros[0] + zeros[2]) / 2, (zeros[1] + zeros[3]) / 2
    if odd > _MANY_ZEROS > _FEW_ZEROS >= even:
        return "utf-16-le"
    if even > _MANY_ZEROS > _FEW_ZEROS >= odd:
        return "utf-16-be"
    return _wide_by_marks(head)


def _wide_by_marks(head: bytes) -> str:
    """UTF-16 of a script without zero bytes: its line feeds and delimiters still have one."""
    for name in ("utf-16-le", "utf-16-be"):
        try:
            text = head[: len(head) // 2 * 2].decode(name)
        except UnicodeDecodeError:
            continue
        if "\0" not in text and "\n" in text and re.search(r"[,;\t|]", text) and text.replace("\n", "").replace("\r", "").replace("\t", "").isprintable():  # fmt: skip
            return name
    return ""


def _eight_bits(file: BinaryIO, head: bytes) -> Encoding:
    at, seen = _first_that_is_not_utf8(file)
    if at < 0:
        return _encoding("utf-8")
    file.seek(max(0, at - SAMPLE // 2))
    near = head + file.read(SAMPLE)
    text = near.decode("utf-8", "surrogateescape")
    strays = len(_ESCAPED.findall(text))
    good = sum(not c.isascii() for c in text) - strays if not text.isascii() else 0
    if seen and good > strays:
        return _encoding("utf-8", sure=False)
    return _encoding(guess(near), sure=False)


def _first_that_is_not_utf8(file: BinaryIO) -> tuple[int, bool]:
    """Where the file stops being UTF-8 (-1: nowhere), and whether it is more than ASCII anywhere near."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    done, more = 0, False
    while True:
        step = file.read(_STEP)
        try:
            more = more or not step.isascii()
            decoder.decode(step, final=not step)
        except UnicodeDecodeError as problem:
            return max(0, done + problem.start), more
        if not step:
            return -1, more
        done += len(step)


def guess(sample: bytes) -> str:
    """The encoding of bytes that are not UTF-8: by their letters where all of them are known, else by statistics."""
    lines = b"\n".join(line for line in re.split(rb"[\r\n]+", sample) if not line.isascii())[:65536]
    high = _HIGH.findall(lines)
    if not high:
        return "cp1252"
    for name, letters, needed in _ALPHABETS:
        known = set((letters + _MARKS).encode(name, "ignore"))
        share = sum(byte[0] in known for byte in high) / len(high)
        wanted = set(needed.encode(name))
        older = name == "cp1252" and _NO_LETTER.search(lines)
        if share >= _MOSTLY and not older and (not wanted or any(byte[0] in wanted for byte in high)):
            return name
    from charset_normalizer import from_bytes

    best = from_bytes(lines, cp_isolation=_OTHERS).best()
    return best.encoding if best else "cp1252"
