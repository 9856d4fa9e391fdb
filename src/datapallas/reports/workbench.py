"""A report as somebody is about to save it, in a folder of its own: to check it, and to look at its emails.

Must stay true: the report itself is not touched; what is laid out holds the same files, and nothing that the report
could not use; no file of it is ever written to through a link.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from datapallas import files
from datapallas.errors import StorageError
from datapallas.reports import definition, paths
from datapallas.reports.flaws import FILE
from datapallas.reports.passwords import password_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from datapallas.reports.flaws import Flaws
    from datapallas.reports.model import Report
    from datapallas.secret import Secret


@dataclasses.dataclass(frozen=True, slots=True)
class Draft:
    """What would be saved: report.toml, template files by their names, and a new password of its database."""

    text: str
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    password: Secret | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class LaidOut:
    """A report in its own folder, and what is wrong with it; `report` is None then."""

    report: Report | None
    flaws: Flaws
    folder: Path

    def usable(self) -> Report:
        """The report. Raises ConfigurationError (code `report-definition`)."""
        if self.report is None:
            raise self.flaws.error(self.folder)
        return self.report


@contextlib.contextmanager
def laid_out(source: Path, place: Path, draft: Draft) -> Iterator[LaidOut]:
    """The report in `source` as it would be with `draft`, below `place`, until the block ends.

    Raises UsageError (a name that cannot be a file of the report), StorageError.
    """
    files.private_directory(place)
    with tempfile.TemporaryDirectory(prefix="draft-", dir=place, ignore_cleanup_errors=True) as made:
        folder = Path(made, source.name)
        try:
            _copy(source, folder, {FILE, *draft.files})
            for name, text in {**draft.files, FILE: draft.text}.items():
                path = paths.inside(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(text.encode("utf-8", "replace"))
        except OSError as problem:
            reason = problem.strerror or "unknown reason"
            raise StorageError(f"Cannot lay the report out in {place}: {reason}.", path=place) from problem
        report, flaws = definition.looked_at(draft.text, folder)
        yield LaidOut(report, flaws, folder)


def with_password(report: Report, source: Path, typed: Secret | None = None) -> Report:
    """The report with the password of its database: a `typed` one, or the one that is sealed for `source`, where it lies.

    Raises ConfigurationError (code `report-password`), KeyProblem.
    """
    if report.rows is None or not (report.rows.password_from or typed):
        return report
    rows = dataclasses.replace(report.rows, password=typed or password_of(report.rows, source))
    return dataclasses.replace(report, rows=rows)


def _copy(source: Path, folder: Path, but: set[str]) -> None:
    folder.mkdir(files.PRIVATE_DIRECTORY)
    for above, folders, names in os.walk(source):
        folders[:] = [name for name in folders if not name.startswith(".")]
        here = folder / Path(above).relative_to(source)
        for name in folders:
            path = Path(above, name)
            if path.is_symlink():
                (here / name).symlink_to(path.resolve())
            else:
                (here / name).mkdir(files.PRIVATE_DIRECTORY)
        for name in names:
            path = Path(above, name)
            if path.relative_to(source).as_posix() not in but and not name.startswith("."):
                _link(path, here / name, source.resolve())


def _link(path: Path, target: Path, root: Path) -> None:
    """The same octets under another name; a link out of the folder stays one, so that it is refused as there."""
    real = path.resolve()
    if not real.is_relative_to(root):
        target.symlink_to(real)
        return
    if not real.is_file():
        return
    try:
        os.link(real, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(real, target)
