"""Writes the schedule into a report.toml, and leaves everything else in it as a person wrote it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.reports.toml_edit import changed

if TYPE_CHECKING:
    from datapallas.reports.model import Schedule
    from datapallas.reports.toml_edit import Value


def with_schedule(text: str, schedule: Schedule | None) -> str:
    """The text with this schedule, or without one. Raises UsageError (code ``report-edit``)."""
    values: dict[str, Value] = {"cron": None, "time_zone": None, "missed": None}
    if schedule is not None:
        values = {"cron": schedule.cron, "time_zone": schedule.time_zone, "missed": schedule.missed.value}
    return changed(text, {("schedule", key): value for key, value in values.items()})
