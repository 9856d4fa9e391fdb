"""Apps without a person at npm oidc-provider: a secret, a key, and mail through Postfix with the token."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from datapallas.connection.model import Connection, Flow, OAuth2Client, Provider, Server
from datapallas.errors import TokenRefused
from datapallas.secret import Secret
from strangers.installation import CODE, Installation, letter, server

if TYPE_CHECKING:
    from pathlib import Path

    from strangers.identity_provider import IdentityProvider
    from strangers.mail_server import MailServer

pytestmark = pytest.mark.strangers
ROBOT = "robot"
APP = {"redirect_uris": [], "response_types": [], "grant_types": ["client_credentials"]}


def number(value: int) -> str:
    return (
        base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()
    )


def connect(installation: Installation, client_id: str, where: Server, **client: object) -> None:
    oauth2 = OAuth2Client(
        provider=Provider.GENERIC,
        flow=Flow.APPONLY,
        client_id=client_id,
        scope="smtp",
        token_url=installation.provider.token_url,
        **client,  # type: ignore[arg-type]
    )
    mailbox = f"{client_id}@example.test"
    installation.home.folder.create(
        Connection(code=CODE, server=where, from_address=mailbox, credential=oauth2)
    )


def test_a_secret_opens_the_mailbox(mail: MailServer, installation: Installation) -> None:
    """Client credentials by secret: mail goes out through Postfix, and one request served both mails."""
    secret = Secret("newsletter-secret")
    connect(installation, "newsletter", server(mail, "xoauth2"), client_secret=secret)
    with installation.home.mailbox(CODE) as mailbox:
        for one in range(2):
            assert mailbox.send(letter(one)).accepted
    assert len(mail.delivered(2)) == 2
    assert len(installation.provider.log("/token", "client_credentials")) == 1


def made_key(file: Path, kind: str) -> dict[str, str]:
    """A new key in `file`, and its public half as JSON (RFC 7517)."""
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    if kind == "RS256":
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        modulus = key.public_key().public_numbers()
        jwk = {"kty": "RSA", "n": number(modulus.n), "e": number(modulus.e)}
    else:
        key = ec.generate_private_key(ec.SECP256R1())
        point = key.public_key().public_numbers()
        jwk = {"kty": "EC", "crv": "P-256", "x": number(point.x), "y": number(point.y)}
    file.touch(0o600)
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    return jwk | {"use": "sig"}


@pytest.mark.parametrize("kind", ["RS256", "ES256"])
def test_a_key_opens_the_mailbox(
    provider: IdentityProvider, installation: Installation, tmp_path: Path, kind: str
) -> None:
    """private_key_jwt, RSA and EC, is accepted again and again; a key that is not registered never."""
    file = tmp_path / "robot.pem"
    provider.register(
        client_id=ROBOT,
        token_endpoint_auth_method="private_key_jwt",
        token_endpoint_auth_signing_alg=kind,
        jwks={"keys": [made_key(file, kind)]},
        **APP,
    )
    connect(installation, ROBOT, Server(), certificate=str(file))
    tokens = installation.home.tokens(CODE)
    assert tokens.refresh().value != tokens.refresh().value
    made_key(file, kind)
    with pytest.raises(TokenRefused) as refused:
        tokens.refresh()
    assert refused.value.error == "invalid_client"
