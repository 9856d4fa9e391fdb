"""Runs the rows: every runner once per round, one after the other, and keeps what each said."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from bench import documents, outbox_figures, startup
from bench.rig import BENCH, BUILD, PEERS, ROOT, SECRET, Wrong, say
from bench.rows import ROWS
from bench.sink import Sink, why_no_namespace

if TYPE_CHECKING:
    from bench.rig import Rig
    from bench.rows import Row, Runner

STARTUP, DOCUMENTS, LEDGER = "startup", "documents", "ledger"
_LONGEST = 120  # seconds one run of one client may take


@dataclasses.dataclass(frozen=True)
class Sample:
    """One run of one client.

    Attributes:
        rate: messages per second.
        cpu: the client's CPU milliseconds per message, which is seconds per 1,000.
        sink_cpu: the sink's.
        p50: milliseconds of the median message.
        idle, peak: MB of memory before the first timed message, and by how much it grew at most.
    """

    rate: float
    cpu: float
    sink_cpu: float
    p50: float
    idle: float = 0.0
    peak: float = 0.0


@dataclasses.dataclass
class Result:
    """The samples of a row, by the runners' names; `note` says in what it differs from what was asked for."""

    row: Row
    samples: dict[str, list[Sample]]
    note: str = ""


@dataclasses.dataclass
class Outcome:
    """Everything that was measured, `others` beside the rows by their names; `failed` when something was not."""

    results: list[Result]
    others: dict[str, startup.Started] = dataclasses.field(default_factory=dict)
    failed: bool = False


def run(rig: Rig, only: list[str], rounds: int, *, quick: bool) -> Outcome:
    """Run the named rows. A row that cannot be trusted is told and left out; the others still run."""
    outcome = Outcome([])
    for row in ROWS:
        if row.name in only:
            try:
                outcome.results.append(run_row(rig, row, rounds, 0.3 if quick else 1.0))
            except Wrong as problem:
                say(str(problem))
                outcome.failed = True
    for name, work in ((STARTUP, startup.run), (DOCUMENTS, documents.run), (LEDGER, outbox_figures.run)):
        if name in only:
            try:
                if (measured := work(rig, rounds, quick=quick)) is not None:
                    outcome.others[name] = measured
            except Wrong as problem:
                say(str(problem))
                outcome.failed = True
    return outcome


def run_row(rig: Rig, row: Row, rounds: int, share: float) -> Result:
    """Run a row; `share` of its messages is sent (1 is all)."""
    place, note = row.place, ""
    if place.mtu and (reason := why_no_namespace(place.mtu)):
        place = dataclasses.replace(place, mtu=0)
        note = f"Not at MTU 1500 but at the loopback's own: {reason}."
        say(note)
    runners = [one for one in row.runners if _possible(rig, one)]
    result = Result(row, {one.name: [] for one in runners}, note)
    with Sink(rig, place) as sink:
        for turn in range(rounds):
            for runner in runners:
                result.samples[runner.name].append(_run(rig, sink, row, runner, share))
            say(f"  {row.name}: round {turn + 1} of {rounds}")
    return result


def _possible(rig: Rig, runner: Runner) -> bool:
    if runner.program == "celery" and shutil.which("redis-server") is None:
        say("redis-server is not installed: no figures of Celery.")
        return False
    return bool(rig.node) or runner.program != "nodemailer"


def _run(rig: Rig, sink: Sink, row: Row, runner: Runner, share: float) -> Sample:
    job = {**row.job, **runner.job, "messages": max(1, round(runner.messages * share))}
    connections = job.get("connections", 1)
    job["messages"] -= job["messages"] % connections
    for name in ("message", "text", "file", "people"):
        if job.get(name):
            job[name] = rig.file(job[name])
    sink.reset()
    with sink.beside():
        process = subprocess.Popen(
            [*sink.prefix, *_command(rig, runner.program, job, sink.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "NODE_PATH": str(PEERS / "node" / "node_modules")},
        )
    try:
        out, err = process.communicate(timeout=_LONGEST)
    except subprocess.TimeoutExpired as problem:
        process.kill()
        process.communicate()
        raise Wrong(f"{row.name}, {runner.name}: no end after {_LONGEST} s.") from problem
    if process.returncode != 0:
        raise Wrong(f"{row.name}, {runner.name} failed:\n{err.strip()}")
    return _sample(f"{row.name}, {runner.name}", job, json.loads(out), sink)


def _command(rig: Rig, program: str, job: dict[str, object], port: int) -> list[str]:
    if program == "c":
        command = [str(BUILD / "client"), "-p", str(port), "-a", str(rig.ca), "-s", SECRET]
        command += ["-f", str(job["message"]), "-w", str(job["way"]), "-n", str(job["messages"])]
        command += ["-u", str(job.get("untimed", 0)), "-c", str(job.get("connections", 1))]
        return command + ["-1"] * bool(job.get("each_new")) + ["-r"] * bool(job.get("resume"))
    given = json.dumps({**job, "port": port, "ca": str(rig.ca), "secret": SECRET, "host": "127.0.0.1"})
    if program == "nodemailer":
        return [rig.node, str(BENCH / "peers" / "nodemailer_client.cjs"), given]
    if program == "dbos":
        return [sys.executable, str(BENCH / "peers" / "dbos_client.py"), given]
    if program in {"smtplib", "aiosmtplib", "django", "celery"}:
        return [str(PEERS / "venv" / "bin" / "python"), str(BENCH / "peers" / f"{program}_client.py"), given]
    return [sys.executable, str(BENCH / "ours" / f"{program}.py"), given]


def _sample(what: str, job: dict[str, object], said: dict[str, float], sink: Sink) -> Sample:
    """Check that the sink counted what was sent, and give the figures."""
    untimed = int(str(job.get("untimed", 0)))
    untimed -= untimed % int(str(job.get("connections", 1)))
    sent = int(said["messages"]) + untimed
    counted = sink.settled(sent)
    size = os.path.getsize(str(job["message"])) if job.get("work") == "raw" else 0  # noqa: PTH202 - a name is enough
    if counted["messages"] != sent or counted["refused"] or (size and counted["octets"] != sent * size):
        raise Wrong(
            f"{what}: the client says {sent} messages of {size or 'any'} octets; the sink counted {counted}."
        )
    if job.get("each_new") and counted["connections"] != sent:
        raise Wrong(f"{what}: {counted['connections']} connections for {sent} messages.")
    return Sample(
        rate=said["messages"] / said["seconds"],
        cpu=said["cpu"] / said["messages"] * 1000,
        sink_cpu=counted["cpu"] / sent * 1000,
        p50=said["p50"] * 1000,
        idle=said.get("idle", 0) / 1e6,
        peak=said.get("peak", 0) / 1e6,
    )
