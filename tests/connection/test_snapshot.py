"""Looking at all connections at once."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from datapallas.connection.file_store import FileStore
from datapallas.connection.model import Connection, Server
from datapallas.connection.snapshot import snapshot
from datapallas.errors import ConfigurationError, UnknownConnection
from datapallas.home import Home

if TYPE_CHECKING:
    from pathlib import Path


def test_each_file_is_read_once_and_nothing_is_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of many is made from one look at each file, and broken and doubled ones are told as ever."""
    home = Home(tmp_path, {})
    first = Connection(code="eml-a", name="A", server=Server(host="mail.example"))
    home.folder.create(first)
    home.folder.create(dataclasses.replace(first, code="eml-b"))
    folder = tmp_path / "config" / "connections"
    (folder / "eml-twice.xml").write_bytes((folder / "eml-b.xml").read_bytes())
    (folder / "eml-broken.xml").write_bytes(b"<documentburster>")

    seen = snapshot(home.folder.store, home.keyring)
    monkeypatch.setattr(FileStore, "read", lambda *_: pytest.fail("read a second time"))
    assert seen.load("eml-a").name == "A"
    monkeypatch.undo()
    with pytest.raises(ConfigurationError, match=r"eml-b\.xml and .*eml-twice\.xml"):
        seen.load("eml-b")
    with pytest.raises(UnknownConnection):
        seen.load("eml-none")
    states = {row.path.rpartition("/")[2]: row.state for row in home.overview()}
    assert states["eml-broken.xml"].startswith("broken file")
    assert set(states) == {"eml-a.xml", "eml-b.xml", "eml-twice.xml", "eml-broken.xml"}
