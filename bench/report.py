"""Medians, ratios and the tables of README.md."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import platform
import ssl
import statistics
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from bench.rig import BENCH

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.contest import Result
    from bench.rows import Wanted
    from bench.startup import Started

_HEADS = {
    "cpu": "client CPU ms per message",
    "rate": "messages/s",
    "p50": "ms per message (p50)",
    "peak": "peak memory over idle, MB",
}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One wanted figure, and what was measured: the median over rounds, and the lowest and highest round."""

    row: str
    text: str
    wanted: str
    median: float
    low: float
    high: float
    met: bool
    reached: str


def figure(value: float) -> str:
    """A number with three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3g}"


def judge(result: Result) -> list[Verdict]:
    """Compare a row with what is wanted: ratios are taken within a round, then the median is taken."""
    verdicts = []
    ours_name = result.row.runners[0].name
    ours = result.samples[ours_name]
    for wanted in result.row.wanted:
        if wanted.peer and wanted.peer not in result.samples:
            continue
        values = [getattr(sample, wanted.metric) for sample in ours]
        if wanted.peer:
            peer = [getattr(sample, wanted.metric) for sample in result.samples[wanted.peer]]
            pairs = zip(values, peer, strict=True)
            values = [a / b if wanted.metric == "rate" else b / a for a, b in pairs]
        middle = statistics.median(values)
        met = middle >= wanted.value if wanted.peer else middle <= wanted.value
        text, limit = _says(wanted)
        verdicts.append(
            Verdict(result.row.title, text, limit, middle, min(values), max(values), met, wanted.reached)
        )
    return verdicts


def _says(wanted: Wanted) -> tuple[str, str]:
    if wanted.metric == "rate":
        return f"rate, times {wanted.peer}'s", f"at least {wanted.value:g}"
    if wanted.metric == "cpu":
        return f"CPU, times less than {wanted.peer}'s", f"at least {wanted.value:g}"
    return _HEADS[wanted.metric], f"at most {wanted.value:g}"


def table(result: Result) -> str:
    """The figures of a row."""
    shows = result.row.shows
    lines = [f"### {result.row.title}", ""]
    if result.note:
        lines += [result.note, ""]
    lines.append("| | " + " | ".join(_HEADS[name] for name in shows) + " | sink CPU ms |")
    lines.append("|---|" + "---:|" * (len(shows) + 1))
    for name, samples in result.samples.items():
        cells = [
            _cell(name, metric, [getattr(one, metric) for one in samples]) for metric in (*shows, "sink_cpu")
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _cell(name: str, metric: str, values: list[float]) -> str:
    if metric == "peak" and name.startswith("C "):
        return ""
    return figure(statistics.median(values))


def verdict_table(verdicts: list[Verdict]) -> str:
    """What is wanted and what was reached."""
    lines = [
        "| work | figure | wanted | median (lowest to highest round) | reached | prototype |",
        "|---|---|---|---:|---|---:|",
    ]
    for one in verdicts:
        measured = f"**{figure(one.median)}** ({figure(one.low)} to {figure(one.high)})"
        met = "yes" if one.met else "**no**"
        lines.append(f"| {one.row} | {one.text} | {one.wanted} | {measured} | {met} | {one.reached} |")
    return "\n".join([*lines, ""])


def machine(rounds: int) -> str:
    """Say on what the figures were taken."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "?")
    load = os.getloadavg()[0]
    return (
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, {rounds} rounds. {os.cpu_count()} CPUs ({model}), "
        f"Linux {platform.release()}, Python {platform.python_version()}, {ssl.OPENSSL_VERSION}, "
        f"Node.js {_node_version()}. Load average at the start {load:.1f}."
    )


def _node_version() -> str:
    try:
        return subprocess.run(
            ["node", "--version"], capture_output=True, text=True, check=False
        ).stdout.strip()
    except FileNotFoundError:
        return "none"


def text(on: str, results: list[Result], others: Iterable[Started]) -> str:
    """Everything that README.md gets."""
    verdicts = [verdict for result in results for verdict in judge(result)]
    tables = [table(result) for result in results]
    for other in others:
        verdicts += other.verdicts
        tables.append(other.table)
    return "\n".join([on, "", verdict_table(verdicts), *tables])


def write(block: str, text: str) -> None:
    """Put the figures between the marks of a block in README.md."""
    begin, end = f"<!-- {block}: begin -->", f"<!-- {block}: end -->"
    path = BENCH / "README.md"
    before, rest = path.read_text(encoding="utf-8").split(begin)
    after = rest.split(end)[1]
    path.write_text(f"{before}{begin}\n\n{text}\n{end}{after}", encoding="utf-8")


def dump(path: Path, results: list[Result]) -> None:
    """Write the raw samples."""
    raw = {
        one.row.name: {
            name: [dataclasses.asdict(sample) for sample in samples] for name, samples in one.samples.items()
        }
        for one in results
    }
    path.write_text(json.dumps(raw, indent=1), encoding="utf-8")
