"""An error of ours as text for the ledger, and back: kept as it was said, explained when it is shown."""

from __future__ import annotations

import json
from typing import Any

from datapallas import errors
from datapallas.errors import DataPallasError
from datapallas.outbox.verdict import Pause

_PLAIN = ("message", "code", "raw", "facts", "transient", "exit_code")
_OWN = (
    "step", "reply_code", "enhanced", "text", "challenge",  # SmtpRefused
    "error", "description", "status", "error_codes", "correlation_id", "retry_after",  # TokenRefused
)  # fmt: skip


def of_mailbox(row: Any, now: float) -> DataPallasError | None:
    """Why a mailbox does not send just now, or slower; None when its last failure is over, or a person paused it."""
    stopped = row.pause and row.pause != Pause.PERSON
    return load(row.problem) if stopped or row.backoff_until > now else None


def dump(error: DataPallasError) -> str:
    """Write an error; no secret is in one."""
    names = (*_PLAIN, *[name for name in _OWN if hasattr(error, name)])
    return json.dumps({"kind": type(error).__name__} | {name: getattr(error, name) for name in names})


def load(text: str) -> DataPallasError | None:
    """Read an error back, of its own class, so that it is explained as it was; None for an empty text."""
    if not text:
        return None
    value: dict[str, Any] = json.loads(text)
    kind = getattr(errors, value.pop("kind"), DataPallasError)
    if not (isinstance(kind, type) and issubclass(kind, DataPallasError)):
        kind = DataPallasError
    problem: DataPallasError = kind.__new__(kind)
    Exception.__init__(problem, value["message"])
    for name, content in value.items():
        setattr(problem, name, tuple(content) if isinstance(content, list) else content)
    return problem
