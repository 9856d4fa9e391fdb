"""A fresh sandbox for each test, and programs that sign in at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datapallas.sandbox import Sandbox
from sandbox.program import Program

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A fresh sandbox; starting one takes 40 ms."""
    with Sandbox() as running:
        yield running


@pytest.fixture
def program(sandbox: Sandbox) -> Program:
    """A public program at it."""
    return Program(sandbox)


@pytest.fixture
def microsoft(sandbox: Sandbox) -> Program:
    """A program that speaks to Microsoft."""
    program = Program(sandbox, base=f"/{sandbox.tenant_id}/oauth2/v2.0/authorize")
    program.token_path = f"/{sandbox.tenant_id}/oauth2/v2.0/token"
    return program
