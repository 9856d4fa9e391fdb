"""What somebody who watches a test email sees: five steps, the dialogue, and how it ended. Values only.

Must stay true: no secret is in it; it is bounded, whatever a mail server says.
"""

from __future__ import annotations

import dataclasses
import platform
import ssl
from enum import StrEnum
from typing import TYPE_CHECKING

from datapallas.diagnosis.clean import one_line

if TYPE_CHECKING:
    from datapallas.diagnosis.explain import Diagnosis

MOST_LINES = 200
LONGEST_LINE = 500


class Step(StrEnum):
    """What is done, in this order. With implicit TLS the server greets after TLS, so CONNECT then ends after TLS."""

    TOKEN = "token"
    CONNECT = "connect"
    TLS = "tls"
    SIGN_IN = "sign-in"
    SEND = "send"


class Mark(StrEnum):
    """How a step is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclasses.dataclass(frozen=True, slots=True)
class StepState:
    """One step.

    Attributes:
        step: which.
        mark: how it is.
        detail: a sentence: what was found, or why it was left out.
        seconds: how long it took; None while that is not known.
    """

    step: Step
    mark: Mark = Mark.WAITING
    detail: str = ""
    seconds: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TestState:
    """A test email, as far as it has come.

    Attributes:
        connection: the code.
        to, sender: addresses.
        server: ``host:port``.
        steps: one for each `Step`, in order.
        dialogue: lines ``C: ...`` and ``S: ...``, secrets masked.
        message_id: with its angle brackets; empty before there is one.
        reply: what the mail server said to the message, or empty.
        outcome: ``accepted``, ``deferred``, ``refused`` or ``unknown`` (see `envelope.Outcome`), ``failed`` when no
            message was handed over, ``cancelled``; empty before.
        problem: what went wrong, explained; None when nothing did.
        finished: nothing changes any more.
    """

    __test__ = False  # its name looks like a test to pytest

    connection: str
    to: str
    sender: str
    server: str
    steps: tuple[StepState, ...] = tuple(StepState(step) for step in Step)
    dialogue: tuple[str, ...] = ()
    message_id: str = ""
    reply: str = ""
    outcome: str = ""
    problem: Diagnosis | None = None
    finished: bool = False

    def step(self, wanted: Step) -> StepState:
        """The state of one step."""
        return next(one for one in self.steps if one.step is wanted)

    @property
    def running(self) -> StepState | None:
        """The step that is under way: of two the one begun last; None between steps."""
        return next((one for one in reversed(self.steps) if one.mark is Mark.RUNNING), None)

    def with_step(self, changed: StepState) -> TestState:
        """The same with one step changed."""
        steps = tuple(changed if one.step is changed.step else one for one in self.steps)
        return dataclasses.replace(self, steps=steps)

    def with_line(self, line: str) -> TestState:
        """The same with one more line of the dialogue; past the bound only that there was more."""
        if len(self.dialogue) > MOST_LINES:
            return self
        line = one_line(line, LONGEST_LINE) if len(self.dialogue) < MOST_LINES else "... and more"
        return dataclasses.replace(self, dialogue=(*self.dialogue, line))

    def report(self) -> str:
        """Everything as one text, to copy for whoever helps."""
        from datapallas import __version__

        versions = (f"DataPallas {__version__}", f"Python {platform.python_version()}", ssl.OPENSSL_VERSION)
        way = f"through {self.connection} ({self.server}) from {self.sender} to {self.to}"
        lines = [
            ", ".join((*versions, platform.system())),
            f"Test email {way}: {self.outcome or 'under way'}",
            "",
        ]
        for one in self.steps:
            took = "" if one.seconds is None else f"{one.seconds:.2f} s"
            lines.append(f"{one.step:<8} {one.mark:<8} {took:>8}  {one.detail}".rstrip())
        if self.problem is not None:
            lines += ["", self.problem.render()]
        if self.message_id:
            lines += ["", f"Message-ID: {self.message_id}"]
        if self.dialogue:
            lines += ["", *self.dialogue]
        return "\n".join(lines) + "\n"
