"""`report run --dry-run`: every email as an .eml file and every document beside it; nothing is sent or promised.

Must stay true: the files are what would be sent, byte for byte but for date and Message-ID; nothing outside the given
folder is written, and no file that is there already is replaced.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from datapallas import files
from datapallas.cli.output import note, say, show_json
from datapallas.cli.report.watch import say_problem
from datapallas.errors import EX_DATAERR, StorageError, UsageError
from datapallas.home.reporting.prepare import how_long, prepare_in
from datapallas.reports.run import Cursor, Rendering, chunks

if TYPE_CHECKING:
    from datapallas.home.reporting.runs import ReportRuns
    from datapallas.mail.message import Message
    from datapallas.reports.run import Wanted

_ODD = re.compile(r"[^A-Za-z0-9@._+-]+")
_LONGEST = 80
_MOST = 1000
_BLOCK = 1024 * 1024


def dry_run(runs: ReportRuns, asked: tuple[str, Wanted], out: Path, *, as_json: bool) -> int:
    """Write it all to `out`, a new or empty folder."""
    import sys

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not an empty folder.", code="dry-run-folder", path=out)
    with tempfile.TemporaryDirectory(prefix="datapallas-dry-run-") as place:
        prepared = prepare_in(runs.home, Path(place, "run"), asked, sys.stdin.buffer if sys.stdin else None)
        if not as_json:
            note(how_long(runs.outbox, prepared.facts["connection"], prepared.recipients).words)
        writing = _Writing(runs, prepared.facts["connection"], out)
        problems = list(prepared.problems)
        run = Rendering(
            report=prepared.frozen.report(prepared.report),
            frozen=prepared.frozen,
            today=dt.date.fromisoformat(prepared.facts["today"]),
        )
        failed = 0
        for chunk in chunks(run, Cursor()):
            for key, message in zip(chunk.keys, chunk.messages, strict=True):
                writing.write(key, message)
            failed += len(chunk.problems)
            problems += chunk.problems[: max(0, _MOST - len(problems))]
    shown = [dataclasses.asdict(problem) for problem in problems]
    code = EX_DATAERR if failed or prepared.stops is not None else 0
    if as_json:
        facts = {"folder": str(out), "written": writing.count, "not_sent": failed, "problems": shown}
        show_json({"ok": not code, "exit_code": code, **facts})
        return code
    for one in shown:
        say_problem(one)
    say(f"{writing.count:,} {'email is' if writing.count == 1 else 'emails are'} in {out}; nothing was sent.")
    if failed:
        say(f"{failed:,} {'recipient has' if failed == 1 else 'recipients have'} a problem.")
    return code


class _Writing:
    """Files of one dry run."""

    def __init__(self, runs: ReportRuns, connection: str, out: Path) -> None:
        from datapallas.mail.compose import Composer
        from datapallas.mail.mailbox import sender_of

        self._composer = Composer(sender_of(runs.home.folder.load(connection)))
        self._out = out
        self.count = 0

    def write(self, key: str, message: Message) -> None:
        """One email, `NUMBER-KEY.eml`, and its documents in `NUMBER-KEY/`."""
        self.count += 1
        files.private_directory(self._out)
        name = f"{self.count:06d}-{_plain(key)}"
        composed = self._composer.compose(message)
        try:
            with (self._out / f"{name}.eml").open("xb") as file:
                for piece in composed.chunks():
                    file.write(piece)
            for number, one in enumerate(message.attachments, 1):
                folder = files.private_directory(self._out / name)
                path = folder / f"{number}-{_plain(one.name)}"
                with path.open("xb") as file:
                    for piece in one.content.read(one.content.size(), _BLOCK):
                        file.write(piece)
        except OSError as problem:
            raise StorageError(
                f"Cannot write to {self._out}: {problem.strerror}.", raw=str(problem), path=self._out
            ) from problem


def _plain(name: str) -> str:
    return _ODD.sub("_", name).strip("._")[-_LONGEST:] or "_"
