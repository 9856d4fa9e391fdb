"""A person at a terminal: types a command, reads what it prints, sees how it ended.

Whatever is typed is watched: no secret of the sandbox may be in what a command prints or in its arguments, and with
`--json` there must be exactly one JSON document.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shlex
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from datapallas.cli import main
from datapallas.sandbox.person import LOGIN_VARIABLE, browse

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from datapallas.sandbox import Sandbox

CODE = "eml-sandbox"
PERSON = f"{shlex.quote(sys.executable)} -m datapallas.sandbox.person %s"


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)


class Shell:
    """The terminal of one person, in one home. `run` starts a real process; `call` is the same command, quicker."""

    def __init__(
        self,
        root: Path,
        sandbox: Sandbox,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.root = root
        self.sandbox = sandbox
        self.capsys = capsys
        self.monkeypatch = monkeypatch
        self.secrets: set[str] = set()
        self.person = Browser()
        for name in set(os.environ) - {"PATH", "LANG", "LC_ALL", "TMPDIR"}:
            monkeypatch.delenv(name)
        self.put(HOME=str(root), DATAPALLAS_HOME=str(root), BROWSER=PERSON)
        monkeypatch.setattr("datapallas.oauth.sign_in.open_address", self.person)
        monkeypatch.chdir(root)

    @property
    def file(self) -> Path:
        """The file of the sandbox's connection."""
        return self.root / "config" / "connections" / f"{CODE}.xml"

    def put(self, **variables: str) -> None:
        """Change the environment."""
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)

    def call(self, *words: str, stdin: bytes = b"", watched: bool = True) -> Done:
        """Type a command; it runs in this process."""
        self.capsys.readouterr()
        with self.monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
            code = main(list(words))
        out, err = self.capsys.readouterr()
        return self._seen(words, Done(code, out, err), watched=watched)

    def run(self, *words: str, stdin: bytes = b"", watched: bool = True) -> Done:
        """Type a command; it is a process of its own."""
        done = subprocess.run(
            self.command(*words), env=dict(os.environ), input=stdin, capture_output=True, check=False
        )
        found = Done(done.returncode, done.stdout.decode(), done.stderr.decode())
        return self._seen(words, found, watched=watched)

    def start(self, *words: str, **how: Any) -> subprocess.Popen[str]:
        """Type a command that goes on running."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **how}
        running = subprocess.Popen(self.command(*words), env=dict(os.environ), **pipes)
        end = threading.Timer(30, running.kill)  # a test that waits for a line in vain fails then
        end.daemon = True
        end.start()
        return running

    @staticmethod
    def command(*words: str) -> list[str]:
        """What a terminal starts."""
        return [sys.executable, "-m", "datapallas", *words]

    def known_secrets(self) -> set[str]:
        """Every secret there is so far: passwords, client secrets, tokens, codes, keys."""
        ledger = self.sandbox.provider.ledger
        made = {name for table in (ledger.accesses, ledger.refreshes, ledger.codes) for name in table}
        key = self.root / "data" / "keys" / "keyring.json"
        if key.exists():
            made |= {row["key"] for row in json.loads(key.read_text())["keys"]}
        return made | self.secrets | {self.sandbox.client_secret.reveal(), self.sandbox.password.reveal()}

    def _seen(self, words: tuple[str, ...], done: Done, *, watched: bool) -> Done:
        for secret in self.known_secrets():
            assert not any(secret in word for word in words), "a secret was typed in the open"
            if watched:
                assert secret not in done.out + done.err
        if "--json" in words:
            json.loads(done.out)
        assert "Traceback" not in done.err or "DATAPALLAS_DEBUG" in os.environ
        return done

    def create(self, *more: str, login: str = "alice@sandbox.example") -> None:
        """Make the connection eml-sandbox, as the sandbox says it is made."""
        from datapallas.sandbox.serve import describe

        words = [login if word == self.sandbox.users[0] else word for word in describe(self.sandbox).create]
        done = self.call("connection", "create", *words, *more)
        assert done.code == 0, done.err

    def signed_in(self) -> None:
        """Make the connection, with somebody signed in to it."""
        from datapallas.home import Home

        found = dataclasses.replace(self.sandbox.connection(signed_in=True), default=True)
        Home(self.root, os.environ).folder.create(found)


class Browser:
    """Opens addresses as the system's browser does: in the background, with a person who presses the buttons."""

    def __init__(self) -> None:
        self.login = ""
        self.deny = False
        self.there = True
        self.opened: list[str] = []
        self.threads: list[threading.Thread] = []

    def __call__(self, url: str, environ: dict[str, str]) -> bool:
        self.opened.append(url)
        if self.there:
            login = self.login or environ.get(LOGIN_VARIABLE, "")
            how = {"login": login, "deny": self.deny}
            thread = threading.Thread(target=browse, args=(url,), kwargs=how)
            self.threads.append(thread)
            thread.start()
        return True
