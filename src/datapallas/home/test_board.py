"""The board a test email ticks its steps off on.

Must stay true: one lock for every change, so that a step is either under way or over when somebody cancels: no
message goes out after that. When a test email is over nothing on the board changes any more.
"""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
import threading
import time
from typing import TYPE_CHECKING

from datapallas.diagnosis.clean import one_line
from datapallas.errors import DataPallasError, RecipientsRefused
from datapallas.home.test_state import Mark, Step, StepState
from datapallas.smtp.target import Stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datapallas.diagnosis.explain import Diagnosis
    from datapallas.home.live import Live
    from datapallas.home.test_state import TestState
    from datapallas.mail.envelope import Receipt
    from datapallas.oauth.clock import Clock

_STEPS = {
    Stage.CONNECT: Step.CONNECT,
    Stage.TLS: Step.TLS,
    Stage.SIGN_IN: Step.SIGN_IN,
    Stage.READY: Step.SEND,
}
_OPENING = (Step.CONNECT, Step.TLS, Step.SIGN_IN, Step.SEND)
# What is found wrong before anything is done, and the step that cannot be done for it.
_BEFORE = {"bad-from-address": Step.SEND}


class Board:
    """Writes the states of one test email. It is the `Stages` of the session."""

    def __init__(self, live: Live[TestState], clock: Clock) -> None:
        self._live, self._clock = live, clock
        self._lock = threading.Lock()
        self._began: dict[Step, float] = {}

    # From the session

    def began(self, stage: Stage) -> None:
        """A stage of the session begins. Raises CancelledError when somebody has cancelled: nothing goes out then."""
        with self._lock:
            state = self._open()
            if state is None:
                raise asyncio.CancelledError
            if stage is Stage.CONNECT:  # once more, after the server misled us: all of it again
                for step in _OPENING:
                    if state.step(step).mark is not Mark.SKIPPED:
                        state = state.with_step(StepState(step))
            self._live.put(self._running(state, _STEPS[stage]))

    def ended(self, stage: Stage, facts: Mapping[str, str]) -> None:
        """A stage of the session ended well."""
        server = self._live.now()[1].server
        match stage:
            case Stage.CONNECT:
                detail = f"{server} answered: {facts.get('greeting', '')}"
            case Stage.TLS:
                detail = _certificate(facts)
            case _:
                detail = f"{facts.get('mechanism', '')} as {facts.get('user', '')}: {facts.get('reply', '')}"
        self.done(_STEPS[stage], detail)

    def line(self, direction: str, line: str) -> None:
        """One line of the dialogue."""
        with self._lock:
            state = self._live.now()[1]
            if not state.finished:
                self._live.put(state.with_line(f"{direction}: {line}"))

    # From the work

    def check(self) -> None:
        """Raise CancelledError when it is over already."""
        if self._live.now()[1].finished:
            raise asyncio.CancelledError

    def run(self, step: Step) -> None:
        """A step begins."""
        with self._lock:
            state = self._open()
            if state is not None:
                self._live.put(self._running(state, step))

    def done(self, step: Step, detail: str) -> None:
        """A step ended well."""
        self._end(step, Mark.DONE, detail)

    def skip(self, step: Step, why: str) -> None:
        """A step is not needed."""
        self._end(step, Mark.SKIPPED, why)

    def received(self, receipt: Receipt) -> None:
        """The mail server answered for the one recipient, or did not."""
        one = receipt.outcomes[0]
        with self._lock:
            state = self._open()
            if state is None:
                return
            state = dataclasses.replace(
                state,
                message_id=receipt.message_id,
                reply=one_line(one.reply),
                outcome=one.outcome.value.lower(),
            )
            if one.error is None:
                words = f"Accepted for {one.address}: {one.reply}"
                state = state.with_step(self._ended(Step.SEND, Mark.DONE, words))
            self._live.put(state)

    def finish(self) -> None:
        """It went well, and the session has ended."""
        with self._lock:
            state = self._open()
            if state is not None:
                self._live.put(dataclasses.replace(state, finished=True))

    def failed(self, problem: Exception, diagnosis: Diagnosis) -> None:
        """It ended with `problem`, in the step that was under way."""
        with self._lock:
            state = self._open()
            if state is None:
                return
            running = state.running
            step = running.step if running else _before(state, problem)
            words = problem.message if isinstance(problem, DataPallasError) else diagnosis.title
            if isinstance(problem, RecipientsRefused) and state.reply:
                words = state.reply
            state = state.with_step(self._ended(step, Mark.FAILED, words))
            outcome = state.outcome or "failed"
            self._live.put(dataclasses.replace(state, outcome=outcome, problem=diagnosis, finished=True))

    def cancel(self) -> None:
        """Somebody wants it to end."""
        with self._lock:
            state = self._open()
            if state is None:
                return
            running = state.running
            if running is not None:
                sending = running.step is Step.SEND
                words = "Cancelled; the mail server may have the message." if sending else "Cancelled."
                state = state.with_step(self._ended(running.step, Mark.SKIPPED, words))
            outcome = state.outcome or "cancelled"
            self._live.put(dataclasses.replace(state, outcome=outcome, finished=True))

    # Parts

    def _open(self) -> TestState | None:
        state = self._live.now()[1]
        return None if state.finished else state

    def _running(self, state: TestState, step: Step) -> TestState:
        self._began[step] = self._clock.monotonic()
        return state.with_step(StepState(step, Mark.RUNNING))

    def _end(self, step: Step, mark: Mark, detail: str) -> None:
        with self._lock:
            state = self._open()
            if state is not None:
                self._live.put(state.with_step(self._ended(step, mark, detail)))

    def _ended(self, step: Step, mark: Mark, detail: str) -> StepState:
        began = self._began.get(step)
        seconds = None if began is None else self._clock.monotonic() - began
        return StepState(step, mark, one_line(detail, 400), seconds)


def _before(state: TestState, problem: Exception) -> Step:
    """The step that could not begin: what is wrong was seen before, or between two steps."""
    named = _BEFORE.get(getattr(problem, "code", ""))
    waiting = (one.step for one in state.steps if one.mark is Mark.WAITING and one.step is not Step.TOKEN)
    return named or next(waiting, Step.SEND)


def _certificate(facts: Mapping[str, str]) -> str:
    words = [f"{facts.get('version', 'TLS')}, certificate for {facts.get('name', 'the server')}"]
    if "issuer" in facts:
        words.append(f"by {facts['issuer']}")
    if "ends" in facts:
        ends = time.gmtime(ssl.cert_time_to_seconds(facts["ends"]))
        words.append(f"good until {time.strftime('%Y-%m-%d', ends)}")
    return ", ".join(words) + "."
