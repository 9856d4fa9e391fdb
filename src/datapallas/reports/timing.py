"""Whether a schedule can be kept: the cron expression and the time zone. Pure."""

from __future__ import annotations

import datetime as dt
import re

from datapallas.reports.flaws import nearest

_FIELDS = 5
_RANGES = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))


def cron_flaw(text: str) -> str:
    """Why a cron expression is none, as a sentence without its full stop; empty when it is one."""
    from croniter import croniter
    from croniter.croniter import CroniterError

    if len(text.split()) != _FIELDS:
        return f"{text!r} is not a cron expression: it has five fields: minute, hour, day, month, weekday"
    for (name, least, most), field in zip(_RANGES, text.split(), strict=True):
        numbers = [int(one) for one in re.findall(r"(?<![/\d])\d+", field)]
        if any(not least <= number <= most for number in numbers):
            return f"{text!r} is not a cron expression: the {name} is {least} to {most}"
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
