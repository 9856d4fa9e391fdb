"""Makes the documents of one report: what each attachment needs is loaded once, then used for every recipient.

Must stay true: a document asked for is there or the recipient has a Problem; a given file is not read here unless it
must be changed, and never when it is larger than a message may be.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Protocol

from datapallas.errors import ConfigurationError
from datapallas.reports.documents.naming import safe_name
from datapallas.reports.documents.sealing import sealed
from datapallas.reports.model import Document
from datapallas.reports.paths import data_file
from datapallas.reports.places import Place
from datapallas.reports.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from datapallas.reports.documents.cutter import Cutter
    from datapallas.reports.documents.typst_pdf import TypstPdf
    from datapallas.reports.documents.weasy_pdf import WeasyPdf
    from datapallas.reports.filling import Filler, Text
    from datapallas.reports.model import Attachment, BurstPlan, Report

    Context = Mapping[str, Any]


class Maker(Protocol):
    """Makes one recipient's document. Raises Trouble."""

    what: str
    """What it is made from, such as `invoice.typ`: told when the process ends over it."""

    def make(self, context: Context) -> Document:
        """Make it."""


class Workshop:
    """What the makers of one process share: fonts and compilers."""

    def __init__(self, report: Report, filler: Filler) -> None:
        self.report = report
        self.filler = filler
        self.place = Place(report.folder)
        self._typst: TypstPdf | None = None
        self._weasy: WeasyPdf | None = None
        self._cutter: Cutter | None = None

    def warm(self) -> None:
        """Load the programs and fonts this report needs. Raises ConfigurationError when one is not there."""
        endings = {PurePath(one.template).suffix.lower() for one in self.report.attachments if one.template}
        if ".typ" in endings:
            self.typst()
        if ".html" in endings:
            self.weasy()
        if self.report.burst is not None:
            self.cutter()
        if any(one.rows == "xlsx" for one in self.report.attachments):
            import xlsxwriter  # noqa: F401 - before memory is limited
        if any(one.password for one in self.report.attachments):
            import pikepdf  # noqa: F401 - the same

    def cutter(self) -> Cutter:
        """The PDF that is cut, open. Raises ConfigurationError."""
        if self._cutter is None:
            from datapallas.reports.documents.cutter import Cutter

            plan = self.report.burst
            self._cutter = Cutter(data_file(self.report.folder, plan.file if plan else ""))
        return self._cutter

    def part_maker(self, plan: BurstPlan) -> Maker:
        """What cuts the recipient's pages out."""
        return _Part(self, plan)

    def typst(self) -> TypstPdf:
        """Typst, its fonts loaded."""
        if self._typst is None:
            from datapallas.reports.documents.typst_pdf import TypstPdf

            self._typst = TypstPdf(self.report.folder)
        return self._typst

    def weasy(self) -> WeasyPdf:
        """WeasyPrint, its fonts loaded. Raises ConfigurationError when it is not there."""
        if self._weasy is None:
            from datapallas.reports.documents.weasy_pdf import WeasyPdf

            self._weasy = WeasyPdf(self.report.folder, self.place)
        return self._weasy

    def maker(self, attachment: Attachment, number: int) -> Maker:
        """What makes the attachment; `number` counts them from 1. Raises ConfigurationError."""
        place = f"attachments {number}"
        made: _FromTemplate | _FromRows | _Given
        if attachment.template:
            made = _FromTemplate(self, attachment, place)
        elif attachment.rows:
            made = _FromRows(self, attachment, place)
        else:
            made = _Given(self, attachment, place)
        if attachment.password and not made.is_pdf:
            raise ConfigurationError(
                f"report.toml, {place}: only a PDF can have a password.",
                code="report-template",
                template="report.toml",
            )
        return made


class _Named:
    """A document with a name and perhaps a password, both filled in for each recipient."""

    is_pdf = False

    def __init__(self, shop: Workshop, attachment: Attachment, place: str) -> None:
        self._name = shop.filler.text(attachment.name, f"{place}.name") if attachment.name else None
        self._password: Text | None = None
        if attachment.password:
            self._password = shop.filler.text(attachment.password, f"{place}.password")

    def name(self, context: Context, own: str, ending: str) -> str:
        """What the recipient sees."""
        wanted = self._name.fill(context) if self._name else own
        return safe_name(wanted, ending, fallback=PurePath(own).stem)

    def document(self, context: Context, data: bytes, own: str, ending: str) -> Document:
        """Name it, and seal it when it has a password."""
        name = self.name(context, own, ending)
        if self._password is not None:
            data = sealed(data, self._password.fill(context), name)
        return Document(name, data)


class _FromTemplate(_Named):
    def __init__(self, shop: Workshop, attachment: Attachment, place: str) -> None:
        super().__init__(shop, attachment, place)
        self.what = attachment.template
        path, _ = _there(shop.place, self.what)
        stem, ending = PurePath(self.what).stem, PurePath(self.what).suffix.lower()
        self.is_pdf = ending in {".typ", ".html"}
        self._ending = ".pdf" if self.is_pdf else ending
        self._own = stem + self._ending
        self._make = (
            self._typst(shop, path) if ending == ".typ" else self._filled(shop, html=ending == ".html")
        )

    def _typst(self, shop: Workshop, path: Path) -> Callable[[Context], bytes]:
        from datapallas.reports.documents.typst_pdf import data_of

        compiler = shop.typst()
        inside = str(path.relative_to(shop.report.folder.resolve()))
        return lambda context: compiler.make(inside, data_of(context), context["today"])

    def _filled(self, shop: Workshop, *, html: bool) -> Callable[[Context], bytes]:
        text = shop.filler.file(self.what)
        if html:
            weasy = shop.weasy()
            return lambda context: weasy.make(text.fill(context), self.what)
        return lambda context: text.fill(context).encode("utf-8", "replace")

    def make(self, context: Context) -> Document:
        return self.document(context, self._make(context), self._own, self._ending)


class _FromRows(_Named):
    def __init__(self, shop: Workshop, attachment: Attachment, place: str) -> None:
        super().__init__(shop, attachment, place)
        if attachment.rows not in {"xlsx", "csv"}:
            raise ConfigurationError(
                f"report.toml, {place}: rows is xlsx or csv, not {attachment.rows!a}.",
                code="report-template",
                template="report.toml",
            )
        self.what = f"the {attachment.rows} of the rows"
        self._kind = attachment.rows
        self._columns = attachment.columns
        self._own = f"{shop.report.code}.{self._kind}"
        self._title = shop.report.name or shop.report.code

    def make(self, context: Context) -> Document:
        from datapallas.reports.documents import sheet

        rows = context["rows"]
        columns = sheet.columns_of(rows, self._columns)
        data = (
            sheet.csv_of(rows, columns) if self._kind == "csv" else sheet.xlsx_of(rows, columns, self._title)
        )
        return self.document(context, data, self._own, f".{self._kind}")


class _Given(_Named):
    def __init__(self, shop: Workshop, attachment: Attachment, place: str) -> None:
        super().__init__(shop, attachment, place)
        self.what = attachment.file
        self.is_pdf = attachment.file.lower().endswith((".pdf", "}"))
        self._file = shop.filler.text(attachment.file, f"{place}.file")
        self._place = Place(shop.report.folder, attachment.file)
        self._most = shop.report.limits.message_octets

    def make(self, context: Context) -> Document:
        path, size = self._place.file(self._file.fill(context))
        if size > self._most:
            raise Trouble("size", f"{path.name} has {size:,} octets; a message may have {self._most:,}.")
        if self._password is None:
            return Document(self.name(context, path.name, path.suffix), path=path)
        try:
            data = path.read_bytes()
        except OSError as problem:
            raise Trouble("document", f"The file {path.name} cannot be read: {problem.strerror}.") from None
        return self.document(context, data, path.name, path.suffix)


class _Part:
    def __init__(self, shop: Workshop, plan: BurstPlan) -> None:
        self.what = plan.file
        self._cutter = shop.cutter()
        self._name = shop.filler.text(plan.name, "burst.name")
        self._password = shop.filler.text(plan.password, "burst.password") if plan.password else None

    def make(self, context: Context) -> Document:
        pages = context["part_pages"]
        if not pages:
            raise Trouble("document", f"No pages of {self.what} belong to this recipient.")
        name = safe_name(self._name.fill(context), ".pdf", fallback="part")
        password = self._password.fill(context) if self._password else None
        return Document(name, self._cutter.cut(pages, password))


def _there(place: Place, template: str) -> tuple[Path, int]:
    try:
        return place.file(template, "template")
    except Trouble as problem:
        raise ConfigurationError(problem.text, code="report-template", template=template) from None
