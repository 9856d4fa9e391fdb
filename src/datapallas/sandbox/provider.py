"""The identity provider: which address is answered by what (OAuth 2.0, OpenID Connect, RFC 8414, 7662, 7009, 9207).

A request becomes an answer; nothing here opens a socket. Must stay true: tokens leave only in the body of an answer
to the client they belong to; no address and no page holds one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from datapallas.sandbox import clients
from datapallas.sandbox.assertions import Assertions, Place
from datapallas.sandbox.clients import DEVICE_GRANT, SCOPES, TENANT_ID
from datapallas.sandbox.faults import SHAPES
from datapallas.sandbox.http import Answer, Request, json_answer, page_answer
from datapallas.sandbox.interaction import Interaction
from datapallas.sandbox.ledger import Access, Grant, Ledger, Refused
from datapallas.sandbox.misbehaviour import http_fault
from datapallas.sandbox.pages import told
from datapallas.sandbox.refusals import named, refuse
from datapallas.sandbox.settings import Dialect
from datapallas.sandbox.signing import Signer
from datapallas.sandbox.tokens import GRANT_NAMES, Asked, TokenEndpoint, introspection, subject

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.sandbox.faults import Fault, Faults
    from datapallas.sandbox.settings import Settings

# Path to the name of what answers it, and the dialect. Microsoft's paths, which begin with a tenant, are below.
ROUTES: dict[str, tuple[str, Dialect]] = {
    "/authorize": ("authorize", Dialect.GENERIC),
    "/token": ("token", Dialect.GENERIC),
    "/device_authorization": ("device_authorization", Dialect.GENERIC),
    "/device": ("device", Dialect.GENERIC),
    "/introspect": ("introspect", Dialect.GENERIC),
    "/revoke": ("revoke", Dialect.GENERIC),
    "/userinfo": ("userinfo", Dialect.GENERIC),
    "/jwks": ("jwks", Dialect.GENERIC),
    "/.well-known/openid-configuration": ("discovery", Dialect.GENERIC),
    "/.well-known/oauth-authorization-server": ("discovery", Dialect.GENERIC),
    "/o/oauth2/auth": ("authorize", Dialect.GOOGLE),
    "/o/oauth2/v2/auth": ("authorize", Dialect.GOOGLE),
    "/o/oauth2/token": ("token", Dialect.GOOGLE),
    "/o/oauth2/device/code": ("device_authorization", Dialect.GOOGLE),
    "/o/oauth2/revoke": ("revoke", Dialect.GOOGLE),
}
MICROSOFT_ROUTES = {
    "oauth2/v2.0/authorize": "authorize",
    "oauth2/v2.0/token": "token",
    "oauth2/v2.0/devicecode": "device_authorization",
    "v2.0/.well-known/openid-configuration": "discovery",
    "discovery/v2.0/keys": "jwks",
}
_GET_ONLY = frozenset({"discovery", "jwks"})
_POST_ONLY = frozenset({"token", "device_authorization", "introspect", "revoke"})


class Provider:
    """One identity provider. `now` is seconds since 1970; tests may set it."""

    def __init__(self, issuer: str, settings: Settings, faults: Faults, users: list[str]) -> None:
        self.issuer = issuer
        self.faults = faults
        self.users = users
        self.now: Callable[[], float] = time.time
        self.ledger = Ledger(settings)
        self.assertions = Assertions()
        self._signer = Signer()
        self._tokens = TokenEndpoint(self.ledger, self._signer, users)
        self._interaction = Interaction(self.ledger, faults, users, issuer)
        self._handlers: dict[str, Callable[[Request, Dialect, str], Answer]] = {
            "authorize": lambda request, dialect, tenant: self._interaction.authorize(
                request, dialect, tenant, self.now()
            ),
            "device": lambda request, _dialect, _tenant: self._interaction.device(request, self.now()),
            "token": self._token,
            "device_authorization": self._device_authorization,
            "introspect": self._introspect,
            "revoke": self._revoke,
            "userinfo": self._userinfo,
            "jwks": lambda *_: json_answer(self._signer.jwks()),
            "discovery": self._discovery,
        }

    def answer(self, request: Request) -> Answer | None:
        """The answer to one request; None when this address is none of the provider's."""
        if request.path.startswith("/visit/"):
            visit, _, step = request.path.removeprefix("/visit/").partition("/")
            return self._interaction.step(request, visit, step, self.now())
        name, dialect = ROUTES.get(request.path, ("", Dialect.GENERIC))
        tenant = ""
        if not name:
            tenant, _, rest = request.path.lstrip("/").partition("/")
            name, dialect = MICROSOFT_ROUTES.get(rest, ""), Dialect.MICROSOFT
        if not name:
            return None
        if request.method not in _methods(name):
            return page_answer(
                told("Not this way", f"This address takes {' or '.join(_methods(name))}."), 405
            )
        try:
            return self._handlers[name](request, dialect, tenant)
        except Refused as refused:
            facts = {"client_id": request.form.get("client_id", ""), "tenant": tenant, **refused.facts}
            return refuse(refused.reason, dialect, facts, self.now())

    def introspected(self, token: str) -> tuple[int, Access | None]:
        """What a mail server asks: the HTTP status it would get, and the token when it is good."""
        fault = self.faults.take("introspect")
        if fault:
            return http_fault(fault).status, None
        return 200, self.ledger.access(token, self.now())

    def _token(self, request: Request, dialect: Dialect, tenant: str) -> Answer:
        grant_type = request.form.get("grant_type", "")
        fault = self.faults.take("token", f"token:{GRANT_NAMES.get(grant_type, grant_type)}")
        spoiled = self._spoiled(fault, request, tenant)
        if spoiled:
            return spoiled
        clients.check_tenant(tenant)
        client, acts_for = self._who(request, dialect)
        shape = fault.what if fault else ""
        issuer = self._issuer(dialect, TENANT_ID)
        asked = Asked(request.form, client, dialect, tenant, issuer, self.now(), shape, acts_for)
        answer = json_answer(self._tokens.answer(asked))
        answer.drop = shape == "lost-answer"  # everything was done, only the answer does not arrive
        return answer

    def _who(self, request: Request, dialect: Dialect) -> tuple[clients.Client, tuple[str, str]]:
        """The client, by secret or by signature; with whom a service account acts for, and the scope it signed."""
        form = request.form
        here = Place(frozenset({f"{self.issuer}{request.path}", self.issuer}), dialect, self.now())
        if "client_assertion" in form:
            return self.assertions.client(form, here), ("", "")
        if form.get("grant_type") == clients.JWT_GRANT:
            everybody = [*self.users, *(client.mailbox for client in clients.CLIENTS.values())]
            client, user, scope = self.assertions.account(form.get("assertion", ""), here, everybody)
            return client, (user, scope)
        return clients.authenticate(form, request.headers.get("authorization", "")), ("", "")

    def _device_authorization(self, request: Request, dialect: Dialect, tenant: str) -> Answer:
        spoiled = self._spoiled(self.faults.take("device"), request, tenant)
        if spoiled:
            return spoiled
        clients.check_tenant(tenant)
        client = clients.known(request.form.get("client_id", ""))
        if DEVICE_GRANT not in client.grants:
            raise Refused("grant-forbidden", client_id=client.client_id)
        scope = clients.asked_scope(request.form.get("scope", ""), dialect)
        offline = dialect is Dialect.GOOGLE or "offline_access" in scope
        grant = Grant(client.client_id, "", scope, dialect, tenant, offline=offline)
        device = self.ledger.give_device(grant, self.now())
        page = f"{self.issuer}/device"
        answer: dict[str, object] = {
            "device_code": device.device_code,
            "user_code": device.user_code,
            "expires_in": int(self.ledger.settings.device_seconds),
            "interval": int(device.interval) or 1,
        }
        if dialect is Dialect.GOOGLE:
            return json_answer({**answer, "verification_url": page})  # Google's own name for it
        answer["verification_uri"] = page
        if dialect is Dialect.MICROSOFT:
            words = f"open the page {page} and enter the code {device.user_code} to authenticate."
            return json_answer({**answer, "message": f"To sign in, use a web browser to {words}"})
        return json_answer({**answer, "verification_uri_complete": f"{page}?user_code={device.user_code}"})

    def _introspect(self, request: Request, _dialect: Dialect, _tenant: str) -> Answer:
        client = clients.authenticate(request.form, request.headers.get("authorization", ""))
        if client.secrecy is not clients.Secrecy.REQUIRED:
            raise Refused(
                "secret-missing", client_id=client.client_id
            )  # RFC 7662 section 2.1: must be authorized
        fault = self.faults.take("introspect")
        if fault:
            return http_fault(fault)
        return json_answer(introspection(self.ledger.access(request.form.get("token", ""), self.now())))

    def _revoke(self, request: Request, dialect: Dialect, _tenant: str) -> Answer:
        token = request.form.get("token") or request.query.get("token", "")
        if dialect is Dialect.GOOGLE:  # takes the token alone
            found = self.ledger.refreshes.get(token) or self.ledger.accesses.get(token)
            if found is None or found.grant.revoked:
                return named("google:bad-request", {}, self.now())
            self.ledger.revoke(token, found.grant.client_id)
            return json_answer({})
        client = clients.authenticate(request.form, request.headers.get("authorization", ""))
        self.ledger.revoke(token, client.client_id)
        return json_answer({})  # RFC 7009 section 2.2: also for a token nobody knows

    def _userinfo(self, request: Request, _dialect: Dialect, _tenant: str) -> Answer:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        access = self.ledger.access(token.strip(), self.now()) if scheme.lower() == "bearer" else None
        if access is None:
            answer = json_answer({"error": "invalid_token"}, 401)
            answer.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
            return answer
        user = access.grant.user
        return json_answer({"sub": subject(user), "email": user, "email_verified": True})

    def _discovery(self, _request: Request, dialect: Dialect, tenant: str) -> Answer:
        fault = self.faults.take("discovery")
        if fault:
            return http_fault(fault)
        clients.check_tenant(tenant)
        return json_answer(metadata(self.issuer, self._issuer(dialect, tenant), dialect, tenant))

    def _spoiled(self, fault: Fault | None, request: Request, tenant: str) -> Answer | None:
        """The answer a fault gives instead of the right one; None when it only bends it."""
        if fault is None or fault.what in SHAPES:
            return None
        if fault.what.startswith(("AADSTS", "google:")):
            facts = {**request.form, "tenant": tenant}
            facts = {
                name: facts[name] for name in ("client_id", "tenant", "scope", "grant_type") if name in facts
            }
            return named(fault.what, facts, self.now())
        return http_fault(fault)

    def _issuer(self, dialect: Dialect, tenant: str) -> str:
        return f"{self.issuer}/{tenant}/v2.0" if dialect is Dialect.MICROSOFT else self.issuer


def metadata(base: str, issuer: str, dialect: Dialect, tenant: str) -> dict[str, object]:
    """The discovery document (RFC 8414 section 2, OpenID Connect Discovery section 3)."""
    microsoft = dialect is Dialect.MICROSOFT
    here = f"{base}/{tenant}/oauth2/v2.0" if microsoft else base
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{here}/authorize",
        "token_endpoint": f"{here}/token",
        "device_authorization_endpoint": f"{here}/devicecode"
        if microsoft
        else f"{base}/device_authorization",
        "introspection_endpoint": f"{base}/introspect",
        "revocation_endpoint": f"{base}/revoke",
        "userinfo_endpoint": f"{base}/userinfo",
        "jwks_uri": f"{base}/{tenant}/discovery/v2.0/keys" if microsoft else f"{base}/jwks",
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": [
            "authorization_code",
            "refresh_token",
            "client_credentials",
            DEVICE_GRANT,
            clients.JWT_GRANT,
        ],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": [
            "none",
            "client_secret_post",
            "client_secret_basic",
            "private_key_jwt",
        ],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "authorization_response_iss_parameter_supported": not microsoft,
    }


def _methods(name: str) -> tuple[str, ...]:
    if name in _GET_ONLY:
        return ("GET",)
    return ("POST",) if name in _POST_ONLY else ("GET", "POST")
