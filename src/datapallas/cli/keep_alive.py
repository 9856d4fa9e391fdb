"""`system oauth2 keep-alive`: for cron or a timer; refreshes idle sign-ins one by one, and warns before an end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from datapallas.cli.options import Chosen, connection_options
from datapallas.cli.output import json_option, note, plain, say, show_json
from datapallas.errors import EX_CONFIG

if TYPE_CHECKING:
    from datapallas.errors import DataPallasError
    from datapallas.home import Home
    from datapallas.home.keep_alive import Kept
    from datapallas.home.warnings import Notice

_WORDS = {
    "refreshed": "refreshed",
    "recent": "used lately",
    "parked": "parked: sign in again",
    "failed": "failed",
    "nothing": "nothing to keep alive",
    "broken": "cannot be read",
}


@click.command(
    "keep-alive", help="Refresh sign-ins nobody has used for a week, one by one; warn before something ends."
)
@connection_options
@click.option(
    "--idle-days",
    default=7.0,
    type=click.FloatRange(0, 365),
    show_default=True,
    help="How long a sign-in may be unused.",
)
@json_option
def keep_alive(chosen: Chosen, idle_days: float, as_json: bool) -> int:  # noqa: FBT001
    """All connections, unless one is named. Warnings go to standard error, webhook and email, each once."""
    from datapallas.home.keep_alive import alone, exit_code, keep

    home = chosen.home()
    codes = (chosen.code(home),) if chosen.named else ()
    found: list[Kept] = []
    told: list[Notice] = []
    with alone(home):
        for kept in keep(home, codes, idle_days):
            found.append(kept)
            if not as_json:
                say(_line(kept))
        failed = _warned(home, told)
    code = exit_code(found) or (EX_CONFIG if failed else 0)
    if as_json:
        show_json(
            {
                "ok": not code,
                "exit_code": code,
                "connections": [_facts(kept) for kept in found],
                "warnings": [one.to_dict() for one in told],
            }
        )
    return code


def _warned(home: Home, told: list[Notice]) -> bool:
    """Warn; whether a way has failed."""
    from datapallas.home.keep_alive import warn

    def log(notice: Notice) -> None:
        told.append(notice)
        note(plain(notice.sentence))

    failed = warn(home, log)
    for way, problem in failed:
        note(f"A warning was not told by {way}: {plain(problem.message)}")
    return bool(failed)


def _line(kept: Kept) -> str:
    words = _WORDS[kept.outcome.value]
    return f"{kept.connection}: {words}" + (f": {plain(kept.problem.message)}" if kept.problem else "")


def _facts(kept: Kept) -> dict[str, object]:
    problem: DataPallasError | None = kept.problem
    return {
        "connection": kept.connection,
        "outcome": kept.outcome.value,
        "idle_days": kept.idle_days,
        "problem": problem.message if problem else None,
    }
