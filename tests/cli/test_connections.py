"""`connection ...`: make, see, change, delete; and which home a command works in."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.shell import CODE
from datapallas.cli.app import CONNECTION

if TYPE_CHECKING:
    from cli.shell import Shell

PLAIN = "canary-of-a-password"
GOOD = b"""<documentburster>
 <connection><code>eml-%s</code><default>false</default>
  <emailserver><host>smtp.example</host><userid>u@x.example</userid><userpassword>%s</userpassword></emailserver>
 </connection></documentburster>
"""


def put(root: Path, name: str, data: bytes) -> Path:
    """Write a file a person brought along."""
    path = root / "config" / "connections" / f"eml-{name}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_every_command_of_connection_in_one_life(shell: Shell) -> None:
    """Create, list, show, set, default, duplicate, invite, delete: each says what it did, and does it."""
    seen = {"create", "list", "show", "set", "default", "duplicate", "invite", "delete"}
    assert set(CONNECTION) - {"migrate"} == seen  # needs a database: tests/connection/test_migration.py
    words = [
        "--provider",
        "MICROSOFT",
        "--tenant-id",
        "contoso.example",
        "--client-id",
        "1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901",
        "--from",
        "reports@contoso.example",
    ]
    done = shell.call("connection", "create", "office365", *words, "--from-name", "Reports")
    path = shell.root / "config" / "connections" / "eml-office365.xml"
    assert done.code == 0 and str(path) in done.out and "default connection" in done.out
    assert "datapallas system oauth2 sign-in --connection eml-office365" in done.out
    shown = shell.call("connection", "show", "eml-office365", "--json").json
    assert (shown["host"], shown["port"], shown["security"]) == ("smtp.office365.com", "587", "STARTTLS")
    assert (shown["tenant-id"], shown["client-id"], shown["refresh-token"]) == (
        "contoso.example",
        words[5],
        "not set",
    )
    assert shown["redirect-uri-to-register"] == "http://localhost"
    assert shell.call("connection", "set", "eml-office365", "from-name=Zahlen & Co", "port=2525").code == 0
    text = shell.call("connection", "show", "eml-office365").out
    assert "Zahlen & Co" in text and "2525" in text
    assert shell.call("connection", "duplicate", "eml-office365", "Second").out.startswith(
        "Created eml-second"
    )
    assert shell.call("connection", "default", "eml-second", "--json").json == {
        "ok": True,
        "default": "eml-second",
    }
    rows = shell.call("connection", "list", "--json").json["connections"]
    assert [(row["code"], row["default"]) for row in rows] == [("eml-office365", False), ("eml-second", True)]
    invited = shell.call("connection", "invite", "eml-second")
    assert invited.code == 78 and "--public-url" in invited.err, "nobody elsewhere reaches a page here"
    assert shell.call("connection", "delete", "eml-office365", "--json").json["deleted"] == "eml-office365"
    assert not path.exists()


@pytest.mark.parametrize(
    ("provider", "words", "host"),
    [
        ("GOOGLE", [], "smtp.gmail.com:587 STARTTLS GOOGLE"),
        ("", ["--preset", "fastmail"], "smtp.fastmail.com:465 TLS GENERIC"),
        ("NONE", ["--preset", "gmail"], "smtp.gmail.com:587 STARTTLS NONE"),
        ("microsoft", ["--cloud", "china"], "smtp.partner.outlook.cn:587 STARTTLS MICROSOFT"),
        ("MICROSOFT", ["--host", "relay.example", "--port", "25"], "relay.example:25 STARTTLS MICROSOFT"),
    ],
)
def test_presets(shell: Shell, provider: str, words: list[str], host: str) -> None:
    """A provider or a preset fills in host, port and security; what is typed wins."""
    given = ["--provider", provider] if provider else []
    assert shell.call("connection", "create", "a", *given, *words).code == 0
    shown = shell.call("connection", "show", "eml-a", "--json").json
    assert "{host}:{port} {security} {provider}".format(**shown) == host


def test_another_cloud_or_provider_brings_its_own_server(shell: Shell) -> None:
    """The usual mail server follows the provider and its cloud; one that was named by hand stays."""
    assert shell.call("connection", "create", "a", "--provider", "MICROSOFT").code == 0

    def host_after(*words: str) -> str:
        assert shell.call("connection", "set", "eml-a", *words).code == 0
        found: str = shell.call("connection", "show", "eml-a", "--json").json["host"]
        return found

    assert host_after("cloud=CHINA") == "smtp.partner.outlook.cn"
    assert host_after("--provider", "GOOGLE") == "smtp.gmail.com"
    assert host_after("host=relay.example") == "relay.example"
    assert host_after("--provider", "MICROSOFT", "cloud=USGOV") == "relay.example"


def test_an_unknown_code_names_the_known_ones(shell: Shell) -> None:
    """A slip of the pen is told with what there is, and with the first of many; without any, how to make one."""
    none = shell.call("oauth2", "status", "--json").json["error"]
    assert none["id"] == "no-connection-yet" and "datapallas connection create" in none["fix"]
    shell.create()
    for words in (("show",), ("set",), ("default",), ("delete",)):
        done = shell.call("connection", *words, "eml-sandbax")
        assert done.code == 78 and "eml-sandbax" in done.err and CODE in done.err
    done = shell.call("send", "--connection", "eml-sandbax", "--to", "a@x.example", "--json")
    assert (
        done.code == 78
        and done.json["error"]["id"] == "unknown-connection"
        and CODE in done.json["error"]["title"]
    )
    one = shell.file.read_text()
    for number in range(14):
        code = f"eml-n{number:02}"
        text = one.replace(CODE, code).replace("<default>true", "<default>false")
        (shell.file.parent / f"{code}.xml").write_text(text)
    assert "eml-n11 and 3 more." in shell.call("connection", "show", "eml-nope").err


def test_a_duplicate_has_no_secret(shell: Shell) -> None:
    """The copy has every setting and no sign-in: neither in its file nor in what is shown."""
    shell.signed_in()
    assert shell.call("connection", "duplicate", CODE, "copy").code == 0
    text = (shell.file.parent / "eml-copy.xml").read_text()
    assert "ENC(" not in text and "sandbox-app" in text and shell.sandbox.issuer in text
    assert shell.call("connection", "show", "eml-copy", "--json").json["refresh-token"] == "not set"
    assert shell.call("send", "--connection", "eml-copy", "--to", "bob@sandbox.example").code == 77
    assert shell.call("connection", "duplicate", CODE, "copy").code == 78


def test_the_default_connection_is_not_deleted_by_accident(shell: Shell) -> None:
    """Only --force deletes the default connection; without one, a command that needs it says so."""
    shell.create()
    done = shell.call("connection", "delete", CODE)
    assert done.code == 78 and "--force" in done.err and shell.file.exists()
    assert shell.call("connection", "delete", CODE, "--force").code == 0
    done = shell.call("send", "--to", "bob@sandbox.example")
    assert done.code == 78 and "no connection" in done.err


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("broken", b"<documentburster>\n<connection>\n<code>eml-broken</cod", "line 3"),
        (
            "dtd",
            b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>\n' + GOOD % (b"dtd", b"&b;"),
            "DOCTYPE",
        ),
        ("twice", GOOD.replace(b"<host>", b"<host>a</host><host>") % (b"twice", b""), "host"),
        ("latin", b'<?xml version="1.0" encoding="UTF-8"?>' + GOOD % (b"latin", b"\xe9"), "line"),
        ("big", GOOD % (b"big", b"x" * 2_000_000), "1"),
    ],
)
def test_a_broken_file_is_named_and_the_others_work(shell: Shell, name: str, data: bytes, said: str) -> None:
    """The list names the file with line and reason; the good ones are listed and send."""
    shell.signed_in()
    put(shell.root, name, data)
    done = shell.call("connection", "list")
    row = next(line for line in done.out.splitlines() if line.startswith(f"eml-{name}"))
    assert "broken file" in row and said in row
    assert "connected as alice@sandbox.example" in done.out
    rows = shell.call("connection", "list", "--json").json["connections"]
    assert {row["code"]: row["ok"] for row in rows} == {CODE: True, f"eml-{name}": False}
    assert shell.call("send", "--to", "bob@sandbox.example").code == 0
    done = shell.call("connection", "show", f"eml-{name}", "--json")
    assert done.code == 78 and done.json["error"]["id"] == "broken-connection"


def test_two_files_with_one_code_do_not_hide_the_others(shell: Shell) -> None:
    """A copied file that kept its code is told in the list, with both names; the others are listed and work."""
    shell.signed_in()
    put(shell.root, "other", GOOD % (b"other", b""))
    copy = put(shell.root, "copy", shell.file.read_bytes())
    rows = shell.call("connection", "list", "--json").json["connections"]
    told = {Path(row["path"]).stem: row["state"] for row in rows}
    assert set(told) == {CODE, "eml-other", "eml-copy"}
    assert "eml-copy.xml" in told[CODE] and "eml-sandbox.xml" in told["eml-copy"]
    assert shell.call("send", "--connection", CODE, "--to", "bob@sandbox.example").code == 78
    copy.unlink()
    assert shell.call("send", "--to", "bob@sandbox.example").code == 0


def test_a_secret_found_in_clear_is_told_and_sealed_at_the_next_save(shell: Shell) -> None:
    """The list warns, and shows no secret; any save seals it, and touches nothing else."""
    shell.secrets.add(PLAIN)
    path = put(shell.root, "old", GOOD % (b"old", PLAIN.encode()))
    done = shell.call("connection", "list")
    assert "stands in clear" in done.err and "password set" in done.out
    assert shell.call("connection", "list", "--json").json["connections"][0]["warnings"]
    assert PLAIN in path.read_text()
    assert shell.call("connection", "set", "eml-old", "port=2525").code == 0
    text = path.read_text()
    assert PLAIN not in text and "<userpassword>ENC(v1" in text and "<port>2525</port>" in text
    rest = GOOD % (b"old", b"")
    sealed = re.sub(r"ENC\([^)]*\)|\s*<port>2525</port>", "", text)
    assert sealed.split() == rest.decode().split()
    assert "stands in clear" not in shell.call("connection", "list").err


def test_a_password_connection(shell: Shell) -> None:
    """Provider NONE: the password comes from a file or standard input, is sealed, and sends."""
    words = ["--provider", "NONE", "--host", shell.sandbox.smtp_host, "--port", str(shell.sandbox.smtps_port)]
    words += ["--security", "tls", "--user", "bob@sandbox.example", "--from", "bob@sandbox.example"]
    words += ["--root-certificate", str(shell.sandbox.ca_file), "--password", "-"]
    password = shell.sandbox.password.reveal().encode()
    assert shell.call("connection", "create", "sandbox", *words, stdin=password + b"\n").code == 0
    assert password not in shell.file.read_bytes()
    assert shell.call("system", "test-email", "--to", "alice@sandbox.example").code == 0
    assert shell.call("oauth2", "status", "--check", "--json").json["state"] == "password"
    (shell.root / "wrong").write_text("canary-wrong")
    shell.secrets.add("canary-wrong")
    assert shell.call("connection", "set", CODE, "--password", "wrong").code == 0
    done = shell.call("system", "test-email")
    assert done.code == 77 and "535" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["port=many"], "1 to 65535"),
        (["colour=red"], "client-id"),
        (["from=a@x.example\r\nBcc: b@x.example"], "control character"),
        (["tenant-id"], "FIELD=VALUE"),
        (["user=x"], "no meaning for provider GENERIC"),
        (["token-url=http://login.example/token"], "https"),
        (["--password", "-"], "no meaning for an OAuth2 connection"),
        (["--client-secret", "nowhere"], "No such file"),
        (["--client-secret", "ask"], "no terminal"),
        (["--provider", "YAHOO"], "'microsoft'"),
    ],
)
def test_a_field_that_cannot_be_set(shell: Shell, words: list[str], said: str) -> None:
    """What is wrong with a field is told with its name; the file is as before. With --json in one document."""
    shell.create()
    before = shell.file.read_bytes()
    done = shell.call("connection", "set", CODE, *words)
    assert done.code == 64 and said in done.err and done.out == ""
    done = shell.call("connection", "set", CODE, *words, "--json")
    assert done.code == 64 and done.json["exit_code"] == 64 and said in done.json["error"]["title"]
    assert shell.file.read_bytes() == before


def test_a_change_that_ends_the_sign_in_needs_a_yes(shell: Shell) -> None:
    """Another mail server: refused with what would be lost, done with --drop-sign-in; edited by hand it fails closed."""
    shell.signed_in()
    before = shell.file.read_bytes()
    done = shell.call("connection", "set", CODE, "host=localhost")
    assert done.code == 78 and shell.file.read_bytes() == before
    assert "Do this: Leave it as it is, or run the same command with `--drop-sign-in`" in done.err
    shell.file.write_bytes(before.replace(b">127.0.0.1</host>", b">localhost</host>"))
    assert shell.file.read_bytes() != before
    done = shell.call("send", "--to", "bob@sandbox.example")
    assert done.code == 78 and "mail server" in done.err + done.out
    assert "cannot be read" in shell.call("connection", "list").out
    shell.file.write_bytes(before)
    assert shell.call("connection", "set", CODE, "host=localhost", "--drop-sign-in").code == 0
    assert shell.call("oauth2", "status", "--json").json["state"] == "signed-out"


@pytest.mark.parametrize("name", ["", "???", "x" * 80, "../../etc/passwd\n"])
def test_odd_names(shell: Shell, name: str) -> None:
    """A name becomes a harmless code, or is refused."""
    done = shell.call("connection", "create", name)
    files = list(shell.root.rglob("*.xml"))
    assert done.code in {0, 64, 78}
    assert [path.name for path in files] == ([] if done.code else ["eml-etc-passwd.xml"])


def test_a_file_that_may_not_be_read(shell: Shell) -> None:
    """A folder this user may not open: 78 with its name, not a fault of ours."""
    shell.create()
    shell.file.parent.rename(shell.root / "elsewhere")
    shell.file.parent.write_text("a file in the way")
    done = shell.call("connection", "list", "--json")
    assert done.code == 78 and "config/connections" in str(done.json["error"])


# The home


def test_the_home_is_found_as_git_finds_a_repository(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--home wins, then DATAPALLAS_HOME, then the nearest folder above with config/connections, then the user's own."""

    def home(*words: str) -> str:
        found: str = shell.call(*words, "connection", "list", "--json").json["home"]
        return found

    for name in ("named", "environment", "above/x/y", "above/config/connections"):
        (tmp_path / name).mkdir(parents=True)
    shell.put(DATAPALLAS_HOME=str(tmp_path / "environment"))
    assert home("--home", "named") == str(tmp_path / "named")
    assert home() == str(tmp_path / "environment")
    monkeypatch.delenv("DATAPALLAS_HOME")
    monkeypatch.chdir(tmp_path / "above" / "x" / "y")
    assert home() == str(tmp_path / "above")
    monkeypatch.chdir(tmp_path / "named")
    share = (
        "Library/Application Support/DataPallas" if sys.platform == "darwin" else ".local/share/datapallas"
    )
    assert home() == str(Path(shell.root, share))
    if sys.platform != "darwin":
        shell.put(XDG_DATA_HOME=str(tmp_path / "xdg"))
        assert home() == str(tmp_path / "xdg" / "datapallas")
    (tmp_path / "file").write_text("")
    done = shell.call("--home", str(tmp_path / "file"), "connection", "list")
    assert done.code == 78 and "not a folder" in done.err


def test_a_connection_file_by_its_name(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative to the home, relative to the current folder, absolute from anywhere; outside a home it is refused."""
    shell.signed_in()
    monkeypatch.delenv("DATAPALLAS_HOME")
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    send = ("system", "test-email", "--json", "--email-connection-file")
    assert shell.call(*send, "config/connections/eml-sandbox.xml").code == 0
    monkeypatch.chdir(shell.file.parent)
    assert shell.call(*send, "eml-sandbox.xml").code == 0
    monkeypatch.chdir(elsewhere)
    assert shell.call(*send, str(shell.file)).code == 0
    assert shell.call("--home", str(tmp_path), *send, "config/connections/eml-sandbox.xml").code == 0
    shell.put(DATAPALLAS_HOME=str(elsewhere))
    assert shell.call(*send, str(shell.file)).code == 0  # the file says which home is meant
    assert len(shell.sandbox.messages) == 5
    copy = elsewhere / "eml-sandbox.xml"
    copy.write_bytes(shell.file.read_bytes())
    for file in (copy, Path("nowhere.xml"), elsewhere):
        done = shell.call(*send, str(file))
        assert done.code == 78 and done.json["error"]["title"]
    assert shell.call("--home", str(elsewhere), *send, str(shell.file)).code == 78
    assert shell.call(*send, str(shell.file), "--connection", CODE).code == 64
    assert len(shell.sandbox.messages) == 5


def test_create_and_set_say_what_is_wrong_or_missing(shell: Shell) -> None:
    """What can be seen without asking the provider is told at once, on stderr, and in --json as data."""
    done = shell.call(
        "connection", "create", "office", "--provider", "MICROSOFT", "--client-id", "contoso.com"
    )
    assert done.code == 0 and "Created eml-office" in done.out and "Check" not in done.out
    assert "Next, correct what is wrong with `datapallas connection set`:" in done.out
    assert "Check client-id: A client id of Microsoft looks like" in done.err
    assert "Incomplete before sending: The sender's address is not set." in done.err
    fields = ["client-id=1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901", "tenant-id=contoso.com", "from=a@contoso.com"]
    done = shell.call("connection", "set", "eml-office", *fields)
    assert done.code == 0 and not done.err
    found = shell.call("connection", "set", "eml-office", "port=465", "--json").json["findings"]
    assert [(one["field"], one["severity"]) for one in found] == [("security", "error")]
    made = shell.call("connection", "create", "other", "--provider", "GENERIC", "--json").json
    wanted = [one["field"] for one in made["findings"] if one["before"] == "sign-in"]
    assert wanted == ["client-id", "authorize-url", "token-url", "scope"]


def test_a_password_that_does_not_open_is_seen_in_the_list(shell: Shell) -> None:
    """Where the mail server was changed by hand, or the value comes from elsewhere, the list says so, without a key."""
    words = ["--provider", "NONE", "--host", "a.example", "--user", "me", "--from", "me@a.example"]
    assert (
        shell.call("connection", "create", "sandbox", *words, "--password", "-", stdin=b"canary-pw").code == 0
    )
    shell.secrets.add("canary-pw")

    def row() -> tuple[str, bool, str]:
        (found,) = shell.call("connection", "list", "--json").json["connections"]
        return found["health"], found["ok"], found["state"]

    assert row() == ("password", True, "password set")
    whole = shell.file.read_text()
    shell.file.write_text(whole.replace("a.example</host>", "evil.example</host>"))
    health, ok, state = row()
    assert (health, ok) == (
        "unreadable",
        False,
    ) and "the mail server (was a.example:587, is evil.example:587)" in state
    (shell.root / "data" / "keys" / "keyring.json").unlink()
    shell.file.write_text(whole)
    assert row() == ("password", True, "password set")
    shell.file.write_text(re.sub(r"ENC\([^)]*\)", "ENC(c2VhbGVkIGJ5IEphdmE=)", whole))
    assert row()[:2] == ("unreadable", False)
    (shell.root / "data" / "connections" / f"{CODE}.json").unlink()
    shell.file.write_text(whole)
    assert row() == ("password", True, "password set")


def test_a_broken_file_can_be_deleted(shell: Shell) -> None:
    """`connection delete` takes a file away that cannot be read, so that its name is free again."""
    shell.create()
    shell.file.write_bytes(b"<documentburster><connection>")
    assert shell.call("connection", "create", "sandbox").code == 78
    assert shell.call("connection", "delete", CODE).code == 0
    assert not shell.file.exists() and shell.call("connection", "create", "sandbox").code == 0
