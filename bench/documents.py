"""How fast documents are made: invoices as PDF against WeasyPrint in a loop, one PDF cut into many against pypdf.

Every runner is a process of its own that says what it made and in what time; they take turns within each round.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING

from bench.report import Verdict, figure
from bench.rig import BENCH, ROOT, Wrong, say
from bench.startup import Started

if TYPE_CHECKING:
    from pathlib import Path

    from bench.rig import Rig

TYPST, HTML, WEASY = "datapallas, Typst template", "datapallas, HTML template", "WeasyPrint in a loop"
BURST, PYPDF = "datapallas burst", "pypdf in a loop"
_INVOICES = "Invoices as PDF, two cores"
_CUTTING = "Burst of a 2,000-page PDF into 1,000"
_WANTED = ((_INVOICES, TYPST, WEASY, 15.0), (_INVOICES, HTML, WEASY, 1.8), (_CUTTING, BURST, PYPDF, 5.0))
_BURST_ROUNDS = 3  # pypdf takes half a minute each time
_LONGEST = 600


@dataclasses.dataclass(frozen=True)
class Made:
    """One run: documents a second, CPU milliseconds and octets of one."""

    rate: float
    cpu: float
    octets: float


def run(rig: Rig, rounds: int, *, quick: bool) -> Started | None:
    """Measure; None when WeasyPrint is not there."""
    work = rig.work
    try:
        importlib.import_module("weasyprint")
    except (ImportError, OSError):
        say("WeasyPrint or Pango is not installed: no figures of documents.")
        return None
    share = 0.2 if quick else 1.0
    runners = {
        TYPST: _ours("typst", _rows(work, "typst", round(1200 * share))),
        HTML: _ours("html", _rows(work, "html", round(140 * share))),
        WEASY: _peer("weasyprint_loop", str(BENCH / "invoice"), _rows(work, "weasy", round(70 * share))),
    }
    invoices = _rounds(runners, rounds, _INVOICES)
    count = _big_pdf(work, 200 if quick else 2000)
    cutting = {
        BURST: [sys.executable, str(BENCH / "ours" / "documents.py"), "burst", str(work)],
        PYPDF: _peer("pypdf_loop", str(work / "big.pdf")),
    }
    cut = _rounds(cutting, min(rounds, _BURST_ROUNDS), _CUTTING, made=count)
    samples = invoices | cut
    table = _table(_INVOICES, invoices, "KB of one") + "\n" + _table(_CUTTING, cut, "MB of all")
    return Started([_judged(*one, samples) for one in _WANTED], table)


def _rounds(
    runners: dict[str, list[str]], rounds: int, title: str, made: int | None = None
) -> dict[str, list[Made]]:
    samples: dict[str, list[Made]] = {name: [] for name in runners}
    for turn in range(rounds):
        for name, command in runners.items():
            samples[name].append(_once(name, command, made))
        say(f"  {title}: round {turn + 1} of {rounds}")
    return samples


def _once(name: str, command: list[str], wanted: int | None) -> Made:
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LONGEST, cwd=ROOT)
    if ran.returncode != 0:
        raise Wrong(f"{name} failed:\n{ran.stderr.strip()}")
    said = json.loads(ran.stdout)
    if wanted is not None and said["made"] != wanted:
        raise Wrong(f"{name} made {said['made']} documents, not {wanted}.")
    return Made(said["made"] / said["seconds"], said["cpu"] / said["made"] * 1000, said["octets"])


def _ours(kind: str, rows: str) -> list[str]:
    return [sys.executable, str(BENCH / "ours" / "documents.py"), kind, str(BENCH / "invoice"), rows]


def _peer(name: str, *given: str) -> list[str]:
    return [sys.executable, str(BENCH / "peers" / f"{name}.py"), *given]


def _rows(work: Path, name: str, count: int) -> str:
    """The same invoices for all: ten lines each."""
    rows = []
    for number in range(count):
        lines = [
            {"item": f"Item {line} of {number}", "quantity": line + 1, "price": 9.99 + line + number % 50}
            for line in range(10)
        ]
        one = {
            "mail": f"customer{number}@customers.example",
            "number": f"2026-{number:05}",
            "name": f"Customer {number} & Sons",
            "street": f"Long Street {number}",
            "city": "10115 Berlin",
            "total": sum(line["quantity"] * line["price"] for line in lines),  # type: ignore[operator]
        }
        rows.append({**one, "rows": lines})
    path = work / f"rows-{name}.json"
    path.write_text(json.dumps(rows))
    return str(path)


def _big_pdf(work: Path, pages: int) -> int:
    """Statements of two pages each, one token each; gives how many."""
    import typst

    source = """#set page(paper: "a4", margin: 2cm)
#set text(font: "DejaVu Sans", size: 10pt)
#for i in range(COUNT) [
  #if i > 0 { pagebreak() }
  #heading(level: 1)[Statement #i]
  {customer#i\\@customers.example}
  #lorem(120)
  #table(columns: 4, ..range(40).map(j => [#(i * j)]))
  #pagebreak()
  #lorem(180)
]""".replace("COUNT", str(pages // 2))
    made = typst.compile(source.encode(), format="pdf", pdf_tags=False)
    assert isinstance(made, bytes)
    (work / "big.pdf").write_bytes(made)
    return pages // 2


def _judged(title: str, ours: str, peer: str, wanted: float, samples: dict[str, list[Made]]) -> Verdict:
    values = [a.rate / b.rate for a, b in zip(samples[ours], samples[peer], strict=True)]
    middle = statistics.median(values)
    return Verdict(
        title,
        f"{ours}: documents a second, times {peer}'s",
        f"at least {wanted:g}",
        middle,
        min(values),
        max(values),
        middle >= wanted,
        "",
    )


def _table(title: str, samples: dict[str, list[Made]], size: str) -> str:
    unit = 1e3 if size.startswith("KB") else 1e6
    lines = [f"### {title}", "", f"| | documents/s | CPU ms of one | {size} |", "|---|---:|---:|---:|"]
    for name, made in samples.items():
        rate, cpu, octets = (
            statistics.median(getattr(one, what) for one in made) for what in ("rate", "cpu", "octets")
        )
        lines.append(f"| {name} | {figure(rate)} | {figure(cpu)} | {figure(octets / unit)} |")
    return "\n".join([*lines, ""])
