"""Seals secrets, and opens what was sealed: `ENC(v1.A256GCM.<kid>.<nonce>.<ciphertext+tag>)`.

Must stay true:
- a value opens only for the identity it was sealed for, and only when not one character of it has changed;
- what does not open is an error; it is never passed on as if it were the secret;
- a text that starts with `ENC(` is a sealed value or an error, never a secret in clear.

AES-256-GCM with a fresh random 96-bit nonce (NIST SP 800-38D section 8.2.2: at most 2^32 seals with one key), the data
key and the key's id both derived from the master key with HKDF-SHA256 (RFC 5869). Pure but for `os.urandom`.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
import os
import re
import struct
from typing import TYPE_CHECKING

from datapallas.connection.model import Sealed
from datapallas.errors import KeyProblem, SealBroken
from datapallas.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datapallas.connection.identity import Identity

ALGORITHM = "A256GCM"
KEY_BYTES = 32
MAX_TEXT = 8192  # a whole sealed value, in characters
_NONCE_BYTES, _TAG_BYTES = 12, 16
_PADDING = (
    256  # plaintexts are filled up to a multiple of this: the file does not show how long a password is
)
_DATA_INFO = b"datapallas/data/v1/" + ALGORITHM.encode()
_KID_INFO = b"datapallas/kid/v1"
_FORM = re.compile(r"ENC\(v1\.A256GCM\.([0-9a-f]{16})\.([A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]+)\)")
_VERSIONED = re.compile(r"ENC\((v[0-9]+)\.([A-Za-z0-9]*)")
_JAVA = re.compile(r"ENC\([A-Za-z0-9+/]{38,}={0,2}\)")  # base64 of 12 bytes IV, ciphertext, 16 bytes tag


@functools.lru_cache(maxsize=64)
def _derive(master: bytes, info: bytes, length: int) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(master)


def kid_of(master: bytes) -> str:
    """The id of a master key, 16 hex digits, derived from it: a sealed value names the one key that opens it."""
    return _derive(master, _KID_INFO, 8).hex()


@dataclasses.dataclass(frozen=True, slots=True)
class Keyring:
    """The master keys of an installation.

    Attributes:
        primary: id of the key that seals.
        keys: id to the 32 bytes of each key that may open.
        retired: ids of keys that are kept but may open nothing.
        source: where they came from, for sentences, such as ``file:/srv/mail/data/keys/keyring.json``.
    """

    primary: str
    keys: Mapping[str, bytes] = dataclasses.field(repr=False)
    retired: tuple[str, ...] = ()
    source: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Grant:
    """What is kept beside a refresh token, sealed with it.

    Attributes:
        generation: counts up with each token stored; tells a restored backup.
        issued_at: when the provider issued it, ISO 8601 UTC, or empty.
        tid: Microsoft's tenant id of the account, or empty.
        subject: the provider's name for the account (`oid` or `sub`), or empty.
    """

    generation: int = 1
    issued_at: str = ""
    tid: str = ""
    subject: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Opened:
    """A secret and what was sealed with it."""

    value: Secret
    grant: Grant = Grant()

    @property
    def generation(self) -> int:
        """Counts up with each token stored."""
        return self.grant.generation


def is_ours(text: str) -> bool:
    """True when `text` is a sealed value of this product (whatever its version), and so needs this product's key."""
    return _VERSIONED.match(text) is not None


def kid_in(text: str) -> str:
    """The id of the key that `text` was sealed with; empty when it is no `ENC(v1...)`."""
    form = _FORM.fullmatch(text)
    return form[1] if form else ""


class Vault:
    """Seals and opens with one keyring."""

    def __init__(self, keyring: Keyring) -> None:
        self.keyring = keyring

    def seal(self, value: Secret, identity: Identity, grant: Grant = Grant()) -> Sealed:
        """`value` as it may stand in the file. SealBroken when it is too long for the file (about 6,000 characters)."""
        import json

        content = {
            "value": value.reveal(),
            "gen": grant.generation,
            "issued_at": grant.issued_at,
            "tid": grant.tid,
            "sub": grant.subject,
        }
        body = json.dumps(content, ensure_ascii=False).encode()
        plain = struct.pack(">I", len(body)) + body
        plain += bytes(-len(plain) % _PADDING)
        kid, nonce = self.keyring.primary, os.urandom(_NONCE_BYTES)
        cipher = _cipher(self.keyring.keys[kid]).encrypt(nonce, plain, _bound_to(identity, kid))
        text = f"ENC(v1.{ALGORITHM}.{kid}.{_encode(nonce)}.{_encode(cipher)})"
        if len(text) > MAX_TEXT:
            raise _broken(identity, "is too long to be stored", "seal-too-long")
        return Sealed(text)

    def open(self, sealed: Sealed, identity: Identity) -> Opened:
        """The secret, when `sealed` is whole and was sealed for `identity`.

        Raises SealBroken (facts `field`, `connection`, `case`), or KeyProblem (fact `kid`) when its key is not here.
        """
        import json

        from cryptography.exceptions import InvalidTag

        kid, nonce, cipher = _parse(sealed.text, identity)
        if kid not in self.keyring.keys:
            raise self._no_key(kid, identity)
        try:
            plain = _cipher(self.keyring.keys[kid]).decrypt(nonce, cipher, _bound_to(identity, kid))
        except InvalidTag:
            words = "does not open: it was changed, or it was sealed for something else"
            raise _broken(identity, words, "seal-broken") from None
        (length,) = struct.unpack_from(">I", plain)
        content = json.loads(plain[4 : 4 + length])
        grant = Grant(content["gen"], content["issued_at"], content["tid"], content["sub"])
        return Opened(Secret(content["value"]), grant)

    def _no_key(self, kid: str, identity: Identity) -> KeyProblem:
        ring = self.keyring
        if kid in ring.retired:
            why = f"That key was retired; to use it again set its status to decrypt in {ring.source}."
        else:
            why = f"{ring.source or 'The key source'} holds {', '.join(ring.keys)}. Bring the right key back, or sign in again."
        return KeyProblem(
            f"The {identity['field'].replace('_', ' ')} of {identity['code']} was sealed with key {kid}, "
            f"which is not in use here. {why}",
            case="key-unknown",
            kid=kid,
            field=identity["field"],
            connection=identity["code"],
        )


def _cipher(master: bytes):  # type: ignore[no-untyped-def]  # noqa: ANN202 - the type's module is not imported at start
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(_derive(master, _DATA_INFO, KEY_BYTES))


def _bound_to(identity: Identity, kid: str) -> bytes:
    """The associated data: sorted, each name and value with its length, so that no two identities look alike."""
    pairs = sorted([*identity.pairs, ("version", "v1"), ("alg", ALGORITHM), ("kid", kid)])
    words = [word.encode() for pair in pairs for word in pair]
    return b"".join(struct.pack(">I", len(word)) + word for word in words)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    """base64url without padding, canonical only: two texts must not open to one value (RFC 4648 section 3.5)."""
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _encode(data) != text:
        raise binascii.Error("not canonical")
    return data


def _parse(text: str, identity: Identity) -> tuple[str, bytes, bytes]:
    form = _FORM.fullmatch(text) if len(text) <= MAX_TEXT else None
    if form is not None:
        try:
            nonce, cipher = _decode(form[2]), _decode(form[3])
        except binascii.Error:
            raise _broken(identity, "is damaged: it is not base64url", "seal-malformed") from None
        if len(cipher) > _TAG_BYTES:
            return form[1], nonce, cipher
    if _JAVA.fullmatch(text):
        again = "sign in again" if identity["field"] == "refresh_token" else "set it again"
        words = f"was encrypted by the Java DataPallas, with a key this installation does not have: {again}"
        raise _broken(identity, words, "seal-java")
    versioned = _VERSIONED.match(text)
    if versioned and (versioned[1], versioned[2]) != ("v1", ALGORITHM):
        words = f"is sealed in a form this version does not know ({versioned[1]}.{versioned[2]})"
        raise _broken(identity, words, "seal-version")
    raise _broken(identity, "starts with ENC( but is not a whole sealed value", "seal-malformed")


def _broken(identity: Identity, words: str, case: str) -> SealBroken:
    what = identity["field"].replace("_", " ")
    return SealBroken(
        f"The {what} of {identity['code']} {words}.",
        case=case,
        field=identity["field"],
        connection=identity["code"],
    )
