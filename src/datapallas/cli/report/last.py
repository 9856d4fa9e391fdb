"""How the last runs of reports went, for the commands that list reports and schedules."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from datapallas.cli.output import note, plain, say, show_table
from datapallas.home.reporting.counts import Counts, plain_facts
from datapallas.home.reporting.past import explained

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datapallas.home.reporting.past import Past
    from datapallas.outbox.runs.records import Record

_SHOWN = 5


def facts_of(past: Past) -> dict[str, Any]:
    """For a line of a list: `last` in words; for JSON the newest run and the newest by schedule."""
    by_schedule = next(iter(past.scheduled), None)
    return {
        "last": words(past.last),
        "last_run": run_facts(past.last) if past.last is not None else None,
        "last_scheduled": run_facts(by_schedule) if by_schedule is not None else None,
        "in_trouble": past.trouble.id if past.trouble is not None else "",
    }


def words(record: Record | None) -> str:
    """`done 2026-11-28 09:29: 5 accepted`; empty when there is none."""
    if record is None:
        return ""
    kind = ", a test" if record.facts.get("test_to") else ""
    became = Counts.of(record.facts).words
    return f"{record.state.value} {when(record.created)}{kind}{f': {became}' if became else ''}"


def when(at: float) -> str:
    """A time of this machine's clock."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def say_trouble(pasts: Mapping[str, Past]) -> None:
    """The runs a person should look at."""
    for code, past in pasts.items():
        record = past.trouble
        if record is None:
            continue
        by = "scheduled run" if "scheduled" in record.facts else "run"
        why = record.problem.message if record.problem is not None else f"{Counts.of(record.facts).words}."
        note(
            plain(
                f"{code}: the last {by} ({when(record.created)}) "
                f"{'stopped' if record.state.value == 'stopped' else 'did not reach everybody'}: {why} "
                f"See `datapallas report history {record.id}`."
            )
        )


def say_scheduled(past: Past) -> None:
    """The last runs by schedule, each with its result; of the newest that stopped, what to do."""
    found = past.scheduled[:_SHOWN]
    if not found:
        say("It has not run by itself yet.")
        return
    say("It ran by itself:")
    rows = [
        (one.id, one.state.value, Counts.of(one.facts).words or (one.problem.message if one.problem else ""))
        for one in found
    ]
    show_table(("RUN", "STATE", "OUTCOMES"), rows)
    if (stopped := explained(found[0])) is not None:
        note("", plain(stopped.render()))


def run_facts(record: Record) -> dict[str, Any]:
    """A run, for JSON."""
    return plain_facts(record) | {"outcomes": dict(Counts.of(record.facts).outcomes)}
