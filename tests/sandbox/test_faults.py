"""What can be made to go wrong at the identity provider, and that it goes wrong just so."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

import pytest

from datapallas.errors import UsageError
from datapallas.sandbox.answers import AADSTS, GOOGLE
from datapallas.sandbox.faults import WHERE, Faults

if TYPE_CHECKING:
    from datapallas.sandbox import Sandbox
    from sandbox.program import Program


@pytest.mark.parametrize("number", sorted(AADSTS))
def test_every_aadsts_answer_looks_real(sandbox: Sandbox, microsoft: Program, number: int) -> None:
    """The number stands in the text and in error_codes, every name in braces is filled in."""
    sandbox.faults.next("token", f"AADSTS{number}")
    reply = microsoft.refresh("x")
    assert reply.status == AADSTS[number].status
    said = reply.json
    assert said["error"] == AADSTS[number].error and said["error_codes"] == [number]
    assert said["error_description"].startswith(f"AADSTS{number}: ")
    assert "{" not in said["error_description"].replace("{EUII Hidden}", "")
    assert said["trace_id"] != said["correlation_id"]
    assert sandbox.faults.waiting == ()


@pytest.mark.parametrize("name", sorted(GOOGLE))
def test_every_google_answer_looks_real(sandbox: Sandbox, program: Program, name: str) -> None:
    """Google's error and description, and nothing more."""
    sandbox.faults.next("token:refresh_token", name)
    reply = program.refresh("x")
    assert (reply.status, reply.json["error"]) == (GOOGLE[name].status, GOOGLE[name].error)
    assert reply.json.get("error_description", "") == GOOGLE[name].text


def test_http_goes_wrong_as_asked(sandbox: Sandbox, program: Program) -> None:
    """Errors with Retry-After, HTML, an empty body, one without end, a redirect: each once, then all is well."""
    sandbox.faults.next("token", "503", seconds=7, times=2)
    for what in ("html", "empty", "huge", "redirect", "429"):
        sandbox.faults.next("token", what)
    sandbox.faults.next("token", "slow", seconds=0.01)
    sandbox.faults.next("token", "drop")
    for _ in range(2):
        reply = program.refresh("x")
        assert (reply.status, reply.headers["retry-after"]) == (503, "7")
    assert program.refresh("x").headers["content-type"] == "text/html"
    assert program.refresh("x").body == b""
    assert len(program.refresh("x").body) > 1_000_000
    assert program.refresh("x").headers["location"].startswith("https://elsewhere.example")
    assert program.refresh("x").status == 429
    assert program.refresh("x").status == 500
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        program.refresh("x")
    assert program.refresh("x").json["error"] == "invalid_grant"


def test_a_fault_can_wait_for_one_kind_of_grant(sandbox: Sandbox, program: Program) -> None:
    """Signing in works, the refresh after it does not."""
    sandbox.faults.next("token:refresh_token", "AADSTS50173")
    token = program.sign_in()["refresh_token"]
    assert program.refresh(token).json["error_codes"] == [50173]
    assert program.refresh(token).status == 200


def test_answers_can_be_bent(sandbox: Sandbox, program: Program) -> None:
    """Less scope than asked, no refresh token, another person, another issuer: the sign-in works, but wrongly."""
    sandbox.faults.next("token", "narrower-scope")
    assert "smtp" not in program.sign_in()["scope"].split()
    sandbox.faults.next("token", "no-refresh-token")
    assert "refresh_token" not in program.sign_in()
    sandbox.faults.next("token", "no-id-token")
    assert "id_token" not in program.sign_in()
    sandbox.faults.next("token", "lower-case-bearer")
    assert program.sign_in()["token_type"] == "bearer"
    sandbox.faults.next("token", "other-user")
    token = program.sign_in("alice@sandbox.example")["access_token"]
    assert (
        program.ask("GET", "/userinfo", Authorization=f"Bearer {token}").json["email"]
        == "bob@sandbox.example"
    )


def test_an_answer_can_get_lost(sandbox: Sandbox, program: Program) -> None:
    """The provider has rotated the token, and the program never hears of it: the old one is then reused."""
    token = program.sign_in()["refresh_token"]
    sandbox.faults.next("token", "lost-answer")
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        program.refresh(token)
    assert program.refresh(token).json["error"] == "invalid_grant"


def test_the_callback_can_be_bent(sandbox: Sandbox, program: Program) -> None:
    """A wrong or missing state or issuer comes back."""
    sandbox.faults.next("authorize", "wrong-state")
    assert program.callback()["state"] == "wrong"
    sandbox.faults.next("authorize", "no-state")
    assert "state" not in program.callback()
    sandbox.faults.next("authorize", "wrong-issuer")
    assert program.callback()["iss"] == "https://elsewhere.example"
    sandbox.faults.next("authorize", "no-issuer")
    assert "iss" not in program.callback()


def test_some_refusals_come_back_and_others_stay_in_the_browser(sandbox: Sandbox, program: Program) -> None:
    """Consent by an administrator is answered to the program; a wrong redirect address is shown to the person."""
    sandbox.faults.next("authorize", "AADSTS90094")
    back = program.callback()
    assert back["error"] == "access_denied" and back["error_description"].startswith("AADSTS90094")
    sandbox.faults.next("authorize", "AADSTS50011")
    page = program.ask("GET", program.address().removeprefix(sandbox.issuer))
    assert page.status == 400 and "AADSTS50011" in page.text and "location" not in page.headers


@pytest.mark.parametrize("what", ["500", "html", "drop"])
def test_the_pages_can_be_down(sandbox: Sandbox, program: Program, what: str) -> None:
    """The authorization page answers as a broken web server does."""
    sandbox.faults.next("authorize", what)
    path = program.address().removeprefix(sandbox.issuer)
    if what == "drop":
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            program.ask("GET", path)
    else:
        assert program.ask("GET", path).status == (500 if what == "500" else 200)


@pytest.mark.parametrize(
    ("where", "what", "more"),
    [
        ("nowhere", "500", {}),
        ("token", "nonsense", {}),
        ("token", "AADSTS1", {}),
        ("token", "451 4.3.0 Not HTTP", {}),
        ("rcpt", "250 OK", {}),
        ("rcpt", "451 4.3.0 two\r\nlines", {}),
        ("token", "500", {"times": -1}),
        ("token", "slow", {"seconds": 1e9}),
    ],
)
def test_a_fault_nobody_can_act_out_is_refused(where: str, what: str, more: dict[str, float]) -> None:
    """A typing error in a test does not silently switch nothing on."""
    with pytest.raises(UsageError):
        Faults().next(where, what, **more)  # type: ignore[arg-type]


def test_faults_are_counted() -> None:
    """Twice is twice, always is always, clear is clear, and other places take nothing."""
    faults = Faults()
    faults.next("token", "500", times=2)
    assert faults.take("device") is None
    assert [bool(faults.take("token")) for _ in range(3)] == [True, True, False]
    faults.next("token", "500", times=0)
    assert all(faults.take("token") for _ in range(5))
    faults.clear()
    assert faults.take(*WHERE) is None
