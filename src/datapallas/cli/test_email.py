"""`system test-email`: each step as it is done, then the whole dialogue."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING

import click

from datapallas.cli.options import Chosen, connection_options
from datapallas.cli.output import json_option, note, plain
from datapallas.cli.send import show_receipt

if TYPE_CHECKING:
    from datapallas.home.test_emails import StepState, TestState, TestWork

_TICKS = {"done": "\N{CHECK MARK}", "failed": "\N{BALLOT X}", "skipped": "-"}
_PLAIN = {"done": "ok", "failed": "FAILED", "skipped": "-"}
_PATIENCE = 3600.0  # seconds between two looks; the work ends by itself long before


@click.command("test-email", help="Send a test email and show the whole dialogue with the mail server.")
@connection_options
@click.option("--to", metavar="ADDRESS", help="The recipient; default: the sender itself.")
@json_option
def test_email(chosen: Chosen, to: str | None, as_json: bool) -> int:  # noqa: FBT001
    """Straight to the transport: the person sees each step."""
    from datapallas.home.test_emails import TestEmails

    home = chosen.home()
    code = chosen.code(home)
    connection = home.folder.load(code)
    note(f"Sending a test email through {code} ({connection.mailbox}) ...")
    tests = TestEmails(home)
    try:
        work = tests.start(connection, owner="", to=to or "")
        state = _watched(work)
    finally:
        tests.close()
    note("", *(f"  {plain(line)}" for line in state.dialogue))
    if work.receipt is None or work.error is not None:
        raise work.error or KeyboardInterrupt  # without an error nobody but a person ends it
    return show_receipt(
        work.receipt, as_json=as_json, steps=[dataclasses.asdict(step) for step in state.steps]
    )


def _watched(work: TestWork) -> TestState:
    """Show each step when it is over; gives the last state."""
    version = 0
    shown: set[StepState] = set()
    while True:
        version, state = work.wait(version, _PATIENCE)
        for step in state.steps:
            if step.mark in _TICKS and step not in shown:
                shown.add(step)
                note(_line(step))
        if state.finished:
            return state


def _line(step: StepState) -> str:
    utf8 = (getattr(sys.stderr, "encoding", "") or "").lower().startswith("utf")
    tick = (_TICKS if utf8 else _PLAIN)[step.mark]
    took = "" if step.seconds is None else f"{step.seconds:.2f} s"
    return f"  {tick:<{1 if utf8 else 6}} {step.step:<8} {took:>7}  {plain(step.detail)}".rstrip()
