"""Fills in the emails and documents of a report for many recipients, in child processes with limits.

    with Renderer(report) as renderer:
        for recipient, rendered in renderer.render(recipients):
            ...

Must stay true: results come in the order of the recipients, and memory does not grow with their number; nothing a
template does ends or stops this process. A template that ends three processes in a row, each over another recipient,
ends the run: it would do so with every one.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import datetime as dt
import queue
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from datapallas.errors import ConfigurationError
from datapallas.reports import frames
from datapallas.reports.child_process import Child, Ended, cores
from datapallas.reports.model import Problem
from datapallas.reports.places import Place, expanded

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from types import TracebackType
    from typing import Self

    from datapallas.reports.model import Recipient, Rendered, Report

    Batch: TypeAlias = tuple[Recipient, ...]

Result: TypeAlias = "tuple[Recipient, Rendered | Problem]"
IN_A_ROW = 3
"""Processes that may end one after the other before the template is taken for broken."""
_ROWS_IN_BATCH = 1000
_LARGEST, _LARGEST_ENVELOPES = 16, 200
# A batch is as large as fits into these: few wake-ups where each takes little, even shares where each takes long.
_BATCH_SECONDS, _BATCH_OCTETS = 0.05, 4 * 1024 * 1024
_FAULT = "template"


class Renderer:
    """The children of one report.

    Args:
        report: what is made.
        processes: how many at once; default: one a core.
        envelope_only: addresses and subject only, much faster: what checking a list needs.
        today: what templates see as `today`; default: today.

    Raises ConfigurationError when it is entered: a template cannot be read, or WeasyPrint is missing.
    """

    def __init__(
        self,
        report: Report,
        *,
        processes: int | None = None,
        envelope_only: bool = False,
        today: dt.date | None = None,
    ) -> None:
        self._processes = processes or cores()
        report = self._report = _at_home(report)
        bare = dataclasses.replace(report, rows=None, schedule=None)  # no password leaves this process
        self._order = ("report", bare, today or dt.date.today(), envelope_only)  # noqa: DTZ011 - the day where the reader is
        self._size, self._largest = 1, _LARGEST_ENVELOPES if envelope_only else _LARGEST
        self._places = [
            Place(report.folder),
            *[Place(report.folder, one.file) for one in report.attachments if one.file],
        ]
        self._idle: queue.SimpleQueue[Child] = queue.SimpleQueue()
        self._children: set[Child] = set()
        self._lock = threading.Lock()
        self._in_a_row: list[str] = []
        self._closed = False

    def __enter__(self) -> Self:
        self._scratch = tempfile.TemporaryDirectory(prefix="datapallas-", ignore_cleanup_errors=True)
        try:
            self._idle.put(self._started())
        except BaseException:
            self._scratch.cleanup()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._closed = True
            children = list(self._children)
        for child in children:
            child.kill()  # one that is busy is put away by the thread that waits for it
        while (idle := self._some_idle()) is not None:
            self._forget(idle)
        self._scratch.cleanup()

    def render(self, recipients: Iterable[Recipient]) -> Generator[Result]:
        """Make them, in the order given; `recipients` is read as results are taken.

        Raises ConfigurationError (`report-stuck`) when the template ends one process after the other.
        """
        waiting: collections.deque[concurrent.futures.Future[list[Result]]] = collections.deque()
        stop = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(self._processes, "render") as pool:
            try:
                for batch in self._batches(recipients):
                    waiting.append(pool.submit(self._batch, batch, stop))
                    if len(waiting) > 2 * self._processes:
                        yield from waiting.popleft().result()
                while waiting:
                    yield from waiting.popleft().result()
            finally:
                stop.set()  # nobody waits for what is still being made
                for future in waiting:
                    future.cancel()
                if waiting:
                    self._kill_busy()

    def _batches(self, recipients: Iterable[Recipient]) -> Iterator[Batch]:
        batch: list[Recipient] = []
        rows = 0
        for recipient in recipients:
            batch.append(recipient)
            rows += len(recipient.rows)
            if len(batch) >= self._size or rows > _ROWS_IN_BATCH:
                yield tuple(batch)
                batch, rows = [], 0
        if batch:
            yield tuple(batch)

    def _batch(self, batch: Batch, stop: threading.Event) -> list[Result]:
        """Have a child make some; whoever it ends over has a problem, and another child makes the rest."""
        done: list[Result] = []
        while len(done) < len(batch):
            self._check()
            child = self._some_idle() or self._started()
            if stop.is_set():  # asked after the child is there to be killed
                self._put(child)
                break
            begun = time.monotonic()
            try:
                made = self._ask(child, batch[len(done) :])
            except _Gone as gone:
                self._forget(child)
                done += gone.done
                done.append((gone.recipient, gone.problem))
                with self._lock:
                    self._in_a_row.append(gone.problem.text)
            except BaseException:
                self._forget(child)
                raise
            else:
                self._put(child)
                self._measure(made, time.monotonic() - begun)
                done += made
        return done

    def _measure(self, made: list[Result], seconds: float) -> None:
        """Choose how many go to a child at once, by what these took."""
        octets = sum([len(one.data) for _, answer in made for one in getattr(answer, "documents", ())])
        fit = min(_BATCH_SECONDS / max(seconds, 1e-6), _BATCH_OCTETS / max(octets, 1)) * len(made)
        self._size = max(1, min(self._largest, int(fit)))

    def _ask(self, child: Child, batch: Batch) -> list[Result]:
        done: list[Result] = []
        recipient = batch[0]
        try:
            child.send([(one.key, [row.values for row in one.rows], one.part) for one in batch])
            for recipient in batch:
                head, blobs = child.receive()
                answer = self._answer(recipient, head, blobs)
                if head.get("fatal") and isinstance(answer, Problem):
                    raise _Gone(recipient, answer, done)
                self._in_a_row.clear()
                done.append((recipient, answer))
        except Ended as problem:
            told = Problem(code=_FAULT, text=f"{problem.text}.", place=recipient.place, key=recipient.key)
            raise _Gone(recipient, told, done) from None
        return done

    def _answer(
        self, recipient: Recipient, head: dict[str, object], blobs: list[bytes]
    ) -> Rendered | Problem:
        try:
            if head.get("kind") == "problem":
                return frames.problem_of(head, recipient.key, recipient.place)
            rendered = frames.rendered_of(head, blobs)
        except frames.Torn:
            raise Ended("it answered with something else") from None
        for document in (*rendered.documents, *rendered.inline):
            # Checked again here: a template that took its process over must not choose what is attached.
            if document.path is not None and not self._may_use(document.path):
                raise Ended(f"it named {document.path.name}, which the report may not use")
        return rendered

    def _may_use(self, path: Path) -> bool:
        return path == path.resolve() and any(place.holds(path) for place in self._places)

    def _check(self) -> None:
        if len(self._in_a_row) >= IN_A_ROW:
            raise ConfigurationError(
                f"{self._in_a_row[-1]} It was so with {IN_A_ROW} recipients in a row, so the others were not tried.",
                code="report-stuck",
                report=self._report.code,
            )

    def _some_idle(self) -> Child | None:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return None

    def _put(self, child: Child) -> None:
        with self._lock:  # so that nobody kills it on its way
            usable = not self._closed and not child.killed
            if usable:
                self._idle.put(child)
        if not usable:
            self._forget(child)

    def _started(self) -> Child:
        limits = self._report.limits
        child = Child(
            self._order, Path(self._scratch.name), limits.render_seconds, frames.most(limits.message_octets)
        )
        with self._lock:
            closed = self._closed
            if not closed:
                self._children.add(child)
        if closed:
            child.end()
            raise ConfigurationError("The renderer was closed.", code="report-child")
        return child

    def _forget(self, child: Child) -> None:
        with self._lock:
            self._children.discard(child)
        child.end()

    def _kill_busy(self) -> None:
        with self._lock:
            idle = []
            while (child := self._some_idle()) is not None:
                idle.append(child)
            for busy in self._children.difference(idle):
                busy.kill()
            for child in idle:
                self._idle.put(child)


class _Gone(Exception):
    """A child ended over a recipient."""

    def __init__(self, recipient: Recipient, problem: Problem, done: list[Result]) -> None:
        super().__init__(problem.text)
        self.recipient = recipient
        self.problem = problem
        self.done = done  # before that one


def _at_home(report: Report) -> Report:
    """`~/` in the path of a given file is this process's home; a child has another one."""
    given = [dataclasses.replace(one, file=expanded(one.file)) for one in report.attachments]
    burst = report.burst and dataclasses.replace(report.burst, file=expanded(report.burst.file))
    return dataclasses.replace(report, attachments=tuple(given), burst=burst)
