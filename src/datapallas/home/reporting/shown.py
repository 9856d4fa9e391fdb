"""One recipient's email and documents as a page shows them: made, kept for a while, and deleted.

Must stay true: what is kept belongs to whoever asked, and nobody else finds it; it lies in the home's data, private,
and is gone when others follow, or the server ends or starts.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import dataclasses
import datetime as dt
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from datapallas import files
from datapallas.errors import DataPallasError, StorageError
from datapallas.home.live import new_id
from datapallas.reports.folder import Reports

if TYPE_CHECKING:
    from datapallas.home import Home
    from datapallas.mail.address import NamedAddress
    from datapallas.reports.finding import Pick
    from datapallas.reports.model import Document, Problem, Rendered, Report
    from datapallas.reports.preview import Preview
    from datapallas.reports.workbench import Draft

PLACE = Path("data", "previews")
_OF_ONE, _OF_ALL = 3, 30
_IMAGES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif", ".webp": "webp", ".svg": "svg+xml"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ShownDocument:
    """A document: its name, octets, and where it lies."""

    name: str
    size: int
    path: Path

    @property
    def is_pdf(self) -> bool:
        """Its first page can be shown."""
        return self.name.lower().endswith(".pdf")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One preview.

    Attributes:
        place: where the list has the recipient, such as `line 7`.
        number, more: which one of those asked for, and whether there is a next one.
        sender: who it comes from.
        email: what was filled in; None when that failed.
        html: with its images in it.
        problem: why it could not be sent.
    """

    id: str
    owner: str
    key: str
    place: str
    number: int
    more: bool
    columns: tuple[str, ...]
    sender: str
    test_to: str
    email: Rendered | None
    html: str
    documents: tuple[ShownDocument, ...]
    problem: Problem | None


class Previews:
    """The previews of a server. Threads may share it."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.place = home.root / PLACE
        self._lock = threading.Lock()
        self._kept: collections.OrderedDict[str, Shown] = collections.OrderedDict()
        shutil.rmtree(self.place, ignore_errors=True)

    def make(self, owner: str, code: str, pick: Pick, draft: Draft | None = None) -> Shown:
        """Make one, of the report as it is stored or as it would be with `draft`.

        Raises ConfigurationError (`report-definition` names file and line), UsageError (nobody is meant), RowsError,
        Unreachable, StorageError, UnknownConnection.
        """
        from datapallas.reports import workbench

        reports = Reports(self._home.root)
        if draft is None:
            return self._keep(owner, reports.load(code), pick)
        source = reports.folder(code)
        with workbench.laid_out(source, self.place, draft) as laid:
            try:
                return self._keep(owner, workbench.with_password(laid.usable(), source, draft.password), pick)
            except DataPallasError as problem:
                _say_where(problem, laid.folder, source)
                raise

    def find(self, id_: str, owner: str) -> Shown | None:
        """The preview of `owner`; None when there is none."""
        with self._lock:
            found = self._kept.get(id_)
        return found if found is not None and found.owner == owner else None

    def page_of(self, document: ShownDocument) -> bytes:
        """The first page of a PDF as PNG; empty when it cannot be shown."""
        from datapallas.reports.first_page import first_page

        return first_page(document.path)

    def close(self) -> None:
        """Delete all of them."""
        with self._lock:
            self._kept.clear()
        shutil.rmtree(self.place, ignore_errors=True)

    def _keep(self, owner: str, report: Report, pick: Pick) -> Shown:
        from datapallas.home.reporting.preview import sender_for
        from datapallas.reports import finding
        from datapallas.reports.preview import preview_for

        sender = sender_for(self._home, report)
        found = finding.find(report, pick)
        made = preview_for(report, found.recipient, dt.date.today())  # noqa: DTZ011 - the day where the reader is
        id_ = new_id()
        email = made.rendered
        shown = Shown(
            id=id_,
            owner=owner,
            key=found.recipient.key,
            place=found.recipient.place,
            number=found.number,
            more=found.more,
            columns=found.columns,
            sender=(email.sender if email else "") or _words(sender),
            test_to=report.test_to,
            email=_without_octets(email),
            html=_with_images(email) if email else "",
            documents=self._written(id_, made),
            problem=made.problem,
        )
        self._remember(shown)
        return shown

    def _written(self, id_: str, made: Preview) -> tuple[ShownDocument, ...]:
        """Copy the documents aside; what they are called is no part of a path."""
        folder = files.private_directory(self.place / id_)
        found: list[ShownDocument] = []
        try:
            for number, document in enumerate(made.rendered.documents if made.rendered else (), 1):
                path = folder / str(number)
                if document.path is not None:
                    shutil.copyfile(document.path, path)
                else:
                    path.write_bytes(document.data)
                found.append(ShownDocument(name=document.name, size=path.stat().st_size, path=path))
        except OSError as problem:
            shutil.rmtree(folder, ignore_errors=True)
            reason = problem.strerror or "unknown reason"
            raise StorageError(f"Cannot keep the preview in {folder}: {reason}.", path=folder) from problem
        return tuple(found)

    def _remember(self, shown: Shown) -> None:
        with self._lock:
            self._kept[shown.id] = shown
            mine = [one.id for one in self._kept.values() if one.owner == shown.owner]
            gone = {*mine[:-_OF_ONE], *list(self._kept)[:-_OF_ALL]}
            for id_ in gone:
                del self._kept[id_]
        for id_ in gone:
            shutil.rmtree(self.place / id_, ignore_errors=True)


def _say_where(problem: DataPallasError, laid: Path, source: Path) -> None:
    """Name the file as the person knows it, not its copy."""
    problem.message = problem.message.replace(str(laid), str(source))
    problem.facts = {name: text.replace(str(laid), str(source)) for name, text in problem.facts.items()}


def _words(sender: NamedAddress) -> str:
    return f"{sender.name} <{sender.address}>" if sender.name else sender.address


def _without_octets(email: Rendered | None) -> Rendered | None:
    return dataclasses.replace(email, documents=(), inline=(), html="") if email else None


def _with_images(email: Rendered) -> str:
    """The HTML with its images in it: the page may load nothing for it."""
    html = email.html
    for image in email.inline:
        kind = _IMAGES.get(Path(image.name).suffix.lower())
        if kind:
            html = html.replace(f'"cid:{image.name}"', f'"{_data_url(image, kind)}"')
    return html


def _data_url(image: Document, kind: str) -> str:
    data = image.data
    if image.path is not None:
        with contextlib.suppress(OSError):
            data = image.path.read_bytes()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
