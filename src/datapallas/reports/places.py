"""Files a report may use: those in its folder, and those below an absolute folder its author wrote out.

Must stay true: no value of a row, and no symbolic link, leads to any other file.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from datapallas.reports.trouble import Trouble

_FILLED = re.compile(r"\{[{%#]")


class Place:
    """Where the files that `pattern`, a text of report.toml, names may be.

    A pattern such as `/srv/invoices/{{ number }}.pdf` allows what is in /srv/invoices; one that does not begin with a
    slash, what is in the report's folder.
    """

    def __init__(self, folder: Path, pattern: str = "") -> None:
        self._folder = folder.resolve()
        self._base = self._folder
        if pattern.startswith("/"):
            begin = _FILLED.split(pattern, maxsplit=1)[0]
            self._base = Path(begin[: begin.rindex("/")] or "/").resolve()

    def holds(self, path: Path) -> bool:
        """Whether `path`, absolute and without symbolic links, is below it."""
        return self._base != Path("/") and path.is_relative_to(self._base)

    def file(self, name: str, kind: str = "document") -> tuple[Path, int]:
        """The file called `name`, and its octets. Raises Trouble (of `kind`): it is elsewhere, not there or no file."""
        if not name or "\0" in name or name.endswith("/"):
            raise Trouble(kind, f"{name!a} is not the name of a file.")
        try:
            path = (self._folder / name).resolve()
            if not self.holds(path):
                where = "the report's folder" if self._base == self._folder else str(self._base)
                raise Trouble(kind, f"The file {_shown(name)} is not in {where}.")
            about = path.stat()
        except FileNotFoundError:
            raise Trouble(kind, f"The file {_shown(name)} is not there.") from None
        except (OSError, RuntimeError, ValueError) as problem:
            reason = getattr(problem, "strerror", None) or "its name leads in circles"
            raise Trouble(kind, f"The file {_shown(name)} cannot be read: {reason}.") from None
        if not stat.S_ISREG(about.st_mode):
            raise Trouble(kind, f"{_shown(name)} is not a plain file.")
        return path, about.st_size


def expanded(file: str) -> str:
    """`file`, a text of report.toml, with `~/` written out."""
    return os.path.expanduser(file) if file.startswith("~/") else file  # noqa: PTH111 - it may be a template


def _shown(name: str) -> str:
    short = name if len(name) <= 120 else name[:117] + "..."  # noqa: PLR2004 - a line of a screen
    return short if short.isprintable() else ascii(short)
