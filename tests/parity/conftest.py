"""The stand-in for every provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.register_assert_rewrite("parity.capture", "parity.differ", "parity.ours")

from parity.capture import StandIn  # noqa: E402 - after its asserts were made to speak

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """A loopback server that answers token requests with a token."""
    with StandIn() as server:
        yield server
