"""Addresses of providers and of our own listener, checked before a byte goes there.

Must stay true: a provider is reached by https; plain http only on this machine (RFC 6749 section 3.1.2.1,
RFC 8252 section 7.3). What we listen on is loopback and nothing else.
"""

from __future__ import annotations

import dataclasses
from urllib.parse import SplitResult, urlsplit

from datapallas.connection.model import OAuth2Client, Provider
from datapallas.errors import ConfigurationError

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
ANY_PORT = 0


def provider_address(url: str, what: str) -> str:
    """`url` when it may be used; `what` names it in the sentence otherwise, such as "token address".

    Raises ConfigurationError (code ``insecure-address`` or ``bad-address``).
    """
    parts = _split(url, what)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK):
        return url
    raise ConfigurationError(
        f"The {what} {url} is not https. Secrets are sent there, so only https will do "
        "(http only for this machine itself).",
        code="insecure-address",
        url=url,
    )


def host_of(url: str) -> str:
    """The host in a checked address, in lower case."""
    return (urlsplit(url).hostname or "").lower()


def port_of(url: str) -> int:
    """The port in a checked address."""
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what RFC 6454 section 4 compares. The names of this machine count as one."""
    host = host_of(url)
    return urlsplit(url).scheme.lower(), "localhost" if host in LOOPBACK else host, port_of(url)


@dataclasses.dataclass(frozen=True, slots=True)
class Redirect:
    """Where the browser brings the code.

    Attributes:
        host: `127.0.0.1`, `::1` or `localhost`, as it stands in the address.
        port: ANY_PORT until the listener has one (RFC 8252 section 7.3).
        path: as the browser will ask for it; at least ``/``.
        written: the address without a port, as a person registers it.
    """

    host: str
    port: int
    path: str
    written: str

    def at(self, port: int) -> str:
        """The address with its port, as the authorize request names it.

        An empty path stays empty: Microsoft compares the path it was given (learn.microsoft.com, reply URLs).
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        tail = urlsplit(self.written).path
        return f"http://{host}:{port}{tail}"


def redirect_for(client: OAuth2Client, override: str = "") -> Redirect:
    """The redirect of this sign-in: `override`, else the connection's own, else what the provider accepts.

    Microsoft registers ``http://localhost`` (any port, no path); the others take ``http://127.0.0.1/callback``.
    Raises ConfigurationError (code ``redirect-uri``) for one that cannot be listened on.
    """
    chosen = override or client.redirect_uri
    if not chosen:
        microsoft = client.provider is Provider.MICROSOFT
        chosen = "http://localhost" if microsoft else "http://127.0.0.1/callback"
    parts = _split(chosen, "redirect address", code="redirect-uri")
    if parts.scheme == "https":
        raise _not_ours(chosen, "it is https, and nothing can listen there without a certificate for it")
    if parts.scheme != "http" or parts.hostname not in LOOPBACK:
        raise _not_ours(chosen, "it is not on this machine; write http://localhost or http://127.0.0.1")
    if parts.query:
        raise _not_ours(chosen, "it holds a query")
    port = ANY_PORT if parts.port is None else parts.port
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    return Redirect(host, port, parts.path or "/", f"http://{shown}{parts.path}")


def away_redirect(client: OAuth2Client, override: str, port: int) -> str:
    """The redirect of a sign-in for which nobody listens here: the browser is elsewhere, or comes back to a web page.

    https is good then, as it is written; plain http still only to the browser's own machine, at `port` when none is
    written. Raises ConfigurationError (code ``redirect-uri``).
    """
    chosen = override or client.redirect_uri
    if chosen and _split(chosen, "redirect address", code="redirect-uri").scheme == "https":
        return chosen
    redirect = redirect_for(client, override)
    return redirect.at(redirect.port or port)


def _not_ours(url: str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"The redirect address {url} cannot be used: {reason}.",
        code="redirect-uri",
        redirect_uri=url,
        reason=reason,
    )


def _split(url: str, what: str, code: str = "bad-address") -> SplitResult:
    if not url:
        raise ConfigurationError(f"The {what} is not set.", code=code, case="not-set")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    odd = not url.isprintable() or " " in url or "\\" in url
    if (
        odd
        or not parts.scheme
        or not parts.hostname
        or parts.username is not None
        or parts.fragment
        or port == 0
    ):
        raise ConfigurationError(
            f"The {what} {url!r} is not an address: write it like https://host/path.", code=code, url=url
        )
    return parts
