"""What a command shows: lines for people, one JSON document for scripts, and failures with their explanation.

Must stay true: results go to stdout, everything else to stderr; with `--json`, stdout holds exactly one JSON value.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from datapallas.errors import EX_SOFTWARE, EX_USAGE, DataPallasError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

json_option = click.option("as_json", "--json", is_flag=True, help="Print one JSON document, for scripts.")


def show_json(value: Any) -> None:
    """Print one JSON document to stdout."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


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
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def show_pairs(pairs: Mapping[str, object]) -> None:
    """Print names and values, one a line, values aligned; what is empty is left out."""
    shown = {name: _words(value) for name, value in pairs.items()}
    width = max((len(name) for name, text in shown.items() if text), default=0)
    for name, text in shown.items():
        if text:
            print(f"{name + ':':<{width + 1}}  {plain(text)}")


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


def show_failure(problem: BaseException, *, as_json: bool) -> int:
    """Explain `problem` and return the exit code a script sees."""
    if isinstance(problem, click.ClickException):
        return _show_usage(problem, as_json=as_json)
    from datapallas.diagnosis.explain import explain

    if os.environ.get("DATAPALLAS_DEBUG"):
        import traceback

        traceback.print_exception(problem)
    diagnosis = explain(problem)
    code = problem.exit_code if isinstance(problem, DataPallasError) else EX_SOFTWARE
    if as_json:
        show_json({"ok": False, "exit_code": code, "error": diagnosis.to_dict()})
    else:
        note(diagnosis.render())
    return code


def _show_usage(problem: click.ClickException, *, as_json: bool) -> int:
    context = problem.ctx if isinstance(problem, click.UsageError) else None
    if as_json:
        error = {"id": "usage", "title": problem.format_message()}
        show_json({"ok": False, "exit_code": EX_USAGE, "error": error})
        return EX_USAGE
    if isinstance(problem, click.exceptions.NoArgsIsHelpError):
        problem.show()
        return EX_USAGE
    note(plain(problem.format_message()))
    if context is not None:
        note(f"See: {context.command_path} --help")
    return EX_USAGE


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
