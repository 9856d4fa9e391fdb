"""Moving connections between files and a database: whole, as they are, and cut off anywhere."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
from typing import TYPE_CHECKING, Any

import pytest

from datapallas import files
from datapallas.connection import keys
from datapallas.connection.database import Link
from datapallas.connection.file_store import MOVED, FileStore
from datapallas.connection.folder import Folder
from datapallas.connection.store import Broken
from datapallas.errors import ConfigurationError, DataPallasError
from datapallas.home import Home
from datapallas.home.stores import migrate
from datapallas.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datapallas.connection.model import Connection
    from outbox.postgres import Postgres

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


@pytest.fixture
def url(server: Postgres) -> str:
    return server.new()


@pytest.fixture
def home(root: Path, url: str, folder: Folder, office: Connection) -> Home:
    """Three connections, one of them signed in to and with a comment nobody knows, in files."""
    folder.duplicate("eml-office", "Second")
    folder.duplicate("eml-office", "Third")
    path = folder.path_of("eml-second")
    path.write_bytes(path.read_bytes() + b"<!-- a remark -->\n")
    path.rename(path.with_name("eml-another-name.xml"))
    return Home(root, {"DATAPALLAS_DATABASE": url})


def content(root: Path) -> dict[str, bytes]:
    """The connections and records as files."""
    paths = [*root.glob("config/connections/*"), *root.glob("data/connections/*")]
    return {path.name: path.read_bytes() for path in paths}


def again(home: Home) -> Home:
    """A process that starts now."""
    return Home(home.root, home.environ)


def token(home: Home) -> str:
    return home.folder.reveal(home.folder.load("eml-office"), "refresh_token").reveal()


def test_there_and_back_is_byte_for_byte_the_same(home: Home, root: Path, tmp_path_factory: Any) -> None:
    """Files and records; another machine with the database and the key has everything, an old copy nothing."""
    before = content(root)
    dry = migrate(home, into_database=True, dry_run=True)
    assert dry.moved == ("eml-second", "eml-office", "eml-third") and content(root) == before
    assert migrate(home, into_database=True, dry_run=False).moved == dry.moved
    assert set(content(root)) == {MOVED} and json.loads(content(root)[MOVED])["state"] == "moved"

    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(root / "data" / "keys", elsewhere / "data" / "keys")
    other = Home(elsewhere, home.environ)
    assert token(other) == token(again(home)) == "refresh token 1"
    assert [row.code for row in other.overview()] == ["eml-second", "eml-office", "eml-third"]
    with pytest.raises(ConfigurationError, match=r"not in .* any more"):
        Home(root, {}).folder.list()

    assert migrate(home, into_database=False, dry_run=True).moved and set(content(root)) == {MOVED}
    migrate(home, into_database=False, dry_run=False)
    assert content(root) == before
    assert token(again(home)) == "refresh token 1"


def test_the_database_never_sees_a_secret(home: Home, url: str) -> None:
    """Not in a row, not in a record."""
    migrate(home, into_database=True, dry_run=False)
    with again(home).folder.locked_update("eml-office") as update, update.reserve():
        update.store_refresh_token(Secret("refresh token 2"))
    rows = repr(Link(url).ask("select * from connections"))
    assert "refresh token" not in rows and "the client secret" not in rows and rows.count("ENC(v1") == 2


def test_without_a_database_it_is_refused(root: Path, folder: Folder) -> None:
    with pytest.raises(DataPallasError, match="DATAPALLAS_DATABASE is not set"):
        migrate(Home(root, {}), into_database=True, dry_run=False)


def test_a_file_that_cannot_be_read_stops_it(home: Home, root: Path) -> None:
    """And so does a second file with the same code; nothing has moved then."""
    bad = root / "config" / "connections" / "eml-bad.xml"
    bad.write_bytes(b"<documentburster>")
    before = content(root)
    with pytest.raises(DataPallasError, match="eml-bad"):
        migrate(home, into_database=True, dry_run=False)
    bad.write_bytes(home.folder.path_of("eml-office").read_bytes())
    with pytest.raises(ConfigurationError, match="more than one file"):
        migrate(home, into_database=True, dry_run=False)
    bad.unlink()
    del before["eml-bad.xml"]
    assert content(root) == before and again(home).folder.load("eml-office").name


def test_files_beside_the_database_are_told(home: Home, root: Path) -> None:
    """A new one is taken in by running it again; an old copy of one that is in use is not written over it."""
    old = home.folder.path_of("eml-office").read_bytes()
    migrate(home, into_database=True, dry_run=False)
    stray = root / "config" / "connections" / "eml-office.xml"
    stray.write_bytes(old.replace(b"Office", b"Bureau"))
    with pytest.raises(ConfigurationError, match=r"files in .* too"):
        again(home).folder.list()
    with pytest.raises(ConfigurationError, match="another version"):
        migrate(home, into_database=True, dry_run=False)
    stray.write_bytes(old.replace(b"eml-office", b"eml-new"))
    stray.rename(stray.with_name("eml-new.xml"))
    assert migrate(home, into_database=True, dry_run=False).moved == ("eml-new",)
    assert len(again(home).folder.list()) == 4


def test_files_in_the_way_back_are_not_written_over(home: Home, root: Path) -> None:
    migrate(home, into_database=True, dry_run=False)
    (root / "config" / "connections" / "eml-office.xml").write_bytes(b"precious")
    with pytest.raises(ConfigurationError, match="take it away"):
        migrate(home, into_database=False, dry_run=False)
    assert (root / "config" / "connections" / "eml-office.xml").read_bytes() == b"precious"


def test_another_database_is_not_taken_for_the_right_one(home: Home, root: Path, server: Postgres) -> None:
    """The files were moved; a database that does not have them is no reason to look at an empty folder."""
    migrate(home, into_database=True, dry_run=False)
    wrong = Home(root, {"DATAPALLAS_DATABASE": server.new()})
    with pytest.raises(ConfigurationError, match="any more"):
        wrong.folder.list()
    with pytest.raises(ConfigurationError, match="has no connections"):
        migrate(wrong, into_database=False, dry_run=False)


def test_a_process_that_has_the_files_open_does_not_go_on_with_them(home: Home, root: Path) -> None:
    """It is told; and one that has the database open is told when they go back."""
    running = Home(root, {}).folder
    migrate(home, into_database=True, dry_run=False)
    with pytest.raises(ConfigurationError, match="any more"), running.locked_update("eml-office"):
        pass
    shared = again(home).folder
    shared.load("eml-office")
    migrate(home, into_database=False, dry_run=False)
    with pytest.raises(DataPallasError), shared.locked_update("eml-office"):
        pass


def _killing(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, nth: int, *, after: bool) -> None:
    real, calls = getattr(owner, name), [0]

    def killing(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == nth and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments, **named)
        if calls[0] == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    monkeypatch.setattr(owner, name, killing)


def _killed(work: Callable[[], object]) -> bool:
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


_STEPS = [
    (owner, name, nth, after)
    for owner, name, nth, after in (
        (files, "replace", 1, False),  # before the first trace of it
        (files, "replace", 1, True),  # there: the marker is set; back: and nothing else
        (files, "replace", 2, False),  # there: it is in the database, and in files; back: no file yet
        (files, "replace", 2, True),
        (files, "replace", 4, True),  # back: some files, and a record
        (files, "remove", 1, True),  # there: a record is gone; back: the marker
        (files, "remove", 2, True),  # there: and its file
        (files, "remove", 4, False),
    )
]


@pytest.mark.parametrize(
    "step", _STEPS, ids=[f"{name} {nth} {'after' if after else 'before'}" for _, name, nth, after in _STEPS]
)
@pytest.mark.parametrize("direction", ["there", "back"])
def test_killed_anywhere_the_same_command_finishes(
    home: Home,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    direction: str,
    step: tuple[object, str, int, bool],
) -> None:
    """kill -9 at each step: nothing is lost, nobody works on two, and running it again ends it."""
    before = content(root)
    back = direction == "back"
    if back:
        migrate(home, into_database=True, dry_run=False)
    owner, name, nth, after = step
    with monkeypatch.context() as patch:
        _killing(patch, owner, name, nth, after=after)
        killed = _killed(lambda: migrate(again(home), into_database=not back, dry_run=False))
    assert killed or back is (name == "remove") or nth == 4
    found: list[str] = []
    with contextlib.suppress(DataPallasError):  # half there: nobody may work
        found = [c.code for c in again(home).folder.list() if not isinstance(c, Broken)]
    assert sorted(found) in ([], ["eml-office", "eml-second", "eml-third"])
    if not back or MOVED in content(root):
        migrate(again(home), into_database=not back, dry_run=False)
    if not back:
        assert set(content(root)) == {MOVED}
        migrate(again(home), into_database=False, dry_run=False)
    assert content(root) == before and token(again(home)) == "refresh token 1"


def test_a_commit_whose_answer_was_lost(home: Home, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database has them, and we do not know: running it again takes the files away, and nothing twice."""
    before = content(root)
    real, calls = Link.tx, [0]

    @contextlib.contextmanager
    def lost(link: Link) -> Any:
        with real(link) as cursor:
            yield cursor
        calls[0] += 1
        raise ConfigurationError("the link was lost")

    with monkeypatch.context() as patch:
        patch.setattr(Link, "tx", lost)
        patch.setattr(Link, "ask", lambda *_: [(None,)])
        with pytest.raises(ConfigurationError):
            migrate(home, into_database=True, dry_run=False)
    assert calls[0] == 1
    done = migrate(again(home), into_database=True, dry_run=False)
    assert not done.moved and len(done.resumed) == 3
    migrate(again(home), into_database=False, dry_run=False)
    assert content(root) == before


def test_changed_in_the_database_it_comes_back_changed(home: Home, root: Path) -> None:
    folder = Folder(root, lambda: keys.ensure(root, {}), FileStore(root, moved=True))
    migrate(home, into_database=True, dry_run=False)
    shared = again(home).folder
    shared.save(dataclasses.replace(shared.load("eml-office"), name="Changed"))
    migrate(home, into_database=False, dry_run=False)
    assert folder.load("eml-office").name == "Changed"
