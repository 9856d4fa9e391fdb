"""An access token, and the life of a sign-in as one sum type with pure transitions.

    SignedOut --begin--> SigningIn --signed_in--> SignedIn --refused--> Parked --signed_in/refreshed--> SignedIn
                              |                      ^ |                  |
                              +--abandoned--> back   | +--signed_out------+--> SignedOut
                                                     +--refreshed--+

Must stay true:
- each state has only its own fields, so a sign-in under way cannot also hold a token;
- `Parked` keeps what was signed in: a refusal never deletes a refresh token;
- a temporary refusal changes no state.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from datapallas.oauth.clock import iso

if TYPE_CHECKING:
    from datapallas.connection.record import Refusal
    from datapallas.errors import TokenRefused
    from datapallas.oauth.answers import TokenAnswer
    from datapallas.secret import Secret

REUSE_MARGIN = 300.0  # seconds before its end when a token is no longer handed out: a sending needs time
SHORT_LIFE = 600.0  # a token that lives shorter than this is reused for half its life
ASSUMED_LIFE = 3600.0  # RFC 6749 section 5.1 leaves expires_in optional; an hour is what providers use

# The provider wants the person: RFC 6749 section 5.2, OpenID Connect Core section 3.1.2.6.
PERSON_NEEDED = frozenset(
    {
        "invalid_grant",
        "interaction_required",
        "login_required",
        "consent_required",
        "account_selection_required",
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class AccessToken:
    """What opens the mailbox for about an hour.

    Attributes:
        value: the token itself.
        expires_at: monotonic seconds when the provider ends it.
        scope: what it may do, as the provider wrote it; empty when it did not say.
        reuse_until: monotonic seconds until it is handed out again.
    """

    value: Secret
    expires_at: float
    scope: str
    reuse_until: float

    def reusable(self, now: float) -> bool:
        """Whether there is enough life left to begin a sending with; `now` is monotonic."""
        return now < self.reuse_until


def minted(answer: TokenAnswer, asked_at: float) -> AccessToken:
    """The token in `answer`, its life counted from `asked_at` (monotonic): the reply's way is not life gained."""
    life = ASSUMED_LIFE if answer.expires_in is None else answer.expires_in
    usable = life - REUSE_MARGIN if life >= SHORT_LIFE else life / 2
    return AccessToken(answer.access_token, asked_at + life, answer.scope, asked_at + usable)


@dataclasses.dataclass(frozen=True, slots=True)
class SignedOut:
    """Nobody is signed in."""


@dataclasses.dataclass(frozen=True, slots=True)
class SigningIn:
    """A person is at the provider's page. `before` is what holds until that ends well."""

    since: float
    before: SignedOut | SignedIn | Parked


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A refresh token we may use.

    Attributes:
        account: the address that signed in; empty when the provider did not say.
        refresh_token: the sign-in itself.
        granted_scope: what was granted, as the provider wrote it (as asked when it did not say).
        issued_at: when this refresh token was issued, ISO 8601 UTC, or empty.
        generation: grows by one with every stored refresh; a higher one wins.
        tenant, subject: Microsoft's tid and oid, or sub at the others; empty when there was no id_token.
        refresh_expires_at: when the refresh token ends, ISO 8601 UTC, where the provider said so.
        issuer: who the provider says it is (`iss` of the id_token), or empty.
        account_known: False when the provider did not say who signed in, and `account` is who we expected.
    """

    account: str
    refresh_token: Secret
    granted_scope: str = ""
    issued_at: str = ""
    generation: int = 1
    tenant: str = ""
    subject: str = ""
    refresh_expires_at: str = ""
    issuer: str = ""
    account_known: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Parked:
    """Stopped until a person signs in again. What was signed in is kept."""

    kept: SignedIn
    refusal: Refusal


TokenState = SignedOut | SigningIn | SignedIn | Parked


def begin(state: SignedOut | SignedIn | Parked, now: float) -> SigningIn:
    """A person goes to the provider; `now` is monotonic."""
    return SigningIn(now, state)


def abandoned(state: SigningIn) -> SignedOut | SignedIn | Parked:
    """The person did not come back: what held before holds."""
    return state.before


def refreshed(state: SignedIn | Parked, answer: TokenAnswer, wall: float) -> SignedIn:
    """A refresh succeeded: a new refresh token replaces the old one, no new one keeps it (RFC 6749 section 6)."""
    before = state.kept if isinstance(state, Parked) else state
    rotated = answer.refresh_token
    return dataclasses.replace(
        before,
        refresh_token=rotated or before.refresh_token,
        granted_scope=answer.scope or before.granted_scope,
        issued_at=iso(wall) if rotated else before.issued_at,
        refresh_expires_at=ends_at(answer, wall) or ("" if rotated else before.refresh_expires_at),
        generation=before.generation + 1,
    )


def park(state: SignedIn | Parked, refusal: Refusal) -> Parked:
    """The provider wants the person; what was signed in is kept."""
    return Parked(state.kept if isinstance(state, Parked) else state, refusal)


def wants_person(problem: TokenRefused) -> bool:
    """Whether a refusal is one that only a new sign-in ends: decided by `error`, never by AADSTS numbers or status."""
    return not problem.transient and problem.error in PERSON_NEEDED


def ends_at(answer: TokenAnswer, wall: float) -> str:
    """When the refresh token ends, where the provider said so (Google: `refresh_token_expires_in`), or empty."""
    return "" if answer.refresh_expires_in is None else iso(wall + answer.refresh_expires_in)
