"""Sign-ins nobody uses stay alive, and people hear in time of what ends: 120 days on a clock that is moved by hand."""

from __future__ import annotations

import dataclasses
import datetime as dt
import http.server
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from datapallas import files
from datapallas.connection import record as records
from datapallas.connection.file_store import FileStore
from datapallas.connection.model import OAuth2Client, Provider
from datapallas.diagnosis.explain import explain
from datapallas.errors import ConfigurationError, DataPallasError, Parked, StorageError
from datapallas.home import Home
from datapallas.home.keep_alive import Keeper, Outcome, alone, exit_code, keep, warn
from datapallas.home.settings import warning_settings
from datapallas.home.warnings import Notice, notices, remembered
from datapallas.oauth.clock import iso
from datapallas.oauth.endpoint import Endpoint
from datapallas.oauth.status import Status
from datapallas.sandbox.settings import Rotation
from datapallas.secret import Secret
from oauth.conftest import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from datapallas.sandbox import Sandbox

CODE, DAY = "eml-sandbox", 86400.0


@pytest.fixture
def clock(sandbox: Sandbox, home: Home) -> FakeClock:
    """One clock for the provider and for this installation."""
    clock = FakeClock()
    clock.now = float(int(sandbox.provider.now()))
    sandbox.provider.now = clock.wall
    home.endpoint = Endpoint(clock=clock)
    return clock


def stored(home: Home, sandbox: Sandbox, code: str = CODE, provider: Provider = Provider.MICROSOFT) -> None:
    found = sandbox.connection(provider=provider, signed_in=True)
    assert isinstance(found.credential, OAuth2Client)
    client = dataclasses.replace(found.credential, issued_at=iso(sandbox.provider.now()))
    home.folder.create(dataclasses.replace(found, code=code, credential=client, default=code == CODE))


def record(home: Home, code: str = CODE) -> records.Record:
    return records.load(FileStore(home.folder.store.root).record_path(code))


def refreshes(sandbox: Sandbox) -> int:
    return len(sandbox.provider.ledger.accesses)


def kept_for(days: float, home: Home, clock: FakeClock, each: Callable[[], None] = lambda: None) -> list[str]:
    """What a keeper logs in so many days; six hours pass between two looks, so that the test is quick."""
    end, said = clock.ran + days * DAY, list[str]()
    keeper = Keeper(home, said.append)
    while True:
        clock.run(DAY / 4)
        each()
        if clock.ran > end:
            return said
        keeper.look()


def test_a_sign_in_outlives_its_ninety_days(home: Home, sandbox: Sandbox, clock: FakeClock) -> None:
    """Nobody sends anything for 120 days: it is refreshed once a week, never more, and works on the last day."""
    stored(home, sandbox)
    said = kept_for(120, home, clock)
    assert refreshes(sandbox) == 17
    assert said == [f"keep-alive: {CODE} refreshed"] * 17
    assert home.tokens(CODE).token().value
    assert home.row(CODE).days_left is not None and record(home).parked is None


def test_without_it_the_sign_in_is_dead(home: Home, sandbox: Sandbox, clock: FakeClock) -> None:
    """The same 120 days without anybody looking end in a parked connection: the tests above prove something."""
    stored(home, sandbox)
    clock.run(120 * DAY)
    with pytest.raises(Parked):
        home.tokens(CODE).token()


def test_a_provider_that_is_down_for_days_costs_nothing(
    home: Home, sandbox: Sandbox, clock: FakeClock
) -> None:
    """With each look one try until it is back, told once a day; the sign-in lives on."""
    stored(home, sandbox)
    sandbox.faults.next("token", "503", times=8)
    said = kept_for(20, home, clock)
    assert sum("refreshed" in line for line in said) == 2 and len(said) == 4
    assert not sandbox.faults.waiting
    assert home.tokens(CODE).token().value


def test_a_refused_one_is_asked_once_a_day_and_a_parked_one_never(
    home: Home, sandbox: Sandbox, clock: FakeClock
) -> None:
    """A refusal does not make a page that runs for weeks flood the provider, and is told once."""
    stored(home, sandbox)
    sandbox.faults.next("token", "AADSTS7000222", times=0)
    said = kept_for(10.5, home, clock)
    asked = [line for line in said if "7000222" in line]
    assert len(asked) == 4  # on day seven and each day after
    assert sum("is refused since" in line for line in said) == 1
    sandbox.faults.clear()
    sandbox.provider.ledger.revoke_user(sandbox.users[0])
    said = kept_for(30, home, clock)
    assert sum("is parked" in line and "sign in again" in line for line in said) == 1
    assert sum("is parked since" in line for line in said) == 1


def test_the_longest_idle_come_first_and_one_failure_stops_none(
    home: Home, sandbox: Sandbox, clock: FakeClock
) -> None:
    """The order is always the same: by last use, then by code; a broken file and a parked one are told beside."""
    for code in ("eml-c", "eml-b"):
        stored(home, sandbox, code)
    clock.run(DAY)
    for code in ("eml-a", "eml-d"):
        stored(home, sandbox, code)
    (home.root / "config" / "connections" / "eml-e.xml").write_text("<no")
    clock.run(6.5 * DAY)
    sandbox.faults.next("token", "503")
    found = list(keep(home))
    assert [(one.connection, one.outcome) for one in found] == [
        ("eml-e", Outcome.BROKEN),
        ("eml-b", Outcome.FAILED),
        ("eml-c", Outcome.REFRESHED),
        ("eml-a", Outcome.RECENT),
        ("eml-d", Outcome.RECENT),
    ]
    assert exit_code(found) == 78 and exit_code(found[1:]) == 75 and exit_code(found[2:]) == 0
    assert [one.outcome for one in keep(home, ["eml-a"], 1)] == [Outcome.REFRESHED]


def test_who_needs_nothing_is_left_alone(home: Home, sandbox: Sandbox, clock: FakeClock) -> None:
    """A password, an app and somebody who never signed in are not asked about."""
    home.folder.create(sandbox.connection(provider=Provider.NONE))
    home.folder.create(dataclasses.replace(sandbox.connection(), code="eml-new"))
    home.folder.create(sandbox.service_connection())
    clock.run(30 * DAY)
    assert {one.outcome for one in keep(home)} == {Outcome.NOTHING}
    assert refreshes(sandbox) == 0


def test_one_at_a_time(home: Home, sandbox: Sandbox, clock: FakeClock) -> None:
    """While a timer does it, a served page does not, and says nothing."""
    stored(home, sandbox)
    clock.run(10 * DAY)
    with files.locked(home.root / "data" / "keep-alive.lock"):
        with pytest.raises(StorageError), alone(home):
            pass
        said: list[str] = []
        Keeper(home, said.append).look()
    assert said == [] and refreshes(sandbox) == 0


def test_an_end_is_not_held_up(home: Home, sandbox: Sandbox, clock: FakeClock) -> None:
    """A server that is to end finishes the connection in hand, and begins no other."""
    for code in ("eml-a", "eml-b"):
        stored(home, sandbox, code)
    clock.run(10 * DAY)
    said: list[str] = []
    Keeper(home, said.append).look(lambda: bool(said))
    assert said == ["keep-alive: eml-a refreshed"] and refreshes(sandbox) == 1


# Warnings


def test_each_warning_once_at_fourteen_seven_and_one_day_and_at_the_end(
    home: Home, sandbox: Sandbox, clock: FakeClock
) -> None:
    """A client secret that ends in 60 days is told four times in all, by a page that looks hundreds of times."""
    stored(home, sandbox)
    home.note_secret_end(CODE, dt.datetime.fromtimestamp(clock.now + 60.1 * DAY, dt.UTC))
    client = home.folder.load(CODE).credential
    assert isinstance(client, OAuth2Client)
    secret = dataclasses.replace(client, client_secret=Secret("abc"))
    home.folder.save(dataclasses.replace(home.folder.load(CODE), credential=secret))
    assert record(home).secret_ends == "", "a new secret has an end of its own"
    home.note_secret_end(CODE, dt.datetime.fromtimestamp(clock.now + 60.1 * DAY, dt.UTC))
    sandbox.faults.next("token", "503", times=0)  # only the warnings are looked at
    said = [line for line in kept_for(63, home, clock) if "client secret" in line]
    assert [line.split("eml-sandbox ")[1].split(" (")[0] for line in said] == [
        "ends in 13 days",
        "ends in 6 days",
        "ends in less than a day",
        "has ended",
    ]
    assert all("--client-secret ask --secret-ends DATE" in line for line in said)
    assert len(record(home).warned) <= 8


def status(**change: Any) -> Status:
    return Status(connection="eml-x", state="signed-in", account="a@b.example", **change)


def test_an_app_in_testing_at_google_is_recognised(home: Home, sandbox: Sandbox, clock: FakeClock) -> None:
    """Google says how long the refresh token lives: seven days mean Testing, and the warning says what to press."""
    stored(home, sandbox, provider=Provider.GOOGLE)
    with home.folder.locked_update(CODE) as update:
        update.save_record(dataclasses.replace(update.record, refresh_ends=iso(clock.now + 7 * DAY)))
    clock.run(6.5 * DAY)
    (notice,) = notices(home.tokens(CODE).status(), clock.now)
    assert notice.days == 1 and "Testing" in notice.sentence and "Publish app" in notice.sentence


def test_a_google_sign_in_that_died_after_a_week_is_explained_by_testing(
    home: Home, sandbox: Sandbox, clock: FakeClock
) -> None:
    """Seven days old and revoked: the app is in Testing; an hour or a year old and revoked: it is not."""
    other = "google-invalid-grant"
    for code, days, row in (("eml-y", 7.2, "google-testing"), ("eml-o", 300, other), ("eml-n", 0.04, other)):
        stored(home, sandbox, code, Provider.GOOGLE)
        sandbox.settings.rotation = Rotation.NONE
        clock.run(days * DAY)
        sandbox.provider.ledger.revoke_user(sandbox.users[0])
        with pytest.raises(Parked) as first:
            home.tokens(code).token()
        with pytest.raises(Parked) as later:
            home.tokens(code).token()
        assert explain(first.value).id == explain(later.value).id == row


def test_what_is_remembered_does_not_grow() -> None:
    """Of each thing only what is about its latest end is kept."""
    given = ["certificate 2026-01-01 14 log", "client-secret 2026-02-01 7 log"]
    kept = remembered(given, ["certificate 2027-01-01 14 log"])
    assert kept == ("client-secret 2026-02-01 7 log", "certificate 2027-01-01 14 log")


class Hook(http.server.ThreadingHTTPServer):
    """A webhook on loopback."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Takes)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/hook?key=cnry-of-the-hook"
        self.took: list[dict[str, Any]] = []
        self.status = 200


class _Takes(http.server.BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert self.headers["content-type"] == "application/json"
        self.server.took.append(body)
        self.send_response(self.server.status)
        self.send_header("location", "http://127.0.0.1:9/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ending(home: Home, sandbox: Sandbox, clock: FakeClock) -> None:
    """A connection whose sign-in ends within a week."""
    stored(home, sandbox)
    clock.run(84 * DAY)


def test_a_warning_comes_by_webhook_and_by_email_of_another_connection(
    home: Home, sandbox: Sandbox, clock: FakeClock, hook: Hook, tmp_path: Path
) -> None:
    """Each way tells it once; a way that fails is tried again, and stops no other; no secret is in it."""
    ending(home, sandbox, clock)
    stored(home, sandbox, "eml-ops", Provider.GENERIC)
    (home.root / "config" / "datapallas.toml").write_text(
        f'[warnings]\nwebhook = "{hook.url}"\nemail-connection = "eml-ops"\nemail-to = "bob@sandbox.example"\n'
    )
    log: list[Notice] = []
    hook.status = 500
    failed = warn(home, log.append)
    assert [(way, problem.code) for way, problem in failed] == [("webhook", "webhook")]
    assert "cnry" not in str(failed)
    hook.status = 302
    assert [way for way, _ in warn(home, log.append)] == ["webhook"]
    hook.status = 204
    assert warn(home, log.append) == [] and warn(home, log.append) == []
    assert len(log) == 1 and len(hook.took) == 3
    (mail,) = sandbox.wait(1)
    assert "needs attention" in mail.message["Subject"] and "oauth2 keep-alive" in mail.text
    assert hook.took[-1]["connection"] == CODE and hook.took[-1]["days"] == 7
    told = json.dumps(hook.took) + mail.text
    assert not any(token in told for token in sandbox.provider.ledger.refreshes)


def test_a_webhook_that_is_gone_shows_no_key(home: Home, sandbox: Sandbox, clock: FakeClock) -> None:
    """The address of a webhook holds a key as a rule, so no error repeats it."""
    ending(home, sandbox, clock)
    other = Home(home.root, {"DATAPALLAS_WEBHOOK": "http://127.0.0.1:9/hook?key=cnry"})
    other.endpoint = home.endpoint
    ((way, problem),) = warn(other, lambda _: None)
    assert (
        way == "webhook"
        and "cnry" not in f"{problem} {problem.facts} {problem.raw} {explain(problem).render()}"
    )


@pytest.mark.parametrize(
    "text",
    [
        '[warnings]\nwebhook = "http://hooks.example/cnry"\n',
        '[warnings]\nwebhook = "ftp://hooks.example/cnry"\n',
        '[warnings]\nwebhook = "cnry"\n',
        '[warnings]\nwebhook = "https://[cnry"\n',
        '[warnings]\nwebhok = "https://cnry.example"\n',
        "[warnings]\nwebhook = 3\n",
        '[warnings]\nemail-to = "a@b.example"\n',
        "[other]\n",
        "warnings = 1\n",
        "[warn",
        "\x00",
    ],
)
def test_settings_that_have_no_meaning_are_refused(home: Home, text: str) -> None:
    """A misspelt name, half a setting, an address in clear: said, and never shown."""
    (home.root / "config").mkdir(parents=True)
    (home.root / "config" / "datapallas.toml").write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        warning_settings(home.root, {})
    assert refused.value.code == "settings" and "cnry" not in str(refused.value)
    with pytest.raises(DataPallasError):
        warn(home, print)


def test_no_settings_are_fine(home: Home) -> None:
    """Without a file and without a variable there is the log, and nothing else."""
    found = warning_settings(home.root, {})
    assert found.webhook is None and not found.email_connection


def test_a_refused_connection_is_told_with_what_to_do() -> None:
    """Parked wants a sign-in, another refusal the doctor."""
    refusal = records.Refusal(error="invalid_client", at="2026-01-02T03:04:05Z")
    (other,) = notices(status(refusal=refusal), 0.0)
    assert "system doctor eml-x" in other.sentence
    (parked,) = notices(dataclasses.replace(status(refusal=refusal), state="parked"), 0.0)
    assert "oauth2 sign-in --connection eml-x" in parked.sentence
