"""`worker`, `outbox workers` and `connection migrate`, as somebody types them."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.shell import Shell
    from datapallas.sandbox import Sandbox
    from outbox.postgres import Postgres

TO = ("--to", "bob@sandbox.example")


@pytest.fixture
def started(shell: Shell) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start `datapallas worker`; it is killed at the end if it still runs."""
    running: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "datapallas", "worker", "--json"]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        assert running[-1].stderr is not None
        assert "Working" in running[-1].stderr.readline()
        return running[-1]

    yield start
    for one in running:
        one.kill()
        one.communicate()


def listed(shell: Shell) -> list[str]:
    """The states of all workers, when there is one."""
    wait, end = threading.Event(), time.monotonic() + 60
    while time.monotonic() < end:
        lines = shell.call("outbox", "workers", "--json").json["workers"]
        if lines:
            return [f"{line['kind']} {line['state']}" for line in lines]
        wait.wait(0.02)
    raise AssertionError("no worker")


def test_a_worker_sends_what_comes(
    shell: Shell, sandbox: Sandbox, started: Callable[[], subprocess.Popen[str]]
) -> None:
    """Without a page; it is listed; SIGTERM ends it, and it says so."""
    shell.signed_in()
    shell.call("outbox", "status")
    assert "Nobody drains" in shell.call("outbox", "workers").err
    worker = started()
    assert shell.call("send", "--queue", *TO, "--subject", "Figures").code == 0
    assert sandbox.wait(1)[0].message["Subject"] == "Figures"
    assert listed(shell) == ["worker running"]
    assert str(worker.pid) in shell.call("outbox", "workers").out
    worker.send_signal(signal.SIGTERM)
    out, err = worker.communicate(timeout=60)
    assert worker.returncode == 0 and '"ok": true' in out and "has ended" in err
    assert listed(shell) == ["worker ended"]


def test_a_fleet_from_one_machine(
    shell: Shell, sandbox: Sandbox, server: Postgres, started: Callable[[], subprocess.Popen[str]]
) -> None:
    """Every door works on connections in the database: list, change, default, copy, delete, sign-in, send, worker."""
    shell.signed_in()
    assert shell.call("connection", "migrate").code != 0
    shell.put(DATAPALLAS_DATABASE=server.new())
    dry = shell.call("connection", "migrate", "--dry-run")
    assert dry.code == 0 and "Would move 1 connection" in dry.out and shell.file.exists()
    assert shell.call("connection", "migrate", "--json").json["moved"] == ["eml-sandbox"]
    assert not shell.file.exists()
    assert shell.call("connection", "list", "--json").json["connections"][0]["health"] == "connected"
    assert "DATAPALLAS_DATABASE" in shell.call("connection", "show", "eml-sandbox").out
    assert shell.call("connection", "set", "eml-sandbox", "from-name=Reports").code == 0
    assert shell.call("connection", "duplicate", "eml-sandbox", "Second").code == 0
    assert shell.call("connection", "default", "eml-second").code == 0
    assert shell.call("connection", "default", "eml-sandbox").code == 0
    assert shell.call("connection", "delete", "eml-second").code == 0
    assert shell.call("oauth2", "refresh", "--connection", "eml-sandbox").code == 0
    assert shell.call("oauth2", "keep-alive").code == 0
    assert shell.call("keys", "verify").code == 0 and shell.call("keys", "rotate").code == 0
    assert shell.call("system", "doctor", "eml-sandbox").code == 0
    assert shell.call("send", *TO, "--subject", "Now").code == 0
    assert shell.call("send", "--queue", *TO, "--subject", "Later").code == 0
    started()
    assert [mail.message["Subject"] for mail in sandbox.wait(2)] == ["Now", "Later"]
    assert listed(shell) == ["worker running"]
    assert shell.call("oauth2", "sign-out").code == 0
    assert shell.call("oauth2", "sign-in").code == 0
    assert shell.call("connection", "migrate", "--to-files").code == 0 and shell.file.exists()
    shell.monkeypatch.delenv("DATAPALLAS_DATABASE")
    assert shell.call("connection", "list", "--json").json["connections"][0]["health"] == "connected"
