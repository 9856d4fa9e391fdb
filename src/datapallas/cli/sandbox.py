"""`sandbox`: a provider and a mail server on this machine, to try everything without a mailbox."""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
from pathlib import Path

import click

from datapallas.cli.options import current_home
from datapallas.cli.output import json_option, note, say, show_json, show_pairs
from datapallas.errors import DataPallasError, UsageError

_CODE = "eml-sandbox"


@click.command(
    "sandbox", help="Run a provider and a mail server on this machine until Ctrl-C, to try things out."
)
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), help="Keep mail and certificates here."
)
@click.option(
    "--web-port", type=click.IntRange(0, 65535), default=0, help="A fixed port for the provider's pages."
)
@click.option(
    "--smtp-port", type=click.IntRange(0, 65535), default=0, help="A fixed port for mail (STARTTLS)."
)
@click.option(
    "--smtps-port", type=click.IntRange(0, 65535), default=0, help="A fixed port for mail (implicit TLS)."
)
@json_option
def sandbox(folder: Path | None, web_port: int, smtp_port: int, smtps_port: int, as_json: bool) -> None:  # noqa: FBT001
    """With --json, one document when it is ready; then it goes on running."""
    from datapallas.sandbox.running import Ports
    from datapallas.sandbox.serve import running, wait_for_interrupt

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service manager ends it as Ctrl-C does
    ports = Ports(web=web_port, smtp=smtp_port, smtps=smtps_port)
    try:
        with running(folder, ports) as (_, serving):
            if as_json:
                show_json({"ok": True, **serving.to_dict()})
            else:
                _show(serving.to_dict(), serving.create, serving.page)
            sys.stdout.flush()  # whoever reads it through a pipe waits for it
            with contextlib.suppress(KeyboardInterrupt):
                note("The sandbox is running. Ctrl-C ends it.")
                wait_for_interrupt()
    except OSError as problem:
        raise UsageError(
            f"The sandbox cannot start: {problem.strerror or problem}.", code="sandbox-start"
        ) from problem


def _known() -> set[str]:
    """The codes there are in the home; none when it cannot be read, which is not this command's business."""
    with contextlib.suppress(DataPallasError, OSError):
        return {entry.path.stem for entry in current_home().folder.entries()}
    return set()


def _show(facts: dict[str, object], create: tuple[str, ...], page: str) -> None:
    show_pairs(
        {name.replace("_", "-"): value for name, value in facts.items() if name not in {"create", "page"}}
    )
    say("\nPoint a connection at it, sign in (any password), and send:")
    if (
        _CODE in _known()
    ):  # a connection to an earlier sandbox: other ports, another certificate, other sign-ins
        say(f"  datapallas connection delete {_CODE} --force    # the one to an earlier sandbox")
    say(f"  datapallas connection create {shlex.join(create)}")
    say(f"  datapallas system oauth2 sign-in --connection {_CODE}")
    say(f"  datapallas send --connection {_CODE} --to bob@sandbox.example --subject Hello --text Hello")
    say(f"\nThe mail that arrives: {page}")
