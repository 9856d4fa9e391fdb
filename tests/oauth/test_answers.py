"""What providers answer, read as it was meant; whether a sign-in is the one that was wanted."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapallas.connection.model import OAuth2Client, Provider, Sealed
from datapallas.connection.record import Refusal
from datapallas.errors import ProtocolError, SignInRejected, TokenRefused, Unreachable
from datapallas.oauth import claims, grants, token
from datapallas.oauth.acceptance import Wanted, accept, missing_scopes
from datapallas.oauth.answers import TokenAnswer, read_device_answer, read_token_answer, retry_after
from datapallas.oauth.clock import SystemClock, from_iso, iso
from datapallas.oauth.pacing import Pace
from datapallas.secret import MASK, Secret

MICROSOFT = OAuth2Client(provider=Provider.MICROSOFT, client_id="c")
GOOGLE = OAuth2Client(provider=Provider.GOOGLE, client_id="c", client_secret=Secret("s"))
GENERIC = OAuth2Client(
    provider=Provider.GENERIC, client_id="c", scope="mail openid", token_url="https://login.example/token"
)
DATE = "Tue, 24 Nov 2026 08:00:00 GMT"


def read(data: object, status: int = 200, **headers: str) -> TokenAnswer:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    return read_token_answer(status, headers, body)


def refused(data: object, status: int = 400, **headers: str) -> TokenRefused:
    with pytest.raises(TokenRefused) as caught:
        read(data, status, **headers)
    return caught.value


@pytest.mark.parametrize(
    ("change", "name", "value"),
    [
        ({"token_type": "bearer"}, "expires_in", 3600.0),
        ({"expires_in": "3599"}, "expires_in", 3599.0),
        ({"expires_in": -1}, "expires_in", None),
        ({"expires_in": True}, "expires_in", None),
        ({"expires_in": 1e300}, "expires_in", None),
        ({"expires_in": None}, "expires_in", None),
        ({"scope": None}, "scope", ""),
        ({"scope": ["a", "b"]}, "scope", "a b"),
        ({"refresh_token": ""}, "refresh_token", None),
        ({"refresh_token_expires_in": 604799}, "refresh_expires_in", 604799.0),
        ({"error": ""}, "scope", ""),
    ],
)
def test_answers_are_read_as_each_provider_writes_them(
    change: dict[str, Any], name: str, value: object
) -> None:
    """Lower-case bearer, numbers as text, lists as scopes: all of it is seen in the wild."""
    found = read({"access_token": "a", "token_type": "Bearer", "expires_in": 3600} | change)
    assert getattr(found, name) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        {"token_type": "Bearer"},
        {"access_token": "a", "token_type": "mac"},
        {"access_token": "a\r\nb"},
        {"access_token": "a b"},
        {"access_token": "a\x01auth=b"},
        {"access_token": 7},
        {"access_token": "x" * 20_000},
        {"access_token": "a", "refresh_token": "\x00"},
    ],
)
def test_a_success_without_a_usable_token_is_refused(body: object) -> None:
    """A token that could break a header or a sign-in line of the mail server never gets there."""
    with pytest.raises(ProtocolError):
        read(body)


def test_everything_microsoft_says_is_kept() -> None:
    """Numbers and the correlation id, so that an administrator finds the sign-in in the log."""
    problem = refused(
        {
            "error": "invalid_grant",
            "error_description": "AADSTS700082: The refresh token has expired due to inactivity.\r\nTrace ID: 1",
            "error_codes": [700082],
            "trace_id": "t-1",
            "correlation_id": "c-1",
            "suberror": "bad_token",
        }
    )
    assert (problem.error, problem.error_codes, problem.correlation_id) == ("invalid_grant", (700082,), "c-1")
    assert problem.facts == {"suberror": "bad_token", "trace_id": "t-1"}
    assert problem.raw.startswith("invalid_grant: AADSTS700082: ") and "\n" not in problem.raw
    assert not problem.transient


@pytest.mark.parametrize(
    ("body", "status", "error", "codes", "transient"),
    [
        ({"error": "invalid_grant", "error_description": "Token has been expired or revoked."}, 400, "invalid_grant", (), False),
        ({"error": "invalid_client", "error_description": "AADSTS7000222: expired"}, 401, "invalid_client", (7000222,), False),
        ({"error": "temporarily_unavailable", "error_description": "AADSTS90033"}, 400, "temporarily_unavailable", (90033,), True),
        ({"error": {"code": 400, "message": "Bad", "status": "INVALID_ARGUMENT"}}, 400, "INVALID_ARGUMENT", (), False),
        ({"error": "x", "error_codes": ["a", True, 1]}, 400, "x", (1,), False),
        ({"error": 7}, 200, "", (), False),
        (b"", 400, "", (), False),
        (b"", 403, "", (), False),
        (b"<html>busy</html>", 503, "", (), True),
        (b"\xff\xfe", 429, "", (), True),
        ([], 400, "", (), False),
    ],
)  # fmt: skip
def test_refusals_are_read_whatever_their_shape(
    *, body: object, status: int, error: str, codes: tuple[int, ...], transient: bool
) -> None:
    """Empty bodies, pages of proxies, Google's objects: an error in every case, never a crash."""
    problem = refused(body, status)
    assert (problem.error, problem.error_codes, problem.transient) == (error, codes, transient)
    assert problem.status == status and problem.message


@given(st.integers(100, 599), st.binary(max_size=300) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["access_token", "error", "expires_in", "scope", "error_codes", "x"]), inner),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_no_answer_can_crash_the_reader(status: int, body: bytes) -> None:
    """Whatever comes back is a token or one of our errors."""
    for reader in (read_token_answer, read_device_answer):
        with contextlib.suppress(TokenRefused, ProtocolError):
            reader(status, {"retry-after": "soon", "date": "never"}, body)


def test_a_provider_that_echoes_a_secret_does_not_bring_it_into_an_error() -> None:
    """What we sent is masked wherever it comes back."""
    body = json.dumps({"error": "x-hush", "error_description": "got hush", "trace_id": "hush"}).encode()
    with pytest.raises(TokenRefused) as caught:
        read_token_answer(400, {}, body, hide=[Secret("hush"), Secret("")])
    text = f"{caught.value} {vars(caught.value)}"
    assert "hush" not in text and MASK in text
    with pytest.raises(ProtocolError) as unreadable:
        read_token_answer(200, {}, b"you sent hush", hide=[Secret("hush")])
    assert "hush" not in unreadable.value.raw


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Tue, 24 Nov 2026 08:02:00 GMT", 120.0),
        ("Tue, 24 Nov 2026 07:00:00 GMT", 0.0),
        ("Tue, 24 Nov 2026 08:02:00", None),
        ("soon", None),
        ("", None),
        ("-5", None),
        ("\u0661", None),
        ("9" * 400, 315_360_000.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    """A date is measured against the provider's own clock, so ours may be wrong."""
    assert retry_after({"retry-after": value, "date": DATE}) == seconds


def test_a_device_code_is_read_with_its_defaults() -> None:
    """RFC 8628: five seconds where the provider does not say."""
    body = {
        "device_code": "d",
        "user_code": "AB-CD",
        "verification_url": "https://g.example",
        "expires_in": 1800,
    }
    found = read_device_answer(200, {}, json.dumps(body).encode())
    assert (found.user_code, found.interval, found.expires_in) == ("AB-CD", 5.0, 1800.0)
    assert found.verification_uri == "https://g.example"


def test_slow_down_slows_down_for_good() -> None:
    """RFC 8628: five seconds more, for this and all later polls; anything else ends it."""
    interval = grants.next_interval(5.0, "slow_down")
    assert interval == 10.0
    assert grants.next_interval(interval, "authorization_pending") == 10.0
    assert grants.next_interval(interval, "expired_token") is None


def fields(form: grants.Form) -> dict[str, str]:
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in form.fields}


def test_each_request_holds_what_its_rfc_says() -> None:
    """The whole form of each grant."""
    rt = Secret("rt")
    assert fields(grants.refresh(GOOGLE, rt)) == {
        "client_id": "c",
        "client_secret": "s",
        "grant_type": "refresh_token",
        "refresh_token": "rt",
    }
    assert fields(grants.refresh(MICROSOFT, rt))["scope"].startswith("https://outlook.office.com/SMTP.Send ")
    assert fields(grants.device_start(MICROSOFT)).keys() == {"client_id", "scope"}
    assert fields(grants.device_poll(MICROSOFT, Secret("d")))["grant_type"] == grants.DEVICE_GRANT
    assert fields(grants.client_credentials(MICROSOFT, "s/.default", Secret("jwt"))) == {
        "client_id": "c",
        "grant_type": "client_credentials",
        "scope": "s/.default",
        "client_assertion_type": grants.JWT_CLIENT,
        "client_assertion": "jwt",
    }
    assert fields(grants.client_credentials(GOOGLE, "s"))["client_secret"] == "s"
    assert fields(grants.jwt_bearer(Secret("jwt"))) == {"grant_type": grants.JWT_GRANT, "assertion": "jwt"}
    assert fields(grants.revocation(GOOGLE, rt))["token"] == "rt"
    assert "s" not in repr(grants.refresh(GOOGLE, Secret("s"))).replace("Secret", "").replace(
        "client_secret", ""
    ).split("=")


def test_a_sealed_secret_is_never_sent_as_if_it_were_the_secret() -> None:
    """What was not opened does not go on the wire."""
    sealed = OAuth2Client(provider=Provider.GOOGLE, client_id="c", client_secret=Sealed("ENC(x)"))
    with pytest.raises(TypeError):
        grants.refresh(sealed, Secret("rt"))


def answer(**change: Any) -> TokenAnswer:
    given: dict[str, Any] = {"access_token": Secret("a"), "refresh_token": Secret("r"), "expires_in": 3600.0}
    return TokenAnswer(**given | change)


@pytest.mark.parametrize(
    ("client", "granted", "missing"),
    [
        (MICROSOFT, "https://outlook.office.com/SMTP.Send", ()),
        (MICROSOFT, "openid SMTP.Send", ()),
        (MICROSOFT, "https://OUTLOOK.office365.com/smtp.send profile", ()),
        (MICROSOFT, "https://graph.microsoft.com/SMTP.Send", ("https://outlook.office.com/SMTP.Send",)),
        (
            MICROSOFT,
            "https://outlook.office.com/IMAP.AccessAsUser.All",
            ("https://outlook.office.com/SMTP.Send",),
        ),
        (GOOGLE, "https://mail.google.com/ openid", ()),
        (GOOGLE, "openid https://www.googleapis.com/auth/userinfo.email", ("https://mail.google.com/",)),
        (GENERIC, "MAIL", ("mail",)),
        (GENERIC, "", ()),
    ],
)
def test_the_rights_that_were_granted_are_compared_properly(
    client: OAuth2Client, granted: str, missing: tuple[str, ...]
) -> None:
    """Microsoft writes a scope in several ways; a box left unticked at Google is noticed."""
    assert missing_scopes(client, granted) == missing
    if missing:
        with pytest.raises(SignInRejected) as caught:
            accept(client, answer(scope=granted), None, Wanted(), wall=0)
        assert caught.value.facts["missing"] == " ".join(missing)
    else:
        assert accept(client, answer(scope=granted), None, Wanted(), wall=0).granted_scope


def jwt(**change: Any) -> Secret:
    data = {
        "iss": "https://accounts.google.com",
        "aud": "c",
        "exp": 2000,
        "sub": "1",
        "email": "a@b.example",
    } | change
    middle = base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")
    return Secret(f"h.{middle}.s")


TID, PERSONAL = "11111111-2222-3333-4444-555555555555", "9188040d-6c67-4c5b-b112-36a304b66dad"


@pytest.mark.parametrize(
    ("tenant", "tid", "iss_tid", "good"),
    [
        ("common", TID, TID, True),
        ("", PERSONAL, PERSONAL, True),
        ("organizations", PERSONAL, PERSONAL, False),
        ("consumers", TID, TID, False),
        (TID, TID, TID, True),
        (TID, PERSONAL, PERSONAL, False),
        ("common", TID, PERSONAL, False),
        ("common", "", "", False),
    ],
)
def test_a_proof_of_another_tenant_is_not_taken(*, tenant: str, tid: str, iss_tid: str, good: bool) -> None:
    """Microsoft's issuer holds the tenant; it must be the one the connection allows."""
    client = OAuth2Client(provider=Provider.MICROSOFT, client_id="c", tenant_id=tenant)
    proof = jwt(
        iss=f"https://login.microsoftonline.com/{iss_tid}/v2.0",
        tid=tid,
        oid="o",
        preferred_username="u@b.example",
    )
    if good:
        who = claims.read(proof, claims.Expected(client=client, now=1000))
        assert (who.addresses, who.subject, who.tenant) == (("u@b.example", "a@b.example"), "o", tid)
    else:
        with pytest.raises(SignInRejected):
            claims.read(proof, claims.Expected(client=client, now=1000))


@given(st.text(max_size=200))
def test_any_text_as_proof_is_refused_in_order(text: str) -> None:
    """A damaged id_token is an error of the provider."""
    with pytest.raises((ProtocolError, SignInRejected)):
        claims.read(Secret(text), claims.Expected(client=GOOGLE, now=0))


def test_a_short_grace_for_clocks_is_given() -> None:
    """A proof that ended a minute ago by our clock is taken, one that ended an hour ago is not."""
    assert claims.read(jwt(), claims.Expected(client=GOOGLE, now=2060)).subject == "1"
    with pytest.raises(SignInRejected):
        claims.read(jwt(), claims.Expected(client=GOOGLE, now=5600))


def test_a_sign_ins_life() -> None:
    """Signed out, at the provider's page, signed in, refreshed, parked and back: nothing is lost on the way."""
    before = token.SignedOut()
    assert token.abandoned(token.begin(before, 1.0)) is before
    state = accept(GOOGLE, answer(refresh_expires_in=604800.0), None, Wanted(mailbox="a@b.example"), wall=0)
    assert (state.account, state.account_known) == ("a@b.example", False)
    assert state.refresh_expires_at == "1970-01-08T00:00:00Z"
    rotated = token.refreshed(state, answer(refresh_token=Secret("r2")), 86400)
    assert (rotated.refresh_token, rotated.generation) == (Secret("r2"), 2)
    assert (rotated.issued_at, rotated.refresh_expires_at) == ("1970-01-02T00:00:00Z", "")
    kept = token.refreshed(rotated, answer(refresh_token=None), 99999)
    assert (kept.refresh_token, kept.issued_at, kept.generation) == (Secret("r2"), rotated.issued_at, 3)
    parked = token.park(kept, Refusal("invalid_grant"))
    assert token.park(parked, Refusal("again")).kept is kept
    assert token.refreshed(parked, answer(), 0).generation == 4


def test_a_token_whose_life_is_not_told_is_used_for_most_of_an_hour() -> None:
    """Without expires_in an hour is assumed, and the life counts from the request, not from the reply."""
    minted = token.minted(answer(expires_in=None), 100.0)
    assert (minted.expires_at, minted.reuse_until) == (3700.0, 3400.0)


def test_waits_grow_and_end_with_a_success() -> None:
    """5 s, 10 s, ... 15 min where nothing reached the provider; at least a minute for each request that did."""
    pace = Pace(lambda: 0.5)
    now, waits = 0.0, []
    for _ in range(10):
        pace.failed(Unreachable("x"), now, 0)
        with pytest.raises(Unreachable) as caught:
            pace.check(now)
        waits.append(float(caught.value.facts["retry_in"]))
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]
    pace.succeeded()
    pace.check(now)
    pace.failed(Unreachable("x"), now, 2)
    with pytest.raises(Unreachable):
        pace.check(now + 119)
    pace.check(now + 121)


def test_times_are_written_and_read_back() -> None:
    """What stands in a connection file is UTC, and a text that is no time is none."""
    assert iso(0) == "1970-01-01T00:00:00Z"
    assert from_iso(iso(1_800_000_000)) == 1_800_000_000
    assert (
        from_iso("2026-11-24T08:00:00")
        == from_iso("2026-11-24T08:00:00Z")
        == from_iso("2026-11-24T09:00:00+01:00")
    )
    assert from_iso("yesterday") is None
    assert SystemClock().monotonic() <= SystemClock().monotonic() and SystemClock().wall() > 1.7e9
