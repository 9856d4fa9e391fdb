"""Fixtures of the SMTP tests: an authority, both drivers, our server, scripted servers."""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from datapallas.smtp.server.listener import Background
from datapallas.smtp.tls import ClientContext, tls_context
from smtp.harness import Asyncio, Blocking, Driver, Peer, Script
from smtp.post import OFFER, Post

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from datapallas.smtp.server.policy import Offer
    from smtp.post import Start


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def root_certificate(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("authority") / "root.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="session")
def trust(root_certificate: Path) -> ClientContext:
    """What a client trusts."""
    return tls_context(str(root_certificate))


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """What a server named localhost shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(params=[Blocking, Asyncio], ids=["blocking", "asyncio"])
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    made: Driver = request.param()
    yield made
    made.close()


@pytest.fixture
def post() -> Iterator[Start]:
    """Start our own server with what it offers."""
    with Background() as background, contextlib.ExitStack() as stack:

        def start(offer: Offer = OFFER, **values: Any) -> Post:
            return stack.enter_context(Post(offer, **values).running(background))

        yield start


@pytest.fixture
def script() -> Iterator[Callable[..., Script]]:
    """Start a server that follows a script; what goes wrong in it fails the test."""
    made: list[Script] = []

    def start(*scripts: Callable[[Peer], object]) -> Script:
        made.append(Script(*scripts))
        return made[-1]

    yield start
    for each in made:
        each.finish()
