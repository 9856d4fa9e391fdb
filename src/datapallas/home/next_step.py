"""The one obvious next step of a person who sets a mailbox up. Pure: a door shows it and decides nothing."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import TYPE_CHECKING

from datapallas.connection.finding import Severity
from datapallas.connection.model import Provider
from datapallas.home.overview import Health

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datapallas.connection.finding import Finding

PROVIDER_NAMES = {
    Provider.NONE: "the mail server",
    Provider.MICROSOFT: "Microsoft",
    Provider.GOOGLE: "Google",
    Provider.GENERIC: "your provider",
}
"""Providers as a sentence calls them."""


class Doing(StrEnum):
    """What is to be done next."""

    FIX = "fix"
    FILL = "fill"
    SIGN_IN = "sign-in"
    SAVE = "save"
    TEST = "test"


@dataclasses.dataclass(frozen=True, slots=True)
class NextStep:
    """What to do next, in a sentence, and the field it is about; no field when it is about none."""

    doing: Doing
    sentence: str
    field: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the person has come.

    Attributes:
        provider: who signs in.
        saved: what stands in the form is what is stored.
        health: of the stored connection; None when nothing is stored.
        ends_sign_in: saving what stands in the form would end the stored sign-in.
        app_only: nobody signs in.
    """

    provider: Provider
    saved: bool
    health: Health | None
    ends_sign_in: bool = False
    app_only: bool = False


def next_step(findings: Sequence[Finding], progress: Progress) -> NextStep:
    """The next step: correct what is wrong, fill in what is missing, sign in, save, try it; in this order."""
    for severity, doing in ((Severity.ERROR, Doing.FIX), (Severity.MISSING, Doing.FILL)):
        found = next((finding for finding in findings if finding.severity is severity), None)
        if found is not None:
            return NextStep(doing, found.sentence, found.field)
    name = PROVIDER_NAMES[progress.provider]
    if progress.provider is not Provider.NONE and not progress.app_only:
        if progress.health is Health.PARKED:
            return NextStep(
                Doing.SIGN_IN, f"{name.capitalize()} refuses the stored sign-in. Sign in again.", "sign-in"
            )
        if progress.health not in {Health.CONNECTED, Health.REFUSED} or progress.ends_sign_in:
            return NextStep(Doing.SIGN_IN, f"Sign in with {name}. That saves the connection too.", "sign-in")
    if not progress.saved:
        return NextStep(Doing.SAVE, "Save what you changed.")
    return NextStep(Doing.TEST, "This mailbox is ready. Send a test email to see that it works.")
