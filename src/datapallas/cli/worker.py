"""`worker`: what a machine of a fleet runs."""

from __future__ import annotations

import signal

import click

from datapallas.cli.options import current_home
from datapallas.cli.output import json_option, note, plain, show_json


@click.command(
    "worker",
    help="Do what `serve` does beside its page, until Ctrl-C: send, run reports, keep sign-ins alive.",
)
@json_option
def worker(as_json: bool) -> None:  # noqa: FBT001
    """SIGTERM ends it as Ctrl-C does: what is being handed over is finished, everything else goes back."""
    from datapallas.home.working import Worker

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    home = current_home()
    home.folder.list()  # what stops it from working is told now, and not with each message
    note("Working. Ctrl-C ends it.")
    Worker(home, _tell, note).run()
    if as_json:
        show_json({"ok": True})
    note("The worker has ended.")


def _tell(problem: BaseException) -> None:
    from datapallas.diagnosis.explain import explain

    note(plain(explain(problem).render()))
