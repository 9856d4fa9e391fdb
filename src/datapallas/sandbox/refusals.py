"""Why the identity provider itself refuses a request, and how each dialect says so.

Must stay true: one reason has one row, so that the three dialects cannot disagree about what happened.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from typing import NamedTuple

from datapallas.sandbox import answers
from datapallas.sandbox.http import Answer, json_answer
from datapallas.sandbox.settings import Dialect


class Reason(NamedTuple):
    """One reason: RFC 6749's word and a sentence, then Microsoft's number and Google's row."""

    error: str
    text: str
    aadsts: int
    google: str
    status: int = 400


_GRANT = "invalid_grant"
REASONS: dict[str, Reason] = {
    "client-unknown": Reason("invalid_client", "there is no such client", 700016, "google:no-client", 401),
    "secret-missing": Reason(
        "invalid_client", "this client must send its secret", 7000218, "google:secret-missing", 401
    ),
    "secret-wrong": Reason(
        "invalid_client", "the client secret is wrong", 7000215, "google:secret-wrong", 401
    ),
    "secret-unwanted": Reason(
        "invalid_client", "this client is public and has no secret", 700025, "google:secret-wrong", 401
    ),
    "grant-unsupported": Reason(
        "unsupported_grant_type", "this grant type is not supported", 70003, "google:unauthorized"
    ),
    "grant-forbidden": Reason(
        "unauthorized_client", "this client may not use this grant type", 7000218, "google:unauthorized"
    ),
    "parameter-missing": Reason("invalid_request", "a parameter is missing", 900144, "google:bad-request"),
    "malformed": Reason("invalid_request", "the request is malformed", 9002313, "google:bad-request"),
    "scope": Reason("invalid_scope", "none of these scopes exists here", 70011, "google:scope"),
    "tenant": Reason("invalid_request", "there is no such tenant", 90002, "google:bad-request"),
    "redirect": Reason(
        "invalid_request", "redirect_uri must be on loopback, any port", 50011, "google:redirect"
    ),
    "redirect-differs": Reason(
        _GRANT, "redirect_uri is not the one of the authorization request", 50011, "google:redirect"
    ),
    "verifier": Reason(_GRANT, "PKCE verification failed", 501481, "google:malformed"),
    "code-unknown": Reason(_GRANT, "there is no such authorization code", 70000, "google:malformed"),
    "code-used": Reason(_GRANT, "the authorization code was used before", 54005, "google:bad-request"),
    "code-old": Reason(_GRANT, "the authorization code is too old", 70008, "google:bad-request"),
    "client-differs": Reason(_GRANT, "this was given to another client", 70000, "google:bad-request"),
    "refresh-unknown": Reason(_GRANT, "there is no such refresh token", 70000, "google:bad-request"),
    "refresh-revoked": Reason(_GRANT, "the sign-in was revoked", 50173, "google:revoked"),
    "refresh-old": Reason(_GRANT, "the refresh token was not used for too long", 700082, "google:testing"),
    "refresh-reused": Reason(
        _GRANT, "the refresh token was used before; the sign-in is now revoked", 70000, "google:revoked"
    ),
    "assertion": Reason(
        "invalid_client", "the client assertion is not this client's", 700027, "google:signature", 401
    ),
    "assertion-audience": Reason(
        "invalid_client", "the assertion is for another address", 700023, "google:audience", 401
    ),
    "assertion-time": Reason(
        "invalid_client",
        "the assertion is too old, for too long, or was used before",
        700024,
        "google:time",
        401,
    ),
    "signature": Reason(_GRANT, "the assertion's signature is wrong", 700027, "google:signature"),
    "account-unknown": Reason(_GRANT, "there is no such account", 700016, "google:account-unknown"),
    "user-unknown": Reason(_GRANT, "there is no such mailbox", 50034, "google:user-unknown"),
    "delegation": Reason(
        "unauthorized_client", "this account may not act for others", 700016, "google:delegation", 401
    ),
    "denied": Reason("access_denied", "the person said no", 65004, "google:unauthorized"),
    "device-unknown": Reason(_GRANT, "there is no such device code", 70000, "google:malformed"),
    "device-old": Reason("expired_token", "the device code is too old", 70019, "google:bad-request"),
    "device-pending": Reason(
        "authorization_pending", "the person has not finished yet", 70016, "google:bad-request"
    ),
    "device-slow-down": Reason("slow_down", "polled too quickly", 70016, "google:bad-request"),
}
_AS_THEY_ARE = ("device-pending", "device-slow-down", "device-old", "denied")  # RFC 8628 names the words


def refuse(reason: str, dialect: Dialect, facts: dict[str, str], now: float) -> Answer:
    """The JSON error answer to `reason`, in the words of `dialect`."""
    row = REASONS[reason]
    if dialect is Dialect.MICROSOFT and reason != "device-slow-down":
        return named(f"AADSTS{row.aadsts}", facts, now)
    if dialect is Dialect.GOOGLE and reason not in _AS_THEY_ARE:
        return named(row.google, facts, now)
    answer = json_answer({"error": row.error, "error_description": row.text}, row.status)
    if row.status == 401:  # noqa: PLR2004 - RFC 6749 section 5.2: the scheme the client may use
        answer.headers["WWW-Authenticate"] = 'Basic realm="sandbox"'
    return answer


def named(name: str, facts: dict[str, str], now: float) -> Answer:
    """A refusal by its name: ``AADSTS70008`` or ``google:testing``."""
    if name.startswith("AADSTS"):
        status, body = answers.microsoft(int(name[6:]), facts, _timestamp(now), _ids())
    else:
        status, body = answers.google(name)
    return json_answer(body, status)


def sentence(answer: Answer) -> tuple[str, str]:
    """The error and its description in an answer made here, to show on a page or put in a redirect."""
    body = json.loads(answer.body)
    return str(body["error"]), str(body.get("error_description", ""))


def _timestamp(now: float) -> str:
    return f"{dt.datetime.fromtimestamp(now, dt.UTC):%Y-%m-%d %H:%M:%SZ}"


def _ids() -> tuple[str, str]:
    return str(uuid.uuid4()), str(uuid.uuid4())
