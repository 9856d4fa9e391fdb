"""A day and a half in some seconds: fifty mailboxes, one of them parked, one with a small day, many recipients busy."""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
from typing import TYPE_CHECKING

from datapallas.errors import Parked
from datapallas.mail.address import NamedAddress
from datapallas.mail.compose import Composer
from datapallas.mail.message import Message
from datapallas.outbox import courier as couriers
from datapallas.outbox import tables
from datapallas.outbox.accept import Item, Job, accept
from datapallas.outbox.courier import Courier
from datapallas.outbox.database import Database
from datapallas.outbox.limits import UNLIMITED, Limits
from mail.conftest import stage  # noqa: F401 - the fixture
from outbox import look
from outbox.office import SENDER, Office

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from datapallas.mail.transport import MailTransport
    from mail.conftest import Stage, Taken

HOUR = 3600.0
BOXES, EACH = 50, 4
PARKED, SMALL = "eml-7", "eml-8"
"""The mailbox whose sign-in the provider refuses; the one that may send to two recipients a day."""


class Clock:
    """Time that moves when told."""

    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def __call__(self) -> float:
        return self.at


class Busy(dict[str, bytes]):
    """`busy-N-...` is deferred until N hours have passed."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock, self._began = clock, clock.at

    def get(self, address: str, default: bytes = b"") -> bytes:  # type: ignore[override]  # as Stage asks
        if address.startswith("busy-") and self._clock.at < self._began + int(address.split("-")[1]) * HOUR:
            return b"450 4.2.1 Busy"
        return default


class Noted(list["Taken"]):
    """When each mail was taken, by that clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.at: list[tuple[float, str]] = []

    def append(self, mail: Taken) -> None:
        self.at.append((self._clock.at, mail.recipients[0]))
        super().append(mail)


@dataclasses.dataclass
class Offices(Office):
    """A mailroom of fifty; `asked` counts how often each one's way out was asked for."""

    asked: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    parked: bool = True

    def limits(self, code: str) -> Limits:
        return Limits(sessions=1, per_day=2) if code == SMALL else UNLIMITED

    def transport(self, code: str) -> MailTransport:
        self.asked[code] += 1
        if code == PARKED and self.parked:
            raise Parked(f"{code} is parked.", raw="invalid_grant")
        return super().transport(code)


def mail(box: int) -> Iterator[Item]:
    composer = Composer(NamedAddress("", SENDER))
    for number in range(EACH):
        hours = (box * 7 + number * 5) % 23
        name = f"busy-{hours}-{box}-{number}" if number % 2 and f"eml-{box}" != SMALL else f"p-{box}-{number}"
        yield Item.of(composer.compose(Message(to=f"{name}@x.example", subject=name, text="Hello")))


def settle(database: Database, clock: Clock, paused: set[str]) -> None:
    """Wait until nothing is due any more."""
    wait, until = threading.Event(), time.monotonic() + 120
    while True:
        assert time.monotonic() < until, look.states(database)
        full = {row.code for row in look.rows(database, tables.mailboxes) if row.day_full_until > clock.at}
        rows = [row for row in look.rows(database, tables.messages) if row.mailbox not in paused | full]
        if not any(row.state == "claimed" or (row.state == "queued" and row.due <= clock.at) for row in rows):
            return
        wait.wait(0.02)


def test_a_day_with_one_of_fifty_parked(
    tmp_path: Path,
    stage: Stage,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """49 go on, hour after hour, and get everything out; the parked one is tried once an hour at most, and loses nothing."""
    monkeypatch.setattr(couriers, "_POLL", 0.05)
    monkeypatch.setattr(couriers, "_HOUSEKEEPING", 0.2)
    monkeypatch.setattr(couriers, "LINGER", 0.0)
    clock, office = Clock(), Offices(stage.port)
    database = Database(tmp_path / "outbox.db", clock)
    stage.recipients, stage.taken = Busy(clock), Noted(clock)
    for box in range(BOXES):
        accept(database, Job(connection=f"eml-{box}"), mail(box))
    courier = Courier(database, office)
    thread = threading.Thread(target=courier.drain, kwargs={"forever": True})
    thread.start()
    try:
        for _ in range(12):
            settle(database, clock, {PARKED})
            clock.at += 3 * HOUR
        settle(database, clock, {PARKED})
        left = [row for row in look.rows(database, tables.messages) if row.state != "done"]
        assert {row.mailbox for row in left} == {PARKED} and len(left) == EACH
        paused = [row.code for row in look.rows(database, tables.mailboxes) if row.pause]
        assert paused == [PARKED] and 1 <= office.asked[PARKED] <= 14
        office.parked, office.marked = False, "signed in again"
        while any(row.pause for row in look.rows(database, tables.mailboxes)):
            assert thread.is_alive()
            time.sleep(0.05)
        settle(database, clock, set())
    finally:
        courier.stop()
        thread.join(60)
    assert look.counts(database) == {"accepted": BOXES * EACH}
    assert len(stage.taken) == BOXES * EACH
    small = [at for at, who in stage.taken.at if who.startswith("p-8-")]
    assert len(small) == EACH
    assert all(sum(at <= later < at + 24 * HOUR for later in small) <= 2 for at in small)
    database.close()
