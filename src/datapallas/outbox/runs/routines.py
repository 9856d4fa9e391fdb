"""Schedules: what is to run when, and the records that are made when a time has come.

Must stay true: a time is dealt with once, whoever looks (the mark is moved by compare-and-set, in the same commit that
makes the records, and the record's id is made of the name and the time); a schedule that is new or was changed has
missed nothing.
"""

from __future__ import annotations

import dataclasses
import enum
import time
from typing import TYPE_CHECKING

import sqlalchemy as sa

from datapallas.outbox.database import insert_new
from datapallas.outbox.runs import cron
from datapallas.outbox.runs.records import Record
from datapallas.outbox.runs.tables import marks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datapallas.outbox.runs.records import Records

GRACE = 300.0
"""Seconds after which a time counts as missed."""
_MOST = 100  # runs that are made up for at once, at most


class Missed(enum.StrEnum):
    """What becomes of times that passed while nothing was running."""

    SKIP = "skip"
    ONCE = "once"
    ALL = "all"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Routine:
    """What runs by itself.

    Attributes:
        name: its records are called `<name>-<time>`.
        work: the steps; `subject` is what they are about.
        cron: five fields; empty: not scheduled (any more).
        place: the installation that has to do it; empty: any.
    """

    name: str
    work: str
    subject: str = ""
    cron: str = ""
    zone: str = "UTC"
    missed: Missed = Missed.ONCE
    place: str = ""

    @property
    def spec(self) -> str:
        """What makes it another schedule when it changes."""
        return f"{self.cron} {self.zone}" if self.cron else ""


def make_due(records: Records, routines: Iterable[Routine]) -> list[str]:
    """Make the records whose time has come; their ids."""
    made: list[str] = []
    with records.read() as tx:
        now = records.now(tx)
        known = {row.name: row for row in tx.execute(sa.select(marks))}
    for one in routines:
        mark = known.get(one.name)
        if mark is None or mark.spec != one.spec:
            _begin(records, one, now)
        elif one.cron and now > mark.at:
            times = _times(one, mark.at, now)
            if times:
                made += _made(records, one, (mark.at, times))
    return made


def record_id(name: str, at: float) -> str:
    """What the run of a scheduled time is called: `monthly-20261201-060000`, in UTC."""
    return f"{name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(at))}"


def _times(one: Routine, after: float, now: float) -> list[float]:
    """Times to make a record for; an empty list when none has come; one that is skipped is negative."""
    match one.missed:
        case Missed.ALL:
            return cron.passed(one.cron, one.zone, after, now, _MOST)
        case Missed.ONCE:
            return cron.passed(one.cron, one.zone, after, now, 1)
        case Missed.SKIP:
            return [at if at > now - GRACE else -at for at in cron.passed(one.cron, one.zone, after, now, 1)]


def _begin(records: Records, one: Routine, now: float) -> None:
    with records.write() as tx:
        row = {"name": one.name, "spec": one.spec, "at": now}
        if tx.execute(insert_new(tx, marks).returning(marks.c.name), row).scalar() is None:
            other = sa.and_(marks.c.name == one.name, marks.c.spec != one.spec)
            tx.execute(sa.update(marks).where(other).values(spec=one.spec, at=now))


def _made(records: Records, one: Routine, passed: tuple[float, list[float]]) -> list[str]:
    before, times = passed
    with records.write() as tx:
        here = sa.and_(marks.c.name == one.name, marks.c.at == before, marks.c.spec == one.spec)
        if not tx.execute(sa.update(marks).where(here).values(at=max(map(abs, times)))).rowcount:
            return []  # another machine was quicker
        made = [
            Record(
                id=record_id(one.name, at),
                work=one.work,
                subject=one.subject,
                place=one.place,
                bound=bool(one.place),
                facts={"scheduled": at},
            )
            for at in times
            if at > 0
        ]
        return [record.id for record in made if records.add_within(tx, record)]


def first_time(records: Records, name: str, what: str) -> bool:
    """Whether `what` is another than the last time that was asked about `name`, by anybody."""
    with records.write() as tx:
        row = {"name": name, "spec": what, "at": records.now(tx)}
        if tx.execute(insert_new(tx, marks).returning(marks.c.name), row).scalar() is not None:
            return True
        other = sa.and_(marks.c.name == name, marks.c.spec != what)
        return bool(tx.execute(sa.update(marks).where(other).values(spec=what)).rowcount)


def forget(records: Records, names: Iterable[str]) -> None:
    """Forget the marks of every other name, so that what is made anew under an old name has missed nothing."""
    with records.write() as tx:
        tx.execute(sa.delete(marks).where(marks.c.name.not_in(list(names))))
