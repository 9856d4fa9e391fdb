"""The pytest fixture that ships with the package, as a user's project meets it."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = "datapallas.sandbox.pytest_plugin"
HEAVY = {"ssl", "asyncio", "cryptography", "httpx2", "email", "http", "xml"}
USERS_TEST = """
import smtplib, ssl

def test_mine(datapallas_sandbox):
    box = datapallas_sandbox
    with smtplib.SMTP(box.smtp_host, box.smtp_port) as server:
        server.starttls(context=ssl.create_default_context(cafile=box.ca_file))
        server.login(box.users[0], box.password.reveal())
        server.sendmail(box.users[0], ["r@any.example"], "Subject: mine\\r\\n\\r\\nhello")
    assert [mail.subject for mail in box.messages] == ["mine"]
"""


def run(*arguments: str, folder: Path) -> str:
    """Run Python, and give what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_loading_the_plugin_is_light(tmp_path: Path) -> None:
    """Every test run of every user loads the plugin: it must not load the sandbox, TLS or an event loop."""
    code = (
        f"import pytest, sys; before = set(sys.modules); import {PLUGIN};"
        "print(*sorted(set(sys.modules) - before))"
    )
    new = run("-c", code, folder=tmp_path).split()
    assert PLUGIN in new
    assert not HEAVY.intersection(name.partition(".")[0] for name in new)
    ours = {name for name in new if name.startswith("datapallas.")}
    assert ours <= {"datapallas.sandbox", PLUGIN}, ours


def test_the_fixture_works_in_a_users_project(tmp_path: Path) -> None:
    """A user's test asks for `datapallas_sandbox` and finds its mail there."""
    (tmp_path / "test_users.py").write_text(USERS_TEST)
    registered = {point.value for point in importlib.metadata.entry_points(group="pytest11")}
    plugin = () if PLUGIN in registered else ("-p", PLUGIN)
    said = run("-m", "pytest", *plugin, "-p", "no:cacheprovider", "-W", "error", folder=tmp_path)
    assert "1 passed" in said
