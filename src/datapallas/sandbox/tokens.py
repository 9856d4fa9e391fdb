"""The token endpoint: a form becomes tokens, or a refusal (RFC 6749 sections 4 and 5, RFC 7636, RFC 8628).

Must stay true: PKCE is checked for every code; scopes can only shrink at a refresh (RFC 6749 section 6).
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import uuid
from typing import TYPE_CHECKING

from datapallas.sandbox import clients
from datapallas.sandbox.ledger import Access, Grant, Refused
from datapallas.sandbox.settings import Dialect

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.sandbox.clients import Client
    from datapallas.sandbox.faults import Fault
    from datapallas.sandbox.ledger import Ledger
    from datapallas.sandbox.signing import Signer

GRANT_NAMES = {
    clients.DEVICE_GRANT: "device_code",
    clients.JWT_GRANT: "jwt_bearer",
}  # the short name, for faults


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """One request to the token endpoint.

    `issuer` is what the id_token names; `shape` bends the answer; `acts_for` is the mailbox and the scope that a
    service account has signed for.
    """

    form: dict[str, str]
    client: Client
    dialect: Dialect
    tenant: str
    issuer: str
    now: float
    shape: str = ""
    acts_for: tuple[str, str] = ("", "")


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """What a grant ends with: for which scopes, and the refresh token to hand out, if any."""

    grant: Grant
    scope: tuple[str, ...]
    refresh_token: str = ""


class TokenEndpoint:
    """Answers token requests out of one ledger."""

    def __init__(self, ledger: Ledger, signer: Signer, users: list[str]) -> None:
        self._ledger = ledger
        self._signer = signer
        self._users = users
        self._grants: dict[str, Callable[[Asked], Given]] = {
            "authorization_code": self._code,
            "refresh_token": self._refresh,
            clients.DEVICE_GRANT: self._device,
            "client_credentials": self._client_credentials,
            clients.JWT_GRANT: self._jwt_bearer,
        }

    def answer(self, asked: Asked) -> dict[str, object]:
        """The JSON of a successful answer (RFC 6749 section 5.1); raises Refused."""
        name = _needed(asked.form, "grant_type")
        grant_type = self._grants.get(name)
        if grant_type is None:
            raise Refused("grant-unsupported", grant_type=name)
        if name not in asked.client.grants:
            raise Refused("grant-forbidden", client_id=asked.client.client_id)
        given = grant_type(asked)
        return self._granted(asked, _bent(given, asked.shape, self._users))

    def _code(self, asked: Asked) -> Given:
        code = self._ledger.take_code(_needed(asked.form, "code"), asked.now)
        grant = code.grant
        if grant.client_id != asked.client.client_id:
            raise Refused("client-differs")
        if asked.form.get("redirect_uri", "") != code.redirect_uri:
            raise Refused(
                "redirect-differs", redirect_uri=asked.form.get("redirect_uri", ""), client_id=grant.client_id
            )
        if not _proves(_needed(asked.form, "code_verifier"), code.challenge):
            raise Refused("verifier")
        return Given(grant, grant.scope, self._ledger.give_refresh(grant, asked.now) if grant.offline else "")

    def _refresh(self, asked: Asked) -> Given:
        value = _needed(asked.form, "refresh_token")
        grant = self._ledger.take_refresh(value, asked.client.client_id, asked.now).grant
        scope = grant.scope
        if asked.form.get("scope"):
            scope = clients.asked_scope(asked.form["scope"], asked.dialect)
            more = [
                word
                for word in scope
                if word not in (*grant.scope, "openid", "offline_access", "email", "profile")
            ]
            if more:
                raise Refused("scope", scope=" ".join(more))
        kept = self._ledger.rotate(value, asked.now)
        return Given(grant, scope, "" if kept == value else kept)

    def _device(self, asked: Asked) -> Given:
        value = _needed(asked.form, "device_code")
        grant = self._ledger.poll_device(value, asked.client.client_id, asked.now).grant
        return Given(grant, grant.scope, self._ledger.give_refresh(grant, asked.now) if grant.offline else "")

    def _client_credentials(self, asked: Asked) -> Given:
        scope = clients.asked_scope(asked.form.get("scope", "smtp"), asked.dialect)
        grant = Grant(asked.client.client_id, asked.client.mailbox, scope, asked.dialect, asked.tenant)
        return Given(grant, tuple(word for word in scope if word in clients.MAIL_SCOPES))

    def _jwt_bearer(self, asked: Asked) -> Given:
        user, signed = asked.acts_for
        scope = clients.asked_scope(signed or asked.form.get("scope", ""), asked.dialect)
        grant = Grant(asked.client.client_id, user, scope, asked.dialect, asked.tenant)
        return Given(grant, tuple(word for word in scope if word in clients.MAIL_SCOPES))

    def _granted(self, asked: Asked, given: Given) -> dict[str, object]:
        settings = self._ledger.settings
        answer: dict[str, object] = {
            "token_type": "bearer" if asked.shape == "lower-case-bearer" else "Bearer",
            "expires_in": int(settings.access_seconds),
            "scope": clients.told_scope(given.scope, asked.dialect),
            "access_token": self._ledger.give_access(given.grant, given.scope, asked.now),
        }
        if asked.dialect is Dialect.MICROSOFT:
            answer["ext_expires_in"] = int(settings.access_seconds)
        if given.refresh_token and asked.shape != "no-refresh-token":
            answer["refresh_token"] = given.refresh_token
        if "openid" in given.scope and asked.shape != "no-id-token":
            answer["id_token"] = self._signer.sign(id_claims(asked, given.grant))
        return answer


def id_claims(asked: Asked, grant: Grant) -> dict[str, object]:
    """Who signed in (OpenID Connect Core section 2)."""
    wrong = asked.shape
    issued = int(asked.now) - (86_400 if wrong == "expired-id-token" else 0)
    claims: dict[str, object] = {
        "iss": "https://elsewhere.example" if wrong == "wrong-issuer" else asked.issuer,
        "sub": subject(grant.user),
        "aud": "another-client" if wrong == "wrong-audience" else grant.client_id,
        "iat": issued,
        "exp": issued + 3600,
        "email": grant.user,
        "email_verified": True,
        "name": grant.user.partition("@")[0].title(),
        "preferred_username": grant.user,
    }
    if grant.nonce:
        claims["nonce"] = "wrong" if wrong == "wrong-nonce" else grant.nonce
    if asked.dialect is Dialect.MICROSOFT:
        claims.update(tid=clients.TENANT_ID, oid=subject(grant.user), ver="2.0")
    return claims


def subject(user: str) -> str:
    """The lasting identifier of a person, which is not the address."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"mailto:{user}"))


def shape_of(fault: Fault | None) -> str:
    """The name of the fault that bends an answer, or empty."""
    return fault.what if fault else ""


def introspection(access: Access | None) -> dict[str, object]:
    """What a mail server learns about a token (RFC 7662 section 2.2)."""
    if access is None:
        return {"active": False}
    return {
        "active": True,
        "scope": " ".join(access.scope),
        "client_id": access.grant.client_id,
        "username": access.grant.user,
        "sub": subject(access.grant.user),
        "token_type": "Bearer",
        "exp": int(access.expires),
    }


def _bent(given: Given, shape: str, users: list[str]) -> Given:
    if shape == "narrower-scope":
        return dataclasses.replace(given, scope=tuple(w for w in given.scope if w not in clients.MAIL_SCOPES))
    if shape == "other-user":
        other = next(user for user in (*users, "other@sandbox.example") if user != given.grant.user)
        given.grant.user = other
    return given


def _needed(form: dict[str, str], name: str) -> str:
    value = form.get(name, "")
    if not value:
        raise Refused("parameter-missing", parameter=name)
    return value


def _proves(verifier: str, challenge: str) -> bool:
    digest = hashlib.sha256(verifier.encode()).digest()
    made = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return 43 <= len(verifier) <= 128 and hmac.compare_digest(made, challenge)  # noqa: PLR2004 - RFC 7636 section 4.1
