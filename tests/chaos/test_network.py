"""Workers on machines of their own, whose network dies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chaos.fight import Fight, Sink, check, promise
from chaos.networks import NETWORK, machines
from datapallas.outbox.database import Database
from outbox import postgres
from strangers.needs import missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from chaos.networks import Machine
    from outbox.postgres import Postgres


@pytest.fixture
def net() -> Iterator[list[Machine]]:
    with machines(2) as made:
        yield made


@pytest.fixture
def far(net: list[Machine]) -> Iterator[Postgres]:
    """A PostgreSQL that the machines reach over their cables."""
    programs = postgres.programs()
    if programs is None:
        missing(f"PostgreSQL is not installed: {postgres.ADVICE}")
    listen = ",".join(["127.0.0.1", *(machine.here for machine in net)])
    with postgres.running(programs, listen) as server:
        server.open_to(NETWORK)
        yield server


def test_a_machine_whose_cable_is_pulled_out(net: list[Machine], far: Postgres, tmp_path: Path) -> None:
    """The other one takes over what it had when its lease ends; back again, it writes nothing, and goes on working."""
    place = far.new()
    database = Database(place)
    sink = Sink(tmp_path, "0.0.0.0")
    fight = Fight(place, database, sink, machines=net, lease=1.5)
    sink.faults(slow=0.01)
    promise(database, 400)
    try:
        fight.keep(0)
        fight.wait_for(50)  # the first machine has all sessions
        fight.keep(1)
        net[0].cut()
        cut_at = len(sink.times())
        fight.wait_until_done()
        account = fight.account()
        assert account.recipients - cut_at > 100  # it was the other one that did most
        net[0].join()
        fight.kill(1)
        promise(database, 450)  # 50 more
        fight.wait_until_done(60.0)
        account = fight.account()
    finally:
        fight.end()
        sink.close()
        database.close()
    check(account, sessions=6)
    assert account.fates == {"accepted": 450, "refused": 9}
