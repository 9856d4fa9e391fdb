"""Workers on machines of their own, whose network dies."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import pytest

from chaos.fight import Fight, Sink, check, promise
from chaos.networks import NETWORK, machines
from datapallas.connection.model import Security
from datapallas.errors import Unreachable
from datapallas.outbox.database import Database
from datapallas.smtp import vanished
from datapallas.smtp.async_stream import AsyncSession
from datapallas.smtp.body import BytesBody
from datapallas.smtp.stream import Session
from datapallas.smtp.target import Deadlines, Target
from outbox import postgres
from strangers.needs import missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from chaos.networks import Machine
    from outbox.postgres import Postgres

BODY = BytesBody(b"Subject: Hello\r\n\r\nHello\r\n")


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
    sink.faults(slow=0.05)  # so that much is left when the cable is pulled out, however long that takes
    promise(database, 400)
    try:
        fight.keep(0)
        fight.wait_for(50)  # the first machine has all sessions
        fight.keep(1)
        net[0].cut()
        sink.faults(slow=0.01)
        cut_at = len(sink.times())
        fight.wait_until_done()
        account = fight.account()
        assert account.recipients - cut_at > 100  # it was the other one that did most
        net[0].join()
        fight.kill(1)
        promise(database, 450)  # 50 more
        fight.wait_until_done()
        account = fight.account()
    finally:
        fight.end()
        sink.close()
        database.close()
    check(account, sessions=6)
    assert account.fates == {"accepted": 450, "refused": 9}


@pytest.mark.parametrize("driver", ["blocking", "asyncio"])
def test_a_mail_server_that_vanishes(
    net: list[Machine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str
) -> None:
    """Its machine is gone and says nothing: we do not wait ten minutes for its answer, and say that it may have the message."""
    monkeypatch.setattr(vanished, "GONE_SECONDS", 2)
    sink = Sink(tmp_path, "0.0.0.0", net[0].prefix)
    sink.faults(mute=1)
    target = Target(net[0].there, sink.port, Security.NONE)
    deadlines = Deadlines(command=900, body=900, final=900)
    cutting = threading.Thread(target=_cut_when_it_was_sent, args=(sink, net[0]))
    cutting.start()
    try:
        with pytest.raises(Unreachable) as caught:
            _send(target, deadlines) if driver == "blocking" else asyncio.run(_send_async(target, deadlines))
    finally:
        cutting.join()
        sink.close()
    assert caught.value.facts["after_body"] == "yes"


def _send(target: Target, deadlines: Deadlines) -> None:
    Session.open(target, deadlines=deadlines).send("a@x.example", ["b@x.example"], BODY)


async def _send_async(target: Target, deadlines: Deadlines) -> None:
    session = await AsyncSession.open(target, deadlines=deadlines)
    await session.send("a@x.example", ["b@x.example"], BODY)


def _cut_when_it_was_sent(sink: Sink, machine: Machine) -> None:
    until = time.monotonic() + 60
    while not sink.times() and time.monotonic() < until:
        time.sleep(0.02)
    machine.cut()
