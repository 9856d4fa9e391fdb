"""One PDF becomes one for each recipient; parts are read back by another program."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pikepdf
import pypdf
import pytest
import typst
from hypothesis import given
from hypothesis import strategies as st

from datapallas.errors import ConfigurationError
from datapallas.reports import burst
from datapallas.reports.burst import Part, parts
from datapallas.reports.burst_marks import tokens_of
from datapallas.reports.documents.cutter import Cutter
from datapallas.reports.model import Burst, BurstPlan, Recipient, Row
from reports.making import made, problem, report

if TYPE_CHECKING:
    from pathlib import Path


def _pdf(path: Path, *pages: str, options: str = "") -> Path:
    """A PDF with these texts on its pages."""
    text = "\n#pagebreak()\n".join(pages).replace("@", "\\@")
    made_by_typst = typst.compile(f"{options}\n{text}".encode(), format="pdf")
    assert isinstance(made_by_typst, bytes)
    path.write_bytes(made_by_typst)
    return path


def _parts(path: Path, by: Burst = Burst.TOKEN, pages: int = 1) -> list[Part]:
    return parts(BurstPlan(file=path.name, by=by, pages=pages), path.parent)


def _code(path: Path, by: Burst = Burst.TOKEN) -> str:
    with pytest.raises(ConfigurationError) as told:
        _parts(path, by)
    return told.value.code


def _texts(data: bytes) -> list[str]:
    return [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages]


def test_pages_between_tokens_belong_together(tmp_path: Path) -> None:
    """A page with `{token}` begins a part, pages without go on with it, and a token that comes again goes on with its own."""
    path = _pdf(
        tmp_path / "a.pdf",
        "cover",
        "{ann@x.example} one",
        "two",
        "{bob} three",
        "{ann@x.example} four",
        "five",
    )
    assert _parts(path) == [Part("ann@x.example", (1, 2, 4, 5)), Part("bob", (3,))]


def test_token_may_be_broken_over_lines(tmp_path: Path) -> None:
    """A long token in a narrow column is still one."""
    path = _pdf(
        tmp_path / "a.pdf", "{Miller and Sons Ltd}", options="#set page(width: 4cm)\n#set text(size: 16pt)"
    )
    assert [part.token for part in _parts(path)] == ["Miller and Sons Ltd"]


@given(st.text())
def test_any_text_has_tokens_without_braces_or_line_ends(text: str) -> None:
    """Whatever stands on a page, a token is one line without braces, and never empty."""
    for token in tokens_of(text + "{" + text + "}"):
        assert token
        assert not set("{}\r\n") & set(token)


def test_bookmarks_of_the_first_level_begin_parts(tmp_path: Path) -> None:
    """By bookmarks, titles of the first level are the tokens; deeper ones are not."""
    path = _pdf(tmp_path / "a.pdf", "cover", "= Ann\n== Details", "more\n== Deeper", "= Bob")
    assert _parts(path, Burst.BOOKMARKS) == [Part("Ann", (1, 2)), Part("Bob", (3,))]


def test_every_so_many_pages(tmp_path: Path) -> None:
    """By pages, the last part has what is left."""
    path = _pdf(tmp_path / "a.pdf", *"abcde")
    assert _parts(path, Burst.PAGES, 2) == [Part("1", (0, 1)), Part("2", (2, 3)), Part("3", (4,))]


def test_pages_of_a_large_file_are_shared_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several processes read a large PDF, and find the same parts."""
    path = _pdf(tmp_path / "a.pdf", "cover", *[f"{{t{n // 2}}}" if n % 2 == 0 else "more" for n in range(21)])
    alone = _parts(path)
    monkeypatch.setattr(burst, "_WORTH_SHARING", 1)
    monkeypatch.setattr(burst, "cores", lambda: 3)
    assert _parts(path) == alone
    assert alone[10] == Part("t10", (21,))


def test_what_cannot_be_cut_says_why(tmp_path: Path) -> None:
    """Missing, broken, encrypted and empty PDFs, and those with nothing to go by, are told apart."""
    path = _pdf(tmp_path / "a.pdf", "{a} {b}", "two")
    assert _code(path) == "burst-shared"
    assert _code(path, Burst.BOOKMARKS) == "burst-empty"
    assert _code(_pdf(tmp_path / "b.pdf", "no token")) == "burst-empty"
    assert _code(_pdf(tmp_path / "c.pdf", "= A\n= B"), Burst.BOOKMARKS) == "burst-shared"
    assert _code(tmp_path / "none.pdf") == "burst-file"
    (tmp_path / "broken.pdf").write_bytes(path.read_bytes()[:200])
    assert _code(tmp_path / "broken.pdf") == "burst-broken"
    with pikepdf.open(path) as pdf:
        pdf.save(tmp_path / "locked.pdf", encryption=pikepdf.Encryption(owner="o", user="u"))
    assert _code(tmp_path / "locked.pdf") == "burst-encrypted"
    with pikepdf.new() as pdf:
        pdf.save(tmp_path / "empty.pdf")
    assert _code(tmp_path / "empty.pdf") == "burst-empty"


def test_part_has_its_pages_only(tmp_path: Path) -> None:
    """What is cut out shows its own pages, and holds nothing of the others: no link, no outline, no form field."""
    path = _pdf(
        tmp_path / "a.pdf", "= Ann <ann>\n{ann} #link(<bob>)[to Bob]", "more", "= Bob <bob>\n{bob} SECRET"
    )
    with pikepdf.open(path, allow_overwriting_input=True) as pdf:
        fields = [
            pdf.make_indirect(
                pikepdf.Dictionary(
                    Type=pikepdf.Name.Annot,
                    Subtype=pikepdf.Name.Widget,
                    Rect=[0, 0, 9, 9],
                    V=f"value of {name}",
                )
            )
            for name in ("ann", "bob")
        ]
        form = pdf.make_indirect(pikepdf.Dictionary(FT=pikepdf.Name.Tx, T="field", Kids=fields))
        for field, page in zip(fields, (pdf.pages[0], pdf.pages[2]), strict=True):
            field.Parent = form
            page.Annots = pdf.make_indirect(pikepdf.Array([*page.obj.get("/Annots", []), field]))
        pdf.Root.AcroForm = pikepdf.Dictionary(Fields=[form])
        pdf.save()
    data = Cutter(path).cut((0, 1))
    first, second = _texts(data)
    assert "to Bob" in first
    assert second.strip() == "more"
    with pikepdf.open(io.BytesIO(data)) as part:
        assert "/Outlines" not in part.Root
        out = io.BytesIO()
        part.save(out, object_stream_mode=pikepdf.ObjectStreamMode.disable)
    assert b"value of" not in out.getvalue()
    assert len(part_notes(data)) == 2  # what the field looks like, and the link


def part_notes(data: bytes) -> list[object]:
    """The annotations of a PDF."""
    return [note for page in pypdf.PdfReader(io.BytesIO(data)).pages for note in page.get("/Annots", [])]


def test_part_has_its_own_pictures_only(tmp_path: Path) -> None:
    """Where all pages share one list of pictures, a part carries only those it shows, and inherits size and turn."""
    path = tmp_path / "a.pdf"
    with pikepdf.new() as pdf:
        pictures = pikepdf.Dictionary()
        for n in range(20):
            pictures[f"/P{n}"] = pdf.make_stream(
                bytes([n]) * 30_000, Type=pikepdf.Name.XObject, Subtype=pikepdf.Name.Image, Width=100, Height=100,
                ColorSpace=pikepdf.Name.DeviceRGB, BitsPerComponent=8,
            )  # fmt: skip
        shared = pdf.make_indirect(pikepdf.Dictionary(XObject=pictures))
        for n in range(20):
            page = pikepdf.Dictionary(
                Type=pikepdf.Name.Page, Contents=pdf.make_stream(f"/P{n} Do".encode()), Resources=shared
            )
            pdf.pages.append(pikepdf.Page(pdf.make_indirect(page)))
        pdf.Root.Pages.MediaBox = pikepdf.Array([0, 0, 200, 300])
        for each in pdf.pages:
            if "/MediaBox" in each.obj:
                del each.obj["/MediaBox"]
        pdf.save(path, compress_streams=False)
    cutter = Cutter(path)
    reader = pypdf.PdfReader(io.BytesIO(cutter.cut((3,))))
    assert list(reader.pages[0]["/Resources"]["/XObject"]) == ["/P3"]  # type: ignore[index]
    assert tuple(reader.pages[0].mediabox) == (0, 0, 200, 300)
    assert list(pypdf.PdfReader(io.BytesIO(cutter.cut((3, 4)))).pages[1]["/Resources"]["/XObject"]) == ["/P4"]  # type: ignore[index]


def test_recipient_gets_the_pages_with_name_and_password(tmp_path: Path) -> None:
    """In a report, each recipient's part is attached, named by the token, and opens with the password of the row."""
    path = _pdf(tmp_path / "big.pdf", "{ann} one", "two", "{bob} three")
    one = report(tmp_path, burst=BurstPlan(file="big.pdf", password="{{ pin }}"))
    found = {part.token: part.pages for part in _parts(path)}
    who = Recipient("ann", (Row(1, {"mail": "a@x.example", "token": "ann", "pin": "1234"}),), found["ann"])
    (document,) = made(one, who).documents
    assert document.name == "ann.pdf"
    reader = pypdf.PdfReader(io.BytesIO(document.data), password="1234")
    assert [page.extract_text().split()[-1] for page in reader.pages] == ["one", "two"]
    nobody = Recipient("eve", who.rows, ())
    assert problem(one, nobody).text == "No pages of big.pdf belong to this recipient."
    beyond = Recipient("eve", who.rows, (7,))
    assert problem(one, beyond).text == "The PDF has no page 8."
