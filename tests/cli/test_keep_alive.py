"""Keeping sign-ins alive from a terminal, and the units that do it on a server."""

from __future__ import annotations

import configparser
import dataclasses
import datetime as dt
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from datapallas.cli.app import app
from datapallas.connection.model import OAuth2Client
from datapallas.home import Home

if TYPE_CHECKING:
    from cli.shell import Shell

UNITS = Path(__file__).parents[2] / "packaging" / "systemd"
CODE = "eml-sandbox"


def aged(shell: Shell, days: float) -> None:
    """Signed in so many days ago."""
    then = dt.datetime.now(dt.UTC) - dt.timedelta(days=days)
    found = shell.sandbox.connection(signed_in=True)
    assert isinstance(found.credential, OAuth2Client)
    client = dataclasses.replace(found.credential, issued_at=then.isoformat(timespec="seconds"))
    Home(shell.root, {}).folder.create(dataclasses.replace(found, credential=client, default=True))


def test_an_idle_sign_in_is_refreshed_and_a_used_one_left(shell: Shell) -> None:
    """Once refreshed, a second run finds nothing to do; --idle-days says what idle means."""
    aged(shell, 8)
    assert shell.call("oauth2", "keep-alive").out == f"{CODE}: refreshed\n"
    assert shell.call("oauth2", "keep-alive").out == f"{CODE}: used lately\n"
    done = shell.call("oauth2", "keep-alive", "--idle-days", "0", "--connection", CODE, "--json")
    assert done.json["connections"][0]["outcome"] == "refreshed" and done.json["ok"]


def test_the_exit_code_says_who_must_act(shell: Shell) -> None:
    """75 while the provider is down, 78 for a refused client, 77 when a person must sign in."""
    aged(shell, 8)
    for what, code in (("503", 75), ("AADSTS7000222", 78)):
        shell.sandbox.faults.next("token", what, times=2)
        done = shell.call("oauth2", "keep-alive")
        assert done.code == code and f"{CODE}: failed: " in done.out
        shell.sandbox.faults.clear()
    shell.sandbox.provider.ledger.revoke_user(shell.sandbox.users[0])
    assert shell.call("oauth2", "keep-alive").code == 77
    done = shell.call("oauth2", "keep-alive", "--json")
    assert done.code == 77 and done.json["connections"][0]["outcome"] == "parked"
    assert shell.call("oauth2", "keep-alive", "--connection", "eml-nobody").code == 78


def test_a_warning_is_on_standard_error_once_and_in_status(shell: Shell) -> None:
    """A secret that ends next week: told once by keep-alive; --check ends with 78 until it is replaced."""
    aged(shell, 0)
    day = dt.datetime.now(dt.UTC) + dt.timedelta(days=6)
    shell.call("connection", "set", CODE, "--client-secret", "-", stdin=b"sandbox-secret")
    assert shell.call("connection", "set", CODE, "--secret-ends", f"{day:%Y-%m-%d}").code == 0
    assert shell.call("connection", "show", CODE, "--json").json["secret-ends"] == f"{day:%Y-%m-%d}"
    first = shell.call("oauth2", "keep-alive", "--json")
    assert "The client secret of eml-sandbox ends in 5 days" in first.err
    assert [one["days"] for one in first.json["warnings"]] == [7]
    assert "client secret" not in shell.call("oauth2", "keep-alive").err
    done = shell.call("oauth2", "status", "--check", "--json")
    assert done.code == 78 and done.json["warnings"][0]["what"] == "client-secret"
    assert shell.call("oauth2", "status").code == 0
    shell.call("connection", "set", CODE, "--client-secret", "-", stdin=b"sandbox-secret")
    assert shell.call("oauth2", "status", "--check").code == 0


def test_a_warning_nobody_could_be_told_ends_with_78(shell: Shell) -> None:
    """Settings that cannot be used and a webhook that is gone are not swallowed."""
    aged(shell, 0)
    day = dt.datetime.now(dt.UTC)
    shell.call(
        "connection", "set", CODE, "--client-secret", "-", "--secret-ends", f"{day:%Y-%m-%d}", stdin=b"x1"
    )
    shell.put(DATAPALLAS_WEBHOOK="http://127.0.0.1:9/cnry")
    done = shell.call("oauth2", "keep-alive")
    assert done.code == 78 and "not told by webhook" in done.err and "cnry" not in done.err
    shell.put(DATAPALLAS_WEBHOOK="http://elsewhere.example/cnry")
    done = shell.call("oauth2", "keep-alive")
    assert done.code == 78 and "not https" in done.err and "cnry" not in done.err


@pytest.mark.parametrize("unit", sorted(UNITS.iterdir()), ids=lambda unit: unit.name)
def test_a_unit_starts_a_command_that_exists(unit: Path) -> None:
    """What systemd is told to start is a real command with real options, as the user the home belongs to."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit)
    if unit.suffix == ".timer":
        assert parser["Timer"]["OnCalendar"] == "daily"
        assert unit.with_suffix(".service").is_file()
        return
    words = shlex.split(parser["Service"]["ExecStart"])[1:]
    command: click.Command = app
    with click.Context(app) as context:
        while words and isinstance(command, click.Group):
            found = command.get_command(context, words.pop(0))
            assert found is not None
            command = found
        known = {name for option in command.get_params(context) for name in option.opts}
    assert {word for word in words if word.startswith("--")} <= known
    assert parser["Service"]["User"] == "datapallas" and parser["Service"]["UMask"] == "0077"
