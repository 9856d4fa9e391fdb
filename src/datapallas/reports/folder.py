"""The reports of a home: `config/reports/<code>/`, report.toml and the templates beside it, for people and for git.

Must stay true:
- what is saved was checked first, and is written whole or not at all; a refusal changes nothing;
- nothing outside a report's own folder is read or written as one of its files, links followed;
- one report that is broken never hides the others.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from datapallas import files
from datapallas.connection.codes import MAX_CODE, is_code
from datapallas.errors import ConfigurationError, StorageError, UsageError
from datapallas.reports import definition, paths
from datapallas.reports.flaws import FILE, Flaw, Flaws, nearest
from datapallas.reports.names import mistake

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from datapallas.reports.model import Report

PLACE = Path("config", "reports")
SAMPLES = Path(__file__).parent / "samples"
BLANK = "blank"
MAX_FILE_BYTES = 64 * 1024 * 1024
JINJA = (".html", ".txt", ".md")
"""Endings of templates."""


class Reports:
    """The reports of the home `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.place = root / PLACE

    # Reading

    def codes(self) -> list[str]:
        """Every report, broken ones among them, sorted."""
        try:
            names = [entry.name for entry in os.scandir(self.place) if entry.is_dir()]
        except FileNotFoundError:
            return []
        return sorted(name for name in names if is_code(name) and (self.place / name / FILE).exists())

    def folder(self, code: str) -> Path:
        """The folder of a report. ConfigurationError (code `unknown-report`) names the known ones."""
        folder = self.place / code
        if is_code(code) and (folder / FILE).exists():
            return folder
        known = self.codes()
        words = nearest(code, known) if known else f"; there is none in {self.place}"
        raise ConfigurationError(
            f"There is no report {code!r}{words}.", code="unknown-report", report=code, known=", ".join(known)
        )

    def load(self, code: str) -> Report:
        """The report. Raises ConfigurationError: `unknown-report`, or `report-definition` with every flaw."""
        return definition.read(self.text(code), self.folder(code))

    def text(self, code: str) -> str:
        """Its report.toml, whatever is wrong with it."""
        folder = self.folder(code)
        data = self._bytes(folder, FILE, definition.MAX_BYTES)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as problem:
            line = data.count(b"\n", 0, problem.start) + 1
            raise Flaws([Flaw("it is not UTF-8", line)]).error(folder) from None

    def flaws(self, code: str, text: str | None = None) -> Flaws:
        """What is wrong with a report, or would be if its report.toml were `text`; none when it is right."""
        given = self.text(code) if text is None else text
        return definition.looked_at(given, self.folder(code))[1]

    def connections(self) -> dict[str, str]:
        """The connection each report names, by the report's code, of broken ones too; empty: it names none."""
        found = {}
        for code in self.codes():
            with contextlib.suppress(ConfigurationError, StorageError):
                found[code] = definition.connection_in(self.text(code))
        return found

    # Changing

    def save(self, code: str, text: str) -> Report:
        """Replace report.toml, checked first. Raises as `load` does, and StorageError; the old one stands then."""
        folder = self.folder(code)
        report = definition.read(text, folder)
        with self.lock():
            files.replace(folder / FILE, text.encode())
        return report

    def replace(self, code: str, before: str, text: str) -> None:
        """Put `text` in the place of `before`, unchecked, unless somebody else has changed the file meanwhile.

        Raises ConfigurationError (code `report-changed`), StorageError.
        """
        folder = self.folder(code)
        with self.lock():
            if self.text(code) != before:
                raise ConfigurationError(
                    f"The report {code} was changed by somebody else meanwhile.",
                    code="report-changed",
                    report=code,
                )
            files.replace(folder / FILE, text.encode())

    def create(self, code: str, sample: str = "", name: str = "") -> Report:
        """A new report from a sample (`samples()`; empty: a small one to start from), called `name`."""
        self._check_free(code)
        source = SAMPLES / (sample or BLANK)
        if sample and sample not in samples():
            raise UsageError(
                f"There is no sample {sample!r}{nearest(sample, samples())}.", code="unknown-sample"
            )
        return self._copy(source, code, name)

    def duplicate(self, code: str, new_code: str, name: str = "") -> Report | None:
        """Copy a report with its files; None when the copy is as broken as the original.

        A sealed password belongs to the original and has to be sealed anew.
        """
        source = self.folder(code)
        self._check_free(new_code)
        try:
            return self._copy(source, new_code, name)
        except ConfigurationError:
            return None

    def delete(self, code: str) -> None:
        """Delete a report with its files; what it has sent stays in the outbox."""
        folder = self.folder(code)
        gone = self.place / f".deleted-{code}-{os.getpid()}"
        with self.lock():
            folder.rename(gone)
            files.sync_directory(self.place)
        shutil.rmtree(gone, ignore_errors=True)

    # The files beside report.toml

    def files(self, code: str) -> list[str]:
        """Their names, with `/` for folders, sorted."""
        folder = self.folder(code)
        found = []
        for above, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = Path(above, name)
                if not name.startswith(".") and not name.endswith(".next") and path.is_file():
                    found.append(path.relative_to(folder).as_posix())
        return sorted(name for name in found if name != FILE)

    def read_file(self, code: str, name: str) -> bytes:
        """The bytes of one of them. Raises UsageError (code `report-file`), StorageError."""
        return self._bytes(self.folder(code), name, MAX_FILE_BYTES)

    def save_file(self, code: str, name: str, data: bytes) -> None:
        """Write one of them; a template is checked first. Raises as `read_file`, ConfigurationError (`report-definition`)."""
        folder = self.folder(code)
        path = paths.inside(folder, name)
        if path == folder / FILE or name.endswith(".next"):
            raise UsageError(
                f"{name!r} cannot be a file of the report.", code="report-file", reason="it is taken"
            )
        if len(data) > MAX_FILE_BYTES:
            raise UsageError(f"{name!r} is larger than 64 MB.", code="report-file", reason="it is too large")
        if name.lower().endswith(JINJA):
            check_template(folder, name, data)
        with self.lock():
            files.private_directory(path.parent)
            files.replace(path, data)

    def delete_file(self, code: str, name: str) -> None:
        """Delete one of them."""
        path = paths.inside(self.folder(code), name)
        if path.name == FILE or not path.is_file():
            raise UsageError(f"There is no file {name!r}.", code="report-file", reason="it is not there")
        with self.lock():
            files.remove(path)

    # Parts

    def lock(self) -> AbstractContextManager[None]:
        """Held by whoever changes one of them."""
        return files.locked(self.root / "data" / "locks" / "_reports.lock")

    def _check_free(self, code: str) -> None:
        if not is_code(code):
            raise ConfigurationError(
                f"{code!r} cannot be the code of a report: a code is 1 to {MAX_CODE} small letters a-z, digits and "
                "hyphens, and starts with a letter or digit.",
                code="report-code",
                report=code,
            )
        if (self.place / code).exists():
            raise ConfigurationError(f"There is a report {code} already.", code="report-exists", report=code)

    def _copy(self, source: Path, code: str, name: str) -> Report:
        """Copy a folder beside its place, then give it its name: it is there whole, or not at all."""
        files.private_directory(self.place)
        new = self.place / f".new-{code}-{os.getpid()}"
        try:
            shutil.copytree(
                source, new, ignore=shutil.ignore_patterns("*.next", "__pycache__", "__init__.py")
            )
            for path in (new, *new.rglob("*")):
                path.chmod(files.PRIVATE_DIRECTORY if path.is_dir() else files.PRIVATE_FILE)
            if name:
                text = (new / FILE).read_text("utf-8")
                files.replace(new / FILE, definition.renamed(text, name).encode())
            with self.lock():
                self._check_free(code)
                new.rename(self.place / code)
                files.sync_directory(self.place)
        except OSError as problem:
            raise StorageError(f"Cannot make the report {code}: {problem.strerror or problem}.") from problem
        finally:
            shutil.rmtree(new, ignore_errors=True)
        return self.load(code)

    @staticmethod
    def _bytes(folder: Path, name: str, limit: int) -> bytes:
        path = paths.inside(folder, name)
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise UsageError(
                    f"{name!r} is not a plain file.", code="report-file", reason="it is no plain file"
                )
            data = files.read(path.resolve(), limit=limit)
        except FileNotFoundError:
            raise UsageError(
                f"There is no file {name!r}.", code="report-file", reason="it is not there"
            ) from None
        if len(data) > limit:
            raise UsageError(f"{name!r} is too large.", code="report-file", reason="it is too large")
        return data


def samples() -> list[str]:
    """The names of the samples that ship with the product."""
    return sorted(path.name for path in SAMPLES.iterdir() if (path / FILE).is_file() and path.name != BLANK)


def check_template(folder: Path, name: str, data: bytes) -> None:
    """Raises ConfigurationError (`report-definition`) when a template is not UTF-8 or not Jinja2."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise Flaws([Flaw("it is not UTF-8", line, name)]).error(folder) from None
    wrong = mistake(text)
    if wrong:
        raise Flaws([Flaw(wrong.reason, wrong.line, name)]).error(folder)
