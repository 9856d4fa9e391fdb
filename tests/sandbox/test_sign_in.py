"""Signing in at the sandbox's identity provider, as a program and a person do it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from datapallas.sandbox.person import browse
from datapallas.sandbox.settings import Rotation
from sandbox.program import REDIRECT, SCOPE, Program

if TYPE_CHECKING:
    from datapallas.sandbox import Sandbox

MICROSOFT_SCOPE = "https://outlook.office.com/SMTP.Send offline_access openid email profile"


def claims(id_token: str) -> dict[str, Any]:
    """What an id_token says."""
    part = id_token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def test_a_person_signs_in_and_the_program_gets_tokens(sandbox: Sandbox, program: Program) -> None:
    """Login, consent, code, tokens: state and issuer come back, the token is good at the mail server's question."""
    back = program.callback("bob@sandbox.example")
    assert back["state"] == "s&t a+te"
    assert back["iss"] == sandbox.issuer
    tokens = program.redeem(back["code"])
    assert tokens.headers["cache-control"] == "no-store"
    given = tokens.json
    assert given["token_type"] == "Bearer" and given["expires_in"] == 3600
    assert given["scope"] == SCOPE
    assert len(given["access_token"]) == 1500
    assert program.active(given["access_token"])
    said = claims(given["id_token"])
    assert said["email"] == "bob@sandbox.example" and said["nonce"] == "n1"
    assert said["iss"] == sandbox.issuer and said["aud"] == "sandbox-app"


def test_the_signature_of_an_id_token_can_be_checked(sandbox: Sandbox, program: Program) -> None:
    """A stranger's JWT library takes the published key and finds the signature right."""
    jwt = pytest.importorskip("jwt")
    token = program.sign_in()["id_token"]
    key = jwt.PyJWK(program.ask("GET", "/jwks").json["keys"][0])
    assert jwt.decode(token, key, algorithms=["RS256"], audience="sandbox-app", issuer=sandbox.issuer)


def test_discovery_names_what_is_there(sandbox: Sandbox, program: Program) -> None:
    """Every address in the discovery document is answered, and `iss` is announced."""
    found = program.ask("GET", "/.well-known/openid-configuration").json
    assert found["issuer"] == sandbox.issuer
    assert found["authorization_response_iss_parameter_supported"] is True
    assert found["code_challenge_methods_supported"] == ["S256"]
    for name, address in found.items():
        if name.endswith("_endpoint") or name == "jwks_uri":
            assert program.ask("GET", address.removeprefix(sandbox.issuer)).status != 404, name


def test_declining_comes_back_as_access_denied(program: Program) -> None:
    """A person who presses Decline sends the program an error with its state, and no code."""
    back = program.declined()
    assert back["error"] == "access_denied" and back["state"] == "s&t a+te" and "code" not in back


def test_an_unknown_account_is_told_so_and_may_try_again(sandbox: Sandbox, program: Program) -> None:
    """A login that is nobody's stays on the login page."""
    page = program.ask("GET", program.address().removeprefix(sandbox.issuer)).text
    action = page.split('action="')[1].split('"')[0]
    again = program.post(action, login="<b>eve@x.example", password="x")
    assert again.status == 400
    assert "There is no account" in again.text and "<b>" not in again.text
    assert "Allow sandbox-app?" in program.post(action, login="ALICE@sandbox.example", password="x").text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"redirect_uri": "http://192.0.2.1/callback"}, "loopback"),
        ({"redirect_uri": "https://127.0.0.1/callback"}, "loopback"),
        ({"redirect_uri": "http://127.0.0.1:99999/"}, "loopback"),
        ({"redirect_uri": "http://127.0.0.1@evil.example/"}, "loopback"),
        ({"redirect_uri": "http://127.0.0.1/#x"}, "loopback"),
        ({"client_id": "nobody"}, "no such client"),
    ],
)
def test_an_unsafe_address_is_never_redirected_to(
    program: Program, sandbox: Sandbox, change: dict[str, str], reason: str
) -> None:
    """A wrong client or redirect address ends in the browser, where the person can read why."""
    reply = program.ask("GET", program.address(**change).removeprefix(sandbox.issuer))
    assert reply.status == 400 and "location" not in reply.headers
    assert reason in reply.text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_any_loopback_port_is_taken(program: Program, sandbox: Sandbox, host: str) -> None:
    """A program listens where it can (RFC 8252 section 7.3), and the page lets its form end there."""
    uri = f"http://{host}:41234/x"
    reply = program.ask("GET", program.address(redirect_uri=uri).removeprefix(sandbox.issuer))
    assert reply.status == 200
    allowed = "http:" if host == "[::1]" else f"http://{host}:41234"
    assert f"form-action 'self' {allowed}" in reply.headers["content-security-policy"] + ";"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"prompt": "none"}, "login_required"),
        ({"scope": "nothing-here"}, "invalid_scope"),
    ],
)
def test_a_request_that_asks_for_the_wrong_thing_comes_back_with_an_error(
    program: Program, change: dict[str, str], error: str
) -> None:
    """PKCE with S256 is needed, and only codes are given."""
    assert program.callback(**change)["error"] == error


def test_the_verifier_must_fit(program: Program) -> None:
    """A stolen code is worth nothing without the verifier."""
    code = program.callback()["code"]
    reply = program.redeem(code, code_verifier="x" * 43)
    assert reply.status == 400 and reply.json["error"] == "invalid_grant"
    assert program.redeem(code).json["error"] == "invalid_grant"


def test_a_code_is_good_once_and_its_reuse_ends_the_sign_in(program: Program) -> None:
    """A second use of a code is a sign of theft: what the first gave is worth nothing any more."""
    code = program.callback()["code"]
    tokens = program.redeem(code).json
    assert program.redeem(code).json["error"] == "invalid_grant"
    assert not program.active(tokens["access_token"])
    assert program.refresh(tokens["refresh_token"]).status == 400


def test_a_code_belongs_to_its_redirect_address_and_client(program: Program) -> None:
    """Another address or client than the one that asked gets nothing."""
    assert (
        program.redeem(program.callback()["code"], redirect_uri=REDIRECT + "2").json["error"]
        == "invalid_grant"
    )
    assert (
        program.redeem(program.callback()["code"], client_id="sandbox-public").json["error"]
        == "invalid_grant"
    )


def test_without_offline_access_and_consent_there_is_no_refresh_token(program: Program) -> None:
    """Strict providers drop offline_access silently when prompt=consent is missing."""
    assert "refresh_token" not in program.sign_in(prompt="login")
    assert "refresh_token" not in program.sign_in(scope="smtp")


def test_a_refresh_token_rotates_and_reuse_ends_the_family(program: Program) -> None:
    """With strict rotation a used token kills the new one and every access token."""
    first = program.sign_in()
    second = program.refresh(first["refresh_token"]).json
    assert second["refresh_token"] != first["refresh_token"]
    assert program.active(second["access_token"])
    reused = program.refresh(first["refresh_token"])
    assert reused.status == 400 and reused.json["error"] == "invalid_grant"
    assert not program.active(second["access_token"])
    assert program.refresh(second["refresh_token"]).json["error"] == "invalid_grant"


def test_lenient_rotation_keeps_old_tokens_alive(sandbox: Sandbox, program: Program) -> None:
    """As at Microsoft: each refresh gives a new token, and the old one goes on working."""
    sandbox.settings.rotation = Rotation.LENIENT
    token = program.sign_in()["refresh_token"]
    assert program.refresh(token).json["refresh_token"] != token
    assert program.refresh(token).status == 200


def test_without_rotation_no_new_token_is_given(sandbox: Sandbox, program: Program) -> None:
    """As at Google: the answer to a refresh holds no refresh token."""
    sandbox.settings.rotation = Rotation.NONE
    token = program.sign_in()["refresh_token"]
    assert "refresh_token" not in program.refresh(token).json
    assert program.refresh(token).status == 200


def test_a_refresh_can_only_shrink_the_scope(program: Program) -> None:
    """What was not granted at sign-in is not granted later."""
    token = program.sign_in(scope="smtp offline_access")["refresh_token"]
    assert program.refresh(token, scope="https://mail.google.com/").json["error"] == "invalid_scope"
    assert program.refresh(token, scope="smtp").json["scope"] == "smtp"


def test_tokens_get_old(sandbox: Sandbox, program: Program) -> None:
    """Access tokens after an hour, codes after ten minutes, refresh tokens after 90 idle days."""
    late = 0.0
    start = sandbox.provider.now()
    sandbox.provider.now = lambda: start + late
    tokens = program.sign_in()
    code = program.callback()["code"]
    late = 3599.0
    assert program.active(tokens["access_token"])
    assert program.redeem(code).json["error"] == "invalid_grant"
    late = 3601.0
    assert not program.active(tokens["access_token"])
    late = 91 * 86_400.0
    assert program.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"


def test_secrets_of_clients_are_checked(sandbox: Sandbox, program: Program) -> None:
    """A desktop client with a secret must send it, a public one must not, a wrong one is refused."""
    code = program.callback()["code"]
    assert program.redeem(code, client_secret="wrong").status == 401
    desktop = Program(sandbox, "sandbox-desktop")
    assert desktop.redeem(desktop.callback()["code"]).status == 401
    assert desktop.redeem(desktop.callback()["code"], client_secret="sandbox-secret").status == 200
    public = Program(sandbox, "sandbox-public")
    assert public.redeem(public.callback()["code"], client_secret="x").status == 401
    assert public.sign_in()["refresh_token"]


def test_a_secret_may_come_in_the_authorization_header(sandbox: Sandbox, program: Program) -> None:
    """Basic authentication works as well (RFC 6749 section 2.3.1), and nonsense in it is refused."""
    head = {"Content_Type": "application/x-www-form-urlencoded"}
    good = "Basic " + base64.b64encode(b"sandbox-service:sandbox-secret").decode()
    body = b"grant_type=client_credentials&scope=smtp"
    reply = program.ask("POST", "/token", body, Authorization=good, **head)
    assert reply.status == 200 and program.active(reply.json["access_token"])
    assert "refresh_token" not in reply.json
    for bad in ("Basic !!", "Basic " + base64.b64encode(b"nocolon").decode(), "Bearer x"):
        assert program.ask("POST", "/token", body, Authorization=bad, **head).status == 400


def test_a_service_signs_in_without_a_person(program: Program) -> None:
    """Client credentials work for the service client and for no other."""
    asked = {"grant_type": "client_credentials", "client_secret": "sandbox-secret", "scope": "smtp"}
    assert program.post("/token", client_id="sandbox-service", **asked).status == 200
    assert program.post("/token", client_id="sandbox-app", **asked).json["error"] == "unauthorized_client"


def test_a_device_signs_in_with_a_code(sandbox: Sandbox, program: Program) -> None:
    """The device waits, polls not too fast, and gets tokens once its person has typed the code and allowed it."""
    sandbox.settings.device_interval = 0.0
    start = program.post("/device_authorization", client_id="sandbox-app", scope=SCOPE).json
    poll = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": start["device_code"],
        "client_id": "sandbox-app",
    }
    assert program.post("/token", **poll).json["error"] == "authorization_pending"
    ended = browse(start["verification_uri_complete"], login="bob@sandbox.example")
    assert "Your device is connected" in ended.page
    tokens = program.post("/token", **poll).json
    assert program.active(tokens["access_token"]) and tokens["refresh_token"]
    assert program.post("/token", **poll).json["error"] == "invalid_grant"


def test_a_device_that_polls_too_fast_is_slowed_down(sandbox: Sandbox, program: Program) -> None:
    """slow_down adds five seconds for good (RFC 8628 section 3.5)."""
    clock = sandbox.provider.now()
    sandbox.provider.now = lambda: clock
    start = program.post("/device_authorization", client_id="sandbox-app", scope=SCOPE).json
    poll = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": start["device_code"]}
    answers = []
    for later in (0, 1, 6, 17, 1000):
        clock += later
        answers.append(program.post("/token", client_id="sandbox-app", **poll).json["error"])
    assert answers == [
        "authorization_pending",
        "slow_down",
        "slow_down",
        "authorization_pending",
        "expired_token",
    ]


def test_a_device_can_be_declined_and_a_wrong_code_is_told(sandbox: Sandbox, program: Program) -> None:
    """Typing small letters without the dash is fine; a code that does not exist is not."""
    start = program.post("/device_authorization", client_id="sandbox-app", scope=SCOPE).json
    assert "did not work" in program.post("/device", user_code="XXXX-XXXX").text
    typed = start["user_code"].replace("-", "").lower()
    browse(f"{sandbox.issuer}/device?user_code={typed}", deny=True)
    poll = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": start["device_code"]}
    assert program.post("/token", client_id="sandbox-app", **poll).json["error"] == "access_denied"


def test_revoking_ends_the_sign_in(program: Program) -> None:
    """Sign-out at the provider: both tokens are dead; a token nobody knows is no error (RFC 7009)."""
    tokens = program.sign_in()
    assert program.post("/revoke", client_id="sandbox-app", token="unknown").status == 200
    assert program.post("/revoke", client_id="sandbox-app", token=tokens["refresh_token"]).status == 200
    assert not program.active(tokens["access_token"])
    assert program.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"


def test_introspection_is_for_those_with_a_secret(program: Program) -> None:
    """A public client cannot try out tokens."""
    assert program.post("/introspect", client_id="sandbox-app", token="x").status == 401


def test_userinfo_says_who_it_is(program: Program) -> None:
    """With an access token the account can be asked; without one it cannot."""
    token = program.sign_in("bob@sandbox.example")["access_token"]
    assert (
        program.ask("GET", "/userinfo", Authorization=f"Bearer {token}").json["email"]
        == "bob@sandbox.example"
    )
    assert program.ask("GET", "/userinfo", Authorization="Bearer x").status == 401


def test_microsoft_paths_speak_as_microsoft_does(sandbox: Sandbox, microsoft: Program) -> None:
    """Tenant in the path, AADSTS numbers with ids in errors, tid in the id_token, no offline_access in the scope."""
    tokens = microsoft.sign_in(scope=MICROSOFT_SCOPE, prompt="select_account")
    assert "offline_access" not in tokens["scope"] and tokens["ext_expires_in"] == 3600
    said = claims(tokens["id_token"])
    assert said["tid"] == sandbox.tenant_id and said["iss"] == f"{sandbox.issuer}/{sandbox.tenant_id}/v2.0"
    assert "iss" not in microsoft.callback(scope=MICROSOFT_SCOPE)
    error = microsoft.refresh("nothing").json
    assert error["error"] == "invalid_grant" and error["error_codes"] == [70000]
    assert error["error_description"].startswith("AADSTS70000: ")
    assert f"Correlation ID: {error['correlation_id']}" in error["error_description"]


def test_microsoft_refuses_a_wrong_tenant_and_mixed_resources(sandbox: Sandbox, microsoft: Program) -> None:
    """A tenant that is not there, and one token for two resources, as Entra refuses them."""
    microsoft.token_path = "/contoso.example/oauth2/v2.0/token"
    assert microsoft.refresh("x").json["error_codes"] == [90002]
    microsoft.authorize = "/contoso.example/oauth2/v2.0/authorize"
    page = microsoft.ask("GET", microsoft.address().removeprefix(sandbox.issuer))
    assert page.status == 400 and "AADSTS90002" in page.text
    microsoft.authorize = "/common/oauth2/v2.0/authorize"
    mixed = "https://outlook.office.com/SMTP.Send https://graph.microsoft.com/Mail.Send"
    assert microsoft.callback(scope=mixed)["error"] == "invalid_scope"


def test_microsoft_device_code(sandbox: Sandbox, microsoft: Program) -> None:
    """The device endpoint has Microsoft's path and gives the sentence to show."""
    path = f"/{sandbox.tenant_id}/oauth2/v2.0/devicecode"
    start = microsoft.post(path, client_id="sandbox-app", scope=MICROSOFT_SCOPE).json
    assert start["user_code"] in start["message"]


def test_google_paths_speak_as_google_does(sandbox: Sandbox) -> None:
    """access_type and consent give a refresh token, `email` comes back by its long name, the secret is needed."""
    google = Program(sandbox, "sandbox-desktop", "/o/oauth2/v2/auth")
    google.token_path = "/o/oauth2/token"
    scope = "https://mail.google.com/ openid email"
    missing = google.redeem(google.callback(scope=scope, access_type="offline")["code"])
    assert missing.json == {"error": "invalid_request", "error_description": "client_secret is missing."}
    code = google.callback(scope=scope, access_type="offline")["code"]
    tokens = google.redeem(code, client_secret="sandbox-secret").json
    assert tokens["refresh_token"]
    assert "https://www.googleapis.com/auth/userinfo.email" in tokens["scope"].split()
    assert google.post("/o/oauth2/revoke", token=tokens["refresh_token"]).status == 200
    assert google.post("/o/oauth2/revoke", token=tokens["refresh_token"]).status == 400


def test_form_post_hands_the_code_over_by_a_form(program: Program, sandbox: Sandbox) -> None:
    """response_mode=form_post ends with a button that posts code and state to the program."""
    page = program.ask("GET", program.address(response_mode="form_post").removeprefix(sandbox.issuer)).text
    visit = page.split('action="')[1].split('"')[0].rpartition("/")[0]
    program.post(f"{visit}/login", login="alice@sandbox.example")
    last = program.post(f"{visit}/consent", decision="accept")
    assert f'action="{REDIRECT}"' in last.text
    assert 'name="state" value="s&amp;t a+te"' in last.text
    assert program.post(f"{visit}/consent", decision="accept").status == 410


def test_consent_needs_a_login_first(program: Program, sandbox: Sandbox) -> None:
    """Nobody gets a code by pressing Accept before signing in."""
    page = program.ask("GET", program.address().removeprefix(sandbox.issuer)).text
    visit = page.split('action="')[1].split('"')[0].rpartition("/")[0]
    reply = program.post(f"{visit}/consent", decision="accept")
    assert reply.status == 200 and 'name="login"' in reply.text and "location" not in reply.headers
