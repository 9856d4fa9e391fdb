"""Times as people say them. Pure."""

from __future__ import annotations

_SPANS = ((86_400.0, "day"), (3600.0, "hour"), (60.0, "minute"))


def ago(at: float, now: float) -> str:
    """A time, from now: `5 minutes ago`, `in 3 hours`, `now`."""
    words = lasting(abs(now - at))
    if not words:
        return "just now" if at <= now else "now"
    return f"{words} ago" if at < now else f"in {words}"


def clock(text: str) -> str:
    """A time as programs write it (ISO 8601, UTC), as people read it: `2026-11-28 10:24:32 UTC`."""
    return f"{text[:-1].replace('T', ' ')} UTC" if text.endswith("Z") and "T" in text else text


def lasting(seconds: float) -> str:
    """A span: `3 hours`; empty below a minute."""
    for span, name in _SPANS:
        count = int(seconds // span)
        if count:
            return f"{count} {name}{'' if count == 1 else 's'}"
    return ""
