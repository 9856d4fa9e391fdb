"""Pages to come to: one for the person at this machine, one for several people."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from datapallas.web.services import Mode
from web.page import Page, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Page]:
    """A page for the person at this machine."""
    with served(tmp_path) as page:
        yield page


@pytest.fixture
def public(tmp_path: Path) -> Iterator[Page]:
    """A page for several people, with one for each role, behind a proxy on this machine."""
    with served(tmp_path, Mode.SERVED, proxies=frozenset({"127.0.0.0/8"})) as page:
        yield page


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody without a desktop, in an empty home."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return kept | {"HOME": str(tmp_path), "DATAPALLAS_HOME": str(tmp_path)}
