"""A PostgreSQL of the tests' own: made in a temporary folder, on a free port, ended by its process id."""

from __future__ import annotations

import contextlib
import getpass
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from strangers.process import free_ports

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

ADVICE = "apt-get install --no-install-recommends postgresql"


def programs() -> Path | None:
    """The folder with initdb and postgres; the newest one."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if found:
        return Path(found).resolve().parent
    return folders[-1] if folders else None


class Postgres:
    """A running server."""

    def __init__(self, folder: Path, bin_: Path, listen: str = "127.0.0.1") -> None:
        self._folder, self._bin, self._listen = folder, bin_, listen
        # PostgreSQL refuses to run as root.
        self._as: dict[str, Any] = {}
        self._user = getpass.getuser()
        if os.getuid() == 0:
            person = pwd.getpwnam("nobody")
            self._as = {"user": person.pw_uid, "group": person.pw_gid, "extra_groups": []}
            self._user = "nobody"
            os.chown(folder, person.pw_uid, person.pw_gid)
        (self._port,) = free_ports(1)  # a client must not be given it while the server is away
        data = ["-D", str(folder / "data"), "-A", "trust", "-U", self._user, "--no-sync", "-E", "UTF8"]
        subprocess.run(
            [bin_ / "initdb", *data],
            check=True,
            capture_output=True,
            cwd=folder,
            **self._as,
            env={"LC_ALL": "C"},
        )
        self._databases = 0
        self.start()

    def start(self) -> None:
        words = ["-D", str(self._folder / "data"), "-p", str(self._port), "-k", str(self._folder)]
        words += ["-c", f"listen_addresses={self._listen}", "-c", "max_connections=200"]
        words += ["-c", "fsync=off"]  # what is proven here is what couriers do, not what a disk does
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [self._bin / "postgres", *words], stdout=log, stderr=log, cwd=self._folder, **self._as
            )
        end = time.monotonic() + 120
        while True:
            try:
                self._run("select 1")
            except sa.exc.OperationalError:
                assert self._server.poll() is None and time.monotonic() < end, (
                    self._folder / "log"
                ).read_text()
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """An immediate shutdown: sessions are cut off, as in a crash."""
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait(60)

    def revive(self) -> None:
        """Start it again if it has ended by itself."""
        if self._server.poll() is not None:
            self.start()

    def open_to(self, network: str) -> None:
        """Take links from other addresses too, such as 10.1.2.0/24. Needs `listen`."""
        with (self._folder / "data" / "pg_hba.conf").open("a") as file:
            file.write(f"host all all {network} trust\n")
        self._server.send_signal(signal.SIGHUP)

    def kill_one(self, chance: random.Random) -> None:
        """kill -9 for one of its processes: it throws all sessions out, and recovers as after a crash."""
        own = Path(f"/proc/{self._server.pid}/task/{self._server.pid}/children").read_text().split()
        if own:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(chance.choice(own)), signal.SIGKILL)

    def new(self, host: str = "127.0.0.1") -> str:
        """The URL of a new, empty database."""
        self._databases += 1
        name = f"outbox{self._databases}"
        self._run(f"create database {name}")
        return self._url(name, host)

    def _url(self, name: str, host: str = "127.0.0.1") -> str:
        return f"postgresql://{self._user}@{host}:{self._port}/{name}"

    def _run(self, words: str) -> None:
        url = sa.make_url(self._url("postgres")).set(drivername="postgresql+psycopg")
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as tx:
            tx.exec_driver_sql(words)


@contextlib.contextmanager
def running(bin_: Path, listen: str = "127.0.0.1") -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="outbox-postgres-"))
    try:
        server = Postgres(folder, bin_, listen)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
