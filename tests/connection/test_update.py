"""A change under the lock, and what is left when the process that made it is killed."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from datapallas import files
from datapallas.connection import keys, record, xml_codec
from datapallas.connection.file_store import FileStore
from datapallas.connection.folder import Folder, Granted
from datapallas.connection.model import Connection, OAuth2Client, Sealed, Server
from datapallas.errors import ConfigurationError, KeyProblem, NotSignedIn, StorageError
from datapallas.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


# Newer Pythons warn of fork beside threads, which other tests may have left; these children only save and end.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


def token(folder: Folder) -> str:
    return folder.reveal(folder.load("eml-office"), "refresh_token").reveal()


def in_a_killed_child(work: Callable[[], object]) -> bool:
    """Run `work` in a child process; True when it was killed by kill -9 on the way."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def kill_at(monkeypatch: pytest.MonkeyPatch, name: str, nth: int, *, after: bool) -> None:
    """The `nth` call of a system call ends the process, before or after it was made."""
    real, calls = getattr(os, name), [0]

    def killing(*arguments: object, **named: object) -> object:
        calls[0] += 1
        if calls[0] == nth and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments, **named)
        if calls[0] == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    monkeypatch.setattr(os, name, killing)


def test_a_token_is_stored_with_what_came_with_it(folder: Folder, office: Connection) -> None:
    """The account, date, scope and generation are kept; the record is clean of earlier trouble."""
    with folder.locked_update("eml-office") as update:
        update.save_record(dataclasses.replace(update.record, parked=record.Refusal("invalid_grant")))
    with folder.locked_update("eml-office") as update:
        assert update.record.parked is not None
        with update.reserve():
            update.intend("now")
            update.store_refresh_token(
                Secret("refresh token 2"), Granted(at="now", issued_at="now", scope="s", tid="T", subject="S")
            )
        assert update.opened().grant.tid == "T"
        done = FileStore(folder.store.root).record_path("eml-office")
        assert record.load(done).parked is None and record.load(done).intent is None
        assert record.load(done).refreshed_at == "now"
    with folder.locked_update("eml-office") as update:
        assert update.opened().generation == 2
        update.store_refresh_token(Secret("refresh token 3"))
        grant = update.opened().grant
        assert (grant.generation, grant.tid, grant.subject, grant.issued_at) == (3, "T", "S", "now")
    client = folder.load("eml-office").credential
    assert isinstance(client, OAuth2Client)
    assert (client.issued_at, client.granted_scope) == ("now", "s")
    assert folder.reveal(folder.load("eml-office"), "client_secret") == Secret("the client secret")


def test_another_account_is_stored_with_its_own_seal(folder: Folder, office: Connection) -> None:
    """A sign-in as somebody else changes the mailbox and seals for that one."""
    with folder.locked_update("eml-office") as update:
        update.store_refresh_token(Secret("theirs"), Granted(user_email="them@contoso.example"))
    connection = folder.load("eml-office")
    assert connection.mailbox == "them@contoso.example"
    assert folder.reveal(connection, "refresh_token") == Secret("theirs")


def test_signing_out_removes_the_sign_in_and_nothing_else(
    folder: Folder, office: Connection, root: Path
) -> None:
    """The token, account and date go; the client secret stays. No key is needed for it."""
    (root / "data" / "keys" / "keyring.json").rename(root / "kept")
    with folder.locked_update("eml-office") as update:
        update.forget_sign_in()
    (root / "kept").rename(root / "data" / "keys" / "keyring.json")
    connection = folder.load("eml-office")
    with pytest.raises(NotSignedIn):
        folder.reveal(connection, "refresh_token")
    assert folder.reveal(connection, "client_secret") == Secret("the client secret")


def test_a_password_connection_has_no_sign_in(folder: Folder) -> None:
    """A token is not stored where it has no meaning."""
    folder.create(Connection(code="eml-p", server=Server(host="h")))
    with folder.locked_update("eml-p") as update, pytest.raises(ConfigurationError, match="has a password"):
        update.store_refresh_token(Secret("t"))


def test_nothing_is_asked_when_it_could_not_be_stored(folder: Folder, office: Connection, root: Path) -> None:
    """Key missing or folder not writable: the proof fails before anything is sent, and the file is as it was."""
    before = folder.path_of("eml-office").read_bytes()
    key = root / "data" / "keys" / "keyring.json"
    key.rename(root / "kept")
    with folder.locked_update("eml-office") as update, pytest.raises(KeyProblem), update.reserve():
        pytest.fail("asked")
    (root / "kept").rename(key)
    place = files.next_of(folder.path_of("eml-office"))
    with folder.locked_update("eml-office") as update:
        place.mkdir()  # nobody, root neither, can put the prepared file there
        with pytest.raises(StorageError), update.reserve():
            pytest.fail("asked")
    place.rmdir()
    assert folder.path_of("eml-office").read_bytes() == before


def test_a_failed_save_can_be_tried_again(
    folder: Folder, office: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails after the provider has answered: the old file stands, and the same token can be saved again."""
    real = os.fsync
    with folder.locked_update("eml-office") as update, update.reserve():
        monkeypatch.setattr(
            os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device"))
        )
        with pytest.raises(StorageError, match="No space left"):
            update.store_refresh_token(Secret("refresh token 2"))
        monkeypatch.setattr(os, "fsync", real)
        assert token(folder) == "refresh token 1"
        update.store_refresh_token(Secret("refresh token 2"))
        assert update.opened().generation == 2
    assert token(folder) == "refresh token 2"


def test_a_lost_answer_is_noticed(folder: Folder, office: Connection) -> None:
    """Killed between asking and storing: the next one sees that this very token was already sent."""
    with folder.locked_update("eml-office") as update:
        assert not update.answer_lost()
        update.intend("now")
    with folder.locked_update("eml-office") as update:
        assert update.answer_lost()
        assert "refresh token 1" not in FileStore(folder.store.root).record_path("eml-office").read_text()
        update.store_refresh_token(Secret("refresh token 2"))
        assert not update.answer_lost()


def test_a_restored_backup_is_noticed(folder: Folder, office: Connection) -> None:
    """An old file put back holds an older sign-in than the last one stored here."""
    path = folder.path_of("eml-office")
    old = path.read_bytes()
    with folder.locked_update("eml-office") as update:
        update.store_refresh_token(Secret("refresh token 2"))
        assert not update.restored()
    path.write_bytes(old)
    with folder.locked_update("eml-office") as update:
        assert update.restored()
        update.store_refresh_token(Secret("refresh token 3"))
        assert not update.restored()
        assert update.opened().generation == 3


def test_a_token_typed_into_the_file_is_no_old_one(folder: Folder, office: Connection) -> None:
    """A refresh token put into the file by hand is sealed at the next save, as the newest one."""
    assert isinstance(office.credential, OAuth2Client) and isinstance(office.credential.refresh_token, Sealed)
    with folder.locked_update("eml-office") as update:
        update.store_refresh_token(Secret("refresh token 2"))
    path = folder.path_of("eml-office")
    data = xml_codec.with_secret(path.read_bytes(), "oauth2refreshtoken", Sealed("typed in"))
    path.write_bytes(data)
    folder.save(folder.load("eml-office"))
    with folder.locked_update("eml-office") as update:
        assert update.opened().value == Secret("typed in")
        assert update.opened().generation == 3
        assert not update.restored()


# What a killed process leaves


def rotate(folder: Folder) -> None:
    with folder.locked_update("eml-office") as update, update.reserve():
        update.intend("now")
        update.store_refresh_token(Secret("refresh token 2"))


# Where a rotation is killed, and which token the next one finds.
# fsync: 1 and 2 the reserved place and its folder, 3 to 6 the intent, 7 the written place, 8 its folder.
POINTS = [
    ("fsync", 1, False, "refresh token 1"),
    ("fsync", 2, True, "refresh token 1"),
    ("fsync", 3, False, "refresh token 1"),
    ("fsync", 6, True, "refresh token 1"),
    ("ftruncate", 3, False, "refresh token 2"),
    ("ftruncate", 3, True, "refresh token 2"),
    ("fsync", 7, False, "refresh token 2"),
    ("fsync", 7, True, "refresh token 2"),
    ("replace", 2, False, "refresh token 2"),
    ("replace", 2, True, "refresh token 2"),
    ("fsync", 8, False, "refresh token 2"),
    ("fsync", 8, True, "refresh token 2"),
]


@pytest.mark.parametrize("point", POINTS)
def test_a_rotation_killed_anywhere_recovers(
    folder: Folder, office: Connection, point: tuple[str, int, bool, str]
) -> None:
    """kill -9 at a named point: the next one finds the old token, or the new one once it was written; never neither."""
    call, nth, after, found = point

    def work() -> None:
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, call, nth, after=after)
            rotate(folder)

    assert in_a_killed_child(work)
    with folder.locked_update("eml-office") as update:
        assert update.opened().value == Secret(found)
        assert not files.next_of(folder.path_of("eml-office")).exists()
    assert folder.path_of("eml-office").stat().st_mode & 0o777 == 0o600


def test_the_points_are_where_they_are_said_to_be(
    folder: Folder, office: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotation syncs as often as the points above count; otherwise they would miss what they are named for."""
    seen: list[str] = []
    for name in ("fsync", "ftruncate"):
        real = getattr(os, name)

        def noting(*given: object, real: Callable[..., object] = real, name: str = name) -> object:
            seen.append(name)
            return real(*given)

        monkeypatch.setattr(os, name, noting)
    rotate(folder)
    lock = ["ftruncate"]  # the lock file's note
    place, json = ["fsync", "fsync"], ["fsync", "fsync", "ftruncate", "fsync", "fsync"]
    assert seen == [*lock, *place, *json, "ftruncate", "fsync", "fsync", *json]


def prepared(folder: Folder, change: Callable[[Connection], Connection]) -> None:
    """Leave a prepared file with token 2, as a process killed before the rename does, changed by `change`."""
    path = folder.path_of("eml-office")
    old, notes = path.read_bytes(), FileStore(folder.store.root).record_path("eml-office").read_bytes()
    with folder.locked_update("eml-office") as update:
        update.store_refresh_token(Secret("refresh token 2"))
    new = xml_codec.encode(change(folder.load("eml-office")), path.read_bytes())
    path.write_bytes(old)
    FileStore(folder.store.root).record_path("eml-office").write_bytes(notes)
    files.next_of(path).write_bytes(new)


@pytest.mark.parametrize("padding", [b"", b"\0" * 5000])
def test_a_prepared_next_token_is_adopted(folder: Folder, office: Connection, padding: bytes) -> None:
    """Written, not renamed: the lock's next holder finishes the rename; reserved space behind it is cut off."""
    prepared(folder, lambda c: c)
    place = files.next_of(folder.path_of("eml-office"))
    place.write_bytes(place.read_bytes() + padding)
    with folder.lock("eml-office"):
        pass
    assert token(folder) == "refresh token 2"
    assert not folder.path_of("eml-office").read_bytes().endswith(b"\0")


@pytest.mark.parametrize(
    "change",
    [
        lambda c: dataclasses.replace(c, server=Server(host="evil")),
        lambda c: dataclasses.replace(c, code="eml-other"),
        lambda c: dataclasses.replace(c, credential=dataclasses.replace(c.credential, refresh_token=None)),
        lambda c: dataclasses.replace(
            c, credential=dataclasses.replace(c.credential, refresh_token=Sealed("ENC(v1.x)"))
        ),
    ],
)
def test_a_prepared_file_of_another_identity_is_discarded(
    folder: Folder, office: Connection, change: Callable[[Connection], Connection]
) -> None:
    """Only the next token of this very sign-in is adopted; anything else is put away and the old file stands."""
    prepared(folder, change)
    with folder.lock("eml-office"):
        pass
    assert token(folder) == "refresh token 1"
    assert not files.next_of(folder.path_of("eml-office")).exists()


def test_a_killed_sign_in_as_somebody_else_is_discarded(folder: Folder, office: Connection) -> None:
    """A prepared file sealed for another account is no next token of this one, whole as it is."""
    path = folder.path_of("eml-office")
    old, notes = path.read_bytes(), FileStore(folder.store.root).record_path("eml-office").read_bytes()
    with folder.locked_update("eml-office") as update:
        update.store_refresh_token(Secret("theirs"), Granted(user_email="them@contoso.example"))
    path.replace(files.next_of(path))
    path.write_bytes(old)
    FileStore(folder.store.root).record_path("eml-office").write_bytes(notes)
    with folder.lock("eml-office"):
        pass
    assert token(folder) == "refresh token 1"


@pytest.mark.parametrize("data", [b"", b"\0" * 9000, b"<documentburster>", b"\xff\xfe"])
def test_a_torn_prepared_file_is_discarded(folder: Folder, office: Connection, data: bytes) -> None:
    """Reserved and never written, or cut in the middle: the old file stands."""
    files.next_of(folder.path_of("eml-office")).write_bytes(data)
    with folder.lock("eml-office"):
        pass
    assert token(folder) == "refresh token 1"
    assert not files.next_of(folder.path_of("eml-office")).exists()


def test_an_older_prepared_file_is_discarded(folder: Folder, office: Connection) -> None:
    """A generation that is not the next one is no continuation."""
    prepared(folder, lambda c: c)
    stale = files.next_of(folder.path_of("eml-office")).read_bytes()
    with folder.lock("eml-office"):
        pass
    files.next_of(folder.path_of("eml-office")).write_bytes(stale)
    with folder.locked_update("eml-office") as update:
        assert update.opened().generation == 2
        update.store_refresh_token(Secret("refresh token 3"))
    files.next_of(folder.path_of("eml-office")).write_bytes(stale)
    with folder.lock("eml-office"):
        pass
    assert token(folder) == "refresh token 3"


def test_a_link_in_the_prepared_place_is_not_followed(folder: Folder, office: Connection, root: Path) -> None:
    """Somebody else's link there is removed, what it points to is left alone."""
    (root / "precious").write_text("x")
    files.next_of(folder.path_of("eml-office")).symlink_to(root / "precious")
    with folder.lock("eml-office"):
        pass
    assert (root / "precious").read_text() == "x"
    assert not files.next_of(folder.path_of("eml-office")).is_symlink()


def test_without_the_key_a_prepared_token_is_not_thrown_away(
    folder: Folder, office: Connection, root: Path
) -> None:
    """Key gone for the moment: a save stops, the prepared token waits, and is adopted when the key is back."""
    prepared(folder, lambda c: c)
    key = root / "data" / "keys" / "keyring.json"
    key.rename(root / "kept")
    with pytest.raises(KeyProblem):
        folder.save(dataclasses.replace(office, name="New"))
    with folder.locked_update("eml-office") as update, pytest.raises(KeyProblem), update.reserve():
        pass
    (root / "kept").rename(key)
    assert folder.save(dataclasses.replace(office, name="New")).name == "New"
    assert token(folder) == "refresh token 2"


def test_no_save_is_ever_torn(root: Path) -> None:
    """300 rounds of kill -9 in the middle of saving: always the old file or a new one, whole, private and readable."""
    folder = Folder(root, lambda: keys.ensure(root, {}))
    connection = folder.create(Connection(code="eml-a", name="0", server=Server(host="h")))
    names = ["a" * 5000, "b" * 60_000, "c"]
    usual = 1.0
    for name in "cdc":
        began = time.perf_counter()
        folder.save(dataclasses.replace(connection, name=name))
        usual = min(usual, time.perf_counter() - began)
    seen = set()
    for turn in range(300):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                for name in itertools.cycle(names[turn % 3 :] + names[: turn % 3]):
                    folder.save(dataclasses.replace(connection, name=name))
                    os.write(writer, b".")
            finally:  # were its parent killed, it would go on as a second run of the tests
                os._exit(1)
        os.read(reader, 1)
        # Another moment of the second save in each round; waited for, not slept.
        moment = time.perf_counter() + usual * (turn % 50) / 40
        while time.perf_counter() < moment:
            pass
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)
        seen.add(folder.load("eml-a").name)
        assert folder.path_of("eml-a").stat().st_mode & 0o777 == 0o600
    assert seen == set(names)
    folder.save(dataclasses.replace(connection, name="last"))
    assert {p.name for p in (root / "config" / "connections").iterdir()} == {"eml-a.xml"}
