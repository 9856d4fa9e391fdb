"""The API of a page for one person, and the sandbox to send through."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from datapallas.sandbox import Sandbox
from datapallas.web.api import events
from datapallas.web.who import Role
from web.api.client import Api
from web.page import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from web.page import Page


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    # A change that wakes nobody is not found by the heartbeat either, so its test fails.
    monkeypatch.setattr(events, "stream", functools.partial(events.stream, heartbeat=600))
    with served(tmp_path) as page:
        yield page


@pytest.fixture
def api(page: Page) -> Api:
    """An administrator's program."""
    return Api(page, page.token(Role.ADMIN))


@pytest.fixture
def operator(page: Page) -> Api:
    return Api(page, page.token(Role.OPERATOR))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        running.settings.device_interval = 1.0
        yield running
