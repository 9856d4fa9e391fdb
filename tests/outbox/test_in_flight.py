"""Several messages on their way at once: outcomes, pauses, doubts and cancels stay each message's own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from datapallas.outbox import jobs, pacing, tables
from datapallas.outbox.accept import Job, accept
from datapallas.outbox.courier import Courier
from datapallas.outbox.limits import Limits
from datapallas.outbox.tables import Doubt
from outbox import look
from outbox.office import CODE, Office, drain, items

if TYPE_CHECKING:
    from datapallas.outbox.database import Database

    Stage = Any  # conftest's; test folders are no packages

JOB = Job(connection=CODE, id="job")


def test_a_job_goes_out_over_one_session(database: Database, office: Office, stage: Stage) -> None:
    """A few hundred messages, one session, no limit: each arrives once, and far fewer commits than messages are made."""
    office.limit = Limits(sessions=1)
    accept(database, JOB, items(300))
    Courier(database, office).drain()
    assert look.all_accepted(database, 300)
    assert sorted(mail.recipients[0] for mail in stage.taken) == sorted(f"p{n}@x.example" for n in range(300))
    assert stage.said.count("RSET") > 200  # they were on their way together


def test_a_limited_pace_waits_for_each_answer(database: Database, office: Office, stage: Stage) -> None:
    """Where messages have their moments, none leaves before the last one is answered."""
    office.limit = Limits(sessions=1, per_minute=60 * 200)
    accept(database, JOB, items(30))
    Courier(database, office).drain()
    assert look.all_accepted(database, 30) and "RSET" not in stage.said


def test_doubts_left_to_a_person_are_one_at_a_time(database: Database, office: Office, stage: Stage) -> None:
    """A job that holds what is in doubt has one message in doubt at most."""
    office.limit = Limits(sessions=1)
    accept(database, Job(connection=CODE, id="held", doubt=Doubt.HOLD), items(40))
    Courier(database, office).drain()
    assert look.all_accepted(database, 40) and "RSET" not in stage.said


def test_a_refused_sender_pauses_and_those_on_their_way_keep_their_own(
    database: Database, office: Office, stage: Stage
) -> None:
    """The sender is refused to one of many on their way: the mailbox pauses; what was taken is accepted, nothing is refused."""
    office.limit = Limits(sessions=1)
    stage.replies["MAIL"] = [b"250 ok"] * 20 + [b"550 5.7.60 SendAsDenied"] * 200
    accept(database, JOB, items(200))
    Courier(database, office).drain()
    assert look.mailbox(database).pause == "sender"
    counts = look.counts(database)
    assert counts == {"accepted": 20, "queued": 180} and len(stage.taken) == 20
    rows = look.rows(database, tables.messages)
    assert not any(row.handing or row.owner for row in rows)
    assert {row.attempts for row in rows if row.state == "queued"} == {0}


def test_refused_recipients_hold_up_nobody(database: Database, office: Office, stage: Stage) -> None:
    """Refused and deferred recipients among many on their way: each its own outcome."""
    office.limit = Limits(sessions=1)
    stage.recipients = {f"p{n}@x.example": b"550 5.1.1 Nobody" for n in range(0, 100, 7)}
    accept(database, JOB, items(100))
    Courier(database, office).drain()
    assert look.counts(database) == {"accepted": 85, "refused": 15} and len(stage.taken) == 85


def test_a_lost_answer_with_many_on_their_way(database: Database, office: Office, stage: Stage) -> None:
    """The connection dies once with many on their way: those in doubt go once more, are listed, and no others."""
    office.limit = Limits(sessions=1)

    class Dying(list):  # type: ignore[type-arg]
        def append(self, mail: object) -> None:
            super().append(mail)
            if len(self) == 60:
                stage.die_after_body = 1

    stage.taken = Dying()
    accept(database, JOB, items(150))
    drain(database, office, lambda: look.counts(database) == {"accepted": 150})
    doubted = [row for row in look.rows(database, tables.messages) if row.doubts]
    assert 1 <= len(doubted) <= pacing.WINDOW
    people = [mail.recipients[0] for mail in stage.taken]
    twice = {one for one in people if people.count(one) > 1}
    assert len(set(people)) == 150 and len(twice) <= 1
    assert twice <= {f"p{row.key}@x.example" for row in doubted}


def test_a_throttle_with_many_on_their_way(database: Database, office: Office, stage: Stage) -> None:
    """421 to one of many on their way: none is lost, none is doubtful, and the mailbox backs off."""
    office.limit = Limits(sessions=1)
    stage.replies["MAIL"] = [b"250 ok"] * 30 + [b"421 4.3.2 Too many"] * 3
    accept(database, JOB, items(60))
    drain(database, office, lambda: bool(look.mailbox(database).backoff_step))
    assert look.counts(database).get("accepted", 0) == 30 == len(stage.taken)
    assert not any(row.doubts for row in look.rows(database, tables.messages))


def test_a_cancel_reaches_what_is_not_on_its_way(database: Database, office: Office, stage: Stage) -> None:
    """A job that is cancelled while many are on their way: those still go out, the others are parked."""
    office.limit = Limits(sessions=1)
    accept(database, JOB, items(400))
    stage.gate = threading.Event()
    courier = Courier(database, office)
    thread = threading.Thread(target=courier.drain)
    thread.start()
    assert stage.waiting.wait(10)
    jobs.cancel(database, "job")
    stage.gate.set()
    thread.join(30)
    counts = look.counts(database)
    assert counts["accepted"] == len(stage.taken) <= pacing.MOST
    assert counts["accepted"] + counts["parked"] == 400
