"""Which pages of one PDF belong together: by the text `{token}` on them, by bookmarks, or every so many pages.

The PDF is read in child processes, because a broken one may end the process that reads it.
Must stay true: a page belongs to one part or to none.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from datapallas.errors import ConfigurationError
from datapallas.reports.burst_marks import empty
from datapallas.reports.child_process import Child, Ended, cores
from datapallas.reports.model import Burst
from datapallas.reports.paths import data_file

if TYPE_CHECKING:
    from datapallas.reports.model import BurstPlan

_SECONDS = 600.0  # for all pages; two thousand take one
_MOST = 256 * 1024 * 1024
_WORTH_SHARING = 1024 * 1024  # octets of a PDF from which a second process pays
_NOTHING = {
    Burst.TOKEN: "no page has a text in braces such as {name@x.example}",
    Burst.BOOKMARKS: "it has no bookmarks",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """The pages of one recipient.

    Attributes:
        token: the text between the braces, the bookmark's title, or the part's number from 1.
        pages: from 0, in the order of the file.
    """

    token: str
    pages: tuple[int, ...]


def parts(plan: BurstPlan, folder: Path) -> list[Part]:
    """Find the parts of the plan's PDF, in the order they begin. A relative path begins in `folder`.

    Pages before the first token or bookmark belong to nobody. Raises ConfigurationError: `burst-file`,
    `burst-broken`, `burst-encrypted`, `burst-empty` (nothing to go by), `burst-shared` (a page of two parts).
    """
    path = data_file(folder, plan.file)
    if plan.by is Burst.PAGES and plan.pages < 1:
        raise ConfigurationError(
            "[burst] pages is 1 or more.", code="report-template", template="report.toml"
        )
    count, marks = _read(path, plan.by)
    if count == 0:
        raise empty(path, "it has no pages")
    if plan.by is Burst.PAGES:
        starts = range(0, count, plan.pages)
        return [Part(str(n), tuple(range(at, min(at + plan.pages, count)))) for n, at in enumerate(starts, 1)]
    if not marks:
        raise empty(path, _NOTHING[plan.by])
    return _together(marks, count)


def _together(marks: dict[int, str], count: int) -> list[Part]:
    """A page without a mark goes on with the one before; a mark that comes again goes on with its part."""
    found: dict[str, list[int]] = {}
    first = min(marks)
    token = marks[first]
    for page in range(first, count):
        token = marks.get(page, token)
        found.setdefault(token, []).append(page)
    return [Part(token, tuple(pages)) for token, pages in found.items()]


def _read(path: Path, by: Burst) -> tuple[int, dict[int, str]]:
    """Have the pages read, a large file's by several processes."""
    shares = 1
    with contextlib.suppress(OSError):  # the child says it better
        if by is Burst.TOKEN and path.stat().st_size >= _WORTH_SHARING:
            shares = min(cores(), 4)
    with (
        tempfile.TemporaryDirectory(prefix="datapallas-", ignore_cleanup_errors=True) as scratch,
        concurrent.futures.ThreadPoolExecutor(shares, "burst") as pool,
    ):
        found = list(pool.map(lambda share: _share(path, by, (share, shares), Path(scratch)), range(shares)))
    return found[0][0], {page: token for _, marks in found for page, token in marks.items()}


def _share(path: Path, by: Burst, share: tuple[int, int], scratch: Path) -> tuple[int, dict[int, str]]:
    child = Child(("marks", path.absolute(), by, *share), scratch, _SECONDS, _MOST)
    try:
        head, _ = child.receive()
        child.raise_if_broken(head)
        return int(head["pages"]), {int(page): str(token) for page, token in head["marks"]}
    except (Ended, KeyError, TypeError, ValueError) as problem:
        raise ConfigurationError(
            f"The pages of {path.name} cannot be read: {problem}.",
            code="burst-broken",
            raw=str(problem),
            path=path,
        ) from None
    finally:
        child.end()
