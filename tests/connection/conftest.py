"""A home in a temporary folder, with its own key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datapallas.connection import keys
from datapallas.connection.folder import Folder
from datapallas.connection.model import Connection, OAuth2Client, Provider, Server
from datapallas.secret import Secret

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A home with nothing in it but the folder of connections."""
    (tmp_path / "config" / "connections").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def folder(root: Path) -> Folder:
    """The connections of that home."""
    return Folder(root, lambda: keys.ensure(root, {}))


@pytest.fixture
def office(folder: Folder) -> Connection:
    """A signed-in Microsoft connection, eml-office, the default one."""
    folder.create(
        Connection(
            code="eml-office",
            name="Office",
            default=True,
            server=Server(host="smtp.office365.com"),
            from_address="reports@contoso.example",
            from_name="Reports",
            credential=OAuth2Client(
                provider=Provider.MICROSOFT,
                tenant_id="contoso.example",
                client_id="client",
                client_secret=Secret("the client secret"),
            ),
        )
    )
    with folder.locked_update("eml-office") as update:
        update.store_refresh_token(Secret("refresh token 1"))
    return folder.load("eml-office")
