"""The confusion table of the catalogue: each text as it was recorded, where it should lead, and where it leads.

`python -m diagnosis.confusion` in `tests/` prints it: one line for each row with its texts, its nearest rival and by how
much it wins, and one for each text that leads elsewhere.
"""

from __future__ import annotations

import collections
from pathlib import Path
from typing import NamedTuple

from datapallas.diagnosis import evidence
from datapallas.diagnosis.catalogue import rows
from datapallas.diagnosis.explain import explain, explain_all

DATA = Path(__file__).with_name("data")


class Recorded(NamedTuple):
    """One text, where it was met, and the row that is right."""

    source: str
    wanted: str
    text: str


class Verdict(NamedTuple):
    """Where a text leads: alone, as a whole log, and how far the next row is."""

    got: str
    all_of_it: tuple[str, ...]
    rival: str
    margin: int


def recorded() -> list[Recorded]:
    """The texts in the catalogue's `seen`, and those of the data files."""
    found = [Recorded("seen", row.id, text) for row in rows() for text in row.seen]
    for path in sorted(DATA.glob("*.txt")):
        for line in path.read_text("utf-8").splitlines():
            wanted, _, text = line.partition(" | ")
            found.append(Recorded(path.stem, wanted, text.replace("\\n", "\n")))
    return found


def judge(one: Recorded) -> Verdict:
    """What the catalogue makes of a text."""
    all_of_it = tuple(diagnosis.id for diagnosis in explain_all(one.text)) or ("unknown",)
    margins = []
    for piece in evidence.of_text(one.text):
        (first, _), (second, rival) = sorted(((row.score(piece), row.id) for row in rows()), reverse=True)[:2]
        margins.append((first - second, rival))
    margin, rival = min(margins)
    return Verdict(explain(one.text).id, all_of_it, rival, margin)


def table() -> str:
    """The table, as text."""
    verdicts = [(one, judge(one)) for one in recorded()]
    by_row: dict[str, list[Verdict]] = collections.defaultdict(list)
    for one, verdict in verdicts:
        by_row[one.wanted].append(verdict)
    lines = [f"{'row':<34} {'texts':>5} {'right':>5}  nearest rival (by)"]
    for wanted, found in sorted(by_row.items()):
        right = sum(verdict.got == wanted and verdict.all_of_it == (wanted,) for verdict in found)
        nearest = min(found, key=lambda verdict: verdict.margin)
        lines.append(
            f"{wanted:<34} {len(found):>5} {right:>5}  {nearest.rival} ({nearest.margin})"
            + ("" if right == len(found) else "   <-- WRONG")
        )
    wrong = [(one, verdict) for one, verdict in verdicts if verdict.all_of_it != (one.wanted,)]
    lines += [
        f"{one.source}: {one.text[:70]!r} should be {one.wanted}, is {', '.join(verdict.all_of_it)}"
        for one, verdict in wrong
    ]
    sources = collections.Counter(one.source for one, _ in verdicts)
    lines.append(
        f"{len(verdicts)} texts ({', '.join(f'{n} {name}' for name, n in sources.items())}), {len(wrong)} wrong"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
