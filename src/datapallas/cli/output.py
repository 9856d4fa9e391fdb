"""What a command shows: lines for people, one JSON document for scripts, and failures with their explanation.

Must stay true:
- results go to stdout, everything else to stderr; with `--json`, stdout holds exactly one JSON value;
- a result that cannot be shown does not undo what was done: the command ends with what it did, or with 74.
"""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from datapallas.errors import EX_CONFIG, EX_SOFTWARE, EX_TEMPFAIL, EX_USAGE, DataPallasError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

EX_IOERR = 74  # sysexits.h: what was to be shown could not be written

# What a person must change, and what passes when there is room again; anything else of the system is our fault.
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.ELOOP})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE})

json_option = click.option("as_json", "--json", is_flag=True, help="Print one JSON document, for scripts.")


class Run:
    """One command from start to end: how it shows things, and which connection it is about."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.output_lost = False
        self._about: Callable[[], Mapping[str, str]] = dict

    def about(self, facts: Callable[[], Mapping[str, str]]) -> None:
        """Note how to learn the names of the connection in play, so that a failure is explained with them."""
        self._about = facts

    def facts(self) -> Mapping[str, str]:
        """What is known about the connection in play; nothing when there is none."""
        return self._about()

    def finished(self, code: int) -> int:
        """Write what is still waiting to be written; the exit code, which says when that failed."""
        _flush(self)
        return code or (EX_IOERR if self.output_lost else 0)

    def failed(self, problem: BaseException) -> int:
        """Explain what ended the command; its exit code."""
        code = show_failure(problem, self)
        _flush(self)
        return code


def the_run() -> Run:
    """The command that is running."""
    context = click.get_current_context(silent=True)
    found = context.find_object(Run) if context else None
    return found or Run(as_json=False)


def say(text: str = "", *, run: Run | None = None) -> None:
    """Print a result to stdout. Never raises: the mail may be out, and nobody must send it again for a full disk."""
    try:
        print(text)
    except OSError as problem:
        _lost(problem, run or the_run())


def _flush(run: Run) -> None:
    if sys.stdout is None:  # started with stdout closed: Python then has none, and print says nothing
        run.output_lost = True
        return
    try:
        sys.stdout.flush()
    except OSError as problem:
        _lost(problem, run)


def _lost(problem: OSError, run: Run) -> None:
    """Nobody reads stdout any more. The reader left (head, less): that is fine; anything else is told once."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not isinstance(problem, BrokenPipeError):
        run.output_lost = True
        note(f"The result could not be written: {problem.strerror}. What the command does was done.")


def show_json(value: Any, run: Run | None = None) -> None:
    """Print one JSON document to stdout."""
    say(json.dumps(value, indent=2, ensure_ascii=False, default=str), run=run)


def counted(count: int, one: str, many: str) -> str:
    """A number with its words: `1 message`, `2,000 messages`."""
    return f"{count:,} {one if count == 1 else many}"


def note(*lines: str) -> None:
    """Tell a person something that is not the result."""
    for line in lines:
        print(line, file=sys.stderr, flush=True)


def plain(text: str) -> str:
    """Text from outside without the control characters that could drive a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def show_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns as wide as their widest cell."""
    cells = [list(headings), *[[plain(cell) for cell in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headings))]
    for row in cells:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def show_pairs(pairs: Mapping[str, object]) -> None:
    """Print names and values, one a line, values aligned; what is empty is left out."""
    shown = {name: _words(value) for name, value in pairs.items()}
    width = max((len(name) for name, text in shown.items() if text), default=0)
    for name, text in shown.items():
        if text:
            say(f"{name + ':':<{width + 1}}  {plain(text)}")


def _words(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.1f}"
        case list() | tuple():
            return " ".join(map(_words, value))
        case dict():
            return ", ".join(f"{name} {_words(part)}" for name, part in value.items() if part)
        case _:
            return str(value)


def _said(problem: click.ClickException) -> str:
    """What is wrong with the command, on one line; click lists choices with tabs."""
    return plain(
        re.sub(r",?\s*\n\s*", lambda found: ", " if "," in found[0] else " ", problem.format_message())
    )


def show_failure(problem: BaseException, run: Run) -> int:
    """Explain `problem` and return the exit code a script sees."""
    if isinstance(problem, click.exceptions.NoArgsIsHelpError):
        problem.show()
        return EX_USAGE
    if isinstance(problem, click.ClickException) and not run.as_json:
        note(_said(problem))
        if isinstance(problem, click.UsageError) and problem.ctx is not None:
            note(f"See: {problem.ctx.command_path} --help")
        return EX_USAGE
    from datapallas.diagnosis.explain import explain

    if isinstance(problem, click.ClickException):
        problem = UsageError(_said(problem))
    if os.environ.get("DATAPALLAS_DEBUG"):
        import traceback

        traceback.print_exception(problem)
    diagnosis = explain(problem, run.facts())
    code = exit_code(problem)
    if run.as_json:
        document = {"ok": False, "exit_code": code, "error": diagnosis.to_dict()}
        receipt = getattr(problem, "receipt", None)
        show_json(document | (receipt.to_dict() if receipt else {}), run)
    else:
        note(diagnosis.render())
    return code


def exit_code(problem: BaseException) -> int:
    """What a script sees of `problem` (docs/exit-codes.md)."""
    match problem:
        case DataPallasError():
            return problem.exit_code
        case OSError(errno=number) if number in _FORBIDDEN:
            return EX_CONFIG
        case OSError(errno=number) if number in _FULL:
            return EX_TEMPFAIL
        case _:
            return EX_SOFTWARE


def read_secret(source: str, what: str, ask: Callable[..., str] = click.prompt) -> str:
    """A secret from a file, from stdin (`-`), or typed without echo (`ask`); never from the argument list.

    Raises click.BadParameter when there is nothing, or more than one line.
    """
    if source == "ask":
        if not sys.stdin.isatty():
            raise click.BadParameter(
                f"There is no terminal to ask for the {what}; give a file, or - for stdin."
            )
        return str(ask(what, hide_input=True, err=True))
    try:
        with click.open_file(source, encoding="utf-8") as file:
            value: str = file.read(65536).strip()
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not UTF-8 text"
        raise click.BadParameter(f"Cannot read the {what} from {source}: {reason}.") from problem
    if not value or "\n" in value:
        raise click.BadParameter(f"The {what} in {source} must be one line that is not empty.")
    return value
