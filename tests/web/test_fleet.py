"""The page over connections that are in a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.connection.model import Connection, Server
from datapallas.connection.store import Broken
from datapallas.home.stores import migrate
from web.page import served

if TYPE_CHECKING:
    from pathlib import Path

    from outbox.postgres import Postgres


def test_the_page_shows_and_changes_what_is_in_the_database(tmp_path: Path, server: Postgres) -> None:
    """List, editor and deletion work as with files; no file is written."""
    with served(tmp_path) as page:
        home = page.services.home
        home.environ = {"DATAPALLAS_DATABASE": server.new()}
        migrate(home, into_database=True, dry_run=False)
        home.__dict__.pop("folder", None)
        home.folder.create(
            Connection(code="eml-shared", name="Shared one", server=Server(host="mail.example"))
        )
        browser = page.entered()
        assert "Shared one" in browser.ask("GET", "/connections").text
        assert "mail.example" in browser.ask("GET", "/connections/eml-shared").text
        assert browser.ask("POST", "/connections/eml-shared/duplicate").status_code < 400
        codes = [c.code for c in home.folder.list() if not isinstance(c, Broken)]
        assert codes == ["eml-shared-one-copy", "eml-shared"]
        assert browser.ask("POST", "/connections/eml-shared/delete").status_code < 400
        assert len(home.folder.list()) == 1
    assert not list((tmp_path / "config" / "connections").glob("*.xml"))
