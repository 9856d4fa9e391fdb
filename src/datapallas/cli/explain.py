"""`explain`: paste an error, read what it means and what to do."""

from __future__ import annotations

import sys

import click

from datapallas.cli.output import json_option, note, say, show_json

_LONGEST = 1_000_000  # bytes of a pasted log that are looked at


@click.command(
    "explain", help="Explain an error message. TEXT is what you saw; without it, standard input is read."
)
@click.argument("text", nargs=-1)
@json_option
def explain(text: tuple[str, ...], as_json: bool) -> int:  # noqa: FBT001
    """Every known thing in the text, one diagnosis each; for a text nobody knows, the nearest family."""
    from datapallas.diagnosis.explain import explain as explain_one
    from datapallas.diagnosis.explain import explain_all

    if not text and sys.stdin.isatty():
        note("Paste the error, then press Ctrl-D.")
    pasted = " ".join(text) if text else sys.stdin.buffer.read(_LONGEST).decode("utf-8", "replace")
    if not pasted.strip():
        raise click.UsageError("There is nothing to explain.")
    found = explain_all(pasted) or [explain_one(pasted)]
    if as_json:
        show_json({"ok": True, "diagnoses": [diagnosis.to_dict() for diagnosis in found]})
    else:
        say("\n\n".join(diagnosis.render() for diagnosis in found))
    return 0
