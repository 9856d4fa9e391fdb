"""The command line: parse, show, call. It decides nothing.

`main` is what `datapallas` and `DataPallas` run. Every failure leaves through it: explained on stderr (or as JSON on
stdout), with the exit code its error carries (docs/exit-codes.md).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

EX_INTERRUPTED = 130  # 128 + SIGINT, as shells count


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `arguments` are those after the program's name."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:  # a process of its own
        from datapallas.cli.private import keep_private

        keep_private(words)
    options = words[: words.index("--")] if "--" in words else words
    try:
        return _run(words, as_json="--json" in options)
    except KeyboardInterrupt:
        return _interrupted(as_json="--json" in options)


def _run(words: list[str], *, as_json: bool) -> int:
    import click

    from datapallas.cli.app import app
    from datapallas.cli.output import Run

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name in an odd encoding is shown oddly; it ends nothing
            stream.reconfigure(errors="backslashreplace")
    run = Run(as_json=as_json)
    try:
        result = app.main(words, prog_name="datapallas", standalone_mode=False, obj=run)
    except click.Abort:  # what click makes of Ctrl-C, and of the end of the input at a question
        raise KeyboardInterrupt from None
    except Exception as problem:  # noqa: BLE001 - the one place where everything is explained
        return run.failed(problem)
    return run.finished(result if isinstance(result, int) else 0)


def _interrupted(*, as_json: bool) -> int:
    from datapallas.cli.output import note, show_json

    if as_json:
        from datapallas.diagnosis.explain import explain

        error = explain(KeyboardInterrupt()).to_dict()
        show_json({"ok": False, "exit_code": EX_INTERRUPTED, "error": error})
    else:
        note("Interrupted. Nothing is stored by half; a message that was on its way may have been sent.")
    return EX_INTERRUPTED
