"""Sign-in by a code that is typed elsewhere (RFC 8628): a scripted provider, and a clock that moves when told."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from datapallas.connection.model import OAuth2Client, Provider
from datapallas.errors import ConfigurationError, SignInAborted, TokenRefused, Unreachable
from datapallas.oauth import device
from datapallas.oauth.acceptance import Wanted
from datapallas.oauth.asked import Asked
from datapallas.oauth.discovery import Metadata
from datapallas.secret import Secret
from oauth.scripted import CANARY, Idp, Raw

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.oauth.answers import TokenAnswer
    from datapallas.oauth.endpoint import Endpoint
    from oauth.conftest import FakeClock

START = {
    "device_code": f"{CANARY}-device",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://login.example/device",
    "verification_uri_complete": "https://login.example/device?user_code=WDJB-MJHT",
    "expires_in": 60,
    "interval": 5,
}
TOKENS = {"access_token": f"{CANARY}-access", "token_type": "Bearer", "refresh_token": f"{CANARY}-refresh"}


def said(body: dict[str, Any], status: int = 200, **headers: str) -> Raw:
    return Raw(status, headers, json.dumps(body).encode())


def no(error: str, description: str = "", status: int = 400) -> Raw:
    return said({"error": error, "error_description": description}, status)


PENDING, SLOWER = no("authorization_pending"), no("slow_down")


def asked(idp: Idp, endpoint: Endpoint, **change: Any) -> Asked:
    client: OAuth2Client = idp.client(**change)
    metadata = Metadata(
        issuer=idp.url,
        authorize_url=f"{idp.url}/authorize",
        token_url=f"{idp.url}/token",
        device_url=f"{idp.url}/device",
    )
    return Asked(
        endpoint=endpoint, client=client, wanted=Wanted(), metadata=metadata, notice=lambda sentence: None
    )


class Run:
    """One sign-in whose pauses are noted and pass at once."""

    def __init__(self, clock: FakeClock, question: Asked, seconds: float = 300) -> None:
        self.clock = clock
        self.pauses: list[float] = []
        self.begun = device.begin(question, seconds)

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.run(seconds)

    def tokens(self) -> TokenAnswer:
        return self.begun.wait(self.pause)[0]


@pytest.fixture
def run(idp: Idp, endpoint: Endpoint, clock: FakeClock) -> Callable[..., Run]:
    def start(*answers: Raw, begin: Raw | None = None, seconds: float = 300, **change: Any) -> Run:
        idp.script = [begin or said(START), *answers]
        return Run(clock, asked(idp, endpoint, **change), seconds)

    return start


def test_the_person_is_told_what_to_type_and_the_tokens_come(run: Callable[..., Run], idp: Idp) -> None:
    """Code, address and how long it is good; then one question every five seconds until there is an answer."""
    one = run(PENDING, PENDING, said(TOKENS))
    assert one.begun.code == device.DeviceCode(
        user_code="WDJB-MJHT",
        verification_uri="https://login.example/device",
        verification_uri_complete="https://login.example/device?user_code=WDJB-MJHT",
        seconds=60,
    )
    tokens = one.tokens()
    assert tokens.refresh_token == Secret(f"{CANARY}-refresh")
    assert one.pauses == [5, 5, 5]
    start, *polls = idp.requests
    assert start.form == {"client_id": "client", "scope": "mail openid offline_access"}
    assert {poll.form["device_code"] for poll in polls} == {f"{CANARY}-device"}
    assert {poll.form["grant_type"] for poll in polls} == {"urn:ietf:params:oauth:grant-type:device_code"}


def test_slow_down_is_for_good(run: Callable[..., Run]) -> None:
    """RFC 8628 section 3.5: each adds five seconds, to this and to all later questions."""
    one = run(PENDING, SLOWER, PENDING, SLOWER, PENDING, said(TOKENS))
    one.tokens()
    assert one.pauses == [5, 5, 10, 10, 15, 15]


def test_no_interval_means_five_seconds_and_none_is_too_short(run: Callable[..., Run]) -> None:
    """What the provider leaves out is five; what makes no sense is a second."""
    bare = {
        name: value for name, value in START.items() if name not in {"interval", "verification_uri_complete"}
    }
    one = run(said(TOKENS), begin=said(bare))
    one.tokens()
    assert one.pauses == [5] and one.begun.code.verification_uri_complete == ""
    one = run(said(TOKENS), begin=said(START | {"interval": 0}))
    one.tokens()
    assert one.pauses == [1]


def test_a_failing_network_is_asked_less_and_less_often(run: Callable[..., Run]) -> None:
    """Each failure doubles the pause; an answer ends that; Retry-After is kept."""
    busy = said({"error": "temporarily_unavailable"}, 503, **{"Retry-After": "17"})
    one = run(
        Raw(hang_up=True), Raw(500), PENDING, busy, said(TOKENS), begin=said(START | {"expires_in": 300})
    )
    one.tokens()
    assert one.pauses == [5, 10, 20, 5, 17]


def test_a_network_that_fails_to_the_end_is_what_is_told(run: Callable[..., Run], idp: Idp) -> None:
    """Not "nobody typed the code": nobody knows."""
    one = run(*[Raw(hang_up=True)] * 20)
    with pytest.raises(Unreachable):
        one.tokens()
    assert sum(one.pauses) == 60


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([PENDING] * 30, "device-code-expired"),
        ([PENDING, no("expired_token")], "device-code-expired"),
        ([PENDING, no("access_denied")], "sign-in-declined"),
        ([no("authorization_declined", "AADSTS65004: declined")], "sign-in-declined"),
        ([no("access_denied", "AADSTS53003: Access has been blocked")], "device-not-allowed"),
        ([no("invalid_grant", "AADSTS530035: blocked by security defaults")], "device-not-allowed"),
        ([no("unsupported_grant_type")], "device-not-allowed"),
    ],
)
def test_every_end_has_its_own_words(run: Callable[..., Run], answers: list[Raw], code: str) -> None:
    """Expired, declined, forbidden."""
    one = run(*answers)
    with pytest.raises(SignInAborted) as caught:
        one.tokens()
    assert caught.value.code == code
    assert sum(one.pauses) <= 60


def test_the_wait_is_no_longer_than_was_asked(run: Callable[..., Run]) -> None:
    """A code that is good for a quarter of an hour does not keep a page waiting that gives up after ten seconds."""
    one = run(*[PENDING] * 9, begin=said(START | {"expires_in": 900}), seconds=12)
    assert one.begun.code.seconds == 12
    with pytest.raises(SignInAborted):
        one.tokens()
    assert one.pauses == [5, 5, 2]


def test_cancelled_in_a_pause(run: Callable[..., Run], idp: Idp) -> None:
    """What the pause raises ends it, and nothing more is asked."""
    one = run(PENDING)

    def stop(seconds: float) -> None:
        raise SignInAborted("enough", code="sign-in-cancelled")

    with pytest.raises(SignInAborted, match="enough"):
        one.begun.wait(stop)
    assert len(idp.requests) == 1


@pytest.mark.parametrize(
    ("begin", "kind", "code"),
    [
        (no("unauthorized_client"), SignInAborted, "device-not-allowed"),
        (Raw(404, body=b"<html>"), SignInAborted, "device-not-allowed"),
        (no("invalid_client", status=401), TokenRefused, "token-refused"),
        (no("unauthorized_client", "AADSTS700016: app not found"), TokenRefused, "token-refused"),
        (no("invalid_scope"), TokenRefused, "token-refused"),
        (said({"user_code": "x"}), Exception, "protocol"),
        (said(START | {"verification_uri": "javascript:alert(1)"}), ConfigurationError, "bad-address"),
        (
            said(START | {"verification_uri": "http://login.example/d"}),
            ConfigurationError,
            "insecure-address",
        ),
    ],
)
def test_a_start_that_fails(*, run: Callable[..., Run], begin: Raw, kind: type[Exception], code: str) -> None:
    """Forbidden is told apart from misconfigured; an address no browser should open is never shown."""
    with pytest.raises(kind) as caught:
        run(begin=begin)
    assert getattr(caught.value, "code", "") == code


def test_google_gives_no_code_for_mail(idp: Idp, endpoint: Endpoint) -> None:
    """Google's list of scopes for devices has no mail: said as such, not as a misspelt scope."""
    idp.script = [no("invalid_scope", "Invalid device flow scope: https://mail.google.com/")]
    question = asked(idp, endpoint, provider=Provider.GOOGLE)
    with pytest.raises(SignInAborted) as caught:
        device.begin(question, 300)
    assert caught.value.code == "device-not-allowed" and "mail.google.com" in caught.value.raw


def test_a_client_with_a_secret_proves_itself_both_times(
    idp: Idp, endpoint: Endpoint, clock: FakeClock
) -> None:
    """By HTTP Basic, and as a field to a provider that knows only that; no error repeats it."""
    secret = f"{CANARY}-secret"
    idp.script = [said(START), said(TOKENS)]
    Run(clock, asked(idp, endpoint, client_secret=Secret(secret))).tokens()
    sent = {base64.b64decode(seen.headers["authorization"].partition(" ")[2]) for seen in idp.requests}
    assert sent == {f"client:{secret}".encode()}
    idp.requests.clear()
    idp.script = [no("invalid_client", status=401), said(START)]
    Run(clock, asked(idp, endpoint, client_secret=Secret(secret)))
    assert idp.requests[1].form["client_secret"] == secret
    idp.script = [no("invalid_request", f"what is {secret}?")]
    with pytest.raises(TokenRefused) as caught:
        Run(clock, asked(idp, endpoint, client_secret=Secret(secret)))
    assert secret not in f"{caught.value} {caught.value.raw} {caught.value.facts}"


@pytest.mark.parametrize(
    ("metadata", "case"),
    [
        (None, None),
        ({"token_url": "https://other.example/token"}, "another-issuer"),
        ({"device_url": ""}, "none"),
    ],
)
def test_where_a_code_is_given_must_be_known(
    idp: Idp, endpoint: Endpoint, metadata: dict[str, Any] | None, case: str | None
) -> None:
    """No issuer, an issuer that is not this connection's, one that gives none: nothing is asked of anybody."""
    question = asked(idp, endpoint)
    assert question.metadata is not None
    found = None if metadata is None else dataclasses.replace(question.metadata, **metadata)
    with pytest.raises(ConfigurationError) as caught:
        device.begin(dataclasses.replace(question, metadata=found), 300)
    assert (caught.value.code, caught.value.facts.get("case")) == ("no-device-address", case)
    assert idp.requests == []


def test_an_unfinished_application_is_told_first(idp: Idp, endpoint: Endpoint) -> None:
    """Without client id or scope nothing is asked."""
    for change in ({"client_id": ""}, {"scope": ""}):
        with pytest.raises(ConfigurationError) as caught:
            device.begin(asked(idp, endpoint, **change), 300)
        assert caught.value.code == "incomplete-client"
    assert idp.requests == []
