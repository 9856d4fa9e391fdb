"""A provider's refusal as the record keeps it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.connection.record import Refusal
from datapallas.oauth.clock import iso

if TYPE_CHECKING:
    from datapallas.errors import TokenRefused


def refusal(problem: TokenRefused, error: str, wall: float, since: str = "") -> Refusal:
    """What was refused, under the name `error`; `since` an earlier time, ISO 8601 UTC, else now (`wall` seconds)."""
    return Refusal(
        error=error,
        description=problem.description,
        error_codes=problem.error_codes,
        correlation_id=problem.correlation_id,
        at=since or iso(wall),
    )


def lasting(problem: TokenRefused, before: Refusal | None, wall: float) -> Refusal | None:
    """The refusal to note: it does not pass by itself, and since when; None when there is nothing new to note."""
    if problem.transient:
        return None
    error = problem.error or f"HTTP status {problem.status}"
    if before is not None and (before.error, before.error_codes) == (error, problem.error_codes):
        return None
    return refusal(problem, error, wall, before.at if before else "")
