"""What tests of several parts share: a PostgreSQL; and no test fails because the machine is busy."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import hypothesis
import pytest

from strangers.needs import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.postgres import Postgres

hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started with & by a script: what the tests start and interrupt would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """A PostgreSQL; started once, when a test asks for it."""
    from outbox import postgres

    programs = postgres.programs()
    if programs is None:
        missing(f"PostgreSQL is not installed: {postgres.ADVICE}")
    with postgres.running(programs) as found:
        yield found
