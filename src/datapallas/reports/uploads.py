"""A file that somebody brings for a report: checked, then put in its place whole.

Must stay true: what is refused leaves the report as it was; nothing outside its folder is written, links followed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from datapallas import files
from datapallas.errors import StorageError, UsageError
from datapallas.reports import paths
from datapallas.reports.flaws import FILE
from datapallas.reports.folder import JINJA, MAX_FILE_BYTES, check_template

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from datapallas.reports.folder import Reports

MOST_FILES = 500


class Upload:
    """One file that comes in pieces: `write` them, then `take` it. Used with `with`.

    Raises UsageError (code `report-file`) when the report can have no file of this name.
    """

    def __init__(self, reports: Reports, code: str, name: str) -> None:
        self._reports, self._code, self._name = reports, code, name
        folder = reports.folder(code)
        self._path = paths.inside(folder, name)
        if self._path == folder / FILE or name.endswith((".next", "/")) or self._path.is_dir():
            raise _refused(name, "it is taken")
        if not self._path.exists() and len(reports.files(code)) >= MOST_FILES:
            raise _refused(name, f"the report has {MOST_FILES} files already")
        self._size = 0

    def __enter__(self) -> Self:
        # A name with a dot in front belongs to nobody: the report does not see it until it is whole.
        folder = self._reports.folder(self._code)
        try:
            fd, name = tempfile.mkstemp(prefix=".upload-", dir=folder)
        except OSError as problem:
            raise StorageError(f"Cannot write to {folder}: {problem.strerror}.", path=folder) from problem
        self._file, self._partial = os.fdopen(fd, "wb"), Path(name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._partial.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """The next piece. Raises UsageError when it is too much, StorageError."""
        self._size += len(data)
        if self._size > MAX_FILE_BYTES:
            raise _refused(self._name, f"it is larger than {MAX_FILE_BYTES // 1024**2} MB")
        try:
            self._file.write(data)
        except OSError as problem:
            raise StorageError(
                f"Cannot write {self._name!r}: {problem.strerror}.", path=self._path
            ) from problem

    def take(self) -> None:
        """Put it in its place. Raises ConfigurationError (`report-definition`: a template that is none), StorageError."""
        if self._name.lower().endswith(JINJA):
            self._file.flush()
            check_template(self._reports.folder(self._code), self._name, self._partial.read_bytes())
        with self._reports.lock():
            try:
                self._file.flush()
                os.fsync(self._file.fileno())
                files.private_directory(self._path.parent)
                shutil.move(self._partial, self._path)
            except OSError as problem:
                raise StorageError(
                    f"Cannot write {self._path}: {problem.strerror}.", path=self._path
                ) from problem
            files.sync_directory(self._path.parent)


def _refused(name: str, why: str) -> UsageError:
    return UsageError(f"{name!r} cannot be a file of the report: {why}.", code="report-file", reason=why)
