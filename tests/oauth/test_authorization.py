"""The address a person opens, and which callbacks are believed."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import os
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapallas.connection.model import Cloud, OAuth2Client, Provider
from datapallas.errors import ConfigurationError, SignInAborted
from datapallas.oauth import grants
from datapallas.oauth.addresses import redirect_for
from datapallas.oauth.authorization import (
    AuthorizationCode,
    AuthorizationRequest,
    ExpectedIssuer,
    StrayCallback,
    begin,
    check_callback,
)
from datapallas.secret import Secret

GENERIC = OAuth2Client(
    provider=Provider.GENERIC,
    client_id="client",
    authorize_url="https://login.example/authorize?tenant=a%20b&state=theirs",
    token_url="https://login.example/token",
    scope="mail offline_access openid",
)
LOCAL = dataclasses.replace(GENERIC, authorize_url="http://localhost:4600/auth")
REDIRECT = "http://127.0.0.1:5000/callback"


def request(client: OAuth2Client = GENERIC, issuer: ExpectedIssuer | None = None) -> AuthorizationRequest:
    return begin(client, REDIRECT, entropy=os.urandom, issuer=issuer)


def query(asked: AuthorizationRequest, **change: str) -> str:
    return urlencode({"code": "the-code", "state": asked.state.reveal()} | change)


def parameters(url: str) -> dict[str, str]:
    pairs = parse_qsl(urlsplit(url).query)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def test_every_request_has_its_own_pkce_state_and_nonce() -> None:
    """Ten thousand sign-ins, and no two share a value that protects them."""
    seen: set[str] = set()
    for _ in range(10_000):
        asked = request()
        sent = parameters(asked.url)
        verifier = asked.verifier.reveal()
        assert 43 <= len(verifier) <= 128
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        assert (sent["code_challenge"], sent["code_challenge_method"]) == (digest, "S256")
        seen.update((verifier, sent["state"], sent["nonce"]))
    assert len(seen) == 30_000
    assert all(len(value) * 6 >= 128 for value in seen)


def test_the_authorize_address_keeps_its_own_query() -> None:
    """An address with parameters of its own works, and cannot set ours."""
    sent = parameters(request().url)
    assert sent["tenant"] == "a b" and sent["state"] != "theirs"
    assert sent["scope"] == "mail offline_access openid" and sent["prompt"] == "consent"
    assert "verifier" not in request().url


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (
            OAuth2Client(provider=Provider.MICROSOFT, client_id="c", tenant_id="contoso.example"),
            (
                "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/authorize?client_id=c&response_type=code"
                "&scope=https%3A%2F%2Foutlook.office.com%2FSMTP.Send%20offline_access%20openid%20email%20profile"
                "&prompt=select_account"
            ),
        ),
        (
            OAuth2Client(
                provider=Provider.MICROSOFT, client_id="c", cloud=Cloud.USGOV, login_hint="a@b.example"
            ),
            (
                "https://login.microsoftonline.us/common/oauth2/v2.0/authorize?client_id=c&response_type=code"
                "&scope=https%3A%2F%2Foutlook.office365.us%2FSMTP.Send%20offline_access%20openid%20email%20profile"
                "&login_hint=a%40b.example"
            ),
        ),
        (
            OAuth2Client(provider=Provider.GOOGLE, client_id="c"),
            (
                "https://accounts.google.com/o/oauth2/auth?client_id=c&response_type=code"
                "&scope=https%3A%2F%2Fmail.google.com%2F%20openid%20email&access_type=offline&prompt=consent"
            ),
        ),
    ],
)
def test_each_provider_is_asked_for_as_little_as_mail_needs(client: OAuth2Client, expected: str) -> None:
    """The whole address, but for what is random: a wider scope would show here."""
    sent = parameters(request(client).url)
    for name in ("state", "nonce", "code_challenge", "code_challenge_method", "redirect_uri"):
        del sent[name]
    assert sent == parameters(expected)
    assert request(client).url.partition("?")[0] == expected.partition("?")[0]


@pytest.mark.parametrize(
    "client",
    [
        OAuth2Client(provider=Provider.GENERIC, client_id="c", scope="x"),
        OAuth2Client(
            provider=Provider.GENERIC, client_id="c", scope="x", authorize_url="http://login.example/"
        ),
        OAuth2Client(
            provider=Provider.GENERIC, client_id="", scope="x", authorize_url="https://login.example/"
        ),
        OAuth2Client(provider=Provider.GENERIC, client_id="c", authorize_url="https://login.example/"),
    ],
)
def test_a_client_that_lacks_something_is_told_so(client: OAuth2Client) -> None:
    """No browser opens for a client without id, scope or a safe address."""
    with pytest.raises(ConfigurationError):
        request(client)


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=200))
def test_a_code_arrives_as_the_provider_made_it(code: str) -> None:
    """Whatever printable characters a code has, the token endpoint gets the same ones, decoded once."""
    asked = request()
    found = check_callback(asked, f"code={quote(code, safe='')}&state={asked.state.reveal()}")
    assert found.code.reveal() == code
    form = grants.code(GENERIC, found)
    assert parse_qs(form.body().decode())["code"] == [code]


def test_a_plus_that_was_not_encoded_stays_a_plus() -> None:
    """Some providers forget to encode it; a blank would be refused by them."""
    asked = request()
    assert (
        check_callback(asked, f"state={asked.state.reveal()}&code=a+b%2Bc%252F").code.reveal() == "a+b+c%2F"
    )


def test_a_code_cannot_be_made_without_a_checked_callback() -> None:
    """The next step takes a checked code only."""
    with pytest.raises(TypeError):
        AuthorizationCode(object(), Secret("code"), request())


@pytest.mark.parametrize(
    "junk",
    [
        "",
        "code=x",
        "state=wrong&code=x",
        "error=access_denied",
        "error=access_denied&state=",
        "code=x&state={state}&state={state}",
        "code=x&code=y&state={state}",
        "state={state}",
        "code=&state={state}",
        "code=%00&state={state}",
        "code=x%0D%0Ay&state={state}",
        "code=%ff&state={state}",
        "code=\u00e9&state={state}",
        "code=x&state={state}%20",
        "code=x&state=%7Bstate%7D",
        "code=x&state={state}&" + "a=1&" * 100,
        "code=" + "x" * 20_000 + "&state={state}",
    ],
)
def test_what_does_not_belong_to_the_sign_in_changes_nothing(junk: str) -> None:
    """Other pages' requests are turned away, and the real answer still counts afterwards."""
    asked = request()
    with pytest.raises(StrayCallback):
        check_callback(asked, junk.replace("{state}", asked.state.reveal()))
    assert check_callback(asked, query(asked)).code.reveal() == "the-code"


@given(st.text(max_size=300))
def test_any_text_is_a_stray_callback_and_no_crash(text: str) -> None:
    """Whatever is sent to the listener is turned away in order."""
    with pytest.raises(StrayCallback):
        check_callback(request(), text)


def test_a_callback_counts_once_and_only_for_its_own_request() -> None:
    """A replay, and a state of another sign-in, are refused."""
    first, second = request(), request()
    answer = query(first)
    with pytest.raises(StrayCallback):
        check_callback(second, answer)
    check_callback(first, answer)
    with pytest.raises(StrayCallback, match="second time"):
        check_callback(first, answer)


@pytest.mark.parametrize(
    ("client", "issuer", "iss", "good"),
    [
        (GENERIC, ExpectedIssuer("https://login.example", advertised=True), "https://login.example", True),
        (GENERIC, ExpectedIssuer("https://login.example", advertised=True), "https://other.example", False),
        (GENERIC, ExpectedIssuer("https://login.example", advertised=True), "https://login.example/", False),
        (GENERIC, ExpectedIssuer("https://login.example", advertised=True), "", False),
        (GENERIC, ExpectedIssuer("https://login.example"), "", True),
        (GENERIC, ExpectedIssuer(), "https://login.example/realm", True),
        (GENERIC, ExpectedIssuer(), "https://login.example.evil.example", False),
        (GENERIC, ExpectedIssuer(), "https://[bad", False),
        (LOCAL, ExpectedIssuer(), "http://127.0.0.1:4600", True),
        (LOCAL, ExpectedIssuer(), "http://127.0.0.1:4601", False),
        (
            OAuth2Client(provider=Provider.GOOGLE, client_id="c"),
            ExpectedIssuer(),
            "https://accounts.google.com",
            True,
        ),
        (
            OAuth2Client(provider=Provider.GOOGLE, client_id="c"),
            ExpectedIssuer(),
            "https://accounts.google.co",
            False,
        ),
        (
            OAuth2Client(provider=Provider.MICROSOFT, client_id="c"),
            ExpectedIssuer("https://login.microsoftonline.com/{tenantid}/v2.0"),
            "https://login.microsoftonline.com/8f-1/v2.0",
            True,
        ),
        (
            OAuth2Client(provider=Provider.MICROSOFT, client_id="c"),
            ExpectedIssuer("https://login.microsoftonline.com/{tenantid}/v2.0"),
            "https://login.microsoftonline.com/a/b/v2.0",
            False,
        ),
    ],
)
def test_an_answer_of_another_provider_is_refused(
    client: OAuth2Client, issuer: ExpectedIssuer, iss: str, *, good: bool
) -> None:
    """Mix-up: a code that another provider made never reaches this one's token endpoint."""
    asked = request(client, issuer)
    answer = query(asked, iss=iss) if iss else query(asked)
    if good:
        assert check_callback(asked, answer).code
        return
    with pytest.raises(SignInAborted) as caught:
        check_callback(asked, answer)
    assert caught.value.code == "wrong-issuer"


@pytest.mark.parametrize(
    ("answer", "code", "codes", "transient"),
    [
        ({"error": "access_denied"}, "sign-in-declined", "", False),
        ({"error": "server_error"}, "sign-in-aborted", "", True),
        (
            {
                "error": "invalid_client",
                "error_description": "AADSTS650052: The app needs access\r\n to a service",
            },
            "sign-in-aborted",
            "650052",
            False,
        ),
    ],
)
def test_a_refusal_is_told_in_the_providers_words(
    answer: dict[str, str], code: str, codes: str, *, transient: bool
) -> None:
    """`error=` with the right state ends the sign-in, with what was said."""
    asked = request()
    with pytest.raises(SignInAborted) as caught:
        check_callback(asked, urlencode(answer | {"state": asked.state.reveal()}))
    assert caught.value.code == code
    assert caught.value.transient is transient
    assert caught.value.facts["error"] == answer["error"]
    assert caught.value.facts["error_codes"] == codes
    assert "\n" not in caught.value.raw and "+" not in caught.value.raw


@pytest.mark.parametrize(
    ("client", "override", "uri"),
    [
        (OAuth2Client(provider=Provider.MICROSOFT), "", "http://localhost:5000"),
        (GENERIC, "", "http://127.0.0.1:5000/callback"),
        (GENERIC, "http://localhost/cb", "http://localhost:5000/cb"),
        (GENERIC, "http://[::1]:5000/cb", "http://[::1]:5000/cb"),
        (GENERIC, "http://localhost:5000", "http://localhost:5000"),
    ],
)
def test_the_redirect_is_what_the_provider_accepts(client: OAuth2Client, override: str, uri: str) -> None:
    """Microsoft's portal takes http://localhost only; a person may choose another on this machine."""
    redirect = redirect_for(client, override)
    assert redirect.port in {0, 5000}
    assert redirect.at(5000) == uri


@pytest.mark.parametrize(
    "uri",
    [
        "https://localhost/cb",
        "http://example.com/cb",
        "http://127.0.0.1.evil.example/",
        "http://localhost/cb?x=1",
        "http://localhost/#x",
        "http://localhost:0/",
        "urn:ietf:wg:oauth:2.0:oob",
        "http://me@localhost/",
        "http://0.0.0.0/",
        "nonsense",
    ],
)
def test_a_redirect_that_cannot_be_listened_on_is_told(uri: str) -> None:
    """Said before the browser opens, with the reason."""
    with pytest.raises(ConfigurationError) as caught:
        redirect_for(GENERIC, uri)
    assert caught.value.code == "redirect-uri"
