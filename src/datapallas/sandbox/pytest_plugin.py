"""The pytest fixture `datapallas_sandbox`: a running sandbox for one test, for everybody who installs DataPallas.

Must stay true: loading this imports pytest and nothing of ours but the empty package, since it happens in every test
run of a user; the sandbox is imported when a test asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from datapallas.sandbox import Sandbox


@pytest.fixture
def datapallas_sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """An identity provider and a mail server on loopback; the mail they got is in `.messages`."""
    from datapallas.sandbox import Sandbox

    with Sandbox(tmp_path / "datapallas-sandbox") as sandbox:
        yield sandbox
