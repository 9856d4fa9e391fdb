"""Sign-ins in a database: several machines and one strict provider; leases that end, processes that die."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from datapallas.connection import keys
from datapallas.connection.database import Link
from datapallas.connection.database_store import DatabaseStore
from datapallas.connection.file_store import FileStore
from datapallas.connection.folder import Folder
from datapallas.connection.migration import to_database
from datapallas.errors import NotSignedIn, Parked, StorageError
from datapallas.oauth.clock import SystemClock
from datapallas.oauth.endpoint import Endpoint
from datapallas.oauth.source import ConnectionTokenSource
from datapallas.secret import Secret
from oauth.conftest import CODE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from oauth.scripted import Idp, Raw, Seen
    from outbox.postgres import Postgres

LEASE = 0.5

_CHILD = """
import os, signal, sys
from pathlib import Path
from datapallas.connection import database_store, keys
from datapallas.connection.database import Link
from datapallas.connection.folder import Folder
from datapallas.oauth.clock import SystemClock
from datapallas.oauth.endpoint import Endpoint
from datapallas.oauth.source import ConnectionTokenSource
from datapallas.secret import Secret

root = Path(sys.argv[1])
store = database_store.DatabaseStore(root, Link(sys.argv[2]), float(sys.argv[3]))
folder = Folder(root, lambda: keys.ensure(root, {}, store.sealed_texts), store)
def die(*args, **named):
    os.kill(os.getpid(), signal.SIGKILL)
def fresh():
    return ConnectionTokenSource(folder, "eml-reports", Endpoint(), SystemClock())
"""

_POINTS = {
    "with the lease taken": "from datapallas.connection import update; update.Update.opened = die",
    "with the place proven": "from datapallas.connection import update; update.Update.intend = die",
    "with the intent written": "from datapallas.oauth import endpoint; endpoint.Endpoint.post = die",
    "with the answer in hand": "from datapallas.connection import update; update.Update.store_refresh_token = die",
    "before the commit": "database_store.tell = die",
    "after the commit": """
real = database_store.DatabaseStore.write
def write(self, *args, **named):
    real(self, *args, **named); die()
database_store.DatabaseStore.write = write""",
    "with the token in hand": "fresh().refresh(); die()",
}
_LOST = {"with the answer in hand", "before the commit"}


@dataclasses.dataclass
class Fleet:
    """The database, and machines that use it."""

    root: Path
    url: str

    def folder(self, lease: float = LEASE, url: str = "") -> Folder:
        store = DatabaseStore(self.root, Link(url or self.url), lease)
        return Folder(self.root, lambda: keys.ensure(self.root, {}, store.sealed_texts), store)

    def source(self, lease: float = LEASE, url: str = "") -> ConnectionTokenSource:
        return ConnectionTokenSource(self.folder(lease, url), CODE, Endpoint(), SystemClock())

    def start(self, code: str, lease: float = LEASE) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", _CHILD + code, str(self.root), self.url, str(lease)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def stored(self) -> str:
        folder = self.folder()
        return folder.reveal(folder.load(CODE), "refresh_token").reveal()


@pytest.fixture
def fleet(signed_in: str, root: Path, server: Postgres) -> Fleet:
    """The signed-in connection, moved into a database."""
    url = server.new()
    to_database(Folder(root, lambda: keys.ensure(root, {}), FileStore(root, moved=True)), url)
    return Fleet(root, url)


def together(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"go\n")
        child.stdin.flush()
    for child in children:
        _, told = child.communicate(timeout=180)
        assert child.returncode == 0, told.decode()


def test_many_workers_start_at_once_and_cause_one_refresh(fleet: Fleet, idp: Idp) -> None:
    """Eight processes need a token: one asks the provider, seven use what it got."""
    together([fleet.start("sys.stdin.readline(); fresh().token()", 60.0) for _ in range(8)])
    assert len(idp.token_requests()) == 1 and idp.reuses == 0


def test_refreshes_that_must_be_are_one_after_the_other(fleet: Fleet, idp: Idp) -> None:
    """Four processes, ten forced refreshes each, the strictest provider: one family, no token comes twice."""
    loop = "sys.stdin.readline()\nfor _ in range(10): fresh().refresh()\n"
    together([fleet.start(loop, 60.0) for _ in range(4)])
    (tokens,) = idp.families.values()
    assert idp.reuses == 0 and len(tokens) == 41 and fleet.stored() == tokens[-1]


@pytest.mark.parametrize("point", _POINTS)
@pytest.mark.parametrize("grace", [True, False], ids=["a provider with grace", "a strict provider"])
def test_a_worker_killed_at_any_point(fleet: Fleet, idp: Idp, point: str, *, grace: bool) -> None:
    """When its lease has ended another one goes on; only a strict provider's lost answer costs a sign-in."""
    child = fleet.start(_POINTS[point] + "\nfresh().refresh()\n")
    _, told = child.communicate(timeout=180)
    assert child.returncode == -signal.SIGKILL, told.decode()
    if grace and point in _LOST:
        for tokens in idp.families.values():
            tokens.append(tokens.pop(0))
    if not grace and point in _LOST:
        with pytest.raises(Parked, match="the answer was lost"):
            fleet.source().refresh()
        with pytest.raises(Parked, match="the answer was lost"):
            fleet.source().token()
        return
    assert fleet.source().refresh().value
    assert idp.reuses == 0 and len(idp.families) == 1


def test_whoever_is_too_slow_is_fenced(fleet: Fleet, idp: Idp) -> None:
    """A machine that slept through its lease writes nothing: it drops its answer and uses what the other one stored."""
    idp.rotate = False
    asked, go = threading.Event(), threading.Event()

    def slow(_: Seen) -> Raw | None:
        asked.set()
        assert go.wait(60)
        return None

    idp.script = [slow]
    got: list[str] = []
    thread = threading.Thread(target=lambda: got.append(fleet.source(0.3).token().value.reveal()))
    thread.start()
    assert asked.wait(60)
    faster = fleet.source(30.0).token().value.reveal()
    go.set()
    thread.join(60)
    assert got == [faster]
    folder = fleet.folder()
    assert folder.opened(folder.load(CODE), "refresh_token").generation == 2


def test_a_fenced_refusal_parks_nothing(fleet: Fleet, idp: Idp) -> None:
    """The provider refuses a token that another machine has replaced: that is no reason to stop the mailbox."""
    asked, go = threading.Event(), threading.Event()

    def slow(_: Seen) -> Raw:
        asked.set()
        assert go.wait(60)
        return idp.refuse("invalid_grant")

    idp.script = [slow]
    got: list[str] = []
    thread = threading.Thread(target=lambda: got.append(fleet.source(0.3).token().value.reveal()))
    thread.start()
    assert asked.wait(60)
    faster = fleet.source(30.0).token().value.reveal()
    go.set()
    thread.join(60)
    assert got == [faster] and fleet.folder().store.record(CODE).parked is None


def test_parked_by_one_is_parked_for_all(fleet: Fleet, idp: Idp) -> None:
    """And nobody goes on with a token that was lent before."""
    assert fleet.source().token().value
    idp.script = [lambda _: idp.refuse("invalid_grant"), lambda _: idp.refuse("invalid_grant")]
    with pytest.raises(Parked):
        fleet.source().refresh()
    asked = len(idp.token_requests())
    with pytest.raises(Parked):
        fleet.source().token()
    assert len(idp.token_requests()) == asked


def test_a_lent_token_that_a_server_refused_is_not_borrowed_again(fleet: Fleet, idp: Idp) -> None:
    """It is minted anew, once for all: the next one that was refused gets that."""
    one, two = fleet.source(), fleet.source()
    first = one.token().value
    assert two.token().value == first
    second = one.token(force=True).value
    assert second != first and two.token(force=True).value == second
    assert len(idp.token_requests()) == 2


def test_signing_out_is_for_all(fleet: Fleet) -> None:
    assert fleet.source().token().value
    assert fleet.source().sign_out().forgotten
    with pytest.raises(NotSignedIn):
        fleet.source().token()


class Cutter:
    """Stands between us and the database; cuts a link when COMMIT of a token has passed, and before its answer does."""

    def __init__(self, url: str) -> None:
        host, _, rest = url.rpartition("@")[2].partition(":")
        self.port = int(rest.partition("/")[0])
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = url.replace(f"{host}:{self.port}", f"127.0.0.1:{self.listener.getsockname()[1]}")
        self.armed = threading.Event()
        self.cuts = 0
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(60)
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                ours, _ = self.listener.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=self._serve, args=(ours,)))
            self.threads[-1].start()

    def _serve(self, ours: socket.socket) -> None:
        with ours, socket.create_connection(("127.0.0.1", self.port)) as theirs:
            back = threading.Thread(target=self._back, args=(theirs, ours))
            back.start()
            seen = b""
            while data := _received(ours):
                seen += data
                if self.armed.is_set() and b"oauth2refreshtoken" in seen and b"COMMIT" in data:
                    self.armed.clear()
                    self.cuts += 1
                    ours.shutdown(socket.SHUT_RDWR)
                theirs.sendall(data)
            theirs.shutdown(socket.SHUT_WR)
            back.join()

    def _back(self, theirs: socket.socket, ours: socket.socket) -> None:
        while data := _received(theirs):
            with contextlib.suppress(OSError):
                ours.sendall(data)


def _received(source: socket.socket) -> bytes:
    try:
        return source.recv(65536)
    except OSError:
        return b""


def test_a_commit_whose_answer_was_lost_is_looked_up(fleet: Fleet, idp: Idp) -> None:
    """The link ends between COMMIT and its answer: the token is found stored, and nobody asks again."""
    cutter = Cutter(fleet.url)
    source = fleet.source(60.0, cutter.url)
    cutter.armed.set()
    assert source.token().value
    (tokens,) = idp.families.values()
    assert cutter.cuts == 1 and fleet.stored() == tokens[-1]
    assert len(idp.token_requests()) == 1
    del source
    gc.collect()  # its idle links
    cutter.close()


def test_the_database_restarts_while_the_provider_answers(fleet: Fleet, idp: Idp, server: Postgres) -> None:
    """The answer is kept in hand until the database is back, and stored then; no second rotation."""

    def restart(_: Seen) -> None:
        server.stop()
        threading.Timer(0.5, server.start).start()

    idp.script = [restart]
    assert fleet.source(60.0).token().value
    (tokens,) = idp.families.values()
    assert len(tokens) == 2 and fleet.stored() == tokens[-1] and len(idp.token_requests()) == 1


def test_a_lease_that_is_not_given_back_is_named(
    fleet: Fleet, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits too long is told which process on which machine it waited for; nothing was asked."""
    monkeypatch.setattr("datapallas.connection.lease._BEYOND", -59.5)
    with (
        fleet.folder(60.0).lock(CODE),
        pytest.raises(StorageError, match=f"{socket.gethostname()}:{os.getpid()}"),
    ):
        fleet.source(60.0).refresh()
    assert idp.token_requests() == []


def test_a_waiter_is_woken(fleet: Fleet) -> None:
    """It does not wait for a lease to end that was given back."""
    order: list[str] = []

    def second(lock: Callable[[], None]) -> None:
        lock()
        order.append("second")

    def take() -> None:
        with fleet.folder(60.0).lock(CODE):
            pass

    with fleet.folder(60.0).lock(CODE):
        thread = threading.Thread(target=second, args=(take,))
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join(60)
    assert order == ["first", "second"]


_FOR_EVER = """
from datapallas.errors import Parked
while True:
    try:
        fresh().token()
    except Parked as told:
        sys.exit("lost" if "the answer was lost" in told.message else f"parked: {told.message}")
"""


def test_killed_at_random_a_sign_in_is_lost_only_with_its_answer(
    fleet: Fleet, idp: Idp, server: Postgres
) -> None:
    """Three workers that refresh without end, killed at random, and the database too: one family for each sign-in.

    The strictest provider sees an old token only where its answer had died with whoever asked; that is told as such.
    """
    idp.expires_in = 0  # nothing to lend
    chance, rounds = random.Random(11), int(os.environ.get("DATAPALLAS_CHAOS_TOKENS", "6"))
    running = [fleet.start(_FOR_EVER, 0.7) for _ in range(3)]
    lost = 0
    try:
        for number in range(rounds):
            asked = len(idp.token_requests()) + chance.randrange(2, 12)
            until = time.monotonic() + 180
            while len(idp.token_requests()) < asked:
                assert time.monotonic() < until
                time.sleep(0.005)
                lost += _mended(fleet, idp, running)
            if number % 3 == 2:
                server.stop()
                server.start()
            else:
                victim = chance.randrange(3)
                running[victim].kill()
                running[victim].communicate()
                running[victim] = fleet.start(_FOR_EVER, 0.7)
    finally:
        for child in running:
            child.kill()
            child.communicate()
    assert idp.reuses <= lost + 1  # the last blow may have cost one that nobody has met yet
    assert len(idp.families) == 1 + lost


def _mended(fleet: Fleet, idp: Idp, running: list[subprocess.Popen[bytes]]) -> int:
    """Start workers that ended again; where a sign-in was lost, sign in. How many were."""
    ended = [place for place, child in enumerate(running) if child.poll() is not None]
    lost = 0
    for place in ended:
        _, told = running[place].communicate()
        words = told.decode().strip().splitlines()[-1]
        assert words == "lost" or "cannot be used" in words, told.decode()
        folder = fleet.folder()
        if folder.store.record(CODE).parked is not None:
            with folder.locked_update(CODE) as update, update.reserve():
                update.store_refresh_token(Secret(idp.new_family()))
            lost = 1
        running[place] = fleet.start(_FOR_EVER, 0.7)
    return lost
