"""Our documents: `typst` and `html` make the invoices of the rows in a file, `burst` cuts a PDF; two processes.

documents.py typst FOLDER ROWS | html FOLDER ROWS | burst FOLDER
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from datapallas.reports.burst import parts
from datapallas.reports.model import Attachment, BurstPlan, Email, Recipient, Rendered, Report, Row
from datapallas.reports.rendering import Renderer

if TYPE_CHECKING:
    from collections.abc import Iterator

PROCESSES = 2


def invoices(kind: str, folder: Path, file: Path) -> dict[str, float]:
    """Make an invoice for each; all their documents are taken, none kept."""
    rows = json.loads(file.read_text("utf-8"))
    report = Report(
        code="bench",
        folder=folder,
        name="Bench",
        email=Email(to="{{ mail }}"),
        attachments=(Attachment(template=f"invoice.{'typ' if kind == 'typst' else 'html'}"),),
    )
    recipients = [_recipient(str(number), one) for number, one in enumerate(rows)]
    with Renderer(report, processes=PROCESSES) as renderer:
        sum(
            1 for _ in renderer.render(recipients[: 2 * PROCESSES])
        )  # both have read their fonts: outside the clock
        begun, cpu = time.perf_counter(), _cpu(renderer)
        made, octets = _taken(renderer, iter(recipients))
        seconds, cpu = time.perf_counter() - begun, _cpu(renderer) - cpu
    return {"made": made, "seconds": seconds, "cpu": cpu, "octets": octets / made}


def burst(folder: Path) -> dict[str, float]:
    """Find the parts and cut them out; starting the processes is inside the clock."""
    begun = time.perf_counter()
    plan = BurstPlan(file="big.pdf")
    report = Report(code="bench", folder=folder, name="Bench", email=Email(to="{{ token }}"), burst=plan)
    found = parts(plan, folder)
    with Renderer(report, processes=PROCESSES) as renderer:
        people = (Recipient(part.token, (Row(1, {"token": part.token}),), part.pages) for part in found)
        made, octets = _taken(renderer, people)
    seconds = time.perf_counter() - begun
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(one.ru_utime + one.ru_stime for one in both)
    return {"made": made, "seconds": seconds, "cpu": cpu, "octets": octets}


def _cpu(renderer: Renderer) -> float:
    """Seconds that this process and its children have used."""
    ticks = 0
    for child in renderer._children:  # noqa: SLF001 - what is measured
        fields = Path(f"/proc/{child._process.pid}/stat").read_text().rpartition(")")[2].split()  # noqa: SLF001 - the same
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def _recipient(key: str, one: dict[str, object]) -> Recipient:
    lines = one.pop("rows")
    assert isinstance(lines, list)
    return Recipient(key, tuple([Row(1, {**one, **line}) for line in lines]))


def _taken(renderer: Renderer, recipients: Iterator[Recipient]) -> tuple[int, int]:
    made = octets = 0
    for _, answer in renderer.render(recipients):
        assert isinstance(answer, Rendered), answer
        made += 1
        octets += len(answer.documents[0].data)
    return made, octets


def main() -> None:
    """Run one; say how many, in what time."""
    kind, folder = sys.argv[1], Path(sys.argv[2]).resolve()
    said = burst(folder) if kind == "burst" else invoices(kind, folder, Path(sys.argv[3]))
    print(json.dumps(said))


if __name__ == "__main__":
    main()
