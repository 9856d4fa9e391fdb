"""The audit: every line stays, and one that was changed is found."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from datapallas.errors import StorageError
from datapallas.web.audit import Audit, Person, verify
from web.page import Hands

if TYPE_CHECKING:
    from pathlib import Path

ANNA = Person("anna", "203.0.113.9")


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    """An audit with three lines."""
    audit = Audit(tmp_path, Hands())
    for number in range(3):
        audit.write(ANNA, "connection-saved", connection=f"eml-{number}", changed=["host", "port"])
    return audit


def test_a_line_says_who_did_what_when_and_from_where(audit: Audit) -> None:
    """Each line is one JSON object, private to the owner of the home."""
    line = json.loads(audit.path.read_text().splitlines()[1])
    assert line["who"] == "anna"
    assert line["from"] == "203.0.113.9"
    assert line["what"] == "connection-saved"
    assert line["facts"] == {"connection": "eml-1", "changed": ["host", "port"]}
    assert line["at"].endswith("Z")
    assert stat.S_IMODE(audit.path.stat().st_mode) == 0o600
    assert verify(audit.path).problem == ""
    assert verify(audit.path).lines == 3


@pytest.mark.parametrize("number", [1, 2])
def test_a_line_that_was_changed_or_taken_out_is_found(audit: Audit, number: int) -> None:
    """Whoever changes or removes a line before the last one is found out."""
    lines = audit.path.read_bytes().splitlines(keepends=True)
    changed = [*lines]
    changed[number - 1] = changed[number - 1].replace(b"anna", b"bert")
    audit.path.write_bytes(b"".join(changed))
    assert verify(audit.path).problem == f"line {number + 1} does not follow the line before it"
    audit.path.write_bytes(b"".join(lines[: number - 1] + lines[number:]))
    assert verify(audit.path).problem == f"line {number} does not follow the line before it"


@pytest.mark.parametrize("cut", [1, 20, 150])
def test_a_crash_in_the_middle_of_a_line_is_told_by_the_next(audit: Audit, cut: int) -> None:
    """What a killed process has half written stays in the file, and the next line says that it is torn."""
    whole = audit.path.read_bytes()
    half = whole.splitlines(keepends=True)[-1][:-cut]
    audit.path.write_bytes(whole + half)
    assert verify(audit.path).problem == ""  # the half is the last line: nobody has had the chance to say so
    audit.write(ANNA, "logout")
    audit.write(ANNA, "login")
    lines = audit.path.read_bytes().splitlines()
    assert lines[3] == half.removesuffix(b"\n")
    if cut > 1:
        assert json.loads(lines[4])["what"] == "audit-torn"
        assert json.loads(lines[4])["facts"] == {"bytes": len(half)}
        assert [json.loads(line)["what"] for line in lines[5:]] == ["logout", "login"]
        assert verify(audit.path).problem == ""


def test_rubbish_between_the_lines_is_found(audit: Audit) -> None:
    """A line that is none, and that no line after it explains, is a problem."""
    lines = audit.path.read_bytes().splitlines(keepends=True)
    audit.path.write_bytes(lines[0] + b"rubbish\n" + lines[1])
    assert verify(audit.path).problem == "line 2 is not a line of the audit"
    audit.path.write_bytes(lines[0] + b"rubbish\nrubbish\n")
    assert verify(audit.path).problem == "line 3 is not a line of the audit"


_WRITE = """
import sys, pathlib
from datapallas.web.audit import Audit, Person
audit = Audit(pathlib.Path(sys.argv[1]))
for number in range(30):
    audit.write(Person("process " + sys.argv[2]), "test", number=number)
"""


def test_many_processes_write_one_chain(tmp_path: Path) -> None:
    """The command line and a running server write to the same audit; no line is lost and the chain holds."""
    words = [sys.executable, "-c", _WRITE, str(tmp_path)]
    processes = [subprocess.Popen([*words, str(number)]) for number in range(3)]
    assert [one.wait(60) for one in processes] == [0, 0, 0]
    found = verify(tmp_path / "data" / "audit.log")
    assert (found.lines, found.problem) == (90, "")


def test_a_writer_that_is_killed_leaves_a_whole_chain(tmp_path: Path) -> None:
    """kill -9 at any moment: what was written before is there, and writing goes on."""
    script = _WRITE.replace("range(30)", "range(10**9)")
    running = subprocess.Popen([sys.executable, "-c", script, str(tmp_path), "1"])
    audit = Audit(tmp_path)
    while not audit.path.exists() or audit.path.read_bytes().count(b"\n") < 5:
        assert running.poll() is None
    running.kill()
    running.wait(60)
    before = audit.path.read_bytes().count(b"\n")
    audit.write(ANNA, "login")
    found = verify(audit.path)
    assert found.problem == ""
    assert found.lines >= before + 1 >= 6


def test_what_comes_from_outside_is_cut(audit: Audit) -> None:
    """A name or a header of any length, and with any characters, makes one line of bounded length."""
    audit.write(
        Person("x" * 100_000, "y\n" * 1000), "login-failed", host="\ud800\n" * 10_000, many=["z" * 9999] * 99
    )
    lines = audit.path.read_bytes().splitlines()
    assert len(lines) == 4
    assert len(lines[-1]) < 65_536
    assert verify(audit.path).problem == ""


def test_an_audit_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """Nothing is changed unseen: whoever writes learns that the line is not there."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "audit.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError):
        Audit(tmp_path).write(ANNA, "login")
    assert not (tmp_path / "elsewhere").exists()
