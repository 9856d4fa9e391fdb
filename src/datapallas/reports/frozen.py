"""What a run works with, copied aside when it begins: `data/runs/<run>/`.

    report/             the report's folder as it was
    recipients.jsonl    one recipient a line, grouped, with their rows and their part of the PDF
    frozen.json         how many, and the files left where they are, with their size and time

Must stay true: the folder is there whole or not at all; an edited report, a changed database, an end of standard input
change nothing for a run that has begun; a file that was too far away to be copied and has changed stops it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import heapq
import json
import os
import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datapallas import files
from datapallas.errors import ConfigurationError, StorageError
from datapallas.reports.values import line_of, recipient_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from datapallas.reports.model import Recipient, Report

REPORT, RECIPIENTS, ABOUT = "report", "recipients.jsonl", "frozen.json"
_ROOM = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which of the recipients: those with these keys (all when empty), and `sample` of them at random (0: all)."""

    only: frozenset[str] = frozenset()
    sample: int = 0

    def of(self, recipients: Iterable[Recipient], seen: set[str]) -> Iterator[Recipient]:
        """Choose; keys of `only` that were there are added to `seen`."""
        chosen = self._wanted(recipients, seen)
        if not self.sample:
            return chosen
        # Each gets a random number; the largest are kept, and given in their order. Memory: the sample.
        drawn = ((random.random(), number, one) for number, one in enumerate(chosen))  # noqa: S311 - no secret
        best = heapq.nlargest(self.sample, drawn, key=lambda one: one[0])
        return iter([one for _, _, one in sorted(best, key=lambda one: one[1])])

    def _wanted(self, recipients: Iterable[Recipient], seen: set[str]) -> Iterator[Recipient]:
        for one in recipients:
            if not self.only:
                yield one
            elif one.key in self.only:
                seen.add(one.key)
                yield one


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    """A run's folder."""

    folder: Path

    @property
    def there(self) -> bool:
        """Whether it was frozen."""
        return (self.folder / ABOUT).exists()

    def report(self, report: Report) -> Report:
        """`report`, as it stands in the copy."""
        return dataclasses.replace(report, folder=self.folder / REPORT)

    @property
    def report_folder(self) -> Path:
        """The copy of the report's folder."""
        return self.folder / REPORT

    def about(self) -> dict[str, Any]:
        """What frozen.json says."""
        try:
            found: dict[str, Any] = json.loads((self.folder / ABOUT).read_bytes())
        except (OSError, ValueError) as problem:
            raise StorageError(
                f"The files of the run {self.folder.name} are not there any more.",
                code="run-files",
                raw=str(problem),
                path=self.folder,
            ) from problem
        return found

    def recipients(self, offset: int = 0) -> Iterator[tuple[Recipient, int]]:
        """Each recipient from the octet `offset` on, with the octet where the next one begins. Raises StorageError."""
        try:
            with (self.folder / RECIPIENTS).open("rb") as file:
                file.seek(offset)
                for line in file:
                    offset += len(line)
                    yield recipient_of(line), offset
        except (OSError, ValueError) as problem:
            raise StorageError(
                f"The recipients of the run {self.folder.name} cannot be read.",
                code="run-files",
                raw=str(problem),
                path=self.folder,
            ) from problem

    def check_left(self) -> None:
        """The files that were not copied are as they were. Raises ConfigurationError (code ``run-file-changed``)."""
        for name, before in self.about()["left"].items():
            if _mark(Path(name)) != before:
                raise ConfigurationError(
                    f"The file {name} is not what it was when the run {self.folder.name} began.",
                    code="run-file-changed",
                    path=name,
                )

    def remove(self) -> None:
        """Delete it; the rows in it are personal data."""
        shutil.rmtree(self.folder, ignore_errors=True)


def freeze(report: Report, target: Path, recipients: Iterable[Recipient], left: Collection[Path]) -> Frozen:
    """Copy a report and its recipients to `target`.

    `left` are files outside the report's folder. Raises StorageError; there is nothing at `target` then.
    """
    files.private_directory(target.parent)
    new = target.with_name(f".new-{target.name}")
    shutil.rmtree(new, ignore_errors=True)  # what a killed process left
    shutil.rmtree(target, ignore_errors=True)
    try:
        with _told(target):
            new.mkdir(files.PRIVATE_DIRECTORY)
            _copy(report, new / REPORT)
            count = _write(new / RECIPIENTS, recipients)
            about = {"recipients": count, "left": {str(path): _mark(path) for path in left}}
            _synced(new / ABOUT, json.dumps(about).encode())
            files.sync_directory(new)
            new.rename(target)
            files.sync_directory(target.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return Frozen(target)


def _copy(report: Report, to: Path) -> None:
    """The folder, but for the rows, which stand in recipients.jsonl, and what no report uses."""
    rows = os.path.normpath(report.folder / report.rows.file) if report.rows and report.rows.file else ""

    def unused(folder: str, names: list[str]) -> set[str]:
        return {
            name
            for name in names
            if name.startswith(".") or name.endswith(".next") or os.path.normpath(Path(folder, name)) == rows
        }

    shutil.copytree(report.folder, to, ignore=unused, copy_function=_copied)


def _copied(source: str, to: str) -> str:
    """As it is, but ours alone; links were followed by the report already."""
    shutil.copyfile(source, to)
    Path(to).chmod(files.PRIVATE_FILE)
    return to


def _write(path: Path, recipients: Iterable[Recipient]) -> int:
    count = 0
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, files.PRIVATE_FILE)
    with open(fd, "wb", buffering=_ROOM) as file:  # noqa: PTH123 - the descriptor is private from the first byte
        for one in recipients:
            file.write(line_of(one))
            count += 1
        file.flush()
        os.fsync(file.fileno())
    return count


def _synced(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, files.PRIVATE_FILE)
    with open(fd, "wb") as file:  # noqa: PTH123 - as above
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _mark(path: Path) -> list[int] | None:
    """Size and time of a file; None when it is not there."""
    try:
        about = path.stat()
    except OSError:
        return None
    return [about.st_size, about.st_mtime_ns]


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        full = problem.errno in {errno.ENOSPC, errno.EDQUOT}
        raise StorageError(
            f"Cannot copy what the run needs to {path}: {problem.strerror}.",
            code="disk-full" if full else "storage",
            raw=str(problem),
            path=path,
        ) from problem
