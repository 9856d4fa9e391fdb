"""`keys`, `explain`, `sandbox`, `demo`, and what holds for every command."""

from __future__ import annotations

import json
import re
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from cli.shell import CODE, Shell
from datapallas.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


def every_command(group: click.Group = app, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of each command."""
    with click.Context(app) as context:
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            if isinstance(found, click.Group):
                yield from every_command(found, (*path, name))
            else:
                yield *path, name


@pytest.mark.parametrize("words", list(every_command()), ids=" ".join)
def test_every_command_has_help_and_json(shell: Shell, words: tuple[str, ...]) -> None:
    """--help says what a command does and knows --json; a wrong option with --json is one document and 64."""
    done = shell.call(*words, "--help")
    assert done.code == 0 and "--json" in done.out and done.err == ""
    assert all(line.strip() for line in done.out.splitlines()[:1])
    done = shell.call(*words, "--no-such-option", "--json")
    assert (
        done.code == 64 and done.json["exit_code"] == 64 and "--no-such-option" in done.json["error"]["title"]
    )


def test_the_tree_of_commands(shell: Shell) -> None:
    """Help at each level, the version, and a wrong word with the nearest right one."""
    assert "connection" in shell.call("--help").out
    assert re.fullmatch(r"datapallas \d+\.\d+\.\d+\n", shell.call("--version").out)
    done = shell.call("conection", "list")
    assert done.code == 64 and "connection" in done.err
    assert shell.call("system").code == 64
    assert "sign-in" in shell.call("system", "oauth2").err
    assert shell.call("system", "oauth2", "signin", "--json").json["error"]["title"].count("sign-in")


def test_keys(shell: Shell) -> None:
    """Made by the first secret, verified, rotated; an existing one is never replaced."""
    assert "no sealed value" in shell.call("keys", "verify").out
    made = shell.call("keys", "init", "--json").json
    assert made["ok"] and str(shell.root) in made["source"]
    assert shell.call("keys", "init").code == 78
    shell.signed_in()
    assert shell.call("keys", "verify", "--json").json["values"][0]["kid"] == made["kid"]
    turned = shell.call("keys", "rotate", "--json").json
    assert turned["ok"] and turned["resealed"] == 1 and turned["primary"] != made["kid"]
    assert shell.call("keys", "verify").code == 0
    assert shell.call("send", "--to", "bob@sandbox.example").code == 0


def test_a_lost_key_is_never_made_anew_in_silence(shell: Shell) -> None:
    """Without the key: 78 and its place everywhere, the list still works; --abandon and a sign-in begin again."""
    shell.signed_in()
    key = shell.root / "data" / "keys" / "keyring.json"
    key.unlink()
    for words in (
        ("send", "--to", "bob@sandbox.example"),
        ("oauth2", "sign-in"),
        ("keys", "init"),
        ("keys", "rotate"),
    ):
        done = shell.call(*words)
        assert done.code == 78, words
        assert not key.exists()
    assert "keyring.json" in done.err
    verify = shell.call("keys", "verify", "--json")
    assert verify.code == 78 and not verify.json.get("ok")
    assert "cannot be read" in shell.call("connection", "list").out
    assert shell.call("keys", "init", "--abandon").code == 0
    assert shell.call("send", "--to", "bob@sandbox.example").code == 78
    assert shell.call("oauth2", "sign-in").code == 0
    assert shell.call("send", "--to", "bob@sandbox.example").code == 0


def test_a_key_others_may_read_stops_everything(shell: Shell) -> None:
    """A key file of mode 0644 is refused with the command that mends it."""
    shell.signed_in()
    (shell.root / "data" / "keys" / "keyring.json").chmod(0o644)
    done = shell.call("send", "--to", "bob@sandbox.example")
    assert done.code == 78 and "chmod" in done.err


def test_explain(shell: Shell) -> None:
    """As arguments, from standard input, several at once, unknown, nothing."""
    text = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant."
    assert "switched off for the whole tenant" in shell.call("explain", text).out
    found = shell.call("explain", "--json", stdin=f"{text}\nAADSTS50076: x\n".encode()).json
    assert found["ok"] and len(found["diagnoses"]) == 2
    assert shell.call("explain", "the moon is full").code == 0
    assert shell.call("explain", stdin=b"caf\xe9 \x1b[31m\n").code == 0
    assert "\x1b" not in shell.call("explain", "\x1b[31mred").out
    assert shell.call("explain").code == 64


def test_the_sandbox_command(shell: Shell) -> None:
    """It says in one document how to point a connection at it, works with that, and ends with Ctrl-C."""
    with shell.start("sandbox", "--json") as running:
        assert running.stderr and running.stdout
        assert any("Ctrl-C" in line for line in iter(running.stderr.readline, ""))
        text = ""
        while not text.endswith("\n}\n"):
            line = running.stdout.readline()
            assert line
            text += line
        told = json.loads(text)
        assert shell.call("connection", "create", *told["create"]).code == 0
        assert shell.call("oauth2", "sign-in").code == 0
        assert shell.call("send", "--to", "bob@sandbox.example").code == 0
        assert len(list(Path(told["mail_folder"]).glob("*.eml"))) == 1
        running.send_signal(signal.SIGINT)
        rest, _ = running.communicate(timeout=60)
    assert running.returncode == 0 and rest == "" and not Path(told["mail_folder"]).exists()


def test_the_sandbox_ends_cleanly_when_told_to_stop(shell: Shell, tmp_path: Path) -> None:
    """SIGTERM, as a service manager sends it, leaves no folder behind."""
    (tmp_path / "tmp").mkdir()
    shell.put(TMPDIR=str(tmp_path / "tmp"))
    with shell.start("sandbox") as running:
        assert running.stderr
        assert any("Ctrl-C" in line for line in iter(running.stderr.readline, ""))
        running.terminate()
        running.communicate(timeout=60)
    assert running.returncode == 0 and not list((tmp_path / "tmp").iterdir())


def test_a_sandbox_port_that_is_taken(shell: Shell) -> None:
    """A fixed port somebody else has is told in one document."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        done = shell.call("sandbox", "--smtp-port", str(other.getsockname()[1]), "--json")
    assert done.code == 64 and done.json["error"]["id"] == "sandbox-start"


def test_the_demo(shell: Shell) -> None:
    """`datapallas demo` asks nothing, shows everything, and leaves nothing."""
    before = sorted(shell.root.rglob("*"))
    done = shell.run("demo", "--json", watched=False)
    assert done.code == 0 and done.json["ok"] and len(done.json["arrived"]) == 17
    assert all(step["exit_code"] == 0 for step in done.json["steps"])
    assert done.json["steps"][-1]["output"] == "Connected as reports@sandbox.example\n"  # on the web page
    assert sorted(shell.root.rglob("*")) == before


def test_the_same_command_under_both_names(shell: Shell) -> None:
    """`DataPallas` and `datapallas` are one command."""
    text = (ROOT / "pyproject.toml").read_text()
    assert set(re.findall(r'^(\w+) = "datapallas\.cli:main"$', text, re.MULTILINE)) == {
        "datapallas",
        "DataPallas",
    }


def test_every_variable_of_the_environment_is_documented() -> None:
    """Each DATAPALLAS_ variable the program looks at stands in docs/, and so do the system's own it honours."""
    names = {"SSL_CERT_FILE", "HTTPS_PROXY", "NO_PROXY", "BROWSER"}
    for path in (ROOT / "src").rglob("*.py"):
        names |= set(re.findall(r"\bDATAPALLAS_[A-Z_]*[A-Z]\b", path.read_text("utf-8")))
    assert len(names) > 6
    text = (ROOT / "docs" / "commands.md").read_text("utf-8")
    assert {name for name in names if f"`{name}`" not in text} == set()


def test_a_name_in_an_odd_encoding_ends_nothing(shell: Shell) -> None:
    """A terminal that cannot show a letter shows its number."""
    shell.create("--from-name", "Grüße")
    shell.put(PYTHONIOENCODING="ascii")
    done = shell.run("connection", "show", CODE)
    assert done.code == 0 and "Gr\\xfc\\xdfe" in done.out


def test_a_demo_that_fails_says_so(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that ends badly ends the demo with 70 and names its exit code."""
    monkeypatch.setattr("datapallas.cli.demo._LIBRARY", "raise SystemExit(3)")
    done = shell.call("demo", "--json")
    assert done.code == 70 and not done.json["ok"] and "ended with 3" in done.json["problem"]
