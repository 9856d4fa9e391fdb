"""CSV as it comes: forty kinds of dirt, and what becomes of each."""

# ruff: noqa: RUF001 - letters of other alphabets are the point here

from __future__ import annotations

import codecs
import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from datapallas.errors import RowsError
from reports.given import read

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CLEAN = "name,city\nJane,Zürich\nJohn,Ålesund\n"
ROWS = [("Jane", "Zürich"), ("John", "Ålesund")]


@dataclasses.dataclass(frozen=True)
class Dirt:
    """A file, and what is to be read from it.

    Attributes:
        data: the file.
        rows: the values that come out.
        problems: for each row that is refused: its line, and words that say why.
        columns: the names.
        how: what report.toml says about it.
    """

    data: bytes
    rows: Sequence[tuple[str, ...]] = dataclasses.field(default_factory=lambda: list(ROWS))
    problems: tuple[tuple[str, str], ...] = ()
    columns: tuple[str, ...] = ("name", "city")
    how: tuple[tuple[str, Any], ...] = ()


def _text(text: str, encoding: str = "utf-8", bom: bytes = b"") -> bytes:
    return bom + text.encode(encoding)


_GERMAN = "Name;Straße;Ort\nMüller;Hauptstraße 5;Köln\nGroß;Bäckerweg 1;Düsseldorf\nRené O’Brien;Rue de l’été;Orléans\n"
_GERMAN_ROWS = [("Müller", "Hauptstraße 5", "Köln"), ("Groß", "Bäckerweg 1", "Düsseldorf"), ("René O’Brien", "Rue de l’été", "Orléans")]  # fmt: skip
_GERMAN_NAMES = ("Name", "Straße", "Ort")
_POLISH = "imię;miasto\nŁukasz Żółć;Łódź\nZbigniew Wiśniewski;Kraków\nMałgorzata Dąbrowska;Gdańsk\nPaweł Król;Poznań\n"
_RUSSIAN = (
    "имя,город\nАлексей Смирнов,Москва\nЕкатерина Иванова,Санкт-Петербург\nДмитрий Кузнецов,Новосибирск\n"
)
_JAPANESE = "名前,都市\n佐藤さん,東京都\n鈴木さん,大阪市\n高橋さん,名古屋市\n田中さん,札幌市\n"

DIRT: dict[str, Dirt] = {
    "clean": Dirt(_text(CLEAN)),
    "utf-8 with a mark": Dirt(_text(CLEAN, bom=codecs.BOM_UTF8)),
    "two marks": Dirt(_text(CLEAN, bom=codecs.BOM_UTF8 * 2)),
    "a mark inside quotes": Dirt(_text('"name","city"\nJane,Zürich\nJohn,Ålesund\n', bom=codecs.BOM_UTF8)),
    "utf-16 little with a mark": Dirt(_text(CLEAN, "utf-16-le", codecs.BOM_UTF16_LE)),
    "utf-16 big with a mark": Dirt(_text(CLEAN, "utf-16-be", codecs.BOM_UTF16_BE)),
    "utf-16 little without a mark": Dirt(_text(CLEAN, "utf-16-le")),
    "utf-16 big without a mark": Dirt(_text(CLEAN, "utf-16-be")),
    "utf-16 of a script without zeros": Dirt(
        _text(_RUSSIAN, "utf-16-le"),
        [tuple(line.split(",")) for line in _RUSSIAN.splitlines()[1:]],
        columns=("имя", "город"),
    ),
    "utf-16 tabs of Excel": Dirt(_text(CLEAN.replace(",", "\t"), "utf-16-le", codecs.BOM_UTF16_LE)),
    "utf-32 with a mark": Dirt(_text(CLEAN, "utf-32-le", codecs.BOM_UTF32_LE)),
    "utf-16 cut in a character": Dirt(
        _text(CLEAN, "utf-16-le", codecs.BOM_UTF16_LE) + b"X", problems=(("line 4", "bytes that are not utf-16"),)
    ),
    "windows-1252": Dirt(_text(_GERMAN, "cp1252"), _GERMAN_ROWS, columns=_GERMAN_NAMES),
    "windows-1252 far behind ascii": Dirt(
        _text("name,city\n" + "Joe,Rome\n" * 60000 + "Jane,Zürich\nJohn,Ålesund\n", "cp1252"),
        [("Joe", "Rome")] * 60000 + ROWS,
    ),
    "windows-1250": Dirt(
        _text(_POLISH, "cp1250"), [tuple(line.split(";")) for line in _POLISH.splitlines()[1:]], columns=("imię", "miasto")
    ),
    "windows-1251": Dirt(
        _text(_RUSSIAN, "cp1251"), [tuple(line.split(",")) for line in _RUSSIAN.splitlines()[1:]], columns=("имя", "город")
    ),
    "shift-jis": Dirt(
        _text(_JAPANESE, "shift_jis"),
        [tuple(line.split(",")) for line in _JAPANESE.splitlines()[1:]],
        columns=("名前", "都市"),
    ),
    "code page 850, given": Dirt(
        _text(_GERMAN.replace("’", "'"), "cp850"),
        [tuple(cell.replace("’", "'") for cell in row) for row in _GERMAN_ROWS],
        columns=_GERMAN_NAMES,
        how=(("encoding", "cp850"),),
    ),
    "one stray byte in utf-8": Dirt(
        _text("name,city\nJane,Zürich\n") + b"Jo\xe9,Rome\n" + _text("John,Ålesund\nÖzil,Köln\n"),
        [*ROWS, ("Özil", "Köln")],
        (("line 3", "bytes that are not utf-8"),),
    ),
    "windows line ends": Dirt(_text(CLEAN.replace("\n", "\r\n"))),
    "old mac line ends": Dirt(_text(CLEAN.replace("\n", "\r"))),
    "doubled carriage returns": Dirt(_text(CLEAN.replace("\n", "\r\r\n"))),
    "mixed line ends": Dirt(_text("name,city\r\nJane,Zürich\rJohn,Ålesund\n")),
    "no line end at the end": Dirt(_text(CLEAN.rstrip())),
    "blank lines": Dirt(_text("\n\n" + CLEAN.replace("\n", "\n\n  \n"))),
    "lines of delimiters only": Dirt(_text(CLEAN + ",\n,\n , \n")),
    "delimiters at the end": Dirt(_text("name,city,\nJane,Zürich,\nJohn,Ålesund,\n")),
    "delimiters at the end of the rows only": Dirt(_text("name,city\nJane,Zürich,,\nJohn,Ålesund,\n")),
    "semicolons, commas in numbers": Dirt(
        _text("item;price\nA;1,50\nB;2,75\n"), [("A", "1,50"), ("B", "2,75")], columns=("item", "price")
    ),
    "tabs": Dirt(_text(CLEAN.replace(",", "\t"))),
    "pipes": Dirt(_text(CLEAN.replace(",", "|"))),
    "colons": Dirt(_text(CLEAN.replace(",", ":"))),
    "sep= of Excel": Dirt(_text("sep=;\r\nname;city\r\nJane;Zürich\r\nJohn;Ålesund\r\n")),
    "a title above the header": Dirt(_text("List of customers\n" + CLEAN), how=(("header_row", 2),)),
    "delimiters inside quotes": Dirt(
        _text('name,city\n"Doe, Jane","Zürich; Switzerland"\n"Smith, John","Ålesund"\n'),
        [("Doe, Jane", "Zürich; Switzerland"), ("Smith, John", "Ålesund")],
    ),
    "a space before each quotation mark": Dirt(
        _text('name, city\n"Doe, Jane", "Zürich, CH"\nJohn, "Ålesund"\n'), [("Doe, Jane", "Zürich, CH"), ROWS[1]]
    ),
    "a quotation mark that is not doubled": Dirt(
        _text('name,city\n"Jane "JJ" Doe",Rome\nJane,Zürich\nJohn,Ålesund\n'), problems=(("line 2", "has to be doubled"),)
    ),
    "doubled quotes": Dirt(_text('name,city\n"Jane ""JJ"" Doe",Zürich\n'), [('Jane "JJ" Doe', "Zürich")]),
    "quotes with a backslash": Dirt(_text('name,city\n"Jane \\"JJ\\" Doe",Zürich\n'), [('Jane "JJ" Doe', "Zürich")]),
    "quotes inside a value without any": Dirt(_text('name,city\n5" pipe,Zürich\n'), [('5" pipe', "Zürich")]),
    "line breaks inside quotes": Dirt(
        _text('name,city\n"Jane\nDoe","Zürich\r\nSwitzerland"\nJohn,Ålesund\n'),
        [("Jane\nDoe", "Zürich\r\nSwitzerland"), ROWS[1]],
    ),
    "a quotation mark that is not closed": Dirt(
        _text('name,city\n"Joe,Rome\nJane,Zürich\nJohn,Ålesund\n'), problems=(("line 2", "not closed"),)
    ),
    "one that is closed by the next row's": Dirt(
        _text('name,city\n"Joe,Rome\nJane,"Zürich"\nJohn,Ålesund\n'), problems=(("line 2", "not closed"),)
    ),
    "one that swallows whole rows": Dirt(
        _text('name,city\nJane,Zürich\nJoe,"Rome\nJohn,Ålesund\nAnn,"Bern"\n'),
        [*ROWS, ("Ann", "Bern")],
        (("line 3", "not closed"),),
    ),
    "a value over several lines in a row with too many fields": Dirt(
        _text('name,city\nJoe,"Rome\nJane,Zürich\nJohn,Ålesund\nAnn",Bern,more\n'),
        problems=(("line 2", "it has 4 fields"), ("line 5", "it has 3 fields")),
    ),
    "a row with too few fields": Dirt(_text(CLEAN + "Joe\n"), problems=(("line 4", "it has one field"),)),
    "a row with too many fields": Dirt(
        _text("name,city\nDoe, Joe,Rome\nJane,Zürich\nJohn,Ålesund\n"), problems=(("line 2", "it has 3 fields"),)
    ),
    "white space around names": Dirt(_text("  name ,\tcity\u00a0\nJane,Zürich\nJohn,Ålesund\n")),
    "a line break in a name": Dirt(_text('"name","home\ncity"\nJane,Zürich\n'), [ROWS[0]], columns=("name", "home city")),
    "a NUL inside": Dirt(_text(CLEAN + "Jo\0e,Rome\n"), problems=(("line 4", "NUL"),)),
    "filled up with NULs": Dirt(_text(CLEAN) + b"\0" * 512),
    "the end mark of DOS": Dirt(_text(CLEAN) + b"\x1a"),
    "a field of ten megabytes": Dirt(_text("name,city\nJane," + "x" * 10_000_000 + "\n"), [("Jane", "x" * 10_000_000)]),
    "one column only": Dirt(_text("name\nJane\nJohn\n"), [("Jane",), ("John",)], columns=("name",)),
    "a formula": Dirt(_text("name,city\n=1+1,@SUM(A1)\n"), [("=1+1", "@SUM(A1)")]),
    "no rows": Dirt(_text("name,city\n"), []),
}  # fmt: skip


@pytest.mark.parametrize("dirt", DIRT.values(), ids=list(DIRT))
def test_dirt(tmp_path: Path, dirt: Dirt) -> None:
    """A dirty file gives its rows as they were meant, or says which line cannot be read and why."""
    found = read(tmp_path, dirt.data, **dict(dirt.how))
    assert found.columns == dirt.columns
    assert found.values == list(dirt.rows)
    assert [problem.place for problem in found.problems] == [place for place, _ in dirt.problems]
    for problem, (_, words) in zip(found.problems, dirt.problems, strict=True):
        assert words.lower() in problem.text.lower()


def test_there_are_forty_kinds() -> None:
    """Forty kinds of dirt were promised."""
    assert len(DIRT) >= 40


REFUSED = {
    "two columns of one name": ("name,city,name\n1,2,3\n", "columns 1 and 3 are both called 'name'"),
    "a column without a name": ("name,,city\n1,2,3\n", "column 2 has no name"),
    "no header": (
        "jane@x.example,Jane\njohn@x.example,John\n",
        "the names of the columns seem to be missing",
    ),
    "a workbook": ("PK\x03\x04rest", 'set kind = "excel"'),
    "empty": ("", "it is empty"),
    "blank": ("\n\n  \n", "it is empty"),
    "a header that is not closed": (
        '"name,city\nJane,Rome\n',
        "line 1: a quotation mark is opened and not closed",
    ),
}


@pytest.mark.parametrize(("data", "words"), REFUSED.values(), ids=list(REFUSED))
def test_a_file_without_a_usable_header_is_refused(tmp_path: Path, data: str, words: str) -> None:
    """A header that leaves in doubt what a column is called is an error that says which column."""
    with pytest.raises(RowsError, match=words):
        read(tmp_path, data)
