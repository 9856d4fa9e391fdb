"""What a token or device endpoint answered: a value, or TokenRefused in the provider's own words.

Must stay true: no secret we sent comes back in an error's text, whatever the provider echoes (`hide`);
an access token that could break a header or a SASL message (control characters, spaces) is never accepted.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any

from datapallas.errors import ProtocolError, TokenRefused
from datapallas.secret import MASK, Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LONGEST_TEXT = 2000  # characters kept of what a provider said
LONGEST_TOKEN = 16384  # characters; Microsoft's reach about 3,000
_TEN_YEARS = 315_360_000.0
_AADSTS = re.compile(r"AADSTS(\d{4,8})")
_TOKEN = re.compile(r"[\x21-\x7e]+")  # RFC 6750 section 2.1 allows less; some providers use more
_SECOND_WORDS = ("suberror", "error_subtype", "trace_id", "timestamp", "claims", "error_uri")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TokenAnswer:
    """A successful answer of a token endpoint (RFC 6749 section 5.1).

    Attributes:
        access_token: printable ASCII without spaces.
        expires_in: seconds, or None when the provider did not say.
        refresh_token: None when none came.
        refresh_expires_in: seconds, where the provider says so (Google while an app is in Testing).
        scope: as written, or empty, which means "as asked".
        id_token: a JWT (OpenID Connect Core section 2), or None.
    """

    access_token: Secret
    expires_in: float | None = None
    refresh_token: Secret | None = None
    refresh_expires_in: float | None = None
    scope: str = ""
    id_token: Secret | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAnswer:
    """What a person must type and where (RFC 8628 section 3.2); times in seconds."""

    device_code: Secret
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: float
    interval: float


def read_token_answer(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    clock_skew: float = 0.0,
    hide: Iterable[Secret] = (),
) -> TokenAnswer:
    """The tokens in an answer; `headers` have lower-case names, `clock_skew` is seconds the provider is ahead.

    Raises:
        TokenRefused: the endpoint said no (RFC 6749 section 5.2).
        ProtocolError: a success that is not JSON, or holds no usable token.
    """
    data = _success(status, headers, body, clock_skew, hide)
    kind = data.get("token_type", "Bearer")
    if not isinstance(kind, str) or kind.lower() != "bearer":  # RFC 6749 section 5.1: case insensitive
        raise ProtocolError("The provider sent a token that is not a bearer token.", case="token-type")
    access = _token(data, "access_token")
    if access is None:
        raise ProtocolError("The provider's answer holds no access token.", case="no-access-token")
    return TokenAnswer(
        access_token=access,
        expires_in=_seconds(data.get("expires_in")),
        refresh_token=_token(data, "refresh_token"),
        refresh_expires_in=_seconds(data.get("refresh_token_expires_in")),
        scope=_scope(data.get("scope")),
        id_token=_token(data, "id_token"),
    )


def read_device_answer(
    status: int, headers: Mapping[str, str], body: bytes, *, hide: Iterable[Secret] = ()
) -> DeviceAnswer:
    """The codes a device flow begins with; the same errors as `read_token_answer`."""
    data = _success(status, headers, body, 0.0, hide)
    code = _token(data, "device_code")
    user_code, address = data.get("user_code"), data.get("verification_uri", data.get("verification_url"))
    if code is None or not isinstance(user_code, str) or not isinstance(address, str):
        raise ProtocolError("The provider's answer holds no device code.", case="no-device-code")
    complete = data.get("verification_uri_complete")
    interval = _seconds(data.get("interval"))
    return DeviceAnswer(
        device_code=code,
        user_code=printable(user_code),
        verification_uri=printable(address),
        verification_uri_complete=printable(complete) if isinstance(complete, str) else "",
        expires_in=_seconds(data.get("expires_in")) or 900.0,
        interval=5.0 if interval is None else interval,  # RFC 8628 section 3.2
    )


def read_object(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Any other JSON object an endpoint answered with: metadata, userinfo. The same errors."""
    return _success(status, headers, body, 0.0, ())


def printable(text: str, longest: int = LONGEST_TEXT) -> str:
    """Text from outside on one line, without control characters, not longer than `longest`."""
    cut = text[:longest] + ("..." if len(text) > longest else "")
    return "".join(c if c.isprintable() else " " for c in cut).strip()


def aadsts(text: str) -> tuple[int, ...]:
    """Microsoft's error numbers in a text, in order, each once."""
    return tuple(dict.fromkeys(int(number) for number in _AADSTS.findall(text)))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the provider asks us to wait (RFC 9110 section 10.2.3), or None.

    A date there is measured against the provider's own Date, so that our clock plays no part.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _TEN_YEARS)
    from email.utils import parsedate_to_datetime  # it takes longer to import than all of this

    try:
        ahead = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return max(0.0, ahead.total_seconds())


def _success(
    status: int, headers: Mapping[str, str], body: bytes, clock_skew: float, hide: Iterable[Secret]
) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    if status != 200 or (isinstance(data, dict) and data.get("error")):  # noqa: PLR2004
        raise _refusal(status, headers, data if isinstance(data, dict) else body, clock_skew, hide)
    if not isinstance(data, dict):
        shown = _hidden(printable(body[:400].decode("utf-8", "replace"), 200), hide)
        what = headers.get("content-type", "").partition(";")[0].strip() or "nothing it names"
        raise ProtocolError(
            f"The provider's address answered with something that is not JSON ({printable(what, 60)}); "
            "perhaps it is the wrong address, or a proxy answered.",
            code="not-json",
            raw=shown,
        )
    return data


def _refusal(
    status: int,
    headers: Mapping[str, str],
    said: dict[str, Any] | bytes,
    clock_skew: float,
    hide: Iterable[Secret],
) -> TokenRefused:
    """Everything an error body may hold (RFC 6749 section 5.2, Microsoft's and Google's additions)."""
    # A body that is no object: empty (glewlwyd), HTML (a proxy), or plain text.
    data: dict[str, Any] = said if isinstance(said, dict) else {}
    raw = "" if isinstance(said, dict) else said[:8000].decode("utf-8", "replace")
    error, description = data.get("error"), data.get("error_description")
    if isinstance(inner := data.get("error"), dict):  # the shape of Google's APIs
        error, description = inner.get("status"), inner.get("message")
    error = _hidden(printable(error, 100), hide) if isinstance(error, str) else ""
    description = _hidden(printable(description), hide) if isinstance(description, str) else ""
    raw = _hidden(printable(raw), hide) or ": ".join(filter(None, (error, description)))
    numbers = data.get("error_codes")
    codes = tuple(n for n in numbers if type(n) is int) if isinstance(numbers, list) else ()
    facts = {
        name: _hidden(printable(value, 200), hide)
        for name in _SECOND_WORDS
        if isinstance(value := data.get(name), str)
    }
    if clock_skew:
        facts["clock_skew"] = f"{clock_skew:.0f}"
    correlation = data.get("correlation_id") or headers.get("x-ms-request-id", "")
    return TokenRefused(
        f"The provider refused: {description or error or f'HTTP status {status}, without a reason'}",
        error=error,
        description=description,
        status=status,
        error_codes=codes or aadsts(description),
        correlation_id=printable(correlation, 100) if isinstance(correlation, str) else "",
        retry_after=retry_after(headers),
        raw=raw,
        **facts,
    )


def _hidden(text: str, hide: Iterable[Secret]) -> str:
    for secret in hide:
        if value := secret.reveal():
            text = text.replace(value, MASK)
    return text


def _token(data: dict[str, Any], name: str) -> Secret | None:
    value = data.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > LONGEST_TOKEN or not _TOKEN.fullmatch(value):
        raise ProtocolError(f"The provider sent a {name} that is not printable text.", case="bad-token")
    return Secret(value)


def _seconds(value: object) -> float | None:
    """A length of time; Azure AD v1 writes numbers as strings. None when it is missing or makes no sense."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:  # noqa: PLR2004
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _TEN_YEARS:
        return None
    return float(value)


def _scope(value: object) -> str:
    if isinstance(value, list):  # some providers send a list
        value = " ".join(item for item in value if isinstance(item, str))
    return printable(value, 4000) if isinstance(value, str) else ""
