"""A run while it goes on, and how it ended: a line that moves on a terminal, plain lines elsewhere.

Must stay true: progress goes to stderr, the result to stdout; Ctrl-C ends the watching and leaves the run as it is;
who waits sees what for, and nobody waits for a process that is not there.
"""

from __future__ import annotations

import collections
import itertools
import sys
import time
from typing import TYPE_CHECKING, Any

from datapallas.cli.options import current_home, for_this_home
from datapallas.cli.output import note, plain, say
from datapallas.errors import EX_CONFIG, EX_DATAERR, EX_TEMPFAIL, EX_UNAVAILABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.home.reporting.runs import Progress, ReportRuns
    from datapallas.outbox.overview import MailboxLine
    from datapallas.outbox.runs.records import Record

_WIDTH = 24
_LEAST = 0.3  # seconds between two looks
_LINES = 10.0  # seconds between two lines where there is no terminal
_PATIENCE = 600.0  # seconds to wait when only those are left whom the server deferred
_PAUSED = 3.0  # seconds for which a mailbox is seen paused before we believe that it stays so
_NOBODY = 60.0  # seconds without a process that could do the run: ours takes a few to begin
_SOON = 3.0  # seconds for which it need not say that nobody has begun
_SPAN = 30.0  # seconds over which the rate is measured
_SHOWN = 20


def watch(runs: ReportRuns, run: str, broken: Callable[[], bool], *, quiet: bool) -> Progress:
    """Wait until nothing more happens by itself; the last state. `broken`: what works on it here has failed."""
    from datapallas.home.reporting.runs import over

    bar = Bar(quiet=quiet)
    since: dict[float, float] = {}
    while True:
        began = time.monotonic()
        progress = runs.progress(run)
        bar.show(progress)
        waits = {
            _PAUSED: _is_paused(progress),
            _PATIENCE: _only_deferred(progress),
            _NOBODY: progress.waiting.nobody,
        }
        since = {name: since.get(name, began) for name, so in waits.items() if so}
        if over(progress.record) or broken() or any(began - at > name for name, at in since.items()):
            break
        time.sleep(max(_LEAST, 4 * (time.monotonic() - began)))  # a million recipients take a while to count
    bar.end()
    return progress


def _is_paused(progress: Progress) -> bool:
    """All is promised, and nothing of it is sent. A courier that has just begun may end the mailbox's pause yet."""
    from datapallas.outbox.runs.tables import State

    mailbox = progress.mailbox
    paused = progress.held or (mailbox is not None and bool(mailbox.pause))
    return paused and progress.record.state is State.WAITING


def _only_deferred(progress: Progress) -> bool:
    return bool(progress.open) and progress.outcomes.get("deferred") == progress.open


class Bar:
    """One line: how many are done, how fast, how long the rest takes."""

    def __init__(self, *, quiet: bool) -> None:
        self._moves = sys.stderr.isatty()
        self._quiet = quiet
        self._said = self._begun = time.monotonic()
        self._seen: collections.deque[tuple[float, int]] = collections.deque()
        self._length = 0

    def show(self, progress: Progress) -> None:
        """Draw it anew; without a terminal, a line every ten seconds."""
        if self._quiet or (not self._moves and time.monotonic() - self._said < _LINES):
            return
        self._said = time.monotonic()
        line = self._line(progress)
        if not self._moves:
            note(line)
            return
        sys.stderr.write("\r" + line.ljust(self._length))
        sys.stderr.flush()
        self._length = len(line)

    def end(self) -> None:
        """Leave the line."""
        if self._moves and not self._quiet and self._length:
            note("")

    def _line(self, progress: Progress) -> str:
        from datapallas.outbox.estimate import duration

        if progress.waiting.why and time.monotonic() - self._begun > _SOON:
            return f"{progress.record.state.value}; it waits: {progress.waiting.why}"
        if not progress.total:
            return f"{progress.record.state.value} ..."
        sent = settled(progress)
        rate = self._rate(sent)
        share = sent / progress.total
        bar = "#" * int(_WIDTH * share)
        words = [f"[{bar:.<{_WIDTH}}] {sent:,} of {progress.total:,}"]
        words += [f"{rate:,.1f}/s"] if rate else []
        if progress.held or (progress.mailbox and progress.mailbox.pause):
            return f"{words[0]}, paused"
        left = progress.mailbox.left.seconds if progress.mailbox and progress.open else 0.0
        left = max(left, (progress.total - sent) / rate if rate else 0.0)
        words += [f"{duration(left)} left"] if left and sent < progress.total else []
        if progress.done < progress.total:
            words.append(f"{progress.done:,} rendered")
        return ", ".join(words)

    def _rate(self, sent: int) -> float:
        """Recipients a second, over the last half minute: what was at the beginning says little about the rest."""
        now = time.monotonic()
        self._seen.append((now, sent))
        while len(self._seen) > 2 and now - self._seen[0][0] > _SPAN:  # noqa: PLR2004 - a beginning and an end
            self._seen.popleft()
        began, before = self._seen[0]
        return (sent - before) / (now - began) if now - began > 1 else 0.0


def settled(progress: Progress) -> int:
    """Recipients that need nothing more: with an outcome, or with a problem. One email may have several addresses."""
    share = progress.done - progress.failed
    everybody = sum(progress.outcomes.values())
    with_outcome = share * (everybody - progress.open) // everybody if everybody else 0
    return progress.failed + int(with_outcome)


def exit_code(progress: Progress) -> int:
    """0: all accepted. 65: some had a problem. 69: some were refused. 75: some still wait."""
    from datapallas.outbox.runs.tables import State

    record, counts = progress.record, progress.outcomes
    if record.state is State.STOPPED:
        return record.problem.exit_code if record.problem else EX_CONFIG
    if record.state is State.CANCELLED:
        return EX_UNAVAILABLE
    mailbox = progress.mailbox
    if progress.open and mailbox is not None and mailbox.pause and mailbox.problem is not None:
        return mailbox.problem.exit_code
    if progress.open or record.state is not State.DONE:
        return EX_TEMPFAIL
    if any(count for fate, count in counts.items() if fate != "accepted"):
        return EX_UNAVAILABLE
    return EX_DATAERR if progress.counts.in_vain else 0


def say_summary(runs: ReportRuns, progress: Progress) -> None:
    """The counts, and where the failures are."""
    from datapallas.home.reporting.past import explained
    from datapallas.home.reporting.runs import over

    record = progress.record
    nothing = "nobody to send to" if over(record) else "nothing is promised yet"
    say(f"{record.id}: {record.state.value}: {progress.counts.words or nothing}.")
    if progress.waiting.why:
        say(plain(f"It waits: {progress.waiting.why}."))
    _say_problems(runs, record)
    if any(count for fate, count in progress.outcomes.items() if fate not in {"accepted", "queued"}):
        _say_recipients(runs, record.id)
    if progress.held:
        say(f"Its job is paused; to let it go on: datapallas job resume {record.id}")
    mailbox = progress.mailbox
    if progress.open and mailbox is not None and mailbox.pause:
        _say_pause(mailbox)
    if (stopped := explained(record)) is not None:
        note(plain(stopped.render()))


def _say_pause(mailbox: MailboxLine) -> None:
    """Why nothing more of it is sent, and what lets it go on."""
    from datapallas.diagnosis.explain import explain, until_resumed
    from datapallas.outbox.verdict import UNTIL_RESUMED

    command = for_this_home(f"outbox resume {mailbox.code}")
    if mailbox.problem is None:
        say(f"{mailbox.code} is paused ({mailbox.pause}). It goes on with `{command}`.")
        return
    say(f"{mailbox.code} is paused ({mailbox.pause}).")
    found = explain(mailbox.problem, current_home().facts(mailbox.code))
    note(plain((until_resumed(found, command) if mailbox.pause in UNTIL_RESUMED else found).render()))


def _say_problems(runs: ReportRuns, record: Record) -> None:
    for number, one in enumerate(runs.problems(record.id, limit=_SHOWN + 1)):
        if number == _SHOWN:
            say(f"  ... more: datapallas report history {record.id} --json")
            return
        say_problem(one)


def say_problem(one: dict[str, Any]) -> None:
    """A line of a problem: where, who, what."""
    where = f"{one['place']}: " if one["place"] else ""
    who = f" (recipient {one['key']})" if one["key"] else ""
    say(plain(f"  {one['severity']}: {where}{one['text']}{who}"))


def _say_recipients(runs: ReportRuns, run: str) -> None:
    """Who was not simply accepted, and each cause once."""
    from datapallas.cli.job import explain_lines, said
    from datapallas.outbox.overview import job_lines, recipient_lines

    lines = recipient_lines(runs.outbox.database, run, only_open_ends=True)
    shown = list(itertools.islice((one for one in lines if one.outcome != "queued"), _SHOWN + 1))
    for one in shown[:_SHOWN]:
        say(plain(f"  {one.outcome:<9} {one.address}  {said(one)}").rstrip())
    if len(shown) > _SHOWN:
        say(f"  ... more: datapallas job show {run}")
    (job,) = job_lines(runs.outbox.database, run)
    explain_lines(shown[:_SHOWN], job, "")
