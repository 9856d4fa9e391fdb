"""What is done is deleted after its time, in small steps; what waits never is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from datapallas.errors import ConfigurationError, UsageError
from datapallas.home.settings import outbox_settings
from datapallas.outbox import jobs, retention, search, tables
from datapallas.outbox.accept import Job, accept
from datapallas.outbox.overview import job_lines
from datapallas.outbox.retention import DAY, Keeping, clean
from outbox.office import CODE, items, one

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datapallas.outbox.database import Database


class Clock:
    """Seconds since 1970, as a test says."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(place: str | Path, opened: Callable[..., Database], clock: Clock) -> Database:
    return opened(place, clock)


def finish(database: Database, job: str, fate: str = "accepted") -> None:
    """As if a session had sent it all."""
    mine = sa.select(tables.messages.c.id).where(tables.messages.c.job == job)
    with database.write() as tx:
        at = database.now(tx)
        people = sa.update(tables.recipients).where(tables.recipients.c.message.in_(mine))
        tx.execute(people.values(fate=fate, at=at))
        tx.execute(sa.update(tables.messages).where(tables.messages.c.job == job).values(state="done"))
        tx.execute(tables.attempts.insert(), {"message": 1, "mailbox": CODE, "at": at, "outcome": fate})


def counts(database: Database) -> dict[str, Any]:
    with database.read() as tx:
        rows = {
            name: tx.execute(sa.select(sa.func.count()).select_from(tables.metadata.tables[name])).scalar()
            for name in ("jobs", "contents", "messages", "recipients")
        }
        own = sa.select(sa.func.count()).where(tables.messages.c.layout != "")
        return rows | {"whole": tx.execute(own).scalar()}


def test_content_goes_first_then_the_rows(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 14 days what the messages said, after 400 who got them; a job that waits keeps everything."""
    monkeypatch.setattr(retention, "_STEP", 3)
    accept(database, Job(connection=CODE, id="done"), items(10, text="x" * 20_000))
    accept(database, Job(connection=CODE, id="waits"), items(2))
    finish(database, "done", "parked")
    clock.now += 13 * DAY
    assert clean(database, Keeping()).contents == 0
    clock.now += 2 * DAY
    would = clean(database, Keeping(), dry_run=True)
    assert (would.contents, would.jobs) == (1, 0) and would.octets > 20_000
    assert counts(database)["whole"] == 12
    assert clean(database, Keeping()) == would
    assert counts(database) == {"jobs": 2, "contents": 0, "messages": 12, "recipients": 12, "whole": 2}
    assert clean(database, Keeping()).contents == 0
    with pytest.raises(UsageError, match="no longer kept"):
        jobs.retry(database, "done")
    assert not search.message(database, 1).kept and job_lines(database, "done")[0].fates["parked"] == 10
    clock.now += 400 * DAY
    assert clean(database, Keeping()).jobs == 1
    assert counts(database) == {"jobs": 1, "contents": 0, "messages": 2, "recipients": 2, "whole": 2}


def test_a_job_that_goes_on_keeps_its_new_messages(database: Database, clock: Clock) -> None:
    """A job one adds to every day: what was added lately stays."""
    accept(database, Job(connection=CODE, id="daily"), items(1))
    finish(database, "daily")
    clock.now += 20 * DAY
    clean(database, Keeping())
    accept(database, Job(connection=CODE, id="daily"), items(1, first=5))
    assert clean(database, Keeping()).contents == 0
    finish(database, "daily")
    clock.now += 20 * DAY
    assert clean(database, Keeping()).contents == 1 and counts(database)["whole"] == 0


def test_finding_people(database: Database) -> None:
    """By the whole address, or a part of it; page after page; by outcome; a percent sign is a percent sign."""
    accept(database, Job(connection=CODE, id="a"), items(7))
    accept(database, Job(connection=CODE, id="b"), [one("p3@x.example", "100%@x.example", key="k")])
    assert [line.job for line in search.find(database, "p3@x.example")] == ["b", "a"]
    assert len(search.find(database, "P3")) == 2 and not search.find(database, " ")
    assert [line.address for line in search.find(database, "0%")] == ["100%@x.example"]
    first = search.recipients_of(database, "a", most=4)
    rest = search.recipients_of(database, "a", most=4, after=first.after)
    assert [len(first.lines), len(rest.lines), rest.after] == [4, 3, ""]
    assert len({line.address for line in (*first.lines, *rest.lines)}) == 7
    both = search.recipients_of(database, "b", most=1)
    assert search.recipients_of(database, "b", most=1, after=both.after).lines[0].address == "100%@x.example"
    assert not search.recipients_of(database, "a", outcome="refused").lines
    wrongs: tuple[dict[str, Any], ...] = ({"outcome": "lost"}, {"after": "x"}, {"after": "1"})
    for wrong in wrongs:
        with pytest.raises(UsageError):
            search.recipients_of(database, "a", **wrong)


def test_the_settings(tmp_path: Path) -> None:
    """Days in a file of the home; what has no meaning is refused."""
    assert outbox_settings(tmp_path).content_days == 14
    file = tmp_path / "config" / "datapallas.toml"
    file.parent.mkdir()
    file.write_text("[outbox]\ncontent-days = 3\nrows-days = 30\n")
    assert (outbox_settings(tmp_path).content_days, outbox_settings(tmp_path).rows_days) == (3, 30)
    assert outbox_settings(tmp_path).in_flight == 16
    file.write_text("[outbox]\nin-flight = 1\n")
    assert (outbox_settings(tmp_path).in_flight, outbox_settings(tmp_path).content_days) == (1, 14)
    for wrong in (
        "content-days = -1",
        "rows-days = true",
        "content-days = '3'",
        "days = 3",
        "rows-days = 2",
        "in-flight = 0",
        "in-flight = true",
        "in-flight = 99",
    ):
        file.write_text(f"[outbox]\n{wrong}\n")
        with pytest.raises(ConfigurationError):
            outbox_settings(tmp_path)
