"""What a request says about where it comes from, read strictly: Host, Origin, Sec-Fetch-Site, address, body.

Must stay true: pure; a header that should stand once and stands twice is refused; a browser page of another origin,
another port included, never passes `from_elsewhere`, whatever it can make a browser send.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from starlette.types import Scope

    from datapallas.web.services import Settings

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110 section 9.2.1), here as everywhere."""
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
FILE = "application/octet-stream"
_OURS = frozenset({"same-origin", "none"})  # none: the person themselves, not a page
TWICE = "\n"
"""What `header` gives for a header that stands twice: no valid value has it."""


def values(scope: Scope, name: str) -> Iterator[str]:
    """Each value of the header `name`."""
    wanted = name.encode()
    return (value.decode("latin-1") for key, value in scope["headers"] if key == wanted)


def header(scope: Scope, name: str) -> str | None:
    """The one value of the header `name`; None when it is not there, TWICE when it stands more than once."""
    found = list(values(scope, name))
    if not found:
        return None
    return found[0] if len(found) == 1 else TWICE


def host_is_ours(scope: Scope, settings: Settings) -> bool:
    """Host is exactly one of ours, port included: else a name that points here by DNS could read everything."""
    return (header(scope, "host") or "").lower() in settings.hosts


def from_elsewhere(scope: Scope, settings: Settings) -> str:
    """Why a request comes from a page that is not ours, in words; empty when it does not.

    A page of ours sends its exact origin, or, for a plain form under `no-referrer`, `null` with Sec-Fetch-Site
    same-origin (Fetch standard, "append a request Origin header"). A program sends neither.
    """
    origin, site = header(scope, "origin"), header(scope, "sec-fetch-site")
    if site is not None and site not in _OURS and not _followed_link(scope, site):
        return "another site"
    if origin is None or (origin == "null" and site == "same-origin"):
        return ""
    if origin == f"{settings.scheme}://{(header(scope, 'host') or '').lower()}":
        return ""
    return "another origin"


def _followed_link(scope: Scope, site: str) -> bool:
    """A link that a person followed, as the top page of a tab: it reads nothing for the page it was on."""
    return (
        site in {"same-site", "cross-site"}
        and scope["method"] == "GET"
        and header(scope, "sec-fetch-mode") == "navigate"
        and header(scope, "sec-fetch-dest") == "document"
    )


def is_followed_link(scope: Scope) -> bool:
    """A link on somebody else's page, or in an email: the browser then leaves out our cookie (SameSite=Strict)."""
    return _followed_link(scope, header(scope, "sec-fetch-site") or "")


def says_where_from(scope: Scope) -> bool:
    """The request comes from a browser that says which page it is from."""
    return header(scope, "origin") is not None or header(scope, "sec-fetch-site") is not None


def is_one_of(address: str, networks: Iterable[str]) -> bool:
    """Whether an IP address is one of the named addresses or networks."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in ipaddress.ip_network(one, strict=False) for one in networks)


def peer(scope: Scope) -> str:
    """The IP address at the other end of this connection."""
    client = scope.get("client")
    return str(client[0]).removeprefix("::ffff:") if client else ""  # an IPv4 client of an IPv6 socket


def client_address(scope: Scope, proxies: frozenset[str]) -> str:
    """The IP address of the client: the nearest one in X-Forwarded-For that is no proxy of ours.

    Only a proxy of ours is believed: anybody can send the header.
    """
    nearest = peer(scope)
    if not proxies or not is_one_of(nearest, proxies):
        return nearest
    hops = [hop.strip() for hop in ",".join(values(scope, "x-forwarded-for")).split(",")]
    for hop in reversed(hops):
        try:
            nearest = str(ipaddress.ip_address(hop))
        except ValueError:  # what is left of it was not written by a proxy of ours
            break
        if not is_one_of(nearest, proxies):
            break
    return nearest


def cookie(scope: Scope, name: str) -> str:
    """The value of the cookie `name`; empty when it is not there, or more than once."""
    pairs = [part.strip().partition("=") for line in values(scope, "cookie") for part in line.split(";")]
    found = [value for key, _, value in pairs if key == name]
    return found[0] if len(found) == 1 else ""


def bearer(scope: Scope) -> str | None:
    """The bearer token of the request (RFC 6750 section 2.1); None when it has no Authorization at all."""
    given = header(scope, "authorization")
    if given is None:
        return None
    scheme, _, token = given.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def has_body(scope: Scope) -> bool:
    """The request brings a body, as its headers say."""
    return header(scope, "transfer-encoding") is not None or header(scope, "content-length") not in {
        None,
        "0",
    }


def media_type(scope: Scope) -> str:
    """The type of the body, without its parameters; with its coding when it has one, which nobody reads here."""
    coding = header(scope, "content-encoding")
    kind = (header(scope, "content-type") or "").partition(";")[0].strip().lower()
    return f"{kind} ({coding})" if coding else kind
