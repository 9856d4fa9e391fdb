"""What values look like: a GUID, a domain, an address, a token. Pure; nothing here says whether a value is right.

Must stay true: a value that holds a `${variable}` has no shape: a report fills it in later.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from datapallas.connection.fields import LOOPBACK
from datapallas.secret import Secret

if TYPE_CHECKING:
    from datapallas.connection.model import Stored

_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_][\w-]{0,61}[^\W_]")
_ADDRESS = re.compile(r"[^@\s<>]+@[^@\s<>]+")
_MICROSOFT_SECRET = re.compile(r"[A-Za-z0-9_.~-]{3}\dQ~[A-Za-z0-9_.~-]{31,34}")
_TOKENS = (
    re.compile(r"eyJ[\w-]{5,}(?:\.[\w-]*){1,4}"),  # a JWT (RFC 7519)
    re.compile(r"1//[\w-]{20,}"),  # Google's refresh token
    re.compile(r"ya29\.[\w.-]{10,}"),  # Google's access token
    re.compile(r"[01]\.A[\w-]{20,}(?:\.[\w-]+)*"),  # Microsoft's refresh token
    re.compile(r"EwB[\w+/=-]{60,}"),  # an access token of a personal Microsoft account
)


def fixed(value: str) -> str:
    """`value`, or nothing when a report has still to fill it in."""
    return "" if "${" in value else value.strip()


def is_guid(value: str) -> bool:
    """Eight, four, four, four and twelve hex digits."""
    return _GUID.fullmatch(value) is not None


def is_domain(value: str) -> bool:
    """At least two labels, such as contoso.com."""
    return len(value) <= 255 and _DOMAIN.fullmatch(value) is not None  # noqa: PLR2004 - RFC 1035


def is_address(value: str) -> bool:
    """name@domain, loosely: the mail server decides."""
    return _ADDRESS.fullmatch(value) is not None


def is_token(value: str) -> bool:
    """An access token, a refresh token or an ID token of a known provider."""
    value = value.removeprefix("Bearer ").removeprefix("bearer ").strip()
    return any(pattern.fullmatch(value) for pattern in _TOKENS)


def is_client_secret(value: str) -> bool:
    """A client secret of Microsoft or Google, as far as that can be seen."""
    return value.startswith("GOCSPX-") or _MICROSOFT_SECRET.fullmatch(value) is not None


def is_microsoft_secret(value: str) -> bool:
    """About forty characters with the mark all of Microsoft's have."""
    return _MICROSOFT_SECRET.fullmatch(value) is not None


def is_google_client(value: str) -> bool:
    """A client id of Google."""
    return value.lower().endswith(".apps.googleusercontent.com")


def in_clear(stored: Stored) -> str:
    """A secret that was just typed, to look at its shape; empty when it is sealed, not set, or a variable."""
    return fixed(stored.reveal()) if isinstance(stored, Secret) else ""


def split(url: str) -> SplitResult | None:
    """The parts of an absolute address; None when it is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.scheme and parts.hostname else None


def host_of(url: str) -> str:
    """The host in an address, in small letters; empty when there is none."""
    parts = split(fixed(url))
    return (parts.hostname or "") if parts else ""


def is_this_machine(host: str) -> bool:
    """A name or address of the machine itself."""
    return host.lower().strip("[]") in LOOPBACK or host.startswith("127.")
