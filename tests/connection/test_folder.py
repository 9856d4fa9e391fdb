"""The connections of a home: found by code, changed whole, never confused with each other."""

from __future__ import annotations

import dataclasses
import os
import threading
from typing import TYPE_CHECKING

import pytest

from datapallas.connection import keys, record
from datapallas.connection.file_store import FileStore
from datapallas.connection.folder import Broken, Folder, Granted
from datapallas.connection.model import Connection, OAuth2Client, Password, Provider, Sealed, Server
from datapallas.errors import (
    BrokenConnection,
    ConfigurationError,
    NoDefaultConnection,
    NotSignedIn,
    SealBroken,
    StorageError,
    UnknownConnection,
)
from datapallas.secret import Secret

if TYPE_CHECKING:
    from pathlib import Path


def plain(code: str, **fields: object) -> Connection:
    return dataclasses.replace(Connection(code=code, server=Server(host="h")), **fields)  # type: ignore[arg-type]


def files_of(root: Path) -> dict[str, bytes]:
    return {
        p.name: p.read_bytes() for p in sorted((root / "config" / "connections").iterdir()) if p.is_file()
    }


def test_an_empty_home_lists_nothing(tmp_path: Path) -> None:
    """A home that does not exist yet has no connections, and looking makes no folder."""
    folder = Folder(tmp_path / "new", lambda: keys.ensure(tmp_path, {}))
    assert folder.list() == []
    with pytest.raises(NoDefaultConnection, match="There is no connection in"):
        folder.default()
    with pytest.raises(UnknownConnection, match="There is none in"):
        folder.load("eml-a")
    assert not (tmp_path / "new").exists()


def test_what_is_created_is_loaded(folder: Folder, root: Path) -> None:
    """A created connection is there, its file private, its password sealed."""
    folder.create(plain("eml-a", name="A", credential=Password(user="u", password=Secret("hunter2"))))
    connection = folder.load("eml-a")
    assert connection.name == "A"
    assert isinstance(connection.credential, Password) and isinstance(connection.credential.password, Sealed)
    assert folder.reveal(connection, "password") == Secret("hunter2")
    path = folder.path_of("eml-a")
    assert path == root / "config" / "connections" / "eml-a.xml"
    assert path.stat().st_mode & 0o777 == 0o600
    assert all(b"hunter2" not in p.read_bytes() for p in root.rglob("*") if p.is_file())


@pytest.mark.parametrize("mask", [0o000, 0o077, 0o022])
def test_files_are_private_under_any_umask(folder: Folder, root: Path, mask: int) -> None:
    """Everything below data/ and each connection file is the owner's alone, whatever the umask is."""
    before = os.umask(mask)
    try:
        folder.create(plain("eml-a", credential=Password(password=Secret("p"))))
    finally:
        os.umask(before)
    for path in [*(root / "data").rglob("*"), root / "data", folder.path_of("eml-a")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)


def test_a_java_file_becomes_private_when_it_is_saved(folder: Folder, root: Path) -> None:
    """A world-readable file of the Java product is 0600 after the first save."""
    path = root / "config" / "connections" / "eml-a.xml"
    path.write_bytes(
        b"<documentburster><connection><code>eml-a</code><emailserver><userpassword>pw</userpassword>"
        b"</emailserver></connection></documentburster>"
    )
    path.chmod(0o644)
    (entry,) = folder.entries()
    assert entry.plain == ("userpassword",)
    assert folder.reveal(folder.load("eml-a"), "password") == Secret("pw")
    folder.save(dataclasses.replace(folder.load("eml-a"), name="Named"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert b">pw<" not in path.read_bytes()
    assert folder.entries()[0].plain == ()
    assert folder.reveal(folder.load("eml-a"), "password") == Secret("pw")


def test_an_unknown_code_names_the_known_ones(folder: Folder, root: Path) -> None:
    """There is no such connection: the error lists what there is; no other one is used."""
    folder.create(plain("eml-a"))
    folder.create(plain("eml-b"))
    (root / "config" / "connections" / "eml-bad.xml").write_text("<")
    for code in ("eml-c", "", "../eml-a", "eml-a/../eml-b", "EML-A", "eml-a.xml"):
        with pytest.raises(UnknownConnection, match=r"eml-a, eml-b.*eml-bad\.xml") as caught:
            folder.load(code)
        assert caught.value.facts["known"] == "eml-a, eml-b"


def test_a_broken_file_never_hides_the_others(folder: Folder, root: Path) -> None:
    """Broken XML, a DTD, an element twice, a wrong encoding, 2 MB: each is named, the others work."""
    folder.create(plain("eml-good", default=True))
    place = root / "config" / "connections"
    good = (place / "eml-good.xml").read_bytes()
    broken = {
        "eml-cut": (good[:200], "no element found"),
        "eml-dtd": (b"<!DOCTYPE a>\n" + good, "DOCTYPE"),
        "eml-twice": (good.replace(b"<host>", b"<host/>\n<host>"), "<host> stands twice"),
        "eml-latin": (good.replace(b">h<", b">\xfc<"), "0xFC is not UTF-8"),
        "eml-big": (good + b" " * (2 << 20), "longer than 1 MiB"),
        "eml-utf16": (good.decode().encode("utf-16"), "UTF-16"),
        "eml-empty": (b"", "no element"),
    }
    for code, (data, _) in broken.items():
        (place / f"{code}.xml").write_bytes(data.replace(b"eml-good", code.encode()))
    os.mkfifo(place / "eml-pipe.xml")
    (place / "eml-out.xml").symlink_to("/etc/passwd")
    (place / "eml-round.xml").symlink_to(place / "eml-round.xml")
    (place / "eml-folder.xml").mkdir()
    (place / "readme.txt").write_text("x")
    found = {e.path.stem: e.path.stem and e.reason for e in folder.list() if isinstance(e, Broken)}
    assert set(found) == {*broken, "eml-pipe", "eml-out", "eml-round"}
    assert "not a plain file" in found["eml-pipe"] and "link" in found["eml-out"]
    for code, (_, reason) in broken.items():
        assert reason in found[code]
        with pytest.raises(BrokenConnection, match=reason) as caught:
            folder.load(code)
        assert caught.value.facts["path"] == str(place / f"{code}.xml")
    assert folder.load("eml-good").default and folder.default().code == "eml-good"
    folder.save(dataclasses.replace(folder.load("eml-good"), name="Still works"))


def test_a_link_inside_the_folder_is_followed(folder: Folder, root: Path) -> None:
    """A mounted configuration is links within its folder; they are read."""
    folder.create(plain("eml-a"))
    place = root / "config" / "connections"
    (place / "..data").mkdir()
    (place / "eml-a.xml").rename(place / "..data" / "eml-a.xml")
    (place / "eml-a.xml").symlink_to("..data/eml-a.xml")
    assert folder.load("eml-a").code == "eml-a"


def test_the_code_counts_not_the_file_name(folder: Folder, root: Path) -> None:
    """A file found by the code inside it; the code may be written with character references."""
    folder.create(plain("eml-a", name="A"))
    place = root / "config" / "connections"
    (place / "eml-a.xml").rename(place / "eml-moved.xml")
    assert folder.path_of("eml-a") == place / "eml-moved.xml"
    data = (place / "eml-moved.xml").read_bytes()
    (place / "eml-moved.xml").write_bytes(data.replace(b"<code>eml-a", b"<code>&#101;ml-a"))
    assert folder.load("eml-a").name == "A"
    with pytest.raises(UnknownConnection):
        folder.load("eml-moved")


def test_two_files_with_one_code_are_both_named(folder: Folder, root: Path) -> None:
    """Nothing picks one of two."""
    folder.create(plain("eml-a"))
    place = root / "config" / "connections"
    (place / "eml-copy.xml").write_bytes((place / "eml-a.xml").read_bytes())
    for attempt in (
        lambda: folder.load("eml-a"),
        lambda: folder.save(plain("eml-a")),
        lambda: folder.delete("eml-a"),
    ):
        with pytest.raises(ConfigurationError, match=r"eml-a\.xml and .*eml-copy\.xml"):
            attempt()


def test_a_file_names_its_connection(
    folder: Folder, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--email-connection-file: the code inside a file of this home; any other file is refused with the reason."""
    folder.create(plain("eml-a"))
    place = root / "config" / "connections"
    assert folder.code_of(place / "eml-a.xml") == "eml-a"
    monkeypatch.chdir(root)
    from pathlib import Path as AnyPath

    assert folder.code_of(AnyPath("config/connections/eml-a.xml")) == "eml-a"
    with pytest.raises(ConfigurationError, match="no file"):
        folder.code_of(place / "eml-none.xml")
    outside = tmp_path / "eml-a.xml"
    outside.write_bytes((place / "eml-a.xml").read_bytes())
    with pytest.raises(ConfigurationError, match="--home"):
        folder.code_of(outside)
    other = place / "mine.xml"
    other.write_bytes(outside.read_bytes())
    with pytest.raises(ConfigurationError, match="not called"):
        folder.code_of(other)
    (place / "eml-bad.xml").write_text("<a>")
    with pytest.raises(BrokenConnection):
        folder.code_of(place / "eml-bad.xml")


@pytest.mark.parametrize("code", ["../x", "a", "eml-A", "con", "eml-" + "x" * 60, "eml-a/b", "eml-ä", ""])
def test_codes_that_are_none_are_never_written(folder: Folder, root: Path, code: str) -> None:
    """A code that could name another file, or no connection, is refused."""
    with pytest.raises(ConfigurationError):
        folder.create(plain(code))
    assert files_of(root) == {}


def test_a_taken_code_is_refused(folder: Folder, root: Path) -> None:
    """By its file or by the code in another file: nothing is overwritten."""
    folder.create(plain("eml-a", name="first"))
    place = root / "config" / "connections"
    with pytest.raises(ConfigurationError, match="already"):
        folder.create(plain("eml-a"))
    (place / "eml-a.xml").rename(place / "eml-b.xml")
    for code in ("eml-a", "eml-b"):
        with pytest.raises(ConfigurationError, match="already"):
            folder.create(plain(code))
    assert folder.load("eml-a").name == "first"


# The default


def test_exactly_one_connection_is_the_default(folder: Folder) -> None:
    """Making one the default unmakes the other; none, or two by hand, is an error that names the files."""
    folder.create(plain("eml-a"))
    folder.create(plain("eml-b"))
    with pytest.raises(NoDefaultConnection, match=r"none.*eml-a\.xml.*eml-b\.xml"):
        folder.default()
    folder.set_default("eml-a")
    assert folder.default().code == "eml-a"
    folder.set_default("eml-b")
    assert folder.default().code == "eml-b" and not folder.load("eml-a").default
    folder.create(plain("eml-c", default=True))
    assert folder.default().code == "eml-c"
    path = folder.path_of("eml-a")
    path.write_bytes(path.read_bytes().replace(b"<default>false", b"<default>true"))
    with pytest.raises(NoDefaultConnection, match=r"several.*eml-a\.xml.*eml-c\.xml") as caught:
        folder.default()
    assert "eml-b" not in caught.value.message
    with pytest.raises(UnknownConnection):
        folder.set_default("eml-z")


def test_a_flag_changes_nothing_else(folder: Folder, office: Connection) -> None:
    """Losing the default flag leaves the other connection's sign-in and every other byte as they were."""
    before = folder.path_of("eml-office").read_bytes()
    folder.create(plain("eml-a", default=True))
    after = folder.path_of("eml-office").read_bytes()
    assert after == before.replace(b"<default>true", b"<default>false")
    assert folder.reveal(folder.load("eml-office"), "refresh_token") == Secret("refresh token 1")


def test_the_default_is_not_deleted_by_accident(folder: Folder, office: Connection, root: Path) -> None:
    """Deleting the default connection needs force; deleting takes the record along, and the lock file stays."""
    with pytest.raises(ConfigurationError, match="default connection"):
        folder.delete("eml-office")
    assert (root / "data" / "connections" / "eml-office.json").exists()
    folder.delete("eml-office", force=True)
    assert folder.list() == []
    assert not (root / "data" / "connections" / "eml-office.json").exists()
    assert (root / "data" / "locks" / "eml-office.lock").exists()
    with pytest.raises(UnknownConnection):
        folder.delete("eml-office")


# Secrets


def test_a_duplicate_has_no_secret(folder: Folder, office: Connection, root: Path) -> None:
    """Everything but secrets and sign-in is copied, what we do not know too; left-over secrets are not."""
    path = folder.path_of("eml-office")
    stray = b"<weburl>kept</weburl><!-- kept --><userpassword>ENC(v1.stray)</userpassword><oauth2provider>"
    path.write_bytes(path.read_bytes().replace(b"<oauth2provider>", stray))
    copy = folder.duplicate("eml-office", "Second Office")
    assert copy.code == "eml-second-office" and not copy.default
    data = folder.path_of(copy.code).read_bytes()
    assert b"ENC(" not in data and b"<weburl>kept</weburl><!-- kept -->" in data
    client = copy.credential
    assert isinstance(client, OAuth2Client)
    assert client.client_id == "client" and client.refresh_token is None and client.client_secret is None
    with pytest.raises(NotSignedIn):
        folder.reveal(copy, "refresh_token")
    assert folder.reveal(folder.load("eml-office"), "refresh_token") == Secret("refresh token 1")


def test_harmless_changes_keep_the_sign_in(folder: Folder, office: Connection) -> None:
    """Name, sender's name, default, chunking: the sign-in and the client secret stay, to the byte."""
    renamed = dataclasses.replace(
        office,
        name="New",
        from_name="N",
        default=False,
        server=dataclasses.replace(office.server, chunking=False),
    )
    saved = folder.save(renamed)
    assert saved == renamed
    assert folder.reveal(saved, "refresh_token") == Secret("refresh token 1")
    assert folder.reveal(saved, "client_secret") == Secret("the client secret")


def harmful(office: Connection) -> dict[str, Connection]:
    client = office.credential
    assert isinstance(client, OAuth2Client)
    replace = dataclasses.replace
    return {
        "the mail server": replace(office, server=Server(host="evil.example")),
        "the token address": replace(office, credential=replace(client, token_url="https://evil.example")),
        "the client id": replace(office, credential=replace(client, client_id="other")),
        "the mailbox": replace(office, from_address="other@contoso.example"),
        "the provider": replace(
            office, credential=OAuth2Client(provider=Provider.GOOGLE, client_id="client")
        ),
    }


@pytest.mark.parametrize(
    "what", ["the mail server", "the token address", "the client id", "the mailbox", "the provider"]
)
def test_harmful_changes_are_refused_or_end_the_sign_in(
    folder: Folder, office: Connection, what: str
) -> None:
    """A change the sign-in is bound to is refused with a sentence; agreed to, the sign-in is gone, never re-sealed."""
    changed = harmful(office)[what]
    before = folder.path_of("eml-office").read_bytes()
    with pytest.raises(
        ConfigurationError, match=rf"(?s)stored sign-in.*{what} \(was .*--drop-sign-in"
    ) as caught:
        folder.save(changed)
    assert caught.value.facts["case"] == "identity-changed"
    assert folder.path_of("eml-office").read_bytes() == before
    saved = folder.save(changed, drop_sign_in=True)
    with pytest.raises(NotSignedIn):
        folder.reveal(saved, "refresh_token")
    if what in {"the mail server", "the mailbox"}:
        assert folder.reveal(saved, "client_secret") == Secret("the client secret")
    else:
        with pytest.raises(ConfigurationError, match="not set"):
            folder.reveal(saved, "client_secret")


def test_a_change_with_a_new_secret_needs_no_drop(folder: Folder, office: Connection) -> None:
    """A new password for a new server is a change like any other."""
    folder.create(plain("eml-p", credential=Password(user="u", password=Secret("old"))))
    moved = plain("eml-p", server=Server(host="new"), credential=Password(user="u", password=Secret("new")))
    assert folder.reveal(folder.save(moved), "password") == Secret("new")
    with pytest.raises(ConfigurationError, match=r"The password of eml-p cannot be kept.*set it again"):
        folder.save(plain("eml-p", credential=Password(user="u")))


def test_from_a_password_to_oauth2(folder: Folder) -> None:
    """The move everybody makes: said once, then the password is out of the file."""
    folder.create(
        plain("eml-p", from_address="u@x.example", credential=Password(user="u", password=Secret("old")))
    )
    moved = plain(
        "eml-p", from_address="u@x.example", credential=OAuth2Client(provider=Provider.GOOGLE, client_id="c")
    )
    with pytest.raises(ConfigurationError, match="The password of eml-p"):
        folder.save(moved)
    assert folder.save(moved, drop_sign_in=True) == moved
    assert b"ENC(" not in folder.path_of("eml-p").read_bytes()


def test_a_save_does_not_bring_back_an_old_token(folder: Folder, office: Connection) -> None:
    """Read before a refresh, saved after it: the rotated token stays, and so does a sign-in that came meanwhile."""
    with folder.locked_update("eml-office") as update:
        update.store_refresh_token(Secret("refresh token 2"), Granted(issued_at="later", scope="s"))
    saved = folder.save(dataclasses.replace(office, name="New"))
    assert folder.reveal(saved, "refresh_token") == Secret("refresh token 2")
    assert isinstance(saved.credential, OAuth2Client) and saved.credential.issued_at == "later"
    assert isinstance(office.credential, OAuth2Client)
    unsigned = dataclasses.replace(
        office, credential=dataclasses.replace(office.credential, refresh_token=None)
    )
    assert folder.reveal(folder.save(unsigned), "refresh_token") == Secret("refresh token 2")


def edit(folder: Folder, code: str, old: bytes, new: bytes) -> Connection:
    path = folder.path_of(code)
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    return folder.load(code)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            b"smtp.office365.com",
            b"evil.example",
            "the mail server (was smtp.office365.com:587, is evil.example:587)",
        ),
        (b"<port>587", b"<port>25", "the mail server (was smtp.office365.com:587, is smtp.office365.com:25)"),
        (b"<code>eml-office", b"<code>eml-mine", ""),
        (b">client<", b">other<", "the client id (was client, is other)"),
        (b"reports@", b"other@", "the mailbox (was reports@contoso.example, is other@contoso.example)"),
        (b">MICROSOFT<", b">GOOGLE<", "the provider (was MICROSOFT, is GOOGLE), the token address (was"),
        (
            b"contoso.example</oauth2ten",
            b"evil.example</oauth2ten",
            "the token address (was https://login.micro",
        ),
    ],
)
def test_an_edit_by_hand_is_told(
    folder: Folder, office: Connection, old: bytes, new: bytes, said: str
) -> None:
    """Pointing a sealed sign-in elsewhere in the file fails closed, and the sentence says what was changed."""
    said = said or "the connection (was eml-office, is eml-mine)"
    path = folder.path_of("eml-office")
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    (connection,) = folder.list()
    assert isinstance(connection, Connection)
    with pytest.raises(SealBroken) as caught:
        folder.reveal(connection, "refresh_token")
    assert said in caught.value.message
    assert caught.value.facts["changed"]


def test_an_edit_by_hand_can_be_undone(folder: Folder, office: Connection) -> None:
    """Putting the server back through `connection set` is no harmful change: the sign-in was sealed for it."""
    edited = edit(folder, "eml-office", b"smtp.office365.com", b"evil.example")
    saved = folder.save(dataclasses.replace(edited, server=office.server))
    assert folder.reveal(saved, "refresh_token") == Secret("refresh token 1")


def test_a_value_copied_between_files_or_fields_is_told(folder: Folder, office: Connection) -> None:
    """The sentence names the connection or the field the value was sealed for."""
    folder.create(plain("eml-thief", credential=Password(user="u", password=Secret("p"))))
    assert isinstance(office.credential, OAuth2Client) and isinstance(office.credential.refresh_token, Sealed)
    stolen = office.credential.refresh_token.text.encode()
    thief = folder.load("eml-thief")
    assert isinstance(thief.credential, Password) and isinstance(thief.credential.password, Sealed)
    connection = edit(folder, "eml-thief", thief.credential.password.text.encode(), stolen)
    with pytest.raises(
        SealBroken, match=r"the connection \(was eml-office, is eml-thief\).*the field \(was refresh_token"
    ):
        folder.reveal(connection, "password")
    secret = office.credential.client_secret
    assert isinstance(secret, Sealed)
    connection = edit(folder, "eml-office", secret.text.encode(), stolen)
    with pytest.raises(SealBroken, match=r"the field \(was refresh_token, is client_secret\)"):
        folder.reveal(connection, "client_secret")


def test_a_damaged_value_is_told(folder: Folder, office: Connection) -> None:
    """A value changed by hand is not the one that was sealed last; without a record it still does not open."""
    assert isinstance(office.credential, OAuth2Client) and isinstance(office.credential.refresh_token, Sealed)
    text = office.credential.refresh_token.text
    wrong = text[:60] + ("A" if text[60] != "A" else "B") + text[61:]
    connection = edit(folder, "eml-office", text.encode(), wrong.encode())
    with pytest.raises(SealBroken, match="not the value that was sealed last"):
        folder.reveal(connection, "refresh_token")
    FileStore(folder.store.root).record_path("eml-office").unlink()
    with pytest.raises(SealBroken, match="does not open"):
        folder.reveal(connection, "refresh_token")


def test_a_sign_in_of_the_java_product_asks_for_a_new_one(folder: Folder, root: Path) -> None:
    """The file loads, the old value is named for what it is, and a new sign-in replaces it."""
    folder.create(
        plain(
            "eml-a",
            from_address="a@b.example",
            credential=OAuth2Client(provider=Provider.GOOGLE, client_id="c"),
        )
    )
    java = b"<oauth2refreshtoken>ENC(" + b"A" * 60 + b")</oauth2refreshtoken>"
    connection = edit(folder, "eml-a", b"</oauth2clientid>", b"</oauth2clientid>" + java)
    with pytest.raises(SealBroken, match=r"Java DataPallas.*sign in again"):
        folder.reveal(connection, "refresh_token")
    # Nothing of ours is lost by changing the server, so nothing is asked.
    folder.save(dataclasses.replace(connection, server=Server(host="other")))
    with folder.locked_update("eml-a") as update:
        update.store_refresh_token(Secret("r"))
    assert folder.reveal(folder.load("eml-a"), "refresh_token") == Secret("r")


def test_a_left_over_password_is_sealed_too(folder: Folder, office: Connection) -> None:
    """A plain password beside a sign-in is not used, and does not stay in clear; given up OAuth2, it is there."""
    edit(
        folder,
        "eml-office",
        b"<usessl>",
        b"<userpassword>hunter2</userpassword><usessl>",
    )
    assert folder.entries()[0].plain == ("userpassword",)
    saved = folder.save(dataclasses.replace(office, name="Saved"))
    data = folder.path_of("eml-office").read_bytes()
    assert b"hunter2" not in data and folder.entries()[0].plain == ()
    assert folder.reveal(saved, "refresh_token") == Secret("refresh token 1")
    back = edit(folder, "eml-office", b">MICROSOFT<", b">NONE<")
    assert folder.reveal(back, "password") == Secret("hunter2")


def test_a_variable_is_not_a_secret(folder: Folder) -> None:
    """${password} stays text in the file; whoever wants to use it is told that reports fill it in."""
    saved = folder.create(plain("eml-v", credential=Password(user="${u}", password=Secret("${password}"))))
    assert b">${password}<" in folder.path_of("eml-v").read_bytes()
    with pytest.raises(ConfigurationError, match="variable"):
        folder.reveal(saved, "password")


def test_a_missing_secret_is_told(folder: Folder) -> None:
    """No password, no sign-in: each is said in its own words."""
    connection = folder.create(plain("eml-a"))
    with pytest.raises(ConfigurationError, match="The password of eml-a is not set"):
        folder.reveal(connection, "password")


# Locks


def test_a_lock_is_for_threads_too(folder: Folder, office: Connection) -> None:
    """Twenty threads that each store a token one after the other: none is lost, generations count up without a gap."""

    def work(number: int) -> None:
        with folder.locked_update("eml-office") as update:
            generations.append(update.opened().generation)
            update.store_refresh_token(Secret(f"t{number}"))

    generations: list[int] = []
    threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert generations == list(range(1, 21))


def test_no_thread_holds_two_locks(folder: Folder, office: Connection) -> None:
    """Two connections are never locked at once, so that no two can wait for each other; one may be entered twice."""
    folder.create(plain("eml-a"))
    with folder.lock("eml-a"):
        folder.save(plain("eml-a", name="inside"))
        with pytest.raises(RuntimeError, match="holds the lock of eml-a"), folder.lock("eml-office"):
            pass
    with folder.lock("eml-office"):
        pass
    assert folder.load("eml-a").name == "inside"


def test_a_busy_lock_names_its_holder(
    folder: Folder, office: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection held by another process is waited for, and then told with that process's number."""
    from datapallas import files

    with files.locked(FileStore(folder.store.root).locks / "eml-office.lock"):
        monkeypatch.setattr(
            "datapallas.files.locked.__wrapped__.__kwdefaults__", {"seconds": 0.05, "poll": 0.01}
        )
        with pytest.raises(StorageError, match=rf"process {os.getpid()}"):
            folder.save(office)


def test_a_damaged_record_is_an_empty_one(folder: Folder, office: Connection) -> None:
    """A record that is cut, of another shape or missing costs nothing but explanations."""
    path = FileStore(folder.store.root).record_path("eml-office")
    whole = path.read_bytes()
    assert record.load(path).seals["refresh_token"].generation == 1
    for damage in (
        b"",
        whole[:50],
        b"[]",
        b'{"seals": 1}',
        b"\xff",
        whole.replace(b'"generation": 1', b'"generation": "x"'),
    ):
        path.write_bytes(damage)
        assert record.load(path) == record.Record()
        assert folder.reveal(folder.load("eml-office"), "refresh_token") == Secret("refresh token 1")


def test_a_record_keeps_why_it_was_parked(tmp_path: Path) -> None:
    """What the provider said comes back as it was said."""
    kept = record.Record(
        intent=record.Intent(3, "0011", "t"),
        parked=record.Refusal("invalid_grant", "AADSTS50173: ...", (50173,), "id", "t"),
        refreshed_at="t",
    )
    record.save(tmp_path / "deep" / "eml-a.json", kept)
    assert record.load(tmp_path / "deep" / "eml-a.json") == kept


def test_a_default_that_cannot_be_unmade_changes_nothing(folder: Folder) -> None:
    """Two files with the old default's code: told, and the new one is not made a second default."""
    folder.create(plain("eml-a", default=True))
    folder.create(plain("eml-b"))
    path = folder.path_of("eml-a")
    path.with_name("eml-old.xml").write_bytes(path.read_bytes())
    with pytest.raises(ConfigurationError, match="eml-old"):
        folder.set_default("eml-b")
    assert not folder.load("eml-b").default
