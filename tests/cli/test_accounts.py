"""Users and API tokens at the command line, and the audit of what was done to them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from datapallas.secret import Secret
from datapallas.web.access import Access
from datapallas.web.who import Role

if TYPE_CHECKING:
    from cli.shell import Shell

PASSWORD = "a password of some length"


def audit(shell: Shell) -> list[dict[str, object]]:
    """The lines of the audit."""
    return [json.loads(line) for line in (shell.root / "data" / "audit.log").read_text().splitlines()]


def test_a_user_from_first_to_last(shell: Shell) -> None:
    """Add, list, change the password, remove; each change ends their sessions and is in the audit."""
    shell.secrets.add(PASSWORD)
    assert "datapallas user add" in shell.call("user", "list").out
    words = ("user", "add", "Anna", "--role", "operator", "--password", "-")
    assert shell.call(*words, stdin=PASSWORD.encode()).code == 0
    access = Access(shell.root)
    user = access.users.check("anna", Secret(PASSWORD))
    assert user is not None and user.role is Role.OPERATOR
    listed = shell.call("user", "list", "--json").json["users"]
    assert [(one["name"], one["role"]) for one in listed] == [("anna", "operator")]
    assert "anna  operator" in shell.call("user", "list").out
    session = access.sessions.begin("anna").reveal()
    done = shell.call(
        "user", "password", "anna", "--password", "-", "--json", stdin=b"another " + PASSWORD.encode()
    )
    assert done.json["sessions_ended"] == 1
    assert access.sessions.find(session) is None
    assert access.users.check("anna", Secret(PASSWORD)) is None
    access.sessions.begin("anna")
    removed = shell.call("user", "remove", "anna")
    assert "Sessions ended: 1." in removed.out and "Nobody is an administrator now." in removed.err
    assert access.users.all() == []
    assert [line["what"] for line in audit(shell)] == ["user-added", "user-password", "user-removed"]
    assert all(line["who"] == f"command line, uid {os.getuid()}" for line in audit(shell))


def test_an_option_that_is_missing_is_told_on_one_line(shell: Shell) -> None:
    """With what can be chosen, and no control character."""
    said = shell.call("user", "add", "anna").err
    assert "Missing option '--role'. Choose from: viewer, operator, admin\n" in said


@pytest.mark.parametrize(
    ("words", "code", "id_"),
    [
        (("user", "add", "a b", "--role", "admin", "--password", "-"), 64, "user-name"),
        (("user", "remove", "nobody"), 64, "unknown-user"),
        (("user", "password", "nobody", "--password", "-"), 64, "unknown-user"),
        (("token", "create", "a b", "--role", "admin"), 64, "token-name"),
        (("token", "remove", "nothing"), 64, "unknown-api-token"),
        (("serve", "--new-link"), 78, "not-serving"),
        (("serve", "--public-url", "https://mail.example"), 64, "serve-without-tls"),
    ],
)
def test_what_does_not_work_is_explained(shell: Shell, words: tuple[str, ...], code: int, id_: str) -> None:
    """Each refusal has an explanation of its own, and changes nothing."""
    done = shell.call(*words, "--json", stdin=PASSWORD.encode())
    assert done.code == code
    assert done.json["error"]["id"] == id_
    assert not (shell.root / "data" / "audit.log").exists()


def test_a_token_is_shown_once(shell: Shell) -> None:
    """`token create` prints the token alone; the list shows its last characters; removed, it is worth nothing."""
    done = shell.call("token", "create", "monitoring", "--role", "viewer")
    token = done.out.strip()
    assert token.startswith("dp_") and len(token) > 40
    shell.secrets.add(token)  # from here on nothing may show it
    found = Access(shell.root).of_token(token, "")
    assert found is not None and (found.name, found.role) == ("token:monitoring", Role.VIEWER)
    listed = shell.call("token", "list", "--json").json["tokens"]
    assert [(one["name"], one["ends_with"]) for one in listed] == [("monitoring", f"...{token[-4:]}")]
    assert shell.call("token", "list").code == 0
    again = shell.call("token", "create", "monitoring", "--role", "viewer", "--json")
    assert again.json["error"]["id"] == "token-exists"
    other = shell.call("token", "create", "deploy", "--role", "admin", "--json", watched=False).json
    assert other["token"].startswith("dp_")
    assert shell.call("token", "remove", "monitoring", "--json").json == {"ok": True, "name": "monitoring"}
    assert Access(shell.root).of_token(token, "") is None
    assert [line["what"] for line in audit(shell)] == ["token-created", "token-created", "token-removed"]
    assert token not in (shell.root / "data" / "audit.log").read_text()


def test_the_audit_is_verified(shell: Shell) -> None:
    """`audit verify` counts the lines, and ends with 78 when one is not as it was written."""
    nothing = {"ok": True, "there": False, "lines": 0, "problem": ""}
    assert shell.call("audit", "verify", "--json").json == nothing
    assert "is not there" in shell.call("audit", "verify").out
    for name in ("one", "two"):
        shell.call("token", "create", name, "--role", "viewer")
    assert "2 lines" in shell.call("audit", "verify").out
    path = shell.root / "data" / "audit.log"
    path.write_text(path.read_text().replace('"token": "one"', '"token": "uno"'))
    done = shell.call("audit", "verify", "--json")
    assert done.code == 78
    assert done.json["problem"] == "line 2 does not follow the line before it"
    assert "line 2" in shell.call("audit", "verify").out
