"""A terminal in a fresh home beside a running sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli.shell import Shell
from datapallas.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A fresh sandbox."""
    with Sandbox() as running:
        yield running


@pytest.fixture
def shell(
    tmp_path: Path,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Shell]:
    """A terminal in an empty home."""
    shell = Shell(tmp_path, sandbox, monkeypatch, capsys)
    yield shell
    for thread in shell.person.threads:
        thread.join(60)
