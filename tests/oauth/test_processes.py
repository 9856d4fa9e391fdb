"""Several processes and one strict provider; processes that die in the middle of a refresh."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from datapallas import files
from datapallas.connection.file_store import FileStore
from datapallas.errors import Parked, StorageError
from oauth.conftest import CODE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datapallas.connection.folder import Folder
    from datapallas.oauth.source import ConnectionTokenSource
    from oauth.scripted import Idp

_ROUNDS = 20

# A process of its own: gets a token, as often as it is told, each time with an empty memory.
_CHILD = """
import os, signal, sys
from pathlib import Path
from datapallas.connection import keys
from datapallas.connection.folder import Folder
from datapallas.oauth.clock import SystemClock
from datapallas.oauth.endpoint import Endpoint
from datapallas.oauth.source import ConnectionTokenSource

root = Path(sys.argv[1])
folder = Folder(root, lambda: keys.ensure(root, {}))
def die(*args, **named):
    os.kill(os.getpid(), signal.SIGKILL)
def fresh():
    return ConnectionTokenSource(folder, "eml-reports", Endpoint(), SystemClock())
"""
_LOOP = "sys.stdin.readline()\nfor _ in range(int(sys.argv[2])): fresh().token()\n"

# Where a process is killed: patches of the child, none of the product.
_POINTS = {
    "with the lock taken": "from datapallas.connection import update; update.Update.opened = die",
    "with the place prepared": "from datapallas.connection import update; update.Update.intend = die",
    "with the intent written": "from datapallas.oauth import endpoint; endpoint.Endpoint.post = die",
    "with the answer in hand": "from datapallas.connection import update; update.Update.store_refresh_token = die",
    "in the middle of the write": """
real = os.write
def half(fd, data):
    if b"<oauth2refreshtoken>" in bytes(data):
        real(fd, bytes(data)[:len(data) // 2]); die()
    return real(fd, data)
os.write = half""",
    "before the write is cut to length": """
real = os.ftruncate
def cut(fd, size):
    if size > 400: die()
    return real(fd, size)
os.ftruncate = cut""",
    "before the rename": """
real = Path.replace
def rename(self, target):
    if self.name.endswith(".xml.next"): die()
    return real(self, target)
Path.replace = rename""",
    "after the rename": """
from datapallas import files
real = Path.replace
def rename(self, target):
    real(self, target)
    if self.name.endswith(".xml.next"): die()
Path.replace = rename""",
    "before the record": """
from datapallas.connection import record
real = record.save
def save(path, value):
    if value.intent is None: die()
    return real(path, value)
record.save = save""",
}
# The answer had come, or was on its way, and its token is not whole on disk.
_LOST = {"with the answer in hand", "in the middle of the write"}


def _start(root: Path, code: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD + code, str(root), *arguments],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_two_processes_refresh_twenty_times_at_once_and_nothing_is_lost(
    signed_in: str, root: Path, idp: Idp, folder: Folder
) -> None:
    """The strictest provider never sees an old token again, and the file ends with the newest one."""
    children = [_start(root, _LOOP, str(_ROUNDS)) for _ in range(2)]
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"go\n")
        child.stdin.flush()
    for child in children:
        _, told = child.communicate(timeout=180)
        assert child.returncode == 0, told.decode()
    assert idp.reuses == 0
    assert len(idp.token_requests()) == 2 * _ROUNDS
    (tokens,) = idp.families.values()
    assert len(tokens) == 2 * _ROUNDS + 1
    assert folder.reveal(folder.load(CODE), "refresh_token").reveal() == tokens[-1]


@pytest.mark.parametrize("point", _POINTS)
@pytest.mark.parametrize("grace", [True, False], ids=["a provider with grace", "a strict provider"])
def test_a_process_killed_at_any_point_leaves_a_sign_in_that_works(
    signed_in: str,
    root: Path,
    idp: Idp,
    new_source: Callable[[], ConnectionTokenSource],
    point: str,
    *,
    grace: bool,
) -> None:
    """kill -9 costs a sign-in only where a strict provider had rotated and its answer was not on disk; it says so."""
    child = _start(root, _POINTS[point] + "\nfresh().token()\n")
    _, told = child.communicate(timeout=180)
    assert child.returncode == -signal.SIGKILL, told.decode()
    if grace and point in _LOST:  # Microsoft: the old token goes on working
        for tokens in idp.families.values():
            tokens.append(tokens.pop(0))
    if not grace and point in _LOST:
        with pytest.raises(Parked, match="the answer was lost"):
            new_source().token()
        return
    assert new_source().token().value
    assert idp.reuses == 0
    path = next((root / "config" / "connections").glob("eml-*.xml"))
    assert not files.next_of(path).exists()


def test_ctrl_c_in_the_middle_of_a_refresh_loses_nothing(
    signed_in: str, root: Path, idp: Idp, folder: Folder
) -> None:
    """A command is interrupted while the provider answers: it ends, and what came is stored before it does."""
    idp.script = [lambda _: child.send_signal(signal.SIGINT)]
    child = _start(root, "fresh().token()\n")
    _, told = child.communicate(timeout=180)
    assert child.returncode == -signal.SIGINT, told.decode()
    assert b"KeyboardInterrupt" in told
    (tokens,) = idp.families.values()
    assert folder.reveal(folder.load(CODE), "refresh_token").reveal() == tokens[-1] != signed_in


def test_a_lock_holder_that_hangs_is_named(
    source: ConnectionTokenSource, folder: Folder, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process holds the lock too long: the error names it, and no request is sent."""
    monkeypatch.setattr(files, "locked", functools.partial(files.locked, seconds=0.1))
    lock = FileStore(folder.store.root).locks / f"{CODE}.lock"
    hold = (
        "from datapallas import files\n"
        "with files.locked(Path(sys.argv[2])):\n print('held', flush=True, file=sys.stderr); sys.stdin.readline()\n"
    )
    child = _start(folder.store.root, hold, str(lock))
    assert child.stderr is not None
    assert child.stderr.readline() == b"held\n"
    try:
        with pytest.raises(StorageError, match=f"process {child.pid}"):
            source.token()
    finally:
        child.kill()
        child.communicate()
    assert idp.token_requests() == []
    assert source.token().value  # the lock died with its holder
