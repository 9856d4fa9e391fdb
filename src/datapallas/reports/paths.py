"""Where the files of a report may lie.

Must stay true: a template lies inside the report's folder, links followed; nothing else is ever read or written as one.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from datapallas.errors import UsageError

_LONGEST = 200


def inside(folder: Path, name: str) -> Path:
    """The file called `name` in the report's folder. UsageError (code `report-file`) says why it cannot be one."""
    pure = PurePosixPath(name)
    if not name or len(name) > _LONGEST or not name.isprintable() or "\\" in name:
        raise _refused(name, "a file's name is 1 to 200 printable characters without a backslash")
    if pure.is_absolute() or ".." in pure.parts or pure.parts[:1] == ("~",):
        raise _refused(name, "it leads out of the report's folder")
    if any(part.startswith(".") for part in pure.parts) or str(pure) == ".":
        raise _refused(name, "names that begin with a dot are not used")
    path = folder / pure
    try:
        real = path.resolve()
    except (OSError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
        raise _refused(name, "its links lead in a circle") from None
    if not real.is_relative_to(folder.resolve()):
        raise _refused(name, "it is a link out of the report's folder")
    return path


def data_file(folder: Path, name: str) -> Path:
    """A file of rows, or the PDF that is cut: in the report's folder, or anywhere when the whole path is given."""
    path = Path(name).expanduser()
    return path if path.is_absolute() else folder / path


def leaves(name: str) -> bool:
    """Whether a relative path leaves the folder."""
    return not Path(name).expanduser().is_absolute() and ".." in PurePosixPath(name).parts


def _refused(name: str, why: str) -> UsageError:
    return UsageError(f"{name!r} cannot be a file of the report: {why}.", code="report-file", reason=why)
