"""What the sandbox can be set to, while it runs.

Must stay true: the defaults are as strict as the strictest provider, so that what works here works anywhere.
"""

from __future__ import annotations

import dataclasses
from enum import StrEnum

from datapallas.errors import UsageError

DAY = 86_400.0


class Rotation(StrEnum):
    """What becomes of a refresh token that was used (RFC 9700 section 4.14.2)."""

    STRICT = "STRICT"  # a new one each time; using an old one again ends the whole sign-in
    LENIENT = "LENIENT"  # a new one each time; the old ones go on working, as at Microsoft
    NONE = "NONE"  # the same one for ever, as at Google


class Dialect(StrEnum):
    """Whose words the identity provider uses; the path of the request decides."""

    GENERIC = "GENERIC"
    MICROSOFT = "MICROSOFT"
    GOOGLE = "GOOGLE"


@dataclasses.dataclass(slots=True)
class Settings:
    """Everything that may be changed while the sandbox runs; a change holds for what comes after it.

    Attributes:
        access_seconds: how long an access token is good.
        refresh_seconds: how long a refresh token is good without being used.
        code_seconds: how long an authorization code is good (RFC 6749 section 4.1.2: at most ten minutes).
        device_seconds: how long a device code is good.
        device_interval: seconds between two polls of a device (RFC 8628 section 3.5).
        redirects: addresses a browser may be sent back to beside loopback, such as that of a page on this machine
            with a certificate of its own.
        rotation: what becomes of a used refresh token.
        token_length: characters of an access token; Microsoft's have 1,200 to 2,700.
        message_size: octets; announced as SIZE (RFC 1870).
        recipients: recipients of one message.
        sessions_per_mailbox: signed-in SMTP sessions at a time; 0 is no limit, Exchange has 3.
        extensions: words of EHLO that are announced; AUTH and STARTTLS may be left out too.
        mechanisms: of AUTH; Exchange has LOGIN and XOAUTH2.
        challenge: True answers a refused bearer token with 334 and its JSON first (Google, RFC 7628);
            False with 535 at once (Exchange).
    """

    access_seconds: float = 3600.0
    refresh_seconds: float = 90 * DAY
    code_seconds: float = 600.0
    device_seconds: float = 900.0
    device_interval: float = 5.0
    redirects: tuple[str, ...] = ()
    rotation: Rotation = Rotation.STRICT
    token_length: int = 1500
    message_size: int = 157_286_400
    recipients: int = 500
    sessions_per_mailbox: int = 0
    extensions: tuple[str, ...] = (
        "PIPELINING",
        "CHUNKING",
        "8BITMIME",
        "SMTPUTF8",
        "SIZE",
        "ENHANCEDSTATUSCODES",
        "STARTTLS",
        "AUTH",
    )
    mechanisms: tuple[str, ...] = ("XOAUTH2", "OAUTHBEARER", "PLAIN", "LOGIN")
    challenge: bool = True

    def change(self, name: str, value: object) -> None:
        """Set one field from JSON; UsageError names the known fields, or the type that is wanted."""
        known = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if name not in known:
            raise UsageError(f"There is no sandbox setting {name!r}. Known: {', '.join(known)}.")
        setattr(self, name, _like(known[name], value, name))

    def to_dict(self) -> dict[str, object]:
        """Names and values, for JSON."""
        return dataclasses.asdict(self)


def _like(old: object, value: object, name: str) -> object:
    if isinstance(old, Rotation) and isinstance(value, str) and value in Rotation.__members__:
        return Rotation[value]
    if isinstance(old, tuple) and isinstance(value, list | tuple):
        return tuple(str(item) for item in value)
    if isinstance(old, bool) and isinstance(value, bool):
        return value
    if type(old) in {int, float} and type(value) in {int, float}:
        return type(old)(value)  # type: ignore[call-arg]  # int or float, as just checked
    raise UsageError(f"The sandbox setting {name!r} cannot be {value!r}; it is {old!r} now.")
