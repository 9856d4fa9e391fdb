"""A job that is sent while everything around it is killed, and the account of what became of each recipient."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from chaos.sink import Faults
from datapallas.errors import StorageError
from datapallas.mail.address import NamedAddress
from datapallas.mail.compose import Composer
from datapallas.mail.message import Message
from datapallas.outbox import pacing, tables
from datapallas.outbox.accept import Item, Job, accept
from outbox.office import CODE, SENDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chaos.networks import Machine
    from datapallas.outbox.database import Database
    from outbox.postgres import Postgres

HERE = Path(__file__).parent
WORKER = HERE.parent / "outbox" / "worker.py"
LARGE = int(os.environ.get("DATAPALLAS_CHAOS", "0"))
"""How many recipients the large runs have; 0: the small versions."""


_BETWEEN = 40  # messages between two blows: on a slow machine too there is something to kill


class Sink:
    """The mail server, and what it took."""

    def __init__(self, folder: Path, host: str = "127.0.0.1", prefix: Sequence[str] = ()) -> None:
        self._log = folder / "taken.log"
        self._process = subprocess.Popen(
            [*prefix, sys.executable, str(HERE / "sink.py"), str(self._log), host],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def faults(self, **chances: float) -> None:
        """Switch them; what is not named is off."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(dataclasses.asdict(Faults(**chances))), file=self._process.stdin, flush=True)
        assert self._process.stdout.readline() == "ok\n"

    def taken(self) -> collections.Counter[str]:
        """How often each recipient was taken."""
        lines = (line.split() for line in self._log.read_text().splitlines())
        return collections.Counter(who for _, who in lines)

    def times(self) -> list[float]:
        """When each was taken."""
        lines = (line.split() for line in self._log.read_text().splitlines())
        return [float(at) for at, _ in lines if at != "!"]

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


def mail(count: int, *, deferred: bool) -> Iterator[Item]:
    """Messages, each to one recipient of its own; one in fifty also to one that is refused, or deferred once."""
    composer = Composer(NamedAddress("", SENDER))
    for number in range(count):
        to = [f"p{number}@x.example"]
        if number % 50 == 7:
            to.append(f"550-{number}@x.example")
        if deferred and number % 100 == 9:
            to.append(f"450-{number}@x.example")
        yield Item.of(
            composer.compose(Message(to=to, subject=f"Mail {number}", text="Hello")), key=str(number)
        )


@dataclasses.dataclass
class Account:
    """What the ledger and the server say."""

    recipients: int
    fates: dict[str, int]
    twice: set[str]
    listed: set[str]
    missing: set[str]
    lost: int = 0
    kills: int = 0
    restarts: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        fates = ", ".join(f"{count:,} {fate}" for fate, count in sorted(self.fates.items()))
        return (
            f"{self.recipients:,} recipients in {self.seconds:.0f} s, {self.kills} kills, {self.restarts} restarts "
            f"of the database, {self.lost} answers lost: {fates}; taken twice {len(self.twice)}, listed as in doubt {len(self.listed)}, "
            f"accepted but not taken {len(self.missing)}"
        )


class Fight:
    """Workers over one outbox, killed at random and started again."""

    def __init__(self, place: str | Path, database: Database, sink: Sink, **options: Any) -> None:
        self.place, self.database, self.sink = place, database, sink
        self.lease: float = options.get("lease", 1.0)
        self.sessions: int = options.get("sessions", 3)
        self.workers: int = options.get("workers", 2)
        self.pause: tuple[float, float] = options.get("pause", (0.5, 1.5))
        self.server: Postgres | None = options.get("server")
        self.machines: list[Machine] = options.get("machines", [])
        self.chance = random.Random(options.get("seed", 5))
        self.kills = self.restarts = 0
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def run(self, seconds: float) -> Account:
        """Fight until every message is done."""
        began = time.monotonic()
        blow, enough = began + self._wait(), _BETWEEN
        try:
            while not self._done():
                assert time.monotonic() - began < seconds, self.account()
                self.keep()
                time.sleep(0.1)
                if time.monotonic() >= blow and len(self.sink.times()) >= enough:
                    self._strike()
                    blow, enough = time.monotonic() + self._wait(), len(self.sink.times()) + _BETWEEN
        finally:
            self.end()
        account = self.account()
        account.seconds = time.monotonic() - began
        return account

    def account(self) -> Account:
        """Look at both sides."""
        with self.database.read() as tx:
            rows = tx.execute(
                sa.select(tables.recipients.c.message, tables.recipients.c.address, tables.recipients.c.fate)
            ).all()
            doubted = set(
                tx.execute(sa.select(tables.messages.c.id).where(tables.messages.c.doubts > 0)).scalars()
            )
            late = tables.attempts.c.outcome.like("late-%")
            doubted |= set(tx.execute(sa.select(tables.attempts.c.message).where(late)).scalars())
        taken = self.sink.taken()
        return Account(
            recipients=len(rows),
            fates=dict(collections.Counter(row.fate for row in rows)),
            twice={who for who, times in taken.items() if times > 1 and who != "lost"},
            lost=taken["lost"],
            listed={row.address for row in rows if row.message in doubted},
            missing={row.address for row in rows if row.fate == "accepted" and not taken[row.address]},
            kills=self.kills,
            restarts=self.restarts,
        )

    def _done(self) -> bool:
        with contextlib.suppress(StorageError), self.database.read() as tx:
            query = sa.select(sa.exists().where(tables.messages.c.state != "done"))
            return not tx.execute(query).scalar()
        return False

    def keep(self, *numbers: int) -> None:
        """Start the workers that do not run; all, or those named."""
        for number in numbers or range(self.workers):
            running = self._running.get(number)
            if running is None or running.poll() is not None:
                machine = self.machines[number] if self.machines else None
                place, host = str(self.place), "127.0.0.1"
                if machine is not None:
                    place, host = place.replace("127.0.0.1", machine.here), machine.here
                words = [
                    place,
                    f"{host}:{self.sink.port}",
                    str(self.lease),
                    "0",
                    str(self.sessions),
                    "forever",
                ]
                command = [*(machine.prefix if machine else []), sys.executable, str(WORKER), *words]
                self._running[number] = subprocess.Popen(command)

    def kill(self, number: int) -> None:
        """kill -9 for one worker."""
        self._running[number].send_signal(signal.SIGKILL)
        self._running[number].wait()
        self.kills += 1

    def end(self) -> None:
        """kill -9 for all."""
        for one in self._running.values():
            one.kill()
            one.wait()

    def wait_for(self, count: int, seconds: float = 180.0) -> None:
        """Wait until the server has taken so many."""
        until = time.monotonic() + seconds
        while len(self.sink.times()) < count:
            assert time.monotonic() < until, self.account()
            time.sleep(0.02)

    def wait_until_done(self, seconds: float = 180.0) -> None:
        """Wait until every message is done."""
        until = time.monotonic() + seconds
        while not self._done():
            assert time.monotonic() < until, self.account()
            time.sleep(0.05)

    def _strike(self) -> None:
        """Kill a worker, or the database."""
        if self.server is not None and self.chance.random() < 0.4:
            self.restarts += 1
            if self.chance.random() < 0.5:
                self.server.stop()
                time.sleep(self.chance.uniform(0.0, 0.5))
                self.server.start()
            else:
                self.server.kill_one(self.chance)
            return
        self.kill(self.chance.randrange(self.workers))

    def _wait(self) -> float:
        return self.chance.uniform(*self.pause)


def promise(database: Database, count: int, *, deferred: bool = False) -> None:
    """Accept a job of so many messages; what was accepted before is not again."""
    accept(database, Job(connection=CODE, id="chaos"), mail(count, deferred=deferred))


def check(account: Account, sessions: int) -> None:
    """Every recipient has an outcome; what was taken twice is listed, and is no more than what was in flight."""
    # Parked: three workers were killed over the same message.
    assert set(account.fates) <= {"accepted", "refused", "unknown", "parked"}, account
    assert account.fates.get("parked", 0) + account.fates.get("unknown", 0) <= len(account.listed), account
    assert sum(account.fates.values()) == account.recipients
    assert not account.missing, account
    assert account.twice <= account.listed, account.twice - account.listed
    in_flight = pacing.WINDOW * (sessions * (account.kills + account.restarts) + account.lost)
    assert len(account.twice) <= in_flight, account
