"""The process that fills templates in, or reads a PDF: `python -P -m datapallas.reports.child` (child_process.py).

It reads frames (frames.py) from its standard input and answers on its standard output; it ends when there is nothing
left to read, so it does not outlive its parent. What it is making stands in the first line of its standard error, a
file that the parent reads when this process ends before its time.
Must stay true: it is confined before it meets a template; a recipient that cost it time or memory is its last one.
"""

from __future__ import annotations

import contextlib
import gc
import os
from typing import TYPE_CHECKING, Any, BinaryIO

from datapallas.errors import ConfigurationError
from datapallas.reports import frames
from datapallas.reports.burst_marks import marks
from datapallas.reports.confinement import Clock, confine
from datapallas.reports.filling import OutOfTime
from datapallas.reports.model import Recipient, Row
from datapallas.reports.press import Press
from datapallas.reports.trouble import Trouble

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence
    from pathlib import Path

    from datapallas.reports.model import Burst, Report

_PDF_MEGABYTES = 2048


def main() -> int:
    """Serve until the parent is done; 1 after an answer that was the last one."""
    source = os.fdopen(os.dup(0), "rb")
    # What a library prints must not end up between the frames.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    order = _next(source)
    if order is None:
        return 0
    what, *rest = order
    try:
        return _marks(answers, *rest) if what == "marks" else _report(source, answers, *rest)
    except ConfigurationError as problem:
        about = {"message": problem.message, "code": problem.code, "raw": problem.raw, "facts": problem.facts}
        _say(answers, frames.up({"kind": "broken", **about}))
        return 1


def _marks(answers: BinaryIO, path: Path, by: Burst, share: int, shares: int) -> int:
    """Read pages for burst.py."""
    import pikepdf  # noqa: F401 - before memory is limited
    import pypdfium2  # noqa: F401 - the same

    _step(path.name)
    confine(_PDF_MEGABYTES)
    _say(answers, frames.up({"kind": "ready"}))
    count, found = marks(path, by, share, shares)
    _say(answers, frames.up({"kind": "marks", "pages": count, "marks": list(found.items())}))
    return 0


def _report(source: BinaryIO, answers: BinaryIO, report: Report, today: dt.date, envelope_only: bool) -> int:  # noqa: FBT001
    """Make the emails of a report."""
    os.chdir(report.folder)
    clock = Clock(report.limits.render_seconds)
    press = Press(report, today, envelope_only=envelope_only, step=_step)
    confine(report.limits.render_megabytes)
    clock.start()
    press.load()
    clock.stop()
    gc.collect()
    gc.freeze()  # what was loaded stays: looking through it again and again costs a tenth of the time
    _say(answers, frames.up({"kind": "ready"}))
    while (batch := _next(source)) is not None:
        for one in batch:
            if not _one(press, clock, answers, one):
                return 1
    return 0


def _one(press: Press, clock: Clock, answers: BinaryIO, given: tuple[Any, ...]) -> bool:
    """Make and send one; False when this process should go."""
    key, rows, part = given
    fatal = False
    try:
        try:
            clock.start()
            _step("the email")
            answer = frames.rendered_up(
                press.make(Recipient(key, tuple([Row(0, values) for values in rows]), part))
            )
        finally:
            clock.stop()
    except Trouble as problem:
        fatal = problem.fatal
        answer = frames.up({"kind": "problem", "code": problem.code, "text": problem.text, "fatal": fatal})
    except (OutOfTime, MemoryError) as problem:
        fatal = True
        words = str(problem) or "it takes more memory than limits.render_megabytes allows"
        text = f"{_where()}: {words}."
        answer = frames.up({"kind": "problem", "code": "template", "text": text, "fatal": True})
    except Exception as problem:  # noqa: BLE001 - whatever a library raises over one recipient's data is that recipient's
        text = f"{_where()}: {type(problem).__name__}: {problem}."
        answer = frames.up({"kind": "problem", "code": "template", "text": text[:1000], "fatal": False})
    _say(answers, answer)
    return not fatal


def _next(source: BinaryIO) -> Any:
    """The next frame's value; None when there is none."""
    start = source.read(frames.LENGTH.size)
    if len(start) < frames.LENGTH.size:
        return None
    length, _ = frames.LENGTH.unpack(start)
    body = source.read(length - 4)
    return frames.read_down(body) if len(body) == length - 4 else None


def _say(answers: BinaryIO, pieces: Sequence[bytes]) -> None:
    for piece in pieces:
        view = memoryview(piece)
        while view:
            view = view[answers.write(view) :]


def _step(what: str) -> None:
    """Note what is being made: the whole of a file opened for appending."""
    with contextlib.suppress(OSError):
        os.ftruncate(2, 0)
        os.write(2, f"{what}\n".encode())


def _where() -> str:
    """What was noted last."""
    with contextlib.suppress(OSError):
        return os.pread(2, 400, 0).decode("utf-8", "replace").partition("\n")[0]
    return "the email"


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        raise SystemExit(main())
    raise SystemExit(1)
