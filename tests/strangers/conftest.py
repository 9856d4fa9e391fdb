"""Servers that are not ours, started once for all tests of this folder, on free ports, and gone at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from strangers.identity_provider import IdentityProvider, identity_provider
from strangers.installation import Installation
from strangers.mail_server import MailServer, mail_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def _running_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityProvider]:
    with identity_provider(tmp_path_factory.mktemp("provider")) as provider:
        yield provider


@pytest.fixture(scope="session")
def _running_mail(_running_provider: IdentityProvider) -> Iterator[MailServer]:
    with mail_server(_running_provider) as server:
        yield server


@pytest.fixture
def provider(_running_provider: IdentityProvider) -> IdentityProvider:
    """npm oidc-provider, with its settings back to normal."""
    _running_provider.settings()
    return _running_provider


@pytest.fixture
def mail(_running_mail: MailServer) -> Iterator[MailServer]:
    """Postfix and Dovecot, with an empty Maildir. What they logged is shown when the test fails."""
    _running_mail.clear()
    before = len(_running_mail.logs())
    yield _running_mail
    print(_running_mail.logs()[before:])  # noqa: T201 - pytest shows it with a failure


@pytest.fixture
def installation(tmp_path: Path, provider: IdentityProvider) -> Installation:
    """An empty home."""
    return Installation(tmp_path / "home", provider)
