"""`make bench`: measure DataPallas against its peers, and write the figures into README.md.

- `run.py`: everything, six to ten minutes.
- `run.py --quick`: everything, briefly; README.md is left alone.
- `run.py --only one,delay`: some rows; README.md is left alone.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path


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
    text = report.text(on, outcome.results, outcome.others)
    print(text)
    if given.json:
        report.dump(given.json, outcome.results)
    if set(given.only) == set(names) and not given.quick and not outcome.failed:
        report.write(text)
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
