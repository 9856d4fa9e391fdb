"""Files are whole or not there, private, and locked against others."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from datapallas import files
from datapallas.errors import StorageError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_private_from_its_first_byte(tmp_path: Path) -> None:
    """Even with umask 000, the prepared file and the final one are 0600, folders 0700."""
    before = os.umask(0)
    try:
        folder = files.private_directory(tmp_path / "a" / "b")
        with files.Reserved(folder / "x", 10) as place:
            assert mode(files.next_of(folder / "x")) == 0o600
            place.commit(b"hello")
    finally:
        os.umask(before)
    assert (mode(folder), mode(folder.parent), mode(folder / "x")) == (0o700, 0o700, 0o600)
    assert (folder / "x").read_bytes() == b"hello"


def test_a_failure_before_the_commit_leaves_the_old_file(tmp_path: Path) -> None:
    """An exception while the place is held changes nothing and leaves nothing."""
    path = tmp_path / "x"
    files.replace(path, b"old")
    with pytest.raises(ZeroDivisionError), files.Reserved(path, 100):
        _ = 1 // 0
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_symbolic_link_planted_as_the_next_version_is_not_followed(tmp_path: Path) -> None:
    """A planted link is removed, its target untouched."""
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    files.next_of(tmp_path / "x").symlink_to(target)
    files.replace(tmp_path / "x", b"new")
    assert target.read_bytes() == b"mine"
    assert not (tmp_path / "x").is_symlink()


def test_a_missing_folder_is_told_in_words(tmp_path: Path) -> None:
    """The error names the file and the reason, and says that it may pass."""
    with pytest.raises(StorageError, match="No such file") as caught:
        files.replace(tmp_path / "no" / "x", b"")
    assert caught.value.transient
    assert caught.value.exit_code == 75


def test_a_commit_can_be_repeated_after_the_folder_could_not_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new file is there after the first try; the second only makes it durable, and does not write into it."""
    path = tmp_path / "x"
    files.replace(path, b"old")
    with files.Reserved(path, 10) as place:
        sync = files.sync_directory

        def fails_once(folder: Path) -> None:
            monkeypatch.setattr(files, "sync_directory", sync)
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(files, "sync_directory", fails_once)
        with pytest.raises(StorageError):
            place.commit(b"new")
        place.commit(b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No space: refused when the place is taken, before any work is done for it."""

    def full(fd: int, offset: int, length: int) -> None:
        with Path("/dev/full").open("wb", buffering=0) as device:
            device.write(b"x")

    files.replace(tmp_path / "x", b"old")
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StorageError) as caught, files.Reserved(tmp_path / "x", 1):
        pytest.fail("the place was given on a full disk")
    assert caught.value.code == "disk-full"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_lock_keeps_another_process_out_and_dies_with_its_holder(tmp_path: Path) -> None:
    """A second process waits, then is told who holds it; after kill -9 of the holder the lock is free."""
    lock = tmp_path / "locks" / "a.lock"
    script = f"""
        import sys
        from pathlib import Path
        from datapallas import files
        with files.locked(Path({str(lock)!r})):
            print("held", flush=True)
            sys.stdin.read()
    """
    holder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout and holder.stdin
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(StorageError, match=f"process {holder.pid}"), files.locked(lock, seconds=0.05):
        pytest.fail("two holders")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    with files.locked(lock, seconds=1):
        pass


def test_what_exposes_a_secret_file_is_said(tmp_path: Path) -> None:
    """Readable by others, a link, not a file: each has its words."""
    path = tmp_path / "key"
    files.replace(path, b"k")
    assert files.exposed(path) == ""
    path.chmod(0o640)
    assert "0640" in files.exposed(path)
    link = tmp_path / "link"
    link.symlink_to(path)
    assert "link" in files.exposed(link)
    assert "plain file" in files.exposed(tmp_path)


def test_a_missing_right_is_not_something_to_wait_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only disk ends with 78, so that cron does not try for ever."""

    def read_only(*given: object) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(StorageError, match="Read-only") as caught:
        files.replace(tmp_path / "x", b"")
    assert (caught.value.transient, caught.value.exit_code) == (False, 78)
