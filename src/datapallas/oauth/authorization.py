"""From a client to the address a person opens, and from the callback to a code that can be believed.

Must stay true:
- PKCE is S256, always (RFC 7636, RFC 9700 section 2.1.1); state and nonce have 256 bits and are used once;
- an `AuthorizationCode` exists only when state (constant time) and `iss` (RFC 9207) were right, or when the person
  pasted the bare code into this very sign-in (`paste` says why that is safe);
- a callback that is not ours is `StrayCallback` and changes nothing: the wait goes on.
Pure: randomness is an argument.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes, urlencode, urlsplit, urlunsplit

from datapallas.connection import provider
from datapallas.connection.model import Provider
from datapallas.errors import ConfigurationError, ProtocolError, SignInAborted
from datapallas.oauth.addresses import origin, provider_address
from datapallas.oauth.answers import aadsts, printable
from datapallas.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.connection.model import OAuth2Client

_BITS_256 = 32  # bytes; RFC 7636 section 4.1 recommends them for the verifier: 43 characters
_LONGEST_QUERY = 16384
_MOST_PARAMETERS = 64
_OURS = object()  # only this module makes codes
_MICROSOFT_TEMPLATE = "{tenantid}"  # how `common` metadata writes the issuer
# Parameters that make the request what it is; an authorize address may carry others of its own.
_KEPT = frozenset(
    {"client_id", "redirect_uri", "response_type", "state", "code_challenge", "code_challenge_method"}
)


class StrayCallback(ProtocolError):
    """A callback that does not belong to this sign-in. It is answered with 400 and forgotten."""

    code = "stray-callback"


@dataclasses.dataclass(frozen=True, slots=True)
class ExpectedIssuer:
    """Who may answer (RFC 9207).

    Attributes:
        issuer: as the provider's metadata names it; empty when it is not known.
        advertised: the provider promised to send `iss`, so an answer without it is refused.
    """

    issuer: str = ""
    advertised: bool = False


class AuthorizationCode:
    """A code whose callback was checked. `check_callback` and `check_pasted_code` make it; nothing else can."""

    __slots__ = ("code", "nonce", "redirect_uri", "verifier")

    def __init__(self, made_by: object, code: Secret, request: AuthorizationRequest) -> None:
        if made_by is not _OURS:
            raise TypeError("an AuthorizationCode comes from check_callback or check_pasted_code")
        self.code = code
        self.verifier = request.verifier
        self.nonce = request.nonce
        self.redirect_uri = request.redirect_uri


@dataclasses.dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class AuthorizationRequest:
    """One sign-in that has begun.

    Attributes:
        url: what the browser opens. It holds the state and no other secret.
        state: comes back with the callback (RFC 6749 section 10.12).
        verifier: proves at the token endpoint that the code is ours (RFC 7636 section 4.1).
        nonce: comes back inside the id_token (OpenID Connect Core section 3.1.2.1).
        redirect_uri: where the browser comes back to, port included.
    """

    url: str
    state: Secret
    verifier: Secret
    nonce: Secret
    redirect_uri: str
    client: OAuth2Client
    issuer: ExpectedIssuer
    _unused: list[object] = dataclasses.field(default_factory=lambda: [_OURS], repr=False)

    def consume(self) -> bool:
        """True the first time; `list.pop` is atomic, so two callbacks at once cannot both have it."""
        try:
            self._unused.pop()
        except IndexError:
            return False
        return True


def begin(
    client: OAuth2Client,
    redirect_uri: str,
    *,
    entropy: Callable[[int], bytes],
    issuer: ExpectedIssuer | None = None,
) -> AuthorizationRequest:
    """Make the request a browser opens. `entropy` gives that many random bytes, such as `secrets.token_bytes`.

    Raises ConfigurationError when client id, scope or address are missing, or the address is not https.
    """
    address = provider_address(provider.authorize_url(client), "authorize address")
    scope = provider.scope(client)
    for value, what in ((client.client_id, "client id"), (scope, "scope")):
        if not value:
            raise ConfigurationError(f"The {what} of the application is not set.", code="incomplete-client")
    state, verifier, nonce = (_text(entropy(_BITS_256)) for _ in range(3))
    parameters = {
        "client_id": client.client_id,
        "response_type": "code",
        "redirect_uri": redirect_uri,
        "scope": scope,
        "state": state,
        "code_challenge": _text(hashlib.sha256(verifier.encode()).digest()),
        "code_challenge_method": "S256",
    }
    if "openid" in scope.split():
        parameters["nonce"] = nonce
    if client.login_hint:
        parameters["login_hint"] = client.login_hint
    parameters.update(provider.extra_authorize_parameters(client))
    return AuthorizationRequest(
        url=_with_query(address, parameters),
        state=Secret(state),
        verifier=Secret(verifier),
        nonce=Secret(nonce),
        redirect_uri=redirect_uri,
        client=client,
        issuer=issuer or ExpectedIssuer(),
    )


def check_callback(request: AuthorizationRequest, query: str) -> AuthorizationCode:
    """Turn the query of a callback into a code, once.

    Raises:
        StrayCallback: not an answer to this request (state wrong, missing or already used; malformed). Go on waiting.
        SignInAborted: the answer is ours and says no, or was made by another provider. The sign-in is over.
    """
    answer = parse_query(query)
    if not hmac.compare_digest(answer.get("state", "").encode(), request.state.reveal().encode()):
        raise StrayCallback("A callback came that does not belong to this sign-in.")
    if "code" not in answer and "error" not in answer:
        raise StrayCallback("A callback came without a code.")
    if not request.consume():
        raise StrayCallback("A callback came a second time.", code="callback-reused")
    _check_issuer(request, answer.get("iss", ""))
    if "error" in answer:
        raise _refused(answer)
    return AuthorizationCode(_OURS, Secret(answer["code"]), request)


def check_pasted_code(request: AuthorizationRequest, code: Secret) -> AuthorizationCode:
    """Take a code that a person pasted without the rest of the address, once.

    Raises StrayCallback when the sign-in has its answer already, or the code could break a request.
    """
    if request.issuer.advertised or not code.reveal() or not code.reveal().isprintable():
        raise StrayCallback("A code was pasted that cannot be taken.")
    if not request.consume():
        raise StrayCallback("A callback came a second time.", code="callback-reused")
    return AuthorizationCode(_OURS, code, request)


def parse_query(query: str) -> dict[str, str]:
    """The parameters of a callback, decoded once.

    A ``+`` stays a plus in `code` and `state`, which have no blanks at any provider, but do hold pluses that some
    providers forget to write as %2B; it is a blank everywhere else (`error_description=The+user+...`).
    Raises StrayCallback for doubled parameters (RFC 6749 section 3.1), bad UTF-8, control characters, or too many.
    """
    pieces = query.split("&") if len(query) <= _LONGEST_QUERY else []
    if not pieces or len(pieces) > _MOST_PARAMETERS:
        raise StrayCallback("A callback came that is too long.")
    found: dict[str, str] = {}
    for piece in filter(None, pieces):
        name, _, value = piece.partition("=")
        name = _decoded(name)
        if name in found:
            raise StrayCallback("A callback came with a doubled parameter.")
        found[name] = _decoded(value if name in {"code", "state"} else value.replace("+", " "))
    if not found.get("code", "-").isprintable() or found.get("code") == "":
        raise StrayCallback("A callback came with a code that is not one.")
    return found


def _decoded(text: str) -> str:
    try:
        return unquote_to_bytes(text.encode("ascii")).decode()
    except UnicodeError:
        raise StrayCallback("A callback came that is not proper text.") from None


def _check_issuer(request: AuthorizationRequest, iss: str) -> None:
    """RFC 9207 section 2.4: an answer of another provider is not for this request (mix-up)."""
    if not iss:
        if not request.issuer.advertised:
            return
        wrong = "it does not say which provider made it, although the provider promises to"
    elif _issuer_matches(request, iss):
        return
    else:
        wrong = "another provider made it"
    raise SignInAborted(
        f"The answer of the sign-in was not accepted: {wrong}.",
        code="wrong-issuer",
        issuer=printable(iss, 200),
        expected=request.issuer.issuer,
    )


def _issuer_matches(request: AuthorizationRequest, iss: str) -> bool:
    client, expected = request.client, request.issuer.issuer
    if _MICROSOFT_TEMPLATE in expected:
        before, _, after = expected.partition(_MICROSOFT_TEMPLATE)
        tenant = iss[len(before) : len(iss) - len(after)]
        return iss == f"{before}{tenant}{after}" and bool(tenant) and "/" not in tenant
    if expected:
        return iss == expected  # RFC 9207: simple string comparison
    known = provider.authorize_url(client)
    if client.provider is Provider.GOOGLE and not client.authorize_url:
        return iss in provider.GOOGLE_ISSUERS
    try:  # without metadata, the origin of the page the person signed in at is the best we know
        return origin(iss) == origin(known)
    except ValueError:
        return False


def _refused(answer: dict[str, str]) -> SignInAborted:
    """RFC 6749 section 4.1.2.1: the person or the provider said no."""
    error = printable(answer["error"], 100)
    description = printable(answer.get("error_description", ""))
    by_person = error in {"access_denied", "consent_declined"}
    problem = SignInAborted(
        "The sign-in was declined."
        if by_person
        else f"The provider ended the sign-in: {description or error}",
        code="sign-in-declined" if by_person else None,
        raw=": ".join(filter(None, (error, description))),
        error=error,
        description=description,
        error_codes=" ".join(map(str, aadsts(description))),
        error_subcode=printable(answer.get("error_subcode", ""), 100),
    )
    problem.transient = error in {"server_error", "temporarily_unavailable"}
    return problem


def _with_query(address: str, parameters: dict[str, str]) -> str:
    """RFC 6749 section 3.1: a query the address already has is kept."""
    parts = urlsplit(address)
    own = [piece for piece in parts.query.split("&") if piece and piece.partition("=")[0] not in _KEPT]
    query = "&".join([*own, urlencode(parameters, quote_via=quote, safe="")])
    return urlunsplit(parts._replace(query=query))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
