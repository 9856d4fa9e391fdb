"""Sessions, users and tokens: what is kept of them, how long they last, and who shares them."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from datapallas.errors import ConfigurationError, UsageError
from datapallas.secret import Secret
from datapallas.web.access import Access, web_folder
from datapallas.web.limits import MOST_KEYS, Limit
from datapallas.web.services import Mode
from datapallas.web.sessions import LOCAL
from datapallas.web.who import Role
from web.page import PASSWORD, Hands

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3600.0


@pytest.fixture
def clock() -> Hands:
    """A clock to push forward."""
    return Hands()


@pytest.fixture
def access(tmp_path: Path, clock: Hands) -> Access:
    """An empty home's access."""
    return Access(tmp_path, clock)


def test_a_session_outlives_the_server(access: Access, tmp_path: Path, clock: Hands) -> None:
    """After a restart people are still logged in, with the same owner and the same CSRF token."""
    secret = access.sessions.begin(LOCAL).reveal()
    before = access.sessions.find(secret)
    assert before is not None
    assert Access(tmp_path, clock).sessions.find(secret) == before


def test_a_session_ends_half_an_hour_after_its_last_request(access: Access, clock: Hands) -> None:
    """A session that is used lives on; one that is not used for thirty minutes is over."""
    secret = access.sessions.begin(LOCAL).reveal()
    for _ in range(3):
        clock.ahead += 29 * 60
        found = access.sessions.find(secret)
        assert found is not None and found.stale
        access.sessions.note(secret)
        found = access.sessions.find(secret)
        assert found is not None and not found.stale
    clock.ahead += 30 * 60
    assert access.sessions.find(secret) is None
    access.sessions.note(secret)
    assert access.sessions.find(secret) is None  # nothing brings it back


def test_a_session_ends_twelve_hours_after_the_login(access: Access, clock: Hands) -> None:
    """However much it is used, a session ends half a day after its beginning."""
    secret = access.sessions.begin(LOCAL).reveal()
    for _ in range(47):
        clock.ahead += HOUR / 4
        access.sessions.note(secret)
    assert access.sessions.find(secret) is not None
    clock.ahead += HOUR / 4
    access.sessions.note(secret)
    assert access.sessions.find(secret) is None


def test_a_clock_that_is_set_back_lengthens_no_session(access: Access, clock: Hands) -> None:
    """A session that seems to begin in the future is over."""
    secret = access.sessions.begin(LOCAL).reveal()
    clock.ahead -= HOUR
    assert access.sessions.find(secret) is None


def test_files_hold_no_secret_and_are_private(access: Access, tmp_path: Path) -> None:
    """Whoever reads the files can neither log in nor call the API; nobody else reads them."""
    session = access.sessions.begin(LOCAL).reveal()
    link = access.links.make().reveal()
    _, token = access.tokens.create("robot", Role.VIEWER)
    access.users.add("anna", Role.ADMIN, Secret(PASSWORD))
    found = access.sessions.find(session)
    assert found is not None
    secrets = {session, link, token.reveal(), PASSWORD, found.csrf}
    files = list(web_folder(tmp_path).iterdir())
    assert {file.name for file in files} >= {"sessions.json", "links.json", "tokens.json", "users.json"}
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert not [secret for secret in secrets if secret in file.read_text()]
    assert stat.S_IMODE(web_folder(tmp_path).stat().st_mode) == 0o700
    assert "$argon2id$" in (web_folder(tmp_path) / "users.json").read_text()


def test_ending_the_sessions_of_one_user_leaves_the_others(access: Access) -> None:
    """Logging out everywhere ends all sessions of one person, and nobody else's."""
    mine, also_mine, other = (access.sessions.begin(name).reveal() for name in ("anna", "anna", "bob"))
    assert access.sessions.end_all("anna") == 2
    assert access.sessions.find(mine) is None
    assert access.sessions.find(also_mine) is None
    assert access.sessions.find(other) is not None


def test_a_change_of_another_process_is_seen_at_once(access: Access, tmp_path: Path, clock: Hands) -> None:
    """What the command line changes holds for a running server at the next request."""
    command = Access(tmp_path, clock)
    command.users.add("anna", Role.VIEWER, Secret(PASSWORD))
    secret = access.sessions.begin("anna").reveal()
    who, _ = access.of_session(secret, Mode.SERVED, "")
    assert who is not None and who.role is Role.VIEWER
    _, token = command.tokens.create("robot", Role.OPERATOR)
    found = access.of_token(token.reveal(), "")
    assert found is not None and found.name == "token:robot"
    command.users.remove("anna")
    command.tokens.remove("robot")
    assert access.of_session(secret, Mode.SERVED, "") == (None, False)
    assert access.of_token(token.reveal(), "") is None


_CREATE = """
import sys, pathlib
from datapallas.web.access import Access
from datapallas.web.who import Role
for one in range(10):
    Access(pathlib.Path(sys.argv[1])).tokens.create(f"{sys.argv[2]}-{one}", Role.VIEWER)
"""


def test_changes_of_many_processes_are_all_kept(tmp_path: Path) -> None:
    """Three people who add tokens at the same time lose nothing of each other."""
    words = [sys.executable, "-c", _CREATE, str(tmp_path)]
    processes = [subprocess.Popen([*words, str(number)]) for number in range(3)]
    assert [one.wait(60) for one in processes] == [0, 0, 0]
    assert len(Access(tmp_path).tokens.all()) == 30


def test_a_name_nobody_has_takes_as_long_as_a_wrong_password(access: Access) -> None:
    """The time of an answer does not tell who is a user here: as much is computed, whatever else the machine does."""
    access.users.add("anna", Role.ADMIN, Secret(PASSWORD))

    def seconds(name: str) -> float:
        took = []
        for _ in range(3):
            start = time.process_time()
            assert access.users.check(name, Secret("wrong")) is None
            took.append(time.process_time() - start)
        return min(took)

    seconds("nobody")  # the hash to compare with is made at the first time
    assert seconds("nobody") > seconds("anna") / 2


def test_names_and_passwords_are_checked_when_somebody_is_added(access: Access) -> None:
    """A short password, a name that is not one and a name that is taken are refused, in words."""
    access.users.add("Anna", Role.ADMIN, Secret(PASSWORD))
    assert [user.name for user in access.users.all()] == ["anna"]
    assert access.users.check("ANNA", Secret(PASSWORD)) is not None
    for name, password, code in (
        ("bob", "short", "password-length"),
        ("bob", "x" * 1025, "password-length"),
        ("b b", PASSWORD, "user-name"),
        ("", PASSWORD, "user-name"),
        ("../etc", PASSWORD, "user-name"),
        ("bob\n", PASSWORD, "user-name"),
        ("аnna", PASSWORD, "user-name"),  # noqa: RUF001 - a Cyrillic a: somebody else who looks the same
        ("anna", PASSWORD, "user-exists"),
    ):
        with pytest.raises(UsageError) as problem:
            access.users.add(name, Role.VIEWER, Secret(password))
        assert problem.value.code == code
        assert password not in problem.value.message


def test_a_new_password_replaces_the_old_one(access: Access) -> None:
    """After a change only the new password works."""
    access.users.add("anna", Role.ADMIN, Secret(PASSWORD))
    access.users.set_password("anna", Secret("another " + PASSWORD))
    assert access.users.check("anna", Secret(PASSWORD)) is None
    assert access.users.check("anna", Secret("another " + PASSWORD)) is not None
    assert access.users.check("anna", Secret("x" * 2000)) is None


def test_a_damaged_file_is_told_and_lets_nobody_in(access: Access, tmp_path: Path) -> None:
    """A file that was cut is an error with its name, never an open door."""
    secret = access.sessions.begin(LOCAL).reveal()
    for content in ('{"x', "[]", '{"x": 1}', "\xff"):
        (web_folder(tmp_path) / "sessions.json").write_text(content, "latin-1")
        with pytest.raises(ConfigurationError) as problem:
            access.sessions.find(secret)
        assert problem.value.code == "web-file"
    (web_folder(tmp_path) / "sessions.json").write_text(json.dumps({"x": {"user": ""}}))
    assert access.sessions.find("x") is None


def test_a_limit_counts_a_minute_for_each_key(clock: Hands) -> None:
    """The sixth try within a minute waits; another name does not; memory stays bounded."""
    limit = Limit(5, clock)
    assert [limit.take("anna") for _ in range(5)] == [0] * 5
    assert 0 < limit.take("anna") <= 60
    assert limit.take("bob") == 0
    clock.ahead += 61
    assert limit.take("anna") == 0
    for number in range(MOST_KEYS + 10):
        limit.take(str(number))
    assert len(limit._times) == MOST_KEYS
