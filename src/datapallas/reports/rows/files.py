"""The file that rows are read from: found, opened, and able to go back to its start.

Must stay true: what comes by a pipe is kept in a private file that has no name, so it may be as long as it likes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import stat
import sys
import tempfile
from typing import TYPE_CHECKING

from datapallas.errors import RowsError
from datapallas.reports.paths import data_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from datapallas.reports.model import Source

_IN_MEMORY = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class DataFile:
    """An open file and what a person calls it."""

    stream: BinaryIO
    name: str


@contextlib.contextmanager
def opened(source: Source, folder: Path, stdin: BinaryIO | None) -> Iterator[DataFile]:
    """The file of `source`. RowsError (code `rows-file`) says why there is none."""
    if source.file == "-":
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spool:
            shutil.copyfileobj(stdin or sys.stdin.buffer, spool)
            spool.seek(0)
            yield DataFile(spool, "standard input")  # type: ignore[arg-type]  # it has all of a BinaryIO that is used
        return
    path = data_file(folder, source.file)
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise _none(source.file, f"there is no file {path}") from None
    except OSError as problem:
        raise _none(source.file, f"{path} cannot be opened: {problem.strerror}") from problem
    with file:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _none(source.file, f"{path} is not a plain file")
        yield DataFile(file, source.file)


def _none(name: str, reason: str) -> RowsError:
    return RowsError(
        f"The rows cannot be read: {reason}.", code="rows-file", file=name, line="", reason=reason
    )
