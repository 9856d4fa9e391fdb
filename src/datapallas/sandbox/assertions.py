"""Who an app is when it proves itself by a signature (RFC 7523): the checks a strict provider makes.

Must stay true: an assertion is good for the address it was sent to, for ten minutes at most, and once (`jti`); the
algorithm is decided by the registered key and never by what was sent.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from datapallas.sandbox import clients
from datapallas.sandbox.ledger import Refused
from datapallas.sandbox.settings import Dialect

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from datapallas.sandbox.clients import Client

LONGEST = 600.0  # seconds; Google allows an hour, Microsoft ten minutes
_ALGORITHMS = frozenset({"RS256", "PS256"})
_PARTS = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Registered:
    """What the provider knows of an app's key: the public half, and its certificate's thumbprint."""

    public: RSAPublicKey
    thumbprint: str


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where an assertion came to, in which dialect, and when."""

    audiences: frozenset[str]
    dialect: Dialect
    now: float


class Assertions:
    """The registered keys, and the assertions that were used. `keys` is client id to key."""

    def __init__(self) -> None:
        self.keys: dict[str, Registered] = {}
        self._used: dict[str, float] = {}

    def client(self, form: dict[str, str], place: Place) -> Client:
        """The client that signed `client_assertion` (RFC 7523 section 2.2); raises Refused."""
        if form.get("client_assertion_type") != clients.JWT_CLIENT:
            raise Refused("assertion")
        head, claims, check = _parts(form["client_assertion"])
        client = clients.known(str(claims.get("iss", "")))
        named = {client.client_id, form.get("client_id", client.client_id)}
        if named != {claims.get("sub")} or not isinstance(claims.get("jti"), str):
            raise Refused("assertion")
        key = self._key(client)
        if place.dialect is Dialect.MICROSOFT and head.get("x5t#S256") != key.thumbprint:
            raise Refused("assertion")
        self._check(claims, place)
        if not _verified(key.public, head, check):
            raise Refused("assertion")
        return client

    def account(self, assertion: str, place: Place, users: list[str]) -> tuple[Client, str, str]:
        """The service account that signed, the mailbox it acts for, and the scope (RFC 7523 section 2.1); raises Refused."""
        head, claims, check = _parts(assertion)
        issuer = claims.get("iss")
        client = next(
            (one for one in clients.CLIENTS.values() if issuer in {one.account, one.client_id}), None
        )
        if client is None or not issuer:
            raise Refused("account-unknown")
        if clients.JWT_GRANT not in client.grants:
            raise Refused("delegation", client_id=client.client_id)
        self._check(claims, place)
        if not _verified(self._key(client).public, head, check):
            raise Refused("signature")
        user = str(claims.get("sub", ""))
        if user not in users:
            raise Refused("user-unknown")
        return client, user, str(claims.get("scope", ""))

    def _key(self, client: Client) -> Registered:
        if client.client_id not in self.keys:
            raise Refused("assertion")
        return self.keys[client.client_id]

    def _check(self, claims: dict[str, Any], place: Place) -> None:
        """RFC 7523 section 3: for us, still good, not for long, and not used before."""
        ends, made, name = claims.get("exp"), claims.get("iat", place.now), claims.get("jti")
        if claims.get("aud") not in place.audiences or not isinstance(ends, int | float):
            raise Refused("assertion-audience")
        if not place.now < ends <= place.now + LONGEST + 5 or not isinstance(made, int | float):
            raise Refused("assertion-time")
        if made > place.now + 5 or (name is not None and str(name) in self._used):
            raise Refused("assertion-time")
        if name is not None:
            self._used[str(name)] = ends


def _parts(assertion: str) -> tuple[dict[str, Any], dict[str, Any], tuple[bytes, bytes]]:
    """Header, claims, and what the signature is over with the signature; nothing is believed yet."""
    words = assertion.split(".")
    if len(words) != _PARTS:
        raise Refused("assertion")
    try:
        head, claims = (json.loads(_decoded(word)) for word in words[:2])
        signature = _decoded(words[2])
    except (ValueError, binascii.Error):
        raise Refused("assertion") from None
    if not isinstance(head, dict) or not isinstance(claims, dict) or head.get("alg") not in _ALGORITHMS:
        raise Refused("assertion")
    return head, claims, (".".join(words[:2]).encode(), signature)


def _verified(public: RSAPublicKey, head: dict[str, Any], check: tuple[bytes, bytes]) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    data, signature = check
    digest = hashes.SHA256()
    way = (
        padding.PSS(padding.MGF1(digest), digest.digest_size)
        if head["alg"] == "PS256"
        else padding.PKCS1v15()
    )
    try:
        public.verify(signature, data, way, digest)
    except InvalidSignature:
        return False
    return True


def _decoded(word: str) -> bytes:
    return base64.urlsafe_b64decode(word + "=" * (-len(word) % 4))
