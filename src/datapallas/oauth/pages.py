"""What the browser shows at the end of a sign-in, as whole HTTP answers.

Must stay true: static; nothing of a request is ever echoed; no address outside is named; not stored, not framed.
The one script asks the browser to close the window, and is allowed by its hash.
"""

from __future__ import annotations

import base64
import enum
import hashlib

_CLOSE = "window.close()"
_STYLE = "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:20vh auto;padding:0 1rem;color-scheme:light dark}"


class Page(enum.Enum):
    """Every answer there is: status line, heading, sentence."""

    SIGNED_IN = ("200 OK", "Signed in", "The sign-in is done. You can close this window.")
    REFUSED = (
        "200 OK",
        "Not signed in",
        "The sign-in did not work. The reason is shown where you started it. You can close this window.",
    )
    STRAY = (
        "400 Bad Request",
        "Not expected",
        "This address does not belong to a sign-in that is under way.",
    )
    NOT_FOUND = ("404 Not Found", "Nothing here", "There is nothing at this address.")
    METHOD = ("405 Method Not Allowed", "Not expected", "This address is only opened by a browser.")
    HOST = ("421 Misdirected Request", "Not expected", "This address is not served under that name.")
    TOO_LONG = ("431 Request Header Fields Too Large", "Not expected", "The request is too long.")

    def answer(self) -> bytes:
        """Head and body, ready to send."""
        status, heading, sentence = self.value
        done = self in {Page.SIGNED_IN, Page.REFUSED}
        script = f"<script>{_CLOSE}</script>" if done else ""
        body = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>DataPallas: {heading}</title>'
            f"<style>{_STYLE}</style><h1>{heading}</h1><p>{sentence}</p>{script}</html>\n"
        ).encode()
        policy = f"default-src 'none'; style-src {_hash(_STYLE)}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        if done:
            policy += f"; script-src {_hash(_CLOSE)}"
        head = (
            f"HTTP/1.1 {status}\r\n"
            "Content-Type: text/html; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\n"
            "Connection: close\r\n"
            "Cache-Control: no-store\r\n"
            "Referrer-Policy: no-referrer\r\n"
            "X-Content-Type-Options: nosniff\r\n"
            f"Content-Security-Policy: {policy}\r\n\r\n"
        )
        return head.encode("ascii") + body


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
