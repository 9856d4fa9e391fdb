"""The sandbox to play with: starts it, says how to point a connection at it, and keeps it running.

Must stay true: what `Serving` holds may be printed; the secrets in it are the sandbox's published ones.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from typing import TYPE_CHECKING

from datapallas.sandbox.running import Ports, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Everything a person needs to know about a running sandbox.

    Attributes:
        page: the address that shows arrived mail in a browser.
        users: who can sign in, with any password.
        mail_folder: where the .eml files are.
        create: the arguments of `datapallas connection create` that point a connection here.
    """

    page: str
    issuer: str
    authorize_url: str
    token_url: str
    client_id: str
    client_secret: str
    scope: str
    smtp_host: str
    smtp_port: int
    smtps_port: int
    password: str
    ca_file: str
    mail_folder: str
    users: tuple[str, ...]
    create: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """Names and values, for JSON."""
        return dataclasses.asdict(self)


@contextlib.contextmanager
def running(folder: Path | None = None, ports: Ports | None = None) -> Iterator[tuple[Sandbox, Serving]]:
    """A sandbox that runs as long as the block, and what to tell about it.

    Raises OSError when a port is taken, StorageError when the folder cannot be used.
    """
    with Sandbox(folder, ports=ports) as sandbox:
        yield sandbox, describe(sandbox)


def describe(sandbox: Sandbox) -> Serving:
    """What to tell about a running sandbox."""
    connection = sandbox.connection()
    scope = "smtp offline_access openid email"
    words = {
        "--provider": "GENERIC",
        "--issuer": sandbox.issuer,
        "--client-id": sandbox.client_id,
        "--scope": scope,
        "--from": sandbox.users[0],
        "--host": connection.server.host,
        "--port": connection.server.port,
        "--root-certificate": str(sandbox.ca_file),
    }
    return Serving(
        page=f"{sandbox.issuer}/",
        issuer=sandbox.issuer,
        authorize_url=sandbox.authorize_url,
        token_url=sandbox.token_url,
        client_id=sandbox.client_id,
        client_secret=sandbox.client_secret.reveal(),
        scope=scope,
        smtp_host=sandbox.smtp_host,
        smtp_port=sandbox.smtp_port,
        smtps_port=sandbox.smtps_port,
        password=sandbox.password.reveal(),
        ca_file=str(sandbox.ca_file),
        mail_folder=str(sandbox.folder / "mail"),
        users=tuple(sandbox.users),
        create=("sandbox", *(word for pair in words.items() for word in pair)),
    )


def wait_for_interrupt() -> None:
    """Wait until Ctrl-C; returns then."""
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
