"""Leases, claims and recovery, step by step, on both databases, with a clock of the test's own."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from datapallas.mail.envelope import Envelope, Outcome, Receipt, RecipientOutcome
from datapallas.outbox import claims, pacing, recovery, results, tables, verdict, windows
from datapallas.outbox.accept import Job, accept
from datapallas.outbox.claims import LEASE, Claim, Fenced, Lease
from datapallas.outbox.limits import UNLIMITED, Limits
from datapallas.outbox.tables import Doubt
from outbox import look
from outbox.office import CODE, items, one

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datapallas.outbox.database import Database

BEGIN = 1.8e9
JOB = Job(connection=CODE)


@dataclasses.dataclass
class Clock:
    at: float = BEGIN

    def __call__(self) -> float:
        return self.at


class Bench:
    """The transactions of the courier, one at a time."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database, self.clock = database, clock
        self.owners = 0

    def lease(self, limits: Limits = UNLIMITED) -> Lease | None:
        self.owners += 1
        with self.database.write() as tx:
            return claims.take_lease(tx, Lease(CODE, f"owner{self.owners}"), limits, self.clock())

    def claim(self, lease: Lease, limits: Limits = UNLIMITED, seconds: float = 0.0) -> Claim:
        with self.database.write() as tx:
            return claims.claim(tx, lease, limits, pacing.Speed(seconds), self.clock())

    def accepted(self, lease: Lease, row: object, following: Any = None) -> None:
        people = (verdict.Person(0, tables.Fate.ACCEPTED, "250 ok", None),)
        judged = verdict.Verdict(people=people, summary="accepted")
        result = results.Result(row=row, verdict=judged, chance=0.5)
        windows.record_all(self.database, lease, [result], [following.id] if following else [])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bench(place: str | Path, opened: Callable[..., Database], clock: Clock) -> Bench:
    return Bench(opened(place, clock), clock)


def test_only_so_many_sessions(bench: Bench, clock: Clock) -> None:
    """Three leases, no fourth; one that ended is taken over."""
    given = [bench.lease(Limits(sessions=3)) for _ in range(4)]
    assert [lease.slot if lease else None for lease in given] == [0, 1, 2, None]
    clock.at += LEASE + 1
    assert bench.lease(Limits(sessions=3))


def test_a_session_that_lost_its_lease_changes_nothing(bench: Bench, clock: Clock) -> None:
    """A machine that slept too long: its result is refused, and listed as perhaps sent twice."""
    accept(bench.database, JOB, [one("a@x.example")])
    slow = bench.lease()
    assert slow
    row = bench.claim(slow).messages[0].row
    clock.at += LEASE + 1
    fresh = bench.lease()
    assert fresh
    again = bench.claim(fresh).messages[0].row
    assert again.id == row.id and again.doubts == 1 and again.attempts == 1
    with pytest.raises(Fenced):
        bench.accepted(slow, row)
    with pytest.raises(Fenced):
        bench.claim(slow)
    with pytest.raises(Fenced):
        results.handing(bench.database, slow, row.id)
    assert look.counts(bench.database) == {"queued": 1}
    bench.accepted(fresh, again)
    assert look.counts(bench.database) == {"accepted": 1}
    outcomes = [attempt.outcome for attempt in look.rows(bench.database, tables.attempts)]
    assert outcomes == ["worker-lost", "late-accepted", "accepted"]


def test_only_the_message_in_hand_is_in_doubt(bench: Bench, clock: Clock) -> None:
    """Of ten claimed when the worker died, one may have been sent; nine simply come back."""
    accept(bench.database, JOB, items(10))
    lease = bench.lease()
    assert lease
    first, second, *_ = [one.row for one in bench.claim(lease).messages]
    bench.accepted(lease, first, second)
    clock.at += LEASE + 1
    fresh = bench.lease()
    assert fresh
    rows = [one.row for one in bench.claim(fresh).messages]
    assert len(rows) == 9 and {row.id: row.doubts for row in rows if row.doubts} == {second.id: 1}


def test_what_is_in_doubt_can_be_left_to_a_person(bench: Bench, clock: Clock) -> None:
    """With the policy hold, a message that was in hand when its worker died ends as unknown."""
    accept(bench.database, Job(connection=CODE, doubt=Doubt.HOLD), [one("a@x.example")])
    lease = bench.lease()
    assert lease and bench.claim(lease).messages
    clock.at += LEASE + 1
    assert bench.lease()
    assert look.counts(bench.database) == {"unknown": 1}


def test_a_poison_message_is_parked(bench: Bench, clock: Clock) -> None:
    """A message that ends three workers is parked with its cause; the next one is sent."""
    accept(bench.database, JOB, items(2))
    for _ in range(recovery.POISON):
        lease = bench.lease()
        assert lease and bench.claim(lease).messages[0].row.key == "0"
        clock.at += LEASE + 1
    lease = bench.lease()
    assert lease
    assert [one.row.key for one in bench.claim(lease).messages] == ["1"]
    assert look.counts(bench.database) == {"parked": 1, "queued": 1}
    assert any("outbox-poison" in row.problem for row in look.rows(bench.database, tables.recipients))


def test_the_day_is_counted_in_recipients_and_survives_a_restart(
    place: str | Path, bench: Bench, opened: Callable[..., Database], clock: Clock
) -> None:
    """Five recipients a day: the sixth waits until the first has left the window, whoever asks."""
    limits = Limits(per_day=5)
    accept(bench.database, JOB, [one("a@x.example", "b@x.example", "c@x.example"), *items(4)])
    lease = bench.lease(limits)
    assert lease
    taken = bench.claim(lease, limits).messages
    assert [one.row.recipients for one in taken] == [3, 1, 1]
    done = [results.Result(row=one.row, verdict=_all_accepted(one.row), chance=0.5) for one in taken]
    windows.record_all(bench.database, lease, done, [])
    with bench.database.write() as tx:
        claims.release(tx, lease)
    restarted = Bench(opened(place, clock), clock)
    restarted.owners = 10
    lease = restarted.lease(limits)
    assert lease
    found = restarted.claim(lease, limits)
    assert not found.messages and found.wait and found.wait > 23 * 3600
    clock.at += 25 * 3600 + 1
    lease = restarted.lease(limits)
    assert lease and len(restarted.claim(lease, limits).messages) == 2


def test_what_is_handed_back_frees_its_moments_and_its_day(bench: Bench) -> None:
    """Messages that come too late for their moments cost neither pace nor the day's recipients."""
    limits = Limits(per_minute=60, per_day=100)
    accept(bench.database, JOB, items(10))
    lease = bench.lease(limits)
    assert lease
    found = bench.claim(lease, limits)
    assert [one.at - BEGIN for one in found.messages] == [0, 1, 2, 3, 4]
    with bench.database.write() as tx:
        claims.hand_back(tx, lease, found.messages[2:], limits, bench.clock())
    assert look.mailbox(bench.database).next_free == BEGIN + 2
    assert look.rows(bench.database, tables.hours)[0].recipients == 2
    assert look.states(bench.database) == {"queued": 8, "claimed": 2}


@pytest.mark.parametrize("years", [1, -1])
def test_a_clock_that_jumps_a_year(bench: Bench, clock: Clock, years: int) -> None:
    """Forward or back: nothing expires, nothing bursts, nothing waits for a year."""
    limits = Limits(per_minute=60, per_day=100)
    accept(bench.database, JOB, items(10))
    lease = bench.lease(limits)
    assert lease
    row = bench.claim(lease, limits).messages[0].row
    windows.record_all(
        bench.database, lease, [results.Result(row=row, verdict=_deferred(row), chance=0.5)], []
    )
    clock.at += years * 365 * 86400
    with bench.database.write() as tx:
        recovery.clock_was_set_back(tx, clock())
    lease = bench.lease(limits)
    assert lease
    found = bench.claim(lease, limits)
    assert found.messages and found.messages[0].at - clock.at <= 20 * (pacing.HORIZON + 1)
    assert len(found.messages) <= 6
    assert set(look.counts(bench.database)) <= {"queued", "deferred"}


def test_a_message_expires_by_its_waits_and_is_parked(bench: Bench) -> None:
    """After two days of "not now" the recipient is parked, not refused, with the last reply."""
    accept(bench.database, Job(connection=CODE, lifetime=100.0), [one("a@x.example")])
    lease = bench.lease()
    assert lease
    for _ in range(3):
        with bench.database.write() as tx:
            tx.execute(tables.messages.update().values(due=0))
        found = bench.claim(lease).messages
        if not found:
            break
        row = found[0].row
        windows.record_all(
            bench.database, lease, [results.Result(row=row, verdict=_deferred(row), chance=0.5)], []
        )
    assert look.counts(bench.database) == {"parked": 1} and look.states(bench.database) == {"done": 1}
    assert look.rows(bench.database, tables.recipients)[0].reply == "451 later"


def _all_accepted(row: object) -> verdict.Verdict:
    people = tuple([verdict.Person(at, tables.Fate.ACCEPTED, "250 ok", None) for at in range(3)])
    return verdict.Verdict(people=people, summary="accepted")


def _deferred(row: object) -> verdict.Verdict:
    case = verdict.Case(recipients=[(0, "a@x.example")])
    outcome = RecipientOutcome("a@x.example", Outcome.DEFERRED, "451 later")
    envelope = Envelope("s@x.example", ("a@x.example",))
    return verdict.of_receipt(case, Receipt("<1@x>", envelope, (outcome,), "host:25", ""))


def test_a_claim_of_a_large_job_sorts_nothing(database: Database) -> None:
    """The first hundred of a hundred thousand are read from the index, on both databases."""
    accept(database, Job(connection=CODE), items(300))
    query = (
        sa.select(tables.messages.c.id)
        .where(
            tables.messages.c.mailbox == CODE,
            tables.messages.c.state == "queued",
            tables.messages.c.priority == 1,
            tables.messages.c.due <= 1e10,
        )
        .order_by(tables.messages.c.due, tables.messages.c.id)
        .limit(100)
    )
    with database.write() as tx:
        words = str(query.compile(tx.engine, compile_kwargs={"literal_binds": True}))
        if database.is_sqlite:
            plan = tx.exec_driver_sql(f"explain query plan {words}").all()
        else:
            tx.exec_driver_sql("set local enable_seqscan = off")  # three hundred are too few to need an index
            tx.exec_driver_sql("set local enable_bitmapscan = off")
            plan = tx.exec_driver_sql(f"explain {words}").all()
    told = " ".join(str(row) for row in plan)
    assert "messages_due" in told
    assert "Sort" not in told and "TEMP B-TREE" not in told
