"""Whether a schedule can be kept: the cron expression and the time zone. Pure."""

from __future__ import annotations

import datetime as dt

from datapallas.reports.flaws import nearest

_FIELDS = 5


def cron_flaw(text: str) -> str:
    """Why a cron expression is none, as a sentence without its full stop; empty when it is one."""
    from croniter import croniter
    from croniter.croniter import CroniterError

    if len(text.split()) != _FIELDS:
        return f"{text!r} is not a cron expression: it has five fields: minute, hour, day, month, weekday"
    try:
        croniter(text, dt.datetime(2026, 1, 1, tzinfo=dt.UTC)).get_next()
    except (CroniterError, ValueError, KeyError) as problem:
        return f"{text!r} is not a cron expression that ever comes: {str(problem).rstrip('.')}"
    return ""


def zone_flaw(name: str) -> str:
    """Why a time zone is none; empty when it is one."""
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = nearest(name, sorted(zoneinfo.available_timezones()))
        hint = near if "did you mean" in near else ": names are such as Europe/Berlin"
        return f"there is no time zone {name!r}{hint}"
    return ""
