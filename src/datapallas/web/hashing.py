"""Secrets that are made here, and what is stored of them.

Must stay true: a secret made here has 256 random bits, so one plain SHA-256 is enough to store it by (nobody can try
them all); passwords, which people choose, are hashed by `users` with argon2id.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from datapallas.secret import Secret


def new_secret(prefix: str = "") -> Secret:
    """A new secret that cannot be guessed."""
    return Secret(prefix + secrets.token_urlsafe(32))


def new_public_id() -> str:
    """An id that cannot be guessed, and opens nothing."""
    return secrets.token_urlsafe(12)


def digest(secret: str) -> str:
    """What is stored of a secret, and what it is found by."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def derived(secret: str, purpose: str) -> str:
    """Another secret that only the holder of `secret`, and we, can know."""
    return hmac.new(secret.encode("utf-8", "surrogateescape"), purpose.encode(), hashlib.sha256).hexdigest()


def same(one: str, other: str) -> bool:
    """Whether two secrets are the same, in constant time."""
    return hmac.compare_digest(
        one.encode("utf-8", "surrogateescape"), other.encode("utf-8", "surrogateescape")
    )
