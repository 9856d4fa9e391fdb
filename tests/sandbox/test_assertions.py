"""The sandbox checks what an app signs as strictly as real providers do, and a stranger's library signs well enough."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from datapallas.oauth.app_key import read_app_key

if TYPE_CHECKING:
    from pathlib import Path

    from datapallas.sandbox import Sandbox
    from sandbox.program import Program, Reply

jwt = pytest.importorskip("jwt")
CLIENT = "sandbox-service"
TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def claims(sandbox: Sandbox, **change: Any) -> dict[str, Any]:
    now = int(time.time())
    usual = {
        "iss": CLIENT,
        "sub": CLIENT,
        "aud": sandbox.token_url,
        "iat": now,
        "exp": now + 300,
        "jti": str(now),
    }
    return {name: value for name, value in (usual | change).items() if value is not None}


def asked(program: Program, assertion: str, **change: str) -> Reply:
    form = {"grant_type": "client_credentials", "scope": "smtp", "client_id": CLIENT} | change
    return program.post("/token", client_assertion_type=TYPE, client_assertion=assertion, **form)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
def test_a_strangers_assertion_is_good_once(sandbox: Sandbox, program: Program, algorithm: str) -> None:
    """PyJWT signs, the sandbox gives a token; the same assertion again is refused."""
    key = read_app_key(sandbox_key(sandbox))
    signed = jwt.encode(claims(sandbox), key.private, algorithm=algorithm)
    assert program.active(asked(program, signed).json["access_token"])
    assert asked(program, signed).json["error"] == "invalid_client"


def sandbox_key(sandbox: Sandbox) -> Path:
    sandbox.service_key()
    return sandbox.folder / "service.pem"


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "https://elsewhere.example/token"},
        {"exp": -10},
        {"exp": 4000},
        {"iat": 600},
        {"sub": "sandbox-app"},
        {"iss": "nobody"},
        {"jti": None},
        {"exp": None},
    ],
)
def test_an_assertion_for_something_else_is_refused(
    sandbox: Sandbox, program: Program, change: dict[str, Any]
) -> None:
    """Another address, another time (in seconds from now), another client, one that could be used twice."""
    key = read_app_key(sandbox_key(sandbox))
    now = int(time.time())  # not when the tests were collected: that may be long ago
    change = {name: now + value if isinstance(value, int) else value for name, value in change.items()}
    signed = jwt.encode(claims(sandbox, **change), key.private, algorithm="RS256")
    assert asked(program, signed).json["error"] == "invalid_client"


def test_another_key_or_none_at_all_is_refused(sandbox: Sandbox, program: Program) -> None:
    """A forged signature, and the algorithm none, open nothing."""
    sandbox.service_key()
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for assertion in (
        jwt.encode(claims(sandbox), other, algorithm="RS256"),
        jwt.encode(claims(sandbox), "", algorithm="none"),
        "not.a.jwt",
        "x",
    ):
        assert asked(program, assertion).json["error"] == "invalid_client"


def test_microsofts_dialect_knows_the_certificate_by_its_thumbprint(
    sandbox: Sandbox, program: Program
) -> None:
    """Without x5t#S256 it is AADSTS700027."""
    key = read_app_key(sandbox_key(sandbox))
    path = f"/{sandbox.tenant_id}/oauth2/v2.0/token"
    form = {
        "grant_type": "client_credentials",
        "scope": "https://outlook.office365.com/.default",
        "client_id": CLIENT,
        "client_assertion_type": TYPE,
    }
    for head, codes in ((None, [700027]), ({"x5t#S256": key.thumbprint}, None)):
        told = claims(sandbox, aud=sandbox.issuer + path, jti=str(head))
        signed = jwt.encode(told, key.private, algorithm="PS256", headers=head)
        assert program.post(path, client_assertion=signed, **form).json.get("error_codes") == codes
