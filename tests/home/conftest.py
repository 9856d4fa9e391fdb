"""A home beside a running sandbox, and the sign-ins of it that go on in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datapallas.home import Home
from datapallas.home.sign_ins import SignIns
from datapallas.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        running.settings.device_interval = 1.0
        yield running


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return Home(tmp_path / "home", {})


@pytest.fixture
def sign_ins(home: Home) -> Iterator[SignIns]:
    running = SignIns(home)
    yield running
    running.close()
