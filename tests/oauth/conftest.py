"""A scripted provider, a home with one connection that uses it, and a clock that stands still."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datapallas.connection import keys
from datapallas.connection.folder import Folder
from datapallas.connection.model import Connection, Server
from datapallas.connection.update import Granted
from datapallas.oauth.endpoint import Endpoint
from datapallas.oauth.source import ConnectionTokenSource
from datapallas.secret import Secret
from oauth.scripted import Idp, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CODE = "eml-reports"


class FakeClock:
    """Two clocks that move when told."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.ran = 1000.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.ran

    def run(self, seconds: float) -> None:
        self.now += seconds
        self.ran += seconds


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own machine may have a proxy; a test that wants one says so."""
    for name in (
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "BROWSER",
    ):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def idp() -> Iterator[Idp]:
    with serving(Idp()) as running:
        yield running


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def endpoint(clock: FakeClock) -> Endpoint:
    return Endpoint(clock=clock)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "config" / "connections").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def folder(root: Path) -> Folder:
    return Folder(root, lambda: keys.ensure(root, {}))


@pytest.fixture
def connection(folder: Folder, idp: Idp) -> Connection:
    """A connection nobody has signed in to yet."""
    return folder.create(
        Connection(
            code=CODE,
            name="Reports",
            server=Server(host="mail.example"),
            from_address="reports@contoso.example",
            credential=idp.client(),
        )
    )


@pytest.fixture
def signed_in(folder: Folder, idp: Idp, connection: Connection) -> str:
    """The same after a sign-in; the refresh token that is stored."""
    token = idp.new_family()
    with folder.locked_update(CODE) as update, update.reserve():
        update.store_refresh_token(
            Secret(token),
            Granted(
                at="2027-01-15T08:00:00Z",
                issued_at="2027-01-15T08:00:00Z",
                user_email="reports@contoso.example",
                scope="mail",
            ),
        )
    return token


@pytest.fixture
def new_source(folder: Folder, endpoint: Endpoint, clock: FakeClock) -> Callable[[], ConnectionTokenSource]:
    """Sources as separate processes would have them: each with a memory of its own."""
    return lambda: ConnectionTokenSource(folder, CODE, endpoint, clock, chance=lambda: 0.5)


@pytest.fixture
def source(signed_in: str, new_source: Callable[[], ConnectionTokenSource]) -> ConnectionTokenSource:
    return new_source()
