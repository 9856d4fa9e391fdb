"""`make bench`: measure DataPallas against its peers, and write the figures into README.md.

- `run.py`: everything, some twenty minutes.
- `run.py --quick`: everything, briefly; README.md is left alone.
- `run.py --only one,delay`: some rows. README.md has two blocks; one is written when all its rows were measured.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

LATER = {"outbox", "documents", "ledger"}
"""Rows of the second block."""


def main() -> int:
    """Run what the command line says; 0 when all was measured, whatever the figures are."""
    from bench import contest, report, rig, rows

    names = [row.name for row in rows.ROWS] + [contest.STARTUP, contest.DOCUMENTS, contest.LEDGER]
    given = _arguments(names)
    rounds = 2 if given.quick else given.rounds
    on = report.machine(rounds)
    try:
        made = rig.prepare()
    except rig.NotPossible as problem:
        rig.say(str(problem))
        return 1
    try:
        outcome = contest.run(made, given.only, rounds, quick=given.quick)
    finally:
        shutil.rmtree(made.work)
    print(report.text(on, outcome.results, outcome.others.values()))
    if given.json:
        report.dump(given.json, outcome.results)
    for block, whole in (("figures", set(names) - LATER), ("outbox", LATER)):
        if whole <= set(given.only) and not given.quick and not outcome.failed:
            results = [one for one in outcome.results if one.row.name in whole]
            others = [one for name, one in outcome.others.items() if name in whole]
            report.write(block, report.text(on, results, others))
    return int(outcome.failed)


def _arguments(names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure DataPallas against its peers.")
    parser.add_argument("--rounds", type=int, default=7, help="how often each client runs (default 7)")
    parser.add_argument("--only", default=",".join(names), help=f"rows, of {','.join(names)}")
    parser.add_argument("--quick", action="store_true", help="two short rounds")
    parser.add_argument("--json", type=Path, help="write the raw samples there, too")
    given = parser.parse_args()
    given.only = given.only.split(",")
    if unknown := set(given.only) - set(names):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    return given


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    sys.exit(main())
