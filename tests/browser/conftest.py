"""One browser, one server and one sandbox for each module; an empty home and a browser of one's own for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from browser import chromium as chromiums
from browser.served import served
from browser.visit import visiting
from datapallas.sandbox import Sandbox
from datapallas.sandbox.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, StorageState

    from browser.served import Served
    from browser.visit import Visit


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser."""
    with chromiums.chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def running_sandbox() -> Iterator[Sandbox]:
    """A provider and a mail server, whose device codes are asked for each second."""
    with Sandbox(settings=Settings(device_interval=1.0)) as running:
        yield running


@pytest.fixture
def sandbox(running_sandbox: Sandbox) -> Sandbox:
    """The sandbox, without mail and faults."""
    running_sandbox.inbox.clear()
    running_sandbox.faults.clear()
    return running_sandbox


@pytest.fixture(scope="module")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`datapallas serve`."""
    with served(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture(scope="module")
def session(chromium: Browser, running_server: Served) -> StorageState:
    """The cookie of somebody who has opened the link."""
    with visiting(chromium, running_server.origin) as visit:
        visit.page.goto(running_server.told["link"])
        return visit.context.storage_state()


@pytest.fixture
def server(running_server: Served) -> Served:
    """The server, with no connection in its home."""
    running_server.empty()
    return running_server


@pytest.fixture
def visit(chromium: Browser, server: Served, session: StorageState, tmp_path: Path) -> Iterator[Visit]:
    """A browser with a session, at a home without connections; nothing may go wrong in it that is not foreseen."""
    with visiting(chromium, server.origin, storage_state=session) as visit:
        yield visit
