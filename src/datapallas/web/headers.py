"""What every answer says to the browser, errors and redirects included.

Must stay true: nothing comes from elsewhere and no inline script runs; no header ever lets another origin read an
answer (no CORS); what is not a static file is not kept in any cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "frame-src 'self'",  # the preview of an email, which is an answer with MAIL_POLICY
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types default",  # app.js makes the one policy, for htmx
)
CSP = "; ".join(POLICY)
ALWAYS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=(), clipboard-write=(self)",
    "x-robots-tag": "noindex",
}
MAIL_POLICY = (
    "default-src 'none'",
    "img-src data: 'self'",
    "style-src 'unsafe-inline'",  # an email brings its own
    "form-action 'none'",
    "base-uri 'none'",
    "frame-ancestors 'self'",
    "sandbox",  # no script and no origin, also where it is opened by itself
)
MAIL = {"content-security-policy": "; ".join(MAIL_POLICY), "x-frame-options": "SAMEORIGIN"}
"""In place of those of ALWAYS, for somebody's email that a page of ours shows in a frame."""
IS_MAIL = "x-datapallas-mail"
"""A route sets it on its answer, and no browser sees it."""
OVER_TLS = {"strict-transport-security": "max-age=31536000"}
NEVER = ("server", "access-control-allow-origin", "access-control-allow-credentials")

Headers = list[tuple[bytes, bytes]]


def with_security(given: Iterable[tuple[bytes, bytes]], *, secure: bool) -> Headers:
    """The headers of an answer, with ours in place of any of the same name; `no-store` where it says nothing."""
    given = list(given)
    mail = any(name.lower() == IS_MAIL.encode() for name, _ in given)
    ours = ALWAYS | (MAIL if mail else {}) | (OVER_TLS if secure else {})
    names = {name.encode() for name in (*ours, *NEVER, IS_MAIL)}
    kept = [(name.lower(), value) for name, value in given if name.lower() not in names]
    if not any(name == b"cache-control" for name, _ in kept):
        kept.append((b"cache-control", b"no-store"))
    return [*kept, *((name.encode(), value.encode()) for name, value in ours.items())]
