"""What is tried again and what is not, and which outcome each reply means: no sockets, each step by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datapallas.errors import DataPallasError, ProtocolError, SmtpRefused, Unreachable
from datapallas.mail.delivery import MAX_RECIPIENTS, Check, Open, Send, Step, delivery
from datapallas.mail.envelope import Envelope, Outcome, RecipientOutcome
from datapallas.smtp.reply import Reply
from datapallas.smtp.target import Sent

if TYPE_CHECKING:
    from collections.abc import Callable

OK = Reply(250, ("2.0.0 Queued",), "2.0.0")
ENDED = Unreachable("The mail server closed the connection.", phase="closed", after_body="no")
UNSURE = Unreachable("The mail server closed the connection.", phase="closed", after_body="yes")
TWO = Envelope("a@x.example", ("b@x.example", "c@x.example"))

Answer = Sent | DataPallasError | None


def refused(step: str, code: int, enhanced: str = "") -> SmtpRefused:
    return SmtpRefused("no", step=step, reply_code=code, enhanced=enhanced, text=enhanced)


def all_taken(step: Step) -> Answer:
    return Sent(tuple(OK for _ in step.recipients), OK) if isinstance(step, Send) else None


class Run:
    """One delivery, answered from a script; what is not in the script succeeds."""

    def __init__(
        self, envelope: Envelope = TWO, *, kept: bool = False, stale: bool = False, bearer: bool = True
    ) -> None:
        self.envelope = envelope
        self.kept, self.stale, self.bearer = kept, stale, bearer
        self.steps: list[Step] = []

    def __call__(
        self, *script: Answer, otherwise: Callable[[Step], Answer] = all_taken
    ) -> list[RecipientOutcome]:
        answers = list(script)
        going = delivery(self.envelope, kept=self.kept, stale=self.stale, bearer=self.bearer)
        step = next(going)
        try:
            while True:
                self.steps.append(step)
                answer = answers.pop(0) if answers else otherwise(step)
                step = going.throw(answer) if isinstance(answer, DataPallasError) else going.send(answer)
        except StopIteration as done:
            return list(done.value)

    @property
    def said(self) -> list[str]:
        return [
            f"open {'new token' * step.force}".strip()
            if isinstance(step, Open)
            else type(step).__name__.lower()
            for step in self.steps
        ]


def kinds(outcomes: list[RecipientOutcome]) -> list[Outcome]:
    return [one.outcome for one in outcomes]


def test_all_accepted() -> None:
    """A message that the server takes is accepted for each recipient, with the server's words."""
    run = Run()
    outcomes = run()
    assert run.said == ["open", "send"]
    assert outcomes == [RecipientOutcome(one, Outcome.ACCEPTED, "250 2.0.0 Queued") for one in TWO.recipients]


def test_mixed_answers() -> None:
    """One recipient is refused for good, one for now, one accepted: each has its own outcome and error."""
    envelope = Envelope("a@x.example", ("b@x.example", "c@x.example", "d@x.example"))
    replies = (Reply(550, ("5.1.1 Unknown",), "5.1.1"), Reply(450, ("4.2.0 Later",), "4.2.0"), OK)
    outcomes = Run(envelope)(None, Sent(replies, OK))
    assert kinds(outcomes) == [Outcome.REFUSED, Outcome.DEFERRED, Outcome.ACCEPTED]
    assert isinstance(outcomes[0].error, SmtpRefused)
    assert (outcomes[0].error.step, outcomes[0].error.enhanced, outcomes[0].reply) == (
        "RCPT",
        "5.1.1",
        "550 5.1.1 Unknown",
    )
    assert outcomes[1].error is not None and outcomes[1].error.transient


@pytest.mark.parametrize(("code", "outcome"), [(451, Outcome.DEFERRED), (554, Outcome.REFUSED)])
def test_the_message_itself_is_refused(code: int, outcome: Outcome) -> None:
    """A refusal after the message concerns all recipients that were accepted before."""
    outcomes = Run()(None, Sent((OK, Reply(550, ("no",))), Reply(code, ("no",))))
    assert kinds(outcomes) == [outcome, Outcome.REFUSED]
    assert isinstance(outcomes[0].error, SmtpRefused) and outcomes[0].error.step == "message"


@pytest.mark.parametrize(
    ("code", "outcome"), [(451, Outcome.DEFERRED), (550, Outcome.REFUSED), (421, Outcome.DEFERRED)]
)
def test_the_sender_is_refused(code: int, outcome: Outcome) -> None:
    """A refused sender is an outcome of every recipient, and is not tried again on a new connection."""
    run = Run()
    outcomes = run(None, refused("MAIL", code))
    assert kinds(outcomes) == [outcome, outcome]
    assert run.said == ["open", "send"]


def test_nobody_knows() -> None:
    """The connection ends after the last octet: unknown for all, and it is not sent again."""
    for kept in (True, False):
        run = Run(kept=kept)
        assert kinds(run(*([] if kept else [None]), UNSURE)) == [Outcome.UNKNOWN, Outcome.UNKNOWN]
        assert run.said[-1] == "send" and run.said.count("send") == 1


@pytest.mark.parametrize("end", [ENDED, refused("MAIL", 421), ProtocolError("nonsense", after_body="no")])
def test_a_session_that_died_while_idle_is_replaced_once(end: DataPallasError) -> None:
    """The server closed a kept connection: a new one is opened, and the message is sent once."""
    run = Run(kept=True)
    assert kinds(run(end)) == [Outcome.ACCEPTED, Outcome.ACCEPTED]
    assert run.said == ["send", "open", "send"]
    run = Run(kept=True)
    with pytest.raises(Unreachable):
        run(ENDED, None, ENDED)
    assert run.said == ["send", "open", "send"]


def test_a_new_connection_that_dies_is_an_error() -> None:
    """A connection that was just opened and breaks is not tried again: that is for later, and for others to decide."""
    run = Run()
    with pytest.raises(Unreachable):
        run(None, ENDED)
    assert run.said == ["open", "send"]


def test_a_stale_session_is_asked_first() -> None:
    """After a pause the connection is asked whether it lives, so that no message is lost on a dead one."""
    run = Run(kept=True, stale=True)
    assert kinds(run()) == [Outcome.ACCEPTED] * 2
    assert run.said == ["check", "send"]
    run = Run(kept=True, stale=True)
    assert kinds(run(ENDED)) == [Outcome.ACCEPTED] * 2
    assert run.said == ["check", "open", "send"]


def test_a_refused_token_is_renewed_once() -> None:
    """A 535 makes one new token and one more try; the second 535 is the answer."""
    run = Run()
    assert kinds(run(refused("AUTH", 535, "5.7.3"))) == [Outcome.ACCEPTED] * 2
    assert run.said == ["open", "open new token", "send"]
    run = Run()
    with pytest.raises(SmtpRefused) as caught:
        run(refused("AUTH", 535, "5.7.3"), refused("AUTH", 535, "5.7.139"))
    assert caught.value.enhanced == "5.7.139"
    assert run.said == ["open", "open new token"]


@pytest.mark.parametrize(
    ("bearer", "refusal"), [(False, ("AUTH", 535)), (True, ("AUTH", 454)), (True, ("connect", 554))]
)
def test_nothing_else_is_tried_again(bearer: bool, refusal: tuple[str, int]) -> None:
    """A refused password, a server that says later, or any other refusal, is the answer at once."""
    run = Run(bearer=bearer)
    with pytest.raises(SmtpRefused):
        run(refused(*refusal))
    assert run.said == ["open"]


def test_one_new_token_for_the_whole_delivery() -> None:
    """However often a connection must be opened for one message, a token is forced at most once."""
    run = Run(Envelope("a@x.example", tuple(f"p{n}@x.example" for n in range(MAX_RECIPIENTS + 1))))
    sent = Sent((OK,) * MAX_RECIPIENTS, OK)
    outcomes = run(refused("AUTH", 535), None, sent, ENDED, refused("AUTH", 535))
    assert run.said == ["open", "open new token", "send", "send", "open"]
    assert kinds(outcomes) == [Outcome.ACCEPTED] * MAX_RECIPIENTS + [Outcome.REFUSED]


def test_many_recipients_go_in_several_transactions() -> None:
    """10,000 recipients are more than any server takes at once: the message goes out in portions, to each once."""
    envelope = Envelope("a@x.example", tuple(f"p{n}@x.example" for n in range(10_000)))
    run = Run(envelope)
    outcomes = run()
    assert kinds(outcomes) == [Outcome.ACCEPTED] * 10_000
    assert [one.address for one in outcomes] == list(envelope.recipients)
    assert max(len(step.recipients) for step in run.steps if isinstance(step, Send)) == MAX_RECIPIENTS


def test_a_server_that_takes_fewer_recipients_gets_the_rest_later() -> None:
    """452 4.5.3 means too many at once: those left over are sent next, and nobody gets two copies."""
    envelope = Envelope("a@x.example", tuple(f"p{n}@x.example" for n in range(250)))
    too_many = Reply(452, ("4.5.3 Too many recipients",), "4.5.3")

    def hundred(step: Step) -> Answer:
        if not isinstance(step, Send):
            return None
        return Sent(tuple(OK if at < 100 else too_many for at in range(len(step.recipients))), OK)

    run = Run(envelope)
    assert kinds(run(otherwise=hundred)) == [Outcome.ACCEPTED] * 250
    assert [len(step.recipients) for step in run.steps if isinstance(step, Send)] == [250, 150, 50]
    run = Run(TWO)
    assert kinds(run(None, Sent((too_many, too_many), None))) == [Outcome.DEFERRED] * 2


def test_a_break_in_the_second_portion_leaves_the_first_as_it_is() -> None:
    """What was accepted stays accepted; the rest is deferred, with the reason."""
    envelope = Envelope("a@x.example", tuple(f"p{n}@x.example" for n in range(MAX_RECIPIENTS + 2)))
    sent = Sent((OK,) * MAX_RECIPIENTS, OK)
    outcomes = Run(envelope)(None, sent, ENDED, ENDED)
    assert kinds(outcomes) == [Outcome.ACCEPTED] * MAX_RECIPIENTS + [Outcome.DEFERRED] * 2
    assert outcomes[-1].error is ENDED
    outcomes = Run(envelope)(None, sent, UNSURE)
    assert kinds(outcomes) == [Outcome.ACCEPTED] * MAX_RECIPIENTS + [Outcome.UNKNOWN] * 2
    outcomes = Run(envelope)(None, UNSURE)
    assert kinds(outcomes) == [Outcome.UNKNOWN] * MAX_RECIPIENTS + [Outcome.ACCEPTED] * 2


def test_the_first_step_of_a_stale_delivery_is_a_check() -> None:
    """The drivers see the steps by their types."""
    assert isinstance(next(delivery(TWO, kept=True, stale=True, bearer=True)), Check)
