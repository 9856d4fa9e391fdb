"""The list of connections: whole, and as cheap with many files as with few."""

from __future__ import annotations

import collections
import dataclasses
from typing import TYPE_CHECKING

from datapallas.connection.file_store import FileStore as Store

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from datapallas.home import Home
    from datapallas.sandbox import Sandbox


def test_each_file_is_read_once(home: Home, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as many connections take twice as long to list, not four times: no file is looked for among all."""
    codes = [f"eml-box-{number}" for number in range(8)]
    for code in codes:
        home.folder.create(dataclasses.replace(sandbox.connection(signed_in=True), code=code))
    read, times = Store.read, collections.Counter[str]()

    def counted(store: Store, path: Path) -> bytes:
        times[path.stem] += 1
        return read(store, path)

    monkeypatch.setattr(Store, "read", counted)
    rows = home.overview()
    assert [row.code for row in rows] == codes and all(row.account for row in rows)
    assert times == dict.fromkeys(codes, 1)


def test_two_files_with_one_code_are_told(home: Home, sandbox: Sandbox) -> None:
    """Both rows say it; the other connections are as they were."""
    for code in ("eml-one", "eml-two"):
        home.folder.create(dataclasses.replace(sandbox.connection(signed_in=True), code=code))
    path = home.folder.path_of("eml-one")
    path.with_name("eml-zcopy.xml").write_bytes(path.read_bytes())
    one, two, copy = home.overview()
    assert one.health == copy.health == "broken" and "more than one file" in one.state == copy.state
    assert two.health == "connected"
