"""What the outbox costs: commits, the way from promise to server, promising many, memory, and a thousand mailboxes.

Every figure comes from a process of its own (`ours/outbox_work.py`); no more than one works at a time.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any

from bench.firstbyte import FirstByte
from bench.report import Verdict, figure
from bench.rig import BENCH, BUILD, ROOT, SECRET, Wrong, say
from bench.sink import Place, Sink
from bench.startup import Started

if TYPE_CHECKING:
    from bench.rig import Rig

_LONGEST = 600
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
_BOXES = 1000
_LIMIT = 500.0  # messages a second of so many mailboxes at 30 a minute


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is done: as the issue of the figure says, or briefly."""

    many: int = 100_000
    few: int = 1_000
    commits: int = 3_000
    latencies: int = 15
    workflows: int = 2_000
    boxes: int = _BOXES


_QUICK = Size(many=5_000, commits=500, latencies=4, workflows=300, boxes=100)


class _Figures:
    """One measurement of all; the rounds are few, as each of these runs is long."""

    def __init__(self, rig: Rig, sink: Sink, size: Size) -> None:
        self._rig, self._sink, self._size = rig, sink, size
        self.verdicts: list[Verdict] = []

    def all(self, rounds: int) -> None:
        for name, work in (
            ("commits", self._commits),
            ("idle", self._idle),
            ("accept", self._accept),
            ("memory", self._memory),
            ("mailboxes", self._mailboxes),
        ):
            work(rounds)
            say(f"  outbox, {name}: done")

    def _commits(self, rounds: int) -> None:
        made = [self._ours("commits", self._size.commits) for _ in range(rounds)]
        for name, title in (
            ("free", "Sending, no limit: three sessions"),
            ("paced", "Sending at a rate: 3,000 a minute, one session"),
        ):
            self._at_most(title, "commits per message", 1.1, [one[name] for one in made])

    def _idle(self, _: int) -> None:
        title = "One message, promised by one process while another one's courier is idle, no connection open"
        with (
            tempfile.TemporaryDirectory(dir=BUILD) as folder,
            FirstByte(self._sink.port) as proxy,
            subprocess.Popen(
                self._command("idle", 0, port=proxy.port, people=folder),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=_ENVIRONMENT,
                text=True,
            ) as worker,
        ):
            assert worker.stdout is not None
            worker.stdout.readline()
            moments = self._ours("promising", self._size.latencies, people=folder)["moments"]
            said = json.loads(worker.communicate("end\n", timeout=60)[0])
            waits = [(proxy.after(moment) - moment) * 1000 for moment in moments]
        self._at_most(title, "ms to the first byte at the server (p50)", 20, waits)
        self._at_most("An idle courier", "CPU, % of a core", 2, [said["share"] * 100])

    def _accept(self, rounds: int) -> None:
        title = f"Promise {self._size.many:,} recipients, one message each"
        ours, ratios, peaks = [], [], []
        for _ in range(rounds):
            made = self._ours("accepting", self._size.many)
            peer = self._run(
                [
                    sys.executable,
                    str(BENCH / "peers" / "dbos_client.py"),
                    self._job(self._size.workflows, work="accept"),
                ]
            )
            ours.append(made["seconds"])
            ratios.append(peer["seconds"] / self._size.workflows * self._size.many / made["seconds"])
            peaks.append(made["peak"] / 1e6)
        theirs = f"DBOS, a workflow each ({self._size.workflows:,} measured, times {self._size.many // self._size.workflows})"
        self._judge(
            title,
            f"times faster than {theirs}; ours {figure(statistics.median(ours))} s",
            10,
            ratios,
            most=False,
        )
        self._at_most(title, "memory of the whole process at its peak, MB", 150, peaks)

    def _memory(self, _: int) -> None:
        few = self._ours("whole", self._size.few)
        many = self._ours("whole", self._size.many)
        title = f"Promise and send {self._size.many:,} in one process ({figure(self._size.many / many['seconds'])}/s)"
        says = f"peak memory, times that of {self._size.few:,} ({figure(many['peak'] / 1e6)} and {figure(few['peak'] / 1e6)} MB)"
        self._at_most(title, says, 1.3, [many["peak"] / few["peak"]])

    def _mailboxes(self, _: int) -> None:
        boxes = self._size.boxes
        said = self._ours("many", 0, connections=boxes)
        title = f"{boxes:,} mailboxes at 30 a minute each, one process"
        limit = _LIMIT * boxes / _BOXES
        self._judge(title, f"messages/s (the limit is {limit:g})", 0.98 * limit, [said["rate"]], most=False)
        self._at_most(title, "CPU, cores", 1, [said["share"]])

    def _at_most(self, title: str, what: str, wanted: float, values: list[float]) -> None:
        self._judge(title, what, wanted, values, most=True)

    def _judge(self, title: str, what: str, wanted: float, values: list[float], *, most: bool) -> None:
        middle = statistics.median(values)
        met = middle <= wanted if most else middle >= wanted
        says = f"at {'most' if most else 'least'} {wanted:g}"
        self.verdicts.append(Verdict(title, what, says, middle, min(values), max(values), met, ""))

    def _ours(self, work: str, messages: int, **more: Any) -> dict[str, Any]:
        return self._run(self._command(work, messages, **more))

    def _command(self, work: str, messages: int, **more: Any) -> list[str]:
        return [sys.executable, str(BENCH / "ours" / "outbox_work.py"), work, self._job(messages, **more)]

    def _job(self, messages: int, **more: Any) -> str:
        job = {
            "work": "",
            "port": self._sink.port,
            "ca": str(self._rig.ca),
            "secret": SECRET,
            "messages": messages,
        }
        return json.dumps({**job, **more})

    def _run(self, command: list[str]) -> dict[str, Any]:
        ran = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_LONGEST, env=_ENVIRONMENT
        )
        if ran.returncode != 0:
            raise Wrong(f"{command[-2]} failed:\n{ran.stderr.strip()}")
        said: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
        return said


def run(rig: Rig, rounds: int, *, quick: bool) -> Started:
    """Measure all of it."""
    few, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most if few < 4 * _BOXES else few, most))
    with Sink(rig, Place()) as sink:
        figures = _Figures(rig, sink, _QUICK if quick else Size())
        figures.all(min(rounds, 3))
    return Started(figures.verdicts, "")
