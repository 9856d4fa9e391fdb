"""A new key for everything that is sealed, and the check that everything opens."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from datapallas.connection import keys, rotation
from datapallas.connection.folder import Folder
from datapallas.connection.model import Connection, Password, Server
from datapallas.errors import KeyProblem, SealBroken
from datapallas.secret import Secret

if TYPE_CHECKING:
    from pathlib import Path


# Newer Pythons warn of fork beside threads, which other tests may have left; these children only save and end.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


@pytest.fixture
def many(folder: Folder, office: Connection) -> Folder:
    """The signed-in connection and five with a password."""
    for n in range(5):
        password = Password(user="u", password=Secret(f"password {n}"))
        folder.create(Connection(code=f"eml-{n}", server=Server(host="h"), credential=password))
    return folder


def all_open(folder: Folder) -> bool:
    return all(
        folder.reveal(folder.load(f"eml-{n}"), "password") == Secret(f"password {n}") for n in range(5)
    ) and folder.reveal(folder.load("eml-office"), "refresh_token") == Secret("refresh token 1")


def statuses(root: Path) -> list[str]:
    _, stored = keys.read_keys(root, {})
    return [key.status for key in stored]


def test_verify_opens_everything(many: Folder) -> None:
    """Each sealed value is opened and named; nothing is a problem."""
    checked = rotation.verify(many)
    assert len(checked) == 7
    assert not [check for check in checked if check.problem]
    assert {(c.connection, c.field) for c in checked} >= {
        ("eml-office", "refresh_token"),
        ("eml-0", "password"),
    }


def test_verify_tells_each_problem(many: Folder, root: Path) -> None:
    """A changed server, a secret in clear, a value of the Java product and a broken file are each named."""
    place = root / "config" / "connections"

    def edit(name: str, old: bytes, new: bytes) -> None:
        data = (place / name).read_bytes()
        assert old in data
        (place / name).write_bytes(data.replace(old, new))

    edit("eml-0.xml", b"<host>h", b"<host>evil")
    edit("eml-1.xml", b"<userpassword>ENC(v1.", b"<userpassword>plain(")
    edit("eml-2.xml", b"<emailserver>", b"<emailserver>\n<emailserver>")
    edit(
        "eml-3.xml",
        b"</oauth2provider>",
        b"</oauth2provider><oauth2refreshtoken>ENC(" + b"A" * 60 + b")</oauth2refreshtoken>",
    )
    problems = {(c.connection, c.field): c.problem for c in rotation.verify(many) if c.problem}
    assert set(problems) == {
        ("eml-0", "password"), ("eml-1", "password"), ("eml-2", ""), ("eml-3", "refresh_token")
    }  # fmt: skip
    assert "the mail server" in problems["eml-0", "password"]
    assert "in clear" in problems["eml-1", "password"]
    assert "line" in problems["eml-2", ""]
    assert "Java" in problems["eml-3", "refresh_token"]
    assert "plain(" not in str(problems)


def test_rotate_seals_everything_with_a_new_key(many: Folder, root: Path) -> None:
    """Every value carries the new key's id and opens; the old key opens nothing any more, and is kept."""
    old = keys.ensure(root, {}).primary
    before = many.load("eml-office")
    done = rotation.rotate(many, {})
    assert (done.resumed, done.resealed, done.retired, done.failed) == (False, 7, (old,), ())
    assert done.primary != old and all_open(many)
    assert {check.kid for check in rotation.verify(many)} == {done.primary}
    assert statuses(root) == ["primary", "retired"]
    with pytest.raises(KeyProblem, match="was retired"):
        many.reveal(before, "refresh_token")
    with many.locked_update("eml-office") as update:
        assert update.opened().generation == 2
        assert not update.restored()


def test_a_value_that_does_not_open_keeps_its_key(many: Folder, root: Path) -> None:
    """Nothing is lost by a rotation: what cannot be opened now stays as it is, is named, and can be mended later."""
    path = many.path_of("eml-0")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"<host>h", b"<host>evil"))
    done = rotation.rotate(many, {})
    assert [(c.connection, c.field) for c in done.failed] == [("eml-0", "password")]
    assert done.retired == () and statuses(root) == ["primary", "decrypt"]
    with pytest.raises(SealBroken):
        many.reveal(many.load("eml-0"), "password")
    path.write_bytes(whole)
    again = rotation.rotate(many, {})
    assert (again.resumed, again.resealed, again.primary) == (True, 1, done.primary)
    assert all_open(many) and statuses(root) == ["primary", "retired"]


def test_a_broken_file_keeps_its_key(many: Folder, root: Path) -> None:
    """A file that cannot be read may hold a value of the old key, which therefore stays."""
    path = many.path_of("eml-0")
    path.write_bytes(path.read_bytes().replace(b"</documentburster>", b""))
    done = rotation.rotate(many, {})
    assert [c.connection for c in done.failed] == ["eml-0"] and done.retired == ()


def test_rotating_twice_makes_two_keys(many: Folder, root: Path) -> None:
    """Each finished rotation is a key of its own, also when an unreadable value keeps an older one alive."""
    path = many.path_of("eml-0")
    path.write_bytes(path.read_bytes().replace(b"<host>h", b"<host>evil"))
    first, second = rotation.rotate(many, {}), rotation.rotate(many, {})
    assert first.primary != second.primary and not second.resumed
    assert second.retired == (first.primary,)
    path.write_bytes(path.read_bytes().replace(b"<host>evil", b"<host>h"))
    assert all_open(many)


def test_a_left_over_password_is_rotated_too(many: Folder, root: Path) -> None:
    """A sealed password its provider does not use does not keep the old key alive."""
    path = many.path_of("eml-office")
    path.write_bytes(path.read_bytes().replace(b"<usessl>", b"<userpassword>left</userpassword><usessl>"))
    many.save(dataclasses.replace(many.load("eml-office"), name="Saved"))
    done = rotation.rotate(many, {})
    assert done.resealed == 8 and len(done.retired) == 1


def test_a_key_kept_outside_is_not_rotated_here(many: Folder, root: Path) -> None:
    """The environment cannot be written from here; nothing has changed."""
    import base64

    _, stored = keys.read_keys(root, {})
    environ = {"DATAPALLAS_KEY_SOURCE": "env:K", "K": base64.b64encode(stored[0].key).decode()}
    with pytest.raises(KeyProblem, match="outside"):
        rotation.rotate(many, environ)
    assert all_open(many) and statuses(root) == ["primary"]


def test_rotating_without_a_key_is_told(folder: Folder) -> None:
    """There is nothing to rotate yet."""
    with pytest.raises(KeyProblem, match="keys init"):
        rotation.rotate(folder, {})


def rotate_until(folder: Folder, nth: int) -> bool:
    """Rotate in a child that is killed at its `nth` sync; True when it came that far."""
    child = os.fork()
    if child == 0:
        real, calls = os.fsync, itertools.count(1)

        def killing(fd: int) -> None:
            if next(calls) == nth:
                os.kill(os.getpid(), signal.SIGKILL)
            real(fd)

        os.fsync = killing  # type: ignore[assignment]
        with contextlib.suppress(BaseException):
            rotation.rotate(folder, {})
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_a_rotation_killed_anywhere_is_finished_by_the_next(many: Folder, root: Path, tmp_path: Path) -> None:
    """kill -9 at every single sync of a rotation: at each point every value opens, and running it again ends it."""
    points = 0
    for nth in itertools.count(1):
        home = tmp_path / f"copy{nth}"
        for part in ("config", "data"):
            shutil.copytree(root / part, home / part)
        folder = Folder(home, functools.partial(keys.ensure, home, {}))
        killed = rotate_until(folder, nth)
        assert all_open(folder)
        rotation.rotate(folder, {})
        assert all_open(folder) and not [c for c in rotation.verify(folder) if c.problem]
        assert statuses(home)[0] == "primary" and set(statuses(home)[1:]) == {"retired"}
        shutil.rmtree(home)
        if not killed:
            break
        points += 1
    assert points == 4 + 7 * 8 + 4  # the new key; each value's file and record; the old key's end
