"""The settings of a home that belong to no connection: `config/datapallas.toml`, which need not be there.

Must stay true: an unknown name is an error, so that a misspelt one is not silently nothing; the webhook's address is a
secret (it often holds a key) and is in no error and no output.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from datapallas import files
from datapallas.errors import ConfigurationError
from datapallas.oauth.addresses import LOOPBACK
from datapallas.secret import Secret
from datapallas.smtp.parcels import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = Path("config", "datapallas.toml")
VARIABLE = "DATAPALLAS_WEBHOOK"
_LIMIT = 65536
_WARNINGS = frozenset({"webhook", "email-connection", "email-to"})
_OUTBOX = frozenset({"content-days", "rows-days", "in-flight"})
_MOST_IN_FLIGHT = 32
_SECTIONS = ("warnings", "outbox")
_LONGEST_DAYS = 36_500


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OutboxSettings:
    """How the outbox sends, and how long it keeps what is done, in days after the last outcome of a job.

    Attributes:
        content_days: what the messages say.
        rows_days: who got what and when; never shorter than the content.
        in_flight: messages a session sends before the first of them is answered, where nothing limits the pace; 1: none.
    """

    content_days: float = 14.0
    rows_days: float = 400.0
    in_flight: int = BOUNDS.messages


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WarningSettings:
    """How warnings are told beside the log.

    Attributes:
        webhook: an address that takes JSON; None for none.
        email_connection: the connection an email leaves by; empty for none.
        email_to: to whom.
    """

    webhook: Secret | None = None
    email_connection: str = ""
    email_to: str = ""


def warning_settings(root: Path, environ: Mapping[str, str]) -> WarningSettings:
    """The section `[warnings]`; DATAPALLAS_WEBHOOK wins over the file. Raises ConfigurationError (code ``settings``)."""
    section = _section(root / FILE, "warnings", _WARNINGS)
    if not all(isinstance(text, str) for text in section.values()):
        raise _wrong("the values of [warnings] are texts")
    webhook = environ.get(VARIABLE) or section.get("webhook", "")
    found = WarningSettings(
        webhook=Secret(webhook) if _checked(webhook) else None,
        email_connection=section.get("email-connection", ""),
        email_to=section.get("email-to", ""),
    )
    if bool(found.email_connection) != bool(found.email_to):
        raise _wrong("email-connection and email-to belong together")
    return found


def outbox_settings(root: Path) -> OutboxSettings:
    """The section `[outbox]`. Raises ConfigurationError (code ``settings``)."""
    section = _section(root / FILE, "outbox", _OUTBOX)
    in_flight = section.pop("in-flight", BOUNDS.messages)
    if type(in_flight) is not int or not 1 <= in_flight <= _MOST_IN_FLIGHT:
        raise _wrong(f"in-flight is a number of messages from 1 to {_MOST_IN_FLIGHT}")
    for name, days in section.items():
        number = isinstance(days, int | float) and not isinstance(days, bool)
        if not number or not 0 <= days <= _LONGEST_DAYS:
            raise _wrong(f"{name} is a number of days from 0 to {_LONGEST_DAYS}")
    usual = OutboxSettings()
    found = OutboxSettings(
        content_days=section.get("content-days", usual.content_days),
        rows_days=section.get("rows-days", max(usual.rows_days, section.get("content-days", 0))),
        in_flight=in_flight,
    )
    if found.rows_days < found.content_days:
        raise _wrong("rows-days is less than content-days")
    return found


def _section(path: Path, name: str, known: frozenset[str]) -> dict[str, Any]:
    import tomllib

    try:
        value: dict[str, Any] = tomllib.loads(files.read(path, limit=_LIMIT).decode())
    except FileNotFoundError:
        return {}
    except (ValueError, UnicodeDecodeError):
        raise _wrong("it is not TOML") from None
    strange = sorted(set(value) - set(_SECTIONS))
    if strange:
        raise _wrong(f"it has no section {', '.join(strange)}; known: {', '.join(_SECTIONS)}")
    section = value.get(name, {})
    if not isinstance(section, dict):
        raise _wrong(f"{name} is a section: [{name}]")
    unknown = sorted(set(section) - known)
    if unknown:
        raise _wrong(f"[{name}] has no {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    return dict(section)


def _checked(webhook: str) -> str:
    if not webhook:
        return ""
    try:
        parts = urlsplit(webhook)
        host = parts.hostname
    except ValueError:
        parts, host = urlsplit(""), None
    if not host or not webhook.isprintable() or " " in webhook:
        raise _wrong("the webhook is not an address")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK):
        raise _wrong("the webhook is not https (http only for this machine)")
    return webhook


def _wrong(why: str) -> ConfigurationError:
    return ConfigurationError(f"The settings ({FILE}, {VARIABLE}) cannot be used: {why}.", code="settings")
