"""`system doctor`, as a person or a script meets it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli.shell import CODE
from datapallas.diagnosis.doctor import CHECKS

if TYPE_CHECKING:
    from cli.shell import Shell
    from datapallas.sandbox import Sandbox

DOCTOR = ("system", "doctor")


def test_all_is_well(shell: Shell, sandbox: Sandbox) -> None:
    """Each check with its tick and what it found; nothing is sent, no secret is shown."""
    shell.signed_in()
    done = shell.call(*DOCTOR)
    assert done.code == 0 and done.err == ""
    assert [line[0] for line in done.out.splitlines() if line][:3] == ["\N{CHECK MARK}"] * 3
    for check in CHECKS:
        assert check.title in done.out
    assert "Nothing stands in the way." in done.out and not sandbox.messages
    found = shell.call(*DOCTOR, "--json").json
    assert found["ok"] and found["exit_code"] == 0 and found["connection"] == CODE and "error" not in found
    assert [one["name"] for one in found["checks"]] == [check.name for check in CHECKS]
    assert {one["mark"] for one in found["checks"]} == {"ok", "skipped"}


@pytest.mark.parametrize("words", [(CODE,), ("--connection", CODE), ("--email-connection-file", f"config/connections/{CODE}.xml")])  # fmt: skip
def test_a_cause_is_named_once_with_one_next_step(shell: Shell, words: tuple[str, ...]) -> None:
    """A revoked sign-in: the doctor stops there, says what to do, and ends as a sending would."""
    shell.signed_in()
    shell.sandbox.provider.ledger.revoke_user("alice@sandbox.example")
    done = shell.call(*DOCTOR, *words)
    assert done.code == 77 and done.out.count("\N{BALLOT X}") == 1
    assert "Mail server" not in done.out and done.err.count("Do this:") == 1
    assert f"oauth2 sign-in --connection {CODE}" in done.err
    found = shell.call(*DOCTOR, *words, "--json")
    assert found.code == 77 and found.json["error"]["id"] == "grant-refused"
    marks = {one["name"]: one["mark"] for one in found.json["checks"]}
    assert marks["provider"] == "ok" and marks["token"] == "failed" and marks["port"] == "not-reached"


def test_before_there_is_a_connection(shell: Shell) -> None:
    """`--provider` looks at what this machine can reach, and needs neither home nor sign-in."""
    proxy = "http://127.0.0.1:9"
    shell.put(HTTPS_PROXY=proxy)
    found = shell.call(*DOCTOR, "--provider", "microsoft", "--json")
    assert found.code == 75 and found.json["error"]["id"] == "proxy" and found.json["connection"] == ""
    marks = {one["name"]: one["mark"] for one in found.json["checks"]}
    assert marks["home"] == "ok" and marks["connection"] == "skipped" and marks["proxy"] == "failed"
    assert "127.0.0.1:9" in shell.call(*DOCTOR, "--preset", "fastmail").err
    assert [path for path in shell.root.rglob("*") if path.is_file()] == []


def test_what_cannot_be_examined(shell: Shell) -> None:
    """No connection at all, one that is not there, and two at once are told as such."""
    assert shell.call(*DOCTOR).code == 78
    shell.signed_in()
    assert shell.call(*DOCTOR, "eml-other", "--json").json["error"]["id"] == "unknown-connection"
    assert shell.call(*DOCTOR, CODE, "--connection", CODE).code == 64
    assert shell.call(*DOCTOR, CODE, "--provider", "google").code == 64
    assert shell.call(*DOCTOR, "--provider", "generic").code == 64


def test_a_terminal_without_ticks(shell: Shell) -> None:
    """Where the terminal has no tick, words say the same."""
    shell.signed_in()
    shell.put(PYTHONIOENCODING="ascii")
    done = shell.run(*DOCTOR)
    assert done.code == 0 and done.out.startswith("ok ")
