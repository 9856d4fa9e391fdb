"""`datapallas serve` as a process of its own, and other commands beside it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx2
import trustme

from web.page import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@dataclasses.dataclass
class Started:
    """A `datapallas serve` of its own process."""

    process: subprocess.Popen[str]
    told: dict[str, Any]

    def get(self, url: str, **how: Any) -> httpx2.Response:
        return httpx2.get(url, trust_env=False, timeout=60, **how)


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "datapallas", *words]


@contextlib.contextmanager
def started(environ: dict[str, str], *more: str, words: Sequence[str] = ()) -> Iterator[Started]:
    """`datapallas serve --json`, or what `words` say, until the block ends."""
    running = subprocess.Popen(
        words or command("serve", "--json", *more),
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stdout is not None
        text = ""
        while "\n}" not in text:
            line = running.stdout.readline()
            assert line, running.stderr.read() if running.stderr else ""
            text += line
        yield Started(running, json.loads(text))
    finally:
        running.kill()
        running.communicate()


def run(environ: dict[str, str], *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words), env=environ, input=stdin, capture_output=True, text=True, check=False, timeout=120
    )


@dataclasses.dataclass
class Tls:
    """A certificate for localhost, and how to serve a page with it."""

    authority: trustme.CA
    url: str
    words: tuple[str, ...]


def with_tls(environ: dict[str, str], folder: Path) -> Tls:
    """A certificate in `folder`, a free port, and the admin anna."""
    authority = trustme.CA()
    made = authority.issue_cert("localhost")
    certificate, key = folder / "chain.pem", folder / "key.pem"
    made.cert_chain_pems[0].write_to_path(str(certificate))
    made.private_key_pem.write_to_path(str(key))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"https://localhost:{port}"
    words = ("--tls-cert", str(certificate), "--tls-key", str(key), "--listen", f"127.0.0.1:{port}")
    done = run(environ, "user", "add", "anna", "--role", "admin", "--password", "-", stdin=PASSWORD)
    assert done.returncode == 0, done.stderr
    return Tls(authority, url, ("--public-url", url, *words))
