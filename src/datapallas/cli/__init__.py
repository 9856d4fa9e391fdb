"""The command line: parse, show, call. It decides nothing.

`main` is what `datapallas` and `DataPallas` run. Every failure leaves through it: explained on stderr (or as JSON on
stdout), with the exit code its error carries (docs/exit-codes.md).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

EX_INTERRUPTED = 130  # 128 + SIGINT, as shells count


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `arguments` are those after the program's name."""
    import click

    from datapallas.cli.app import app
    from datapallas.cli.output import show_failure

    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    try:
        result = app.main(words, prog_name="datapallas", standalone_mode=False)
        sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt):
        print("Interrupted. Nothing was left half done.", file=sys.stderr)
        return EX_INTERRUPTED
    except BrokenPipeError:  # the reader of our output (head, less) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as problem:  # noqa: BLE001 - the one place where everything is explained
        return show_failure(problem, as_json=as_json)
    return result if isinstance(result, int) else 0
