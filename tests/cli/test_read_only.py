"""A home on a disk that cannot be written to: what only looks works, everything else ends with 78."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from strangers.needs import missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli.shell import Shell

TO = ("--to", "bob@sandbox.example")


@pytest.fixture
def read_only(shell: Shell) -> Iterator[Path]:
    """A home with a job in its outbox, mounted read-only."""
    shell.signed_in()
    assert shell.call("send", "--queue", *TO, "--job", "november").code == 0
    assert shell.call("report", "history").code == 0
    if os.geteuid() != 0:
        missing("a read-only mount needs root")
    home = str(shell.root)
    done = subprocess.run(["mount", "--bind", home, home], capture_output=True, text=True, check=False)
    if done.returncode:
        missing(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", home], check=True)
        yield shell.root
    finally:
        subprocess.run(["umount", "-l", home], check=True)


@pytest.mark.usefixtures("read_only")
def test_looking_needs_no_right_to_write(shell: Shell) -> None:
    """Jobs, the state of the outbox and a search are shown from a read-only disk."""
    assert "november" in shell.call("job", "list").out
    assert "1 queued" in shell.call("job", "show", "november").out
    assert shell.call("outbox", "status", "--json").json["mailboxes"][0]["waiting"] == 1
    assert "bob@sandbox.example" in shell.call("outbox", "search", "bob").out
    assert shell.call("report", "history").code == 0


@pytest.mark.usefixtures("read_only")
@pytest.mark.parametrize(
    "words", [("send", "--queue", *TO), ("send", *TO), ("outbox", "run"), ("job", "cancel", "november")]
)
def test_what_writes_ends_with_78(shell: Shell, words: tuple[str, ...]) -> None:
    """No waiting gives a right, so a script must not try for ever; the reason is said."""
    done = shell.call(*words)
    assert done.code == 78 and "read" in done.err.lower() and "Do this:" in done.err, done.err
