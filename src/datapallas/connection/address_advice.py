"""What can be seen wrong in sign-in addresses, the redirect address and the scope of an OAuth2 client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.connection.finding import Before, error, missing, warning
from datapallas.connection.model import Flow, Provider
from datapallas.connection.provider import GOOGLE_SCOPE, MICROSOFT, OPENID_SCOPES
from datapallas.connection.shapes import fixed, host_of, is_address, is_this_machine, split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datapallas.connection.finding import Finding
    from datapallas.connection.model import OAuth2Client

_TOKEN_ENDS = ("/token", "/get_token", "/access_token", "/refresh")
_AUTHORIZE_ENDS = ("/authorize", "/authorise", "/auth", "/request_auth", "/authorization")
_LOGINS = frozenset(host_of(cloud.login) for cloud in MICROSOFT.values()) | {
    "login.windows.net",
    "sts.windows.net",
}
_GRAPH_WORDS = frozenset({"mail.send", "mail.readwrite", "user.read", "smtp.send", "mail.send.shared"})
_WORDS = {"authorize-url": "sign-in address", "token-url": "token address"}


def address_findings(client: OAuth2Client) -> Iterator[Finding]:
    """What is wrong with where people sign in, where tokens are given, and where the browser comes back to."""
    authorize, token = fixed(client.authorize_url), fixed(client.token_url)
    if client.provider is Provider.GENERIC:
        if not client.authorize_url and client.flow is Flow.CODE:
            yield missing(
                "authorize-url",
                Before.SIGN_IN,
                "The sign-in address is not set. The provider's documents name it.",
            )
        if not client.token_url:
            yield missing(
                "token-url", Before.SIGN_IN, "The token address is not set. The provider's documents name it."
            )
    swapped = list(_swapped(authorize, token))
    yield from swapped
    told = {finding.field for finding in swapped}
    for field, url in (("authorize-url", authorize), ("token-url", token)):
        if url and field not in told:
            yield from _address(field, url)
    yield from _tenants(client, authorize, token)
    yield from _redirect(client)
    hint = fixed(client.login_hint)
    if hint and not is_address(hint):
        yield warning(
            "login-hint", "The account to sign in with is usually a mail address such as reports@contoso.com."
        )


def _swapped(authorize: str, token: str) -> Iterator[Finding]:
    wrong_authorize, wrong_token = _ends(authorize, _TOKEN_ENDS), _ends(token, _AUTHORIZE_ENDS)
    if wrong_authorize and wrong_token:
        yield error(
            "authorize-url", "Sign-in address and token address are swapped. Exchange the two values."
        )
        yield error("token-url", "Sign-in address and token address are swapped. Exchange the two values.")
    elif authorize and authorize == token:
        field = "token-url" if wrong_token else "authorize-url"
        yield error(
            field, "The same address stands twice. People sign in at one, and tokens are given at another."
        )
    elif wrong_authorize:
        yield error(
            "authorize-url", "This is the address where tokens are given. Enter the one where people sign in."
        )
    elif wrong_token:
        yield error(
            "token-url", "This is the address where people sign in. Enter the one where tokens are given."
        )


def _ends(url: str, ends: tuple[str, ...]) -> bool:
    parts = split(url)
    return parts is not None and parts.path.lower().rstrip("/").endswith(ends)


def _address(field: str, url: str) -> Iterator[Finding]:
    parts, word = split(url), _WORDS[field]
    if parts is None or parts.scheme not in {"http", "https"}:
        yield error(field, f"The {word} is not a web address. It begins with https://.")
    elif parts.scheme == "http" and not is_this_machine(parts.hostname or ""):
        yield error(field, f"The {word} is not encrypted. It must begin with https://.")
    elif parts.path.endswith("/.well-known/openid-configuration"):
        yield error(
            field,
            f"This address lists the provider's addresses. Copy the {word} from there, or give it as the issuer.",
        )
    elif parts.username or parts.password:
        yield error(field, f"The {word} holds a user or a password. Take away what stands before the @.")
    elif any(f"{name}=" in parts.query for name in ("client_id", "code", "state", "redirect_uri")):
        yield error(
            field, f"This was copied from a browser in the middle of a sign-in. The {word} ends before the ?."
        )
    elif parts.fragment:
        yield warning(field, f"The {word} has a # in it. Take that and what follows away.")


def _tenants(client: OAuth2Client, authorize: str, token: str) -> Iterator[Finding]:
    """Microsoft's addresses hold the tenant: the same in both, and the one that is set."""
    found = {field: _tenant_in(url) for field, url in (("authorize-url", authorize), ("token-url", token))}
    if found["authorize-url"] and found["token-url"] and found["authorize-url"] != found["token-url"]:
        yield error(
            "token-url", "Sign-in address and token address name two different tenants. Use one in both."
        )
    wanted = fixed(client.tenant_id).lower()
    for field, tenant in found.items():
        if client.provider is Provider.MICROSOFT and tenant and wanted and tenant != wanted:
            yield warning(
                field,
                f"The {_WORDS[field]} names another tenant than the tenant id. Empty it: the tenant id is enough.",
            )


def _tenant_in(url: str) -> str:
    parts = split(url)
    if parts is None or parts.hostname not in _LOGINS:
        return ""
    return parts.path.strip("/").partition("/")[0].lower()


def _redirect(client: OAuth2Client) -> Iterator[Finding]:
    uri = fixed(client.redirect_uri)
    parts = split(uri)
    if not uri:
        return
    if uri.lower().startswith("urn:ietf:wg:oauth:2.0:oob"):
        yield error(
            "redirect-uri", "Providers have ended this way of signing in. Leave the redirect address empty."
        )
    elif parts is None or parts.scheme not in {"http", "https"}:
        yield error(
            "redirect-uri", "The redirect address is not a web address. Leave it empty for the usual one."
        )
    elif parts.fragment or "#" in uri:
        yield error("redirect-uri", "A redirect address has no # in it. Take that and what follows away.")
    elif uri in {client.authorize_url, client.token_url} or parts.hostname in _LOGINS | {
        "accounts.google.com"
    }:
        yield error(
            "redirect-uri",
            "This is an address of the provider, from where no answer comes back here. Leave it empty for the usual one.",
        )
    elif parts.scheme == "http" and not is_this_machine(parts.hostname or ""):
        yield error(
            "redirect-uri",
            "The redirect address is not encrypted. Only one on this machine may begin with http://.",
        )
    elif client.provider is Provider.MICROSOFT and parts.scheme == "http" and parts.hostname != "localhost":
        yield warning(
            "redirect-uri",
            "Microsoft's portal takes http:// for localhost only. Write localhost for the host.",
        )


def scope_findings(client: OAuth2Client) -> Iterator[Finding]:
    """What is wrong with the rights that are asked for; an empty scope is the provider's usual one."""
    if client.provider is Provider.GENERIC and not client.scope:
        yield missing(
            "scope",
            Before.SIGN_IN,
            "The scope is not set: the provider's documents name the right to send mail, often with offline_access.",
        )
    scope = fixed(client.scope)
    words = [word.lower() for word in scope.split()]
    if not words:
        return
    if "," in scope or ";" in scope:
        yield error("scope", "Rights are separated by blanks, not by commas.")
    elif client.provider is Provider.GOOGLE or host_of(client.token_url) == "oauth2.googleapis.com":
        if GOOGLE_SCOPE not in {word.rstrip("/") + "/" for word in words}:
            small = any("/auth/gmail." in word for word in words)
            why = "This right is for Google's own interface, not for mail servers. " if small else ""
            yield error(
                "scope",
                f"{why}Google's mail server wants the right {GOOGLE_SCOPE}. Leave the scope empty to get it.",
            )
    elif client.provider is Provider.MICROSOFT or host_of(client.token_url) in _LOGINS:
        yield from _microsoft_scope(words)


def _microsoft_scope(words: list[str]) -> Iterator[Finding]:
    rights = [word for word in words if word not in OPENID_SCOPES]
    if len({_resource(word) for word in rights}) > 1:
        yield error(
            "scope",
            "These rights belong to two different services of Microsoft, which cannot be asked for at once "
            "(AADSTS70011). Keep the one that ends in SMTP.Send, or leave the scope empty.",
        )
    elif not any(_sends(word) for word in rights):
        yield error("scope", "The right to send mail is missing. Leave the scope empty to ask for SMTP.Send.")
    if "offline_access" not in words and not any(word.endswith("/.default") for word in words):
        yield warning(
            "scope",
            "Without offline_access the sign-in ends after an hour. Add it, or leave the scope empty.",
        )


def _resource(word: str) -> str:
    """Whose right it is; without an address it is Graph's."""
    host = host_of(word)
    if host in {"outlook.office.com", "outlook.office365.com", "ps.outlook.com"}:
        return "exchange"  # two names of one service
    return host if host and host != "graph.microsoft.com" else "graph"


def _sends(word: str) -> bool:
    return _resource(word) != "graph" and word.endswith(("/smtp.send", "/.default"))
