"""What a run of a report costs up to the promise of its last message: time, and the memory of our own process.

    python bench/report_run.py 1000 100000

For each number of recipients a process of its own reads the rows, checks them, copies them aside, renders and promises
the messages (a text each), without sending. "Peak" is the resident memory of that process; the children that render
are not in it: each is bounded by `render_megabytes`.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from datapallas.connection.model import Connection, Security, Server
from datapallas.home import Home
from datapallas.home.reporting.runs import open_runs
from datapallas.home.reporting.steps import ReportSteps
from datapallas.outbox.runs.records import Task
from datapallas.reports.run import Wanted

TOML = """\
name = "Letters"
[rows]
file = "people.csv"
[email]
to = "{{ email }}"
subject = "Hello {{ name }}"
text = "mail.txt"
"""


def measure(count: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        home = Home(Path(place), {})
        server = Server(host="127.0.0.1", port="9", security=Security.NONE)
        home.folder.create(Connection(code="eml-x", server=server, from_address="r@x.example", default=True))
        report = home.root / "config" / "reports" / "letters"
        report.mkdir(parents=True)
        (report / "report.toml").write_text(TOML)
        (report / "mail.txt").write_text("Dear {{ name }},\nthis is number {{ number }}.\n")
        with (report / "people.csv").open("w") as file:
            file.write("name,email,number\n")
            file.writelines(f"Name {n},p{n}@x.example,{n}\n" for n in range(count))
        with open_runs(home) as runs:
            began = time.perf_counter()
            prepared = runs.prepare("letters", Wanted())
            middle = time.perf_counter()
            runs.start(prepared.run)
            task = Task.take(runs.records, (prepared.run, 1), "bench", lambda: False)
            ReportSteps(home, runs.records, runs.outbox, print).accept(task)
            ended = time.perf_counter()
            assert runs.progress(prepared.run).done == count
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{count:>9,} recipients: prepared in {middle - began:.1f} s, promised in {ended - middle:.1f} s "
        f"({count / (ended - began):,.0f}/s), peak {peak:.0f} MB"
    )


def main() -> None:
    if os.environ.get("DATAPALLAS_BENCH_ONE"):
        measure(int(sys.argv[1]))
        return
    for count in sys.argv[1:] or ["1000", "20000"]:
        words = [sys.executable, __file__, count]
        subprocess.run(words, env=os.environ | {"DATAPALLAS_BENCH_ONE": "1"}, check=True)


if __name__ == "__main__":
    main()
