"""A connection that reports use is not deleted by accident."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datapallas.connection.model import Connection, Security, Server
from datapallas.errors import ConfigurationError
from datapallas.home import Home
from datapallas.home.used_by import check_unused, used_by
from datapallas.reports.folder import Reports

if TYPE_CHECKING:
    from pathlib import Path


def test_reports_are_named_by_the_connection_they_use(tmp_path: Path) -> None:
    """By its code, by being the default one, and in a report that is broken otherwise; without reports, nothing."""
    home = Home(tmp_path, {})
    server = Server(host="127.0.0.1", port="1", security=Security.NONE)
    home.folder.create(Connection(code="eml-one", server=server, default=True))
    home.folder.create(Connection(code="eml-two", server=server))
    assert used_by(home) == {}
    reports = Reports(tmp_path)
    for code in ("a", "b", "c"):
        reports.create(code)
    reports.save("b", 'connection = "eml-two"\n' + reports.text("b"))
    (reports.folder("c") / "report.toml").write_text('connection = "eml-two"\nfoo = [\n')
    assert used_by(home) == {"eml-one": ["a"], "eml-two": ["b", "c"]}
    with pytest.raises(ConfigurationError, match="used by the reports b, c") as refused:
        check_unused(home, "eml-two")
    assert refused.value.code == "connection-in-use"
    reports.delete("a")
    check_unused(home, "eml-one")
