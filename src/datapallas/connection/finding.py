"""One thing that is wrong with the values of a connection, or missing: what advice is made of.

Must stay true: a sentence never repeats what a person typed; so a secret typed into the wrong field is not shown.
"""

from __future__ import annotations

import dataclasses
from enum import StrEnum


class Severity(StrEnum):
    """ERROR cannot work. WARNING is probably not what was meant. MISSING has to be filled in yet."""

    ERROR = "error"
    WARNING = "warning"
    MISSING = "missing"


class Before(StrEnum):
    """What a missing value is needed for."""

    SIGN_IN = "sign-in"
    SENDING = "sending"


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and what to do.

    Attributes:
        field: a name of `fields.FIELDS`, or ``provider``, ``password`` or ``client-secret``.
        severity: see Severity.
        sentence: for a person who never heard of OAuth2; one or two sentences.
        before: what a MISSING value is needed for; None for the others.
    """

    field: str
    severity: Severity
    sentence: str
    before: Before | None = None


def error(field: str, sentence: str) -> Finding:
    """Something that cannot work."""
    return Finding(field, Severity.ERROR, sentence)


def warning(field: str, sentence: str) -> Finding:
    """Something that is probably not what was meant."""
    return Finding(field, Severity.WARNING, sentence)


def missing(field: str, before: Before, sentence: str) -> Finding:
    """Something that has to be filled in yet."""
    return Finding(field, Severity.MISSING, sentence, before)
