"""Where the master key comes from, and what happens when it does not."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import types
from typing import TYPE_CHECKING

import pytest

from datapallas.connection import keys
from datapallas.connection.model import Connection, Password
from datapallas.connection.vault import kid_of
from datapallas.errors import KeyProblem
from datapallas.secret import Secret

if TYPE_CHECKING:
    from pathlib import Path

    from datapallas.connection.folder import Folder

KEY = base64.b64encode(bytes(range(32))).decode()
KID = kid_of(bytes(range(32)))
OTHER = base64.b64encode(bytes(32)).decode()


def key_file(root: Path) -> Path:
    return root / "data" / "keys" / "keyring.json"


def sealed(folder: Folder) -> None:
    folder.create(Connection(code="eml-a", credential=Password(user="u", password=Secret("p"))))


def test_an_empty_home_has_no_key(root: Path) -> None:
    """Looking makes nothing."""
    assert keys.load(root, {}) is None
    assert not key_file(root).exists()


def test_the_first_key_is_private(root: Path) -> None:
    """The file is 0600 in a folder of 0700, and holds a key whose id is derived from it."""
    made = keys.init(root, {})
    assert key_file(root).stat().st_mode & 0o777 == 0o600
    assert key_file(root).parent.stat().st_mode & 0o777 == 0o700
    assert made == keys.load(root, {})
    row = json.loads(key_file(root).read_text())["keys"][0]
    assert row["kid"] == made.primary == kid_of(base64.b64decode(row["key"]))
    assert row["status"] == "primary"


def test_an_existing_key_is_never_replaced(root: Path) -> None:
    """init on a home with a key is refused and changes nothing."""
    keys.init(root, {})
    before = key_file(root).read_bytes()
    with pytest.raises(KeyProblem, match="already"):
        keys.init(root, {})
    with pytest.raises(KeyProblem, match="already"):
        keys.init(root, {}, abandon=True)
    assert key_file(root).read_bytes() == before


def test_the_first_seal_makes_the_first_key(folder: Folder, root: Path) -> None:
    """On an installation where nothing is sealed, sealing makes the key."""
    sealed(folder)
    assert key_file(root).exists()


def test_a_lost_key_never_makes_a_new_one_silently(folder: Folder, root: Path) -> None:
    """Key gone, values there: the error names the file that was expected and what to do, and nothing is written."""
    sealed(folder)
    key_file(root).unlink()
    before = {
        path: path.read_bytes() for path in root.rglob("*") if path.is_file() and "locks" not in path.parts
    }
    for attempt in (
        lambda: keys.ensure(root, {}),
        lambda: keys.init(root, {}),
        lambda: folder.reveal(folder.load("eml-a"), "password"),
        lambda: folder.create(Connection(code="eml-b", credential=Password(password=Secret("q")))),
    ):
        with pytest.raises(KeyProblem, match=r"keyring\.json.*eml-a\.xml.*backup") as caught:
            attempt()
        assert caught.value.facts["case"] == "lost"
    after = {
        path: path.read_bytes() for path in root.rglob("*") if path.is_file() and "locks" not in path.parts
    }
    assert after == before


def test_a_key_that_is_gone_for_good_can_be_given_up(folder: Folder, root: Path) -> None:
    """Saying so makes a new key; the old values stay closed, and a password can be set again."""
    sealed(folder)
    key_file(root).unlink()
    keys.init(root, {}, abandon=True)
    with pytest.raises(KeyProblem, match="not in use here"):
        folder.reveal(folder.load("eml-a"), "password")
    folder.save(Connection(code="eml-a", credential=Password(user="u", password=Secret("new"))))
    assert folder.reveal(folder.load("eml-a"), "password") == Secret("new")


def test_values_of_the_java_product_need_no_key_of_ours(root: Path) -> None:
    """A home taken over from the Java product gets its first key like any other."""
    java = "<x>ENC(AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA)</x>"
    (root / "config" / "connections" / "eml-java.xml").write_text(java)
    assert keys.ensure(root, {}).keys


@pytest.mark.parametrize("name", ["eml-a.xml", "eml-a.xml.next", "eml-a.xml.bak", "other.xml"])
def test_a_sealed_value_in_any_file_counts(root: Path, name: str) -> None:
    """Also a broken, half written or put-aside file stops the making of a new key."""
    (root / "config" / "connections" / name).write_text("<broken>ENC(v1.A256GCM.00")
    with pytest.raises(KeyProblem, match="missing"):
        keys.ensure(root, {})


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o660, 0o644, 0o666, 0o777])
def test_a_key_others_can_reach_is_refused(root: Path, mode: int) -> None:
    """Group or world may read or write it: refused, with the command that mends it; the command works."""
    keys.init(root, {})
    key_file(root).chmod(mode)
    with pytest.raises(KeyProblem, match="chmod 600") as caught:
        keys.load(root, {})
    subprocess.run(caught.value.facts["command"], shell=True, check=True)
    assert keys.load(root, {})


def test_a_key_that_is_a_link_is_refused(root: Path) -> None:
    """A symbolic link is not followed; the command given puts the file itself there."""
    keys.init(root, {})
    real = root / "elsewhere with blank.json"
    key_file(root).rename(real)
    key_file(root).symlink_to(real)
    with pytest.raises(KeyProblem, match="symbolic link") as caught:
        keys.load(root, {})
    subprocess.run(caught.value.facts["command"], shell=True, check=True)
    assert keys.load(root, {}) and not key_file(root).is_symlink()


def test_a_folder_in_place_of_the_key_is_refused(root: Path) -> None:
    """Neither is anything read that is not a file."""
    key_file(root).mkdir(parents=True)
    with pytest.raises(KeyProblem, match="not a plain file"):
        keys.load(root, {})


def test_a_foreign_key_file_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of another user is not trusted."""
    keys.init(root, {})
    me = key_file(root).stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: me + 1)
    if me == 0:  # root's own files are trusted by everyone; make it somebody else's
        import os

        os.chown(key_file(root), 4711, -1)
    with pytest.raises(KeyProblem, match=r"another user.*chown"):
        keys.load(root, {})


@pytest.mark.parametrize(
    ("environ", "source"),
    [
        ({"DATAPALLAS_KEY": KEY}, "env:DATAPALLAS_KEY"),
        ({"DATAPALLAS_KEY_SOURCE": "env:MINE", "MINE": KEY, "DATAPALLAS_KEY": OTHER}, "env:MINE"),
        ({"CREDENTIALS_DIRECTORY": "{root}"}, "credential:datapallas-key"),
        ({"CREDENTIALS_DIRECTORY": "{root}", "DATAPALLAS_KEY_SOURCE": "credential:mine"}, "credential:mine"),
        ({"DATAPALLAS_KEY_SOURCE": "file:{root}/mine"}, "file:{root}/mine"),
        ({"DATAPALLAS_KEY_SOURCE": "file:mine", "DATAPALLAS_KEY": OTHER}, "file:{root}/mine"),
    ],
)
def test_each_source_gives_its_key(root: Path, environ: dict[str, str], source: str) -> None:
    """systemd's credential, a file, the environment; the one that is named wins."""
    for name in ("datapallas-key", "mine"):
        (root / name).write_text(KEY + "\n")
        (root / name).chmod(0o600)
    found = keys.load(root, {name: value.format(root=root) for name, value in environ.items()})
    assert found is not None
    assert (found.primary, found.source) == (KID, source.format(root=root))


def test_a_named_source_without_a_key_stops(folder: Folder, root: Path) -> None:
    """No silent fall-through to another source: what is named is what is used."""
    sealed(folder)
    for named in ("env:NONE", "file:/nowhere/key", "credential:none"):
        with pytest.raises(KeyProblem, match=named.replace("/", "/")):
            keys.ensure(root, {"DATAPALLAS_KEY_SOURCE": named})
    with pytest.raises(KeyProblem, match="must be file:PATH"):
        keys.load(root, {"DATAPALLAS_KEY_SOURCE": "kms:x"})


def test_two_sources_with_different_keys_stop(root: Path) -> None:
    """Both ids and both places are named, and nothing is opened with either."""
    made = keys.init(root, {})
    with pytest.raises(
        KeyProblem, match=rf"(?s)(?=.*{KID})(?=.*{made.primary}).*Two sources|Two sources"
    ) as caught:
        keys.load(root, {"DATAPALLAS_KEY": KEY})
    assert KID in caught.value.message and made.primary in caught.value.message
    assert "env:DATAPALLAS_KEY" in caught.value.message and "keyring.json" in caught.value.message


def test_two_sources_with_one_key_agree(root: Path) -> None:
    """The same key in two places is no conflict."""
    made = keys.init(root, {})
    row = json.loads(key_file(root).read_text())["keys"][0]
    assert keys.load(root, {"DATAPALLAS_KEY": row["key"]}) == made


def test_a_source_that_cannot_be_written_says_how(root: Path) -> None:
    """The first key cannot be put into the environment from here; the command is given."""
    with pytest.raises(KeyProblem, match="export MINE="):
        keys.init(root, {"DATAPALLAS_KEY_SOURCE": "env:MINE"})


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "AAAA", KEY[:-4], "{}", '{"version":1}', '{"version":1,"keys":[]}', '{"version":1,"keys":[{}]}', "[]",
        '{"version":2,"keys":[]}', "\xfc", "A" * 70_000,
        json.dumps({"version": 1, "keys": [{"kid": "0" * 16, "created": "", "status": "primary", "key": KEY}]}),
        json.dumps({"version": 1, "keys": [{"kid": KID, "created": "", "status": "decrypt", "key": KEY}]}),
        json.dumps({"version": 1, "keys": [{"kid": KID, "created": "", "status": "x", "key": KEY}]}),
    ],
)  # fmt: skip
def test_a_damaged_key_file_is_told(root: Path, text: str) -> None:
    """A key file that is cut, of another version, or whose id is not its key's is refused and left alone."""
    key_file(root).parent.mkdir(parents=True)
    key_file(root).write_text(text, encoding="latin-1")
    key_file(root).chmod(0o600)
    with pytest.raises(KeyProblem) as caught:
        keys.ensure(root, {})
    assert KEY not in caught.value.message
    assert key_file(root).read_text(encoding="latin-1") == text


class _Backend:
    """A desktop keyring in memory, where the session of the tests has none."""

    kept: str | None = None

    def get_password(self, service: str, name: str) -> str | None:
        return self.kept

    def set_password(self, service: str, name: str, value: str) -> None:
        _Backend.kept = value


def test_a_desktop_keyring_keeps_the_key(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named outright, the desktop's keyring is written and read; a backend that protects nothing is refused."""
    module = types.ModuleType("keyring")
    monkeypatch.setitem(sys.modules, "keyring", module)
    monkeypatch.setattr(module, "get_keyring", _Backend, raising=False)
    monkeypatch.setattr(_Backend, "kept", None)
    environ = {"DATAPALLAS_KEY_SOURCE": "keyring:datapallas"}
    made = keys.init(root, environ)
    assert made.source == "keyring:datapallas" and keys.load(root, environ) == made
    assert not key_file(root).exists()
    monkeypatch.setattr(_Backend, "__module__", "keyrings.alt.file")
    with pytest.raises(KeyProblem, match=r"keyrings\.alt"):
        keys.load(root, environ)


def test_without_the_extra_the_package_to_install_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """keyring: without the keyring package says what to install."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(KeyProblem, match="pip install"):
        keys.load(root, {"DATAPALLAS_KEY_SOURCE": "keyring:datapallas"})
