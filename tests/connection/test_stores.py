"""One contract for both stores: whatever the folder does with files, it does with a database a fleet shares."""

from __future__ import annotations

import dataclasses
import functools
import threading
from typing import TYPE_CHECKING

import pytest

from datapallas.connection import keys, rotation
from datapallas.connection.database import Link
from datapallas.connection.database_store import DatabaseStore
from datapallas.connection.file_store import FileStore
from datapallas.connection.folder import Folder
from datapallas.connection.migration import to_database
from datapallas.connection.model import Connection, OAuth2Client, Password, Provider, Server
from datapallas.connection.snapshot import snapshot
from datapallas.connection.store import Broken, Entry
from datapallas.connection.update import Granted, Lend
from datapallas.errors import BrokenConnection, ConfigurationError, KeyProblem, NotSignedIn, UnknownConnection
from datapallas.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from outbox.postgres import Postgres

OFFICE = Connection(
    code="eml-office",
    name="Office",
    server=Server(host="smtp.office365.com"),
    from_address="reports@contoso.example",
    credential=OAuth2Client(
        provider=Provider.MICROSOFT,
        tenant_id="contoso.example",
        client_id="client",
        client_secret=Secret("hush"),
    ),
)
PLAIN = Connection(
    code="eml-plain",
    name="Plain",
    server=Server(host="mail.example"),
    credential=Password(password=Secret("abracadabra")),
)


class Shelf:
    """A store, and how a test reaches behind it."""

    def __init__(self, root: Path, url: str, seconds: float) -> None:
        self.root, self.url, self.seconds = root, url, seconds

    def folder(self) -> Folder:
        """The folder as another process has it."""
        store = DatabaseStore(self.root, Link(self.url), self.seconds) if self.url else FileStore(self.root)
        return Folder(self.root, lambda: keys.ensure(self.root, {}, store.sealed_texts), store)

    def damage(self, code: str, data: bytes) -> None:
        """Somebody has been at the bytes."""
        if self.url:
            with Link(self.url).tx() as cursor:
                cursor.execute("update connections set data = %s where code = %s", (data, code))
        else:
            (self.root / "config" / "connections" / f"{code}.xml").write_bytes(data)

    def raw(self) -> bytes:
        """Every byte that is kept of connections."""
        if self.url:
            return repr(Link(self.url).ask("select * from connections")).encode()
        paths = [*self.root.glob("config/**/*"), *self.root.glob("data/connections/*")]
        return b"".join(path.read_bytes() for path in paths if path.is_file())


@pytest.fixture(params=["files", "database"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    if request.param == "files":
        return Shelf(tmp_path, "", 60.0)
    server: Postgres = request.getfixturevalue("server")
    url = server.new()
    to_database(Folder(tmp_path, lambda: keys.ensure(tmp_path, {}), FileStore(tmp_path, moved=True)), url)
    return Shelf(tmp_path, url, 60.0)


@pytest.fixture
def kept(shelf: Shelf) -> Folder:
    return shelf.folder()


@pytest.fixture
def both(kept: Folder) -> Folder:
    """A mailbox one signs in to, and one with a password, which is the default."""
    kept.create(OFFICE)
    kept.create(dataclasses.replace(PLAIN, default=True))
    return kept


def sign_in(folder: Folder, token: str, **granted: str) -> None:
    with folder.locked_update("eml-office") as update, update.reserve():
        update.store_refresh_token(Secret(token), Granted(**granted))


class TestStore:
    """What every store does."""

    def test_what_was_made_is_there_for_others(self, both: Folder, shelf: Shelf) -> None:
        """Another process lists it, reads it and opens its secrets; nothing secret is stored in clear."""
        other = shelf.folder()
        assert [c.code for c in other.list() if not isinstance(c, Broken)] == ["eml-office", "eml-plain"]
        assert other.default().code == "eml-plain"
        assert other.reveal(other.load("eml-office"), "client_secret").reveal() == "hush"
        assert other.path_of("eml-office").name == "eml-office.xml"
        assert b"hush" not in shelf.raw() and b"abracadabra" not in shelf.raw() and b"ENC(v1" in shelf.raw()

    def test_an_unknown_code_is_an_error_that_names_the_known_ones(self, both: Folder) -> None:
        with pytest.raises(UnknownConnection, match="eml-office, eml-plain"):
            both.load("eml-none")

    def test_a_code_is_taken_once(self, both: Folder) -> None:
        """Also by those who only want to know whether there is room."""
        with pytest.raises(ConfigurationError, match="already"):
            both.create(OFFICE)
        with pytest.raises(ConfigurationError, match="already"), both.room_for(OFFICE):
            pass

    def test_room_is_proven_and_nothing_is_left(self, kept: Folder) -> None:
        with kept.room_for(OFFICE):
            pass
        assert kept.list() == []

    def test_changes_are_kept(self, both: Folder, shelf: Shelf) -> None:
        """Settings, default, a copy, a new password; and a sign-in that a change would end is not ended unasked."""
        sign_in(both, "token 1")
        both.save(dataclasses.replace(both.load("eml-office"), name="Bureau", from_name="B"))
        both.set_default("eml-office")
        both.duplicate("eml-plain", "Second")
        both.save(
            dataclasses.replace(both.load("eml-plain"), credential=Password(password=Secret("new word")))
        )
        other = shelf.folder()
        assert other.load("eml-office").name == "Bureau" and other.default().code == "eml-office"
        assert other.load("eml-second").credential == Password()
        assert other.reveal(other.load("eml-plain"), "password").reveal() == "new word"
        with pytest.raises(ConfigurationError, match="drop-sign-in"):
            both.save(dataclasses.replace(both.load("eml-office"), server=Server(host="else.example")))
        both.save(
            dataclasses.replace(both.load("eml-office"), server=Server(host="else.example")),
            drop_sign_in=True,
        )
        with pytest.raises(NotSignedIn):
            other.opened(other.load("eml-office"), "refresh_token")

    def test_deleting(self, both: Folder, shelf: Shelf) -> None:
        """The default one only when one insists; with its record."""
        with pytest.raises(ConfigurationError, match="default"):
            both.delete("eml-plain")
        both.delete("eml-plain", force=True)
        assert [c.code for c in shelf.folder().list() if not isinstance(c, Broken)] == ["eml-office"]
        assert not both.store.record("eml-plain").seals

    def test_a_sign_in_counts_up(self, both: Folder, shelf: Shelf) -> None:
        """Token and record change together; a second sign-in has a higher generation."""
        sign_in(both, "token 1", at="2026-11-01T00:00:00Z", user_email="a@contoso.example")
        sign_in(both, "token 2", at="2026-11-02T00:00:00Z")
        other = shelf.folder()
        opened = other.opened(other.load("eml-office"), "refresh_token")
        assert (opened.value.reveal(), opened.generation) == ("token 2", 2)
        assert other.store.record("eml-office").refreshed_at == "2026-11-02T00:00:00Z"
        with both.locked_update("eml-office") as update:
            update.forget_sign_in()
        with pytest.raises(NotSignedIn):
            other.opened(other.load("eml-office"), "refresh_token")

    def test_a_place_that_is_not_used_changes_nothing(self, both: Folder, shelf: Shelf) -> None:
        before = both.store.find("eml-office").data
        with both.locked_update("eml-office") as update, update.reserve():
            pass
        assert shelf.folder().store.find("eml-office").data == before

    def test_several_changes_under_one_lock(self, both: Folder) -> None:
        """A token, then another in the same block, then a note: each is there, and the lock is free afterwards."""
        with both.locked_update("eml-office") as update:
            with update.reserve():
                update.store_refresh_token(Secret("one"))
            with update.reserve():
                update.store_refresh_token(Secret("two"))
            update.save_record(dataclasses.replace(update.record, issuer="x"), must=True)
        with both.locked_update("eml-office") as update:
            assert update.opened().value.reveal() == "two" and update.record.issuer == "x"

    def test_one_that_cannot_be_read_hides_no_other(self, both: Folder, shelf: Shelf) -> None:
        """It is listed with its line, and can be deleted."""
        shelf.damage("eml-office", b"<documentburster>")
        office, plain = both.list()
        assert isinstance(office, Broken) and not isinstance(plain, Broken)
        with pytest.raises(BrokenConnection):
            both.load("eml-office")
        both.delete("eml-office")
        assert len(both.list()) == 1

    def test_a_lock_has_one_holder(self, both: Folder, shelf: Shelf) -> None:
        """Who comes second waits until the first is done, and then sees what it did."""
        inside, go = threading.Event(), threading.Event()
        seen: list[str] = []

        def first() -> None:
            with both.locked_update("eml-office") as update:
                inside.set()
                assert go.wait(60)
                update.store_refresh_token(Secret("of the first"))

        def second() -> None:
            with shelf.folder().locked_update("eml-office") as update:
                seen.append(update.opened().value.reveal())

        one, two = threading.Thread(target=first), threading.Thread(target=second)
        one.start()
        assert inside.wait(60)
        two.start()
        two.join(0.3)
        assert two.is_alive() and not seen
        go.set()
        one.join(60)
        two.join(60)
        assert seen == ["of the first"]

    def test_no_thread_holds_two(self, both: Folder) -> None:
        with (
            both.lock("eml-office"),
            pytest.raises(RuntimeError, match="may not wait"),
            both.lock("eml-plain"),
        ):
            pass

    def test_a_lost_key_makes_no_new_one(self, both: Folder, shelf: Shelf) -> None:
        """On a machine that has everything but the key."""
        (shelf.root / "data" / "keys" / "keyring.json").unlink()
        with pytest.raises(KeyProblem, match="missing"):
            both.reveal(both.load("eml-plain"), "password")

    def test_the_key_can_be_changed(self, both: Folder, shelf: Shelf) -> None:
        """Every value is sealed again, and the old key is closed."""
        sign_in(both, "token 1")
        done = rotation.rotate(both, {})
        assert done.resealed == 3 and len(done.retired) == 1 and not done.failed
        assert not [one for one in rotation.verify(shelf.folder()) if one.problem]

    def test_a_look_at_all_is_a_look_at_one_moment(self, both: Folder, shelf: Shelf) -> None:
        seen = snapshot(both.store, lambda: keys.ensure(shelf.root, {}))
        both.save(dataclasses.replace(both.load("eml-office"), name="Later"))
        assert seen.load("eml-office").name == "Office" and both.load("eml-office").name == "Later"

    def test_an_access_token_is_lent_where_that_is_so(self, both: Folder, shelf: Shelf) -> None:
        """Only in a database, only sealed, only while it lives; a change of the connection takes it away."""
        sign_in(both, "token 1")

        def lend(ends: float) -> Callable[[], tuple[Entry, object] | None]:
            with both.locked_update("eml-office") as update, update.reserve():
                update.store_refresh_token(Secret("token 2"), lend=Lend(Secret("open sesame"), ends, ends))
            return functools.partial(shelf.folder().store.borrow, "eml-office")

        assert (lend(100.0)() is not None) is both.store.lends
        assert b"sesame" not in shelf.raw()
        assert lend(-1.0)() is None
        found = lend(100.0)
        both.save(dataclasses.replace(both.load("eml-office"), name="Other"))
        assert found() is None
