"""`datapallas serve` as somebody starts it in a terminal, over a home that a test can look into."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

from datapallas.connection.file_store import FileStore
from datapallas.home import Home
from strangers.process import free_ports, wait_for
from web.command import command, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from datapallas.connection.model import Connection


def environ(root: Path) -> dict[str, str]:
    """The environment of somebody without a desktop, in the home `root`."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return kept | {"HOME": str(root), "DATAPALLAS_HOME": str(root)}


@dataclasses.dataclass
class Served:
    """A server that runs, or ran, and what it wrote.

    Attributes:
        root: the home.
        words: what it was started with after `serve`.
        log: the folder its output goes to.
    """

    root: Path
    words: tuple[str, ...]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    told: dict[str, Any] = dataclasses.field(default_factory=dict)
    _starts: int = 0
    _made: int = 0

    @property
    def origin(self) -> str:
        """Its address, without a path."""
        return str(self.told["url"])

    @property
    def home(self) -> Home:
        """The home, as another process sees it."""
        return Home(self.root, {})

    def start(self, *words: str) -> None:
        """Start it and wait until browsers can come; `words` replace those it was made with."""
        self._starts += 1
        out, err = (self.log / f"{self._starts}.{name}" for name in ("stdout", "stderr"))
        with out.open("wb") as stdout, err.open("wb") as stderr:
            asked = command("serve", "--no-browser", "--json", *(words or self.words))
            self.process = subprocess.Popen(asked, env=environ(self.root), stdout=stdout, stderr=stderr)

        def ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, err.read_text()
            return "\n}" in out.read_text()

        wait_for(ready, "the page to be served", 60)
        self.told = json.loads(out.read_text())

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Kill it, as a power cut would; or ask it to end."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(60)
            self.process = None

    def port(self) -> str:
        """The port, for a server that starts again at the same address."""
        return self.origin.rpartition(":")[2]

    def link(self) -> str:
        """A new one-use link into the page."""
        done = run(environ(self.root), "serve", "--new-link", "--no-browser", "--json")
        return str(json.loads(done.stdout)["link"])

    def said(self) -> bytes:
        """Everything it has written to the terminal so far."""
        return b"".join(path.read_bytes() for path in sorted(self.log.iterdir()))

    def files(self) -> dict[str, bytes]:
        """Every file of the home, by its path."""
        found = (path for path in sorted(self.root.rglob("*")) if path.is_file())
        return {str(path.relative_to(self.root)): path.read_bytes() for path in found}

    def empty(self) -> None:
        """Delete all connections."""
        for path in FileStore(self.home.folder.store.root).paths():
            path.unlink()

    def add(self, connection: Connection) -> str:
        """Store a connection under a code no earlier test had, so that nothing of an earlier test goes on for it."""
        self._made += 1
        name = f"Mailbox {self._made}"
        return self.home.folder.create(
            dataclasses.replace(connection, code=f"eml-{self._made}", name=name)
        ).code

    def stored(self, code: str) -> Connection:
        """A connection as it is stored now."""
        return self.home.folder.load(code)


@contextlib.contextmanager
def served(folder: Path, *words: str) -> Iterator[Served]:
    """A server over an empty home in `folder`, until the block ends."""
    (folder / "home").mkdir(exist_ok=True)
    (folder / "log").mkdir()
    # A port that no client is given while the server is killed and starts again.
    server = Served(folder / "home", words or ("--port", str(free_ports(1)[0])), folder / "log")
    try:
        server.start()
        yield server
    finally:
        server.end()
