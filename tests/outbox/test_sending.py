"""The courier: every promised message gets out, and each recipient has an outcome."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from datapallas.errors import SmtpRefused
from datapallas.outbox import courier as couriers
from datapallas.outbox import overview, pacing, tables
from datapallas.outbox.accept import Job, accept
from datapallas.outbox.courier import Courier
from datapallas.outbox.jobs import try_mailboxes
from datapallas.outbox.limits import UNLIMITED, Limits
from datapallas.outbox.session import Session
from datapallas.outbox.tables import Doubt, Priority
from outbox import look
from outbox.office import CODE, SENDER, Office, drain, items, one

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datapallas.outbox.claims import Claim
    from datapallas.outbox.database import Database
    from mail.conftest import Stage

JOB = Job(connection=CODE)


def test_what_was_promised_is_sent_once(database: Database, office: Office, stage: Stage) -> None:
    """A hundred messages arrive, each once, octet for octet, over one session that is kept open."""
    given = list(items(100))
    office.limit = Limits(sessions=1)
    assert accept(database, JOB, given).new == 100
    Courier(database, office).drain()
    assert look.all_accepted(database, 100)
    assert sorted(mail.data for mail in stage.taken) == sorted(bytes(item.letter) for item in given)  # type: ignore[call-overload]
    assert stage.connections == 1 and look.states(database) == {"done": 100}
    assert not look.rows(database, tables.leases)


def test_a_recipient_of_each_kind(database: Database, office: Office, stage: Stage) -> None:
    """250, 450 and 550 in one message: only the 450 is tried again, later; nobody gets it twice."""
    stage.recipients = {"b@x.example": b"450 4.2.1 Busy", "c@x.example": b"550 5.1.1 Nobody"}
    accept(database, JOB, [one("a@x.example", "b@x.example", "c@x.example")])
    drain(database, office, lambda: look.fates(database)["c@x.example"] == "refused")
    assert look.fates(database) == {
        "a@x.example": "accepted",
        "b@x.example": "deferred",
        "c@x.example": "refused",
    }
    (message,) = look.rows(database, tables.messages)
    assert message.state == "queued" and message.recipients == 1 and message.attempts == 1
    stage.recipients = {}
    with database.write() as tx:
        tx.execute(tables.messages.update().values(due=0))
    Courier(database, office).drain()
    assert look.fates(database)["b@x.example"] == "accepted"
    assert [mail.recipients for mail in stage.taken] == [["a@x.example"], ["b@x.example"]]


def test_a_permanent_refusal_is_never_tried_again(database: Database, office: Office, stage: Stage) -> None:
    """554 for the content: refused, one attempt, the others go on."""
    stage.replies = {"message": [b"554 5.6.0 Spam"]}
    office.limit = Limits(sessions=1)
    accept(database, JOB, items(3))
    Courier(database, office).drain()
    assert look.counts(database) == {"refused": 1, "accepted": 2}
    assert len(look.rows(database, tables.attempts)) == 3


@pytest.mark.parametrize(
    ("step", "reply", "why"),
    [
        ("MAIL", b"550 5.7.60 SMTP; Client does not have permissions to send as this sender", "sender"),
        ("message", b"554 5.2.252 SendAsDenied; A not allowed to send as B", "sender"),
        ("message", b"550 5.7.705 Access denied, tenant has exceeded threshold", "sender"),
        ("message", b"554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", "quota"),
        ("MAIL", b"550 5.4.5 Daily user sending limit exceeded", "quota"),
    ],
)
def test_a_refused_sender_pauses_the_mailbox(  # noqa: PLR0917 - one row of a table
    database: Database, office: Office, stage: Stage, step: str, reply: bytes, why: str
) -> None:
    """At the first refusal that is about the sender everything stops, and nothing counts as refused."""
    stage.replies = {step: [reply]}
    office.limit = Limits(sessions=1)
    accept(database, JOB, items(20))
    Courier(database, office).drain()
    assert look.counts(database) == {"queued": 20} and not stage.taken
    assert look.mailbox(database).pause == why
    assert look.states(database) == {"queued": 20}


def test_a_sender_of_its_own_is_refused_alone(database: Database, office: Office, stage: Stage) -> None:
    """A message with another From that may not be used is refused; the mailbox goes on."""
    stage.replies = {"MAIL": [b"550 5.7.60 no permissions to send as this sender"]}
    office.limit = Limits(sessions=1)
    accept(database, JOB, [one("a@x.example", sender="other@contoso.example")])
    Courier(database, office).drain()
    accept(database, JOB, items(2))
    Courier(database, office).drain()
    assert look.counts(database) == {"refused": 1, "accepted": 2}


@pytest.mark.parametrize(
    ("step", "reply"),
    [
        ("MAIL", b"432 4.3.2 Concurrent connections limit exceeded"),
        ("MAIL", b"421 4.3.2 Service not active"),
        ("connect", b"421 4.7.0 Too many connections"),
        ("message", b"451 4.7.500 Server busy"),
    ],
)
def test_a_storm_slows_down_and_passes(  # noqa: PLR0917 - one row of a table
    database: Database,
    office: Office,
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    reply: bytes,
) -> None:
    """The server says "too many" three times: the mailbox waits, sends slower, loses nothing, and recovers."""
    monkeypatch.setattr(pacing, "_SLOWED_INTERVAL", 0.004)
    monkeypatch.setattr(pacing, "_FIRST_BACKOFF", 0.1)
    stage.replies = {step: [reply] * 3}
    office.limit = Limits(sessions=1)
    accept(database, JOB, items(100))
    seen: list[float] = []
    halve = pacing.slower

    def slower(slow: float) -> float:
        seen.append(halve(slow))
        return seen[-1]

    def over() -> bool:
        return look.all_accepted(database, 100) and look.mailbox(database).slow == 1.0

    monkeypatch.setattr(pacing, "slower", slower)
    drain(database, office, over)
    assert max(seen) >= 4.0
    assert look.mailbox(database).backoff_step == 0 and not stage.replies[step]
    assert len(stage.taken) == 100 and max(row.attempts for row in look.rows(database, tables.messages)) <= 4


def test_one_message_after_the_other_is_one_session(
    database: Database, office: Office, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that waits for each answer before it sends more does not make us open sessions, however slow the machine."""
    take = Session._claim

    def slowly(session: Session, limits: Limits) -> Claim:
        time.sleep(0.6)
        return take(session, limits)

    monkeypatch.setattr(Session, "_claim", slowly)
    monkeypatch.setattr(couriers, "LINGER", 60.0)
    courier = Courier(database, office)
    thread = threading.Thread(target=courier.drain, kwargs={"forever": True})
    thread.start()
    try:
        for number in range(3):
            accept(database, JOB, items(1, first=number))
            until = time.monotonic() + 60
            while not look.all_accepted(database, number + 1):
                assert time.monotonic() < until
                time.sleep(0.002)
    finally:
        courier.stop()
        thread.join(60)
    assert stage.connections == 1


def test_who_sends_by_hand_does_not_wait_for_what_is_there_again(
    database: Database, office: Office, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could be reached: `outbox run` tries at once. A server that asked for less is left alone all the same."""
    monkeypatch.setattr(pacing, "_FIRST_BACKOFF", 3000.0)
    there, office.port = office.port, 1  # nobody listens there
    accept(database, JOB, items(3))
    drain(database, office, lambda: look.mailbox(database).backoff_until > 0)
    office.port = there
    try_mailboxes(database)
    Courier(database, office).drain()
    assert look.all_accepted(database, 3)
    stage.replies = {"connect": [b"421 4.7.0 Too many connections"]}
    accept(database, JOB, items(1, first=3))
    drain(database, office, lambda: not stage.replies["connect"] and look.mailbox(database).slow > 1)
    before = look.mailbox(database).backoff_until
    try_mailboxes(database)
    assert look.mailbox(database).backoff_until == before > 0
    assert look.rows(database, tables.messages)[-1].due >= before - 1


@pytest.mark.parametrize(
    ("doubt", "sent", "fate"), [(Doubt.RETRY, 2, "accepted"), (Doubt.HOLD, 1, "unknown")]
)
def test_an_answer_that_was_lost(  # noqa: PLR0917 - one row of a table
    database: Database, office: Office, stage: Stage, doubt: Doubt, sent: int, fate: str
) -> None:
    """The server took it and died before it said so: sent again once, with the same Message-ID, or left to a person."""
    stage.die_after_body = 1
    accept(database, Job(connection=CODE, doubt=doubt), [one("a@x.example")])
    Courier(database, office).drain()
    assert look.counts(database) == {fate: 1} and len(stage.taken) == sent
    assert len({mail.data for mail in stage.taken}) == 1  # the same Message-ID, the same octets
    assert look.rows(database, tables.messages)[0].doubts == (1 if sent == 2 else 0)


def test_a_server_that_always_loses_the_answer_is_not_flooded(
    database: Database, office: Office, stage: Stage
) -> None:
    """The same message is sent twice at most when the answer is never heard."""
    stage.die_after_body = 100
    accept(database, JOB, [one("a@x.example")])
    Courier(database, office).drain()
    assert look.counts(database) == {"unknown": 1} and len(stage.taken) == 2


def test_urgent_mail_goes_first(database: Database, office: Office, stage: Stage) -> None:
    """A relay's message accepted behind a thousand leaves before them."""
    office.limit = Limits(sessions=1, per_minute=60 * 20)
    accept(database, JOB, items(1000))
    accept(database, Job(connection=CODE, priority=Priority.URGENT), [one("urgent@x.example")])
    drain(database, office, lambda: len(stage.taken) >= 2)
    assert stage.taken[0].recipients == ["urgent@x.example"]


def test_no_more_sessions_than_allowed(database: Database, office: Office, stage: Stage) -> None:
    """Two couriers, a slow server: never more sessions together than the mailbox may have."""
    stage.gate = threading.Event()
    office.limit = Limits(sessions=2)
    accept(database, JOB, items(30))
    couriers = [Courier(database, office) for _ in range(2)]
    threads = [threading.Thread(target=courier.drain) for courier in couriers]
    for thread in threads:
        thread.start()
    assert stage.waiting.wait(60)
    time.sleep(1.0)  # as long as two more sessions would need to be opened
    stage.gate.set()
    for thread in threads:
        thread.join(60)
    assert look.all_accepted(database, 30)
    assert stage.most_open <= 2


def test_a_mailbox_that_cannot_sign_in_waits_for_a_change(
    database: Database, office: Office, stage: Stage
) -> None:
    """A connection nobody is signed in to is paused at once; changed, it sends by itself."""
    from datapallas.errors import NotSignedIn

    class SignedOut(Office):
        def transport(self, code: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
            if self.marked == "1":
                raise NotSignedIn("Nobody has signed in.")
            return super().transport(code)

    room = SignedOut(stage.port)
    accept(database, JOB, items(3))
    Courier(database, room).drain()
    assert look.mailbox(database).pause == "sign-in" and look.counts(database) == {"queued": 3}
    assert {row.attempts for row in look.rows(database, tables.messages)} == {0}
    room.marked = "2"
    Courier(database, room).drain()
    assert look.all_accepted(database, 3)


def test_what_was_mended_elsewhere_is_tried_by_itself(
    place: str | Path, opened: Callable[..., Database], office: Office, stage: Stage
) -> None:
    """Refused at the sign-in, one message tries again after 5 minutes, then 10, up to an hour; then all of it goes."""
    clock = [1_800_000_000.0]
    database = opened(place, lambda: clock[0])

    class Refused(Office):
        def transport(self, code: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
            if self.marked == "refused":
                self.made += 1
                raise SmtpRefused("No.", step="AUTH", reply_code=535, enhanced="5.7.139", text="disabled")
            return super().transport(code)

    room = Refused(stage.port, marked="refused")
    accept(database, JOB, items(3))
    for tries, seconds in enumerate((300, 600, 1200, 2400, 3600, 3600), 1):
        Courier(database, room).drain()
        assert room.made == tries and look.mailbox(database).pause == "sign-in"
        assert overview.mailbox_lines(database, lambda _: UNLIMITED)[0].tried == seconds
        clock[0] += seconds - 1
        Courier(database, room).drain()
        assert room.made == tries
        clock[0] += 1
    room.marked = "mended, and nobody here was told"
    Courier(database, room).drain()
    assert look.all_accepted(database, 3)
    (line,) = overview.mailbox_lines(database, lambda _: UNLIMITED)
    assert line.problem is None and look.mailbox(database).problem  # what is over explains nothing any more


def test_the_sender_is_the_connections(office: Office) -> None:
    """What the tests above take for the mailbox's own sender is what they send as."""
    assert office.sender(CODE) == SENDER


def test_after_a_slow_answer_nothing_bunches_up(database: Database, office: Office, stage: Stage) -> None:
    """A server that sometimes takes its time is not sent the missed messages in a burst afterwards."""
    at: list[float] = []

    class Slow(list):  # type: ignore[type-arg]
        def append(self, mail: object) -> None:
            at.append(time.monotonic())
            super().append(mail)
            if len(self) % 10 == 5:
                time.sleep(1.5)  # the server is busy

    stage.taken = Slow()
    office.limit = Limits(sessions=1, per_minute=60 * 8)
    accept(database, JOB, items(20))
    Courier(database, office).drain()
    assert look.all_accepted(database, 20)
    most = max(sum(1 for later in at[place:] if later - begin < 0.6) for place, begin in enumerate(at))
    assert most <= 0.6 * 8 + 2  # the edge, and one that may be late by a tenth of a second
