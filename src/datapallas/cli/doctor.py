"""`system doctor`: everything a message needs on its way, tried out in order; the first cause, and one thing to do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from datapallas.cli.options import Chosen, connection_options
from datapallas.cli.output import json_option, note, plain, say, show_json, the_run
from datapallas.connection.model import Provider

if TYPE_CHECKING:
    from datapallas.diagnosis.doctor import Finding
    from datapallas.diagnosis.doctor_case import Case


@click.command("doctor", help="Try out what sending needs, step by step; say the first cause and what to do.")
@click.argument("code", required=False)
@connection_options
@click.option(
    "--provider",
    type=click.Choice([k.value for k in Provider if k is not Provider.NONE], case_sensitive=False),
    help="Before there is a connection: can this machine reach the provider and its mail server?",
)
@click.option("--preset", metavar="NAME", help="The same for a well-known provider, such as fastmail.")
@json_option
def doctor(
    chosen: Chosen,
    code: str | None,
    provider: str | None,
    preset: str | None,
    as_json: bool,  # noqa: FBT001
) -> int:
    """Ends with what a sending would end with."""
    from datapallas.diagnosis.doctor import Mark, examine

    if code:
        if chosen.named:
            raise click.UsageError("Name the connection once.")
        chosen = Chosen(code, None)
    case = _case(chosen, provider, preset)
    found = []
    for finding in examine(case):
        found.append(finding)
        if not as_json and finding.mark is not Mark.NOT_REACHED:
            say(_line(finding))
    cause = next((one for one in found if one.mark is Mark.FAILED), None)
    exit_code = cause.exit_code if cause else 0
    if as_json:
        document: dict[str, object] = {"ok": not exit_code, "exit_code": exit_code, "connection": case.code}
        document |= {"checks": [one.to_dict() for one in found]}
        if cause is not None and cause.problem is not None:
            document["error"] = cause.problem.to_dict()
        show_json(document)
    elif cause is not None and cause.problem is not None:
        note("", cause.problem.render())
    else:
        say("\nNothing stands in the way." + ("" if case.code else " Next, make a connection and sign in."))
    return exit_code


def _case(chosen: Chosen, provider: str | None, preset: str | None) -> Case:
    from datapallas.home.doctoring import case_of, case_of_provider

    if (provider or preset) and chosen.named:
        raise click.UsageError("Give a connection, or a provider or preset, not both.")
    home = chosen.home()
    if provider == Provider.GENERIC.value and not preset:
        raise click.UsageError("GENERIC has no addresses of its own: give --preset, or make the connection.")
    if provider or preset:
        case = case_of_provider(home, Provider(provider) if provider else None, preset)
        the_run().about(lambda: case.facts)
        return case
    return case_of(home, chosen.code(home))


def _line(finding: Finding) -> str:
    tick = _ticks()[finding.mark.value]
    seconds = "" if finding.mark.value == "skipped" else f"{finding.seconds:.2f} s"
    return f"{tick} {seconds:>8}  {finding.title:<26}  {plain(finding.detail)}".rstrip()


def _ticks() -> dict[str, str]:
    """Ticks, or words where the terminal has no such letters."""
    ticks = {"ok": "\N{CHECK MARK}", "failed": "\N{BALLOT X}", "skipped": "\N{EN DASH}"}
    try:
        "".join(ticks.values()).encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return {"ok": "ok  ", "failed": "FAIL", "skipped": "-   "}
    return ticks
