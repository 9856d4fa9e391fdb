"""What follows from how a sending ended: for each recipient, for the message, for the mailbox. Pure.

Must stay true: a permanent refusal of a recipient or a message is never tried again; a refusal of the *sender* is
nobody's refusal: the message waits with all others until a person has acted; a throttled mailbox loses nothing.
A row of the catalogue explains and never decides, so the few statuses that decide stand here.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import re
from typing import TYPE_CHECKING

from datapallas.errors import (
    ConfigurationError,
    DataPallasError,
    MessageError,
    SignInError,
    SmtpRefused,
    SmtpUnsupported,
    TlsRefused,
    TokenRefused,
    UsageError,
)
from datapallas.mail.envelope import Outcome
from datapallas.outbox.tables import Doubt, Fate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datapallas.mail.envelope import Receipt, RecipientOutcome


class Pause(enum.StrEnum):
    """Why a mailbox was paused. QUOTA ends by itself, SIGN_IN and CONFIGURATION too, and at once when the connection is changed."""

    PERSON = "person"
    SIGN_IN = "sign-in"
    CONFIGURATION = "configuration"
    SENDER = "sender"
    QUOTA = "quota"


PASSING = (Pause.SIGN_IN, Pause.CONFIGURATION)
"""Pauses that somebody may end elsewhere (an administrator, at the provider): they are tried again by themselves."""

UNTIL_RESUMED = (Pause.PERSON, Pause.SENDER)
"""Pauses that nothing ends but a person's word: whoever is told of one is told how to end it."""

QUOTA_SECONDS = 3600.0
"""How long a mailbox that has used its day is left alone before one message tries again."""

# https://learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-exchange-online/non-delivery-reports-in-exchange-online
# Who repeats a refused sender is throttled by 5.2.251 to 255, so the first one stops the mailbox.
_SENDER = frozenset(
    {
        "5.1.8", "5.2.251", "5.2.252", "5.2.253", "5.2.254", "5.2.255", "5.7.30", "5.7.57", "5.7.60", "5.7.139",
        "5.7.501", "5.7.502", "5.7.503", "5.7.705", "5.7.708", "5.7.750",
    }
)  # fmt: skip
_QUOTA = frozenset({"5.1.90", "5.2.121", "5.4.5"})  # 5.4.5: https://support.google.com/a/answer/3726730
_SENDER_WORDS = re.compile(
    r"SendAsDenied|not allowed to send as|permissions? to send as this sender", re.IGNORECASE
)
_QUOTA_WORDS = re.compile(r"SubmissionQuotaExceeded|daily (?:user )?sending (?:quota|limit)", re.IGNORECASE)
_TOO_LARGE = frozenset({"5.3.4", "5.2.3"})
_TOO_LARGE_CODE = 552
_THROTTLE_CODES = frozenset({421, 432})
_THROTTLE = re.compile(r"4\.3\.2|4\.7\.(?:[56]\d\d)|4\.5\.127")
_TEMPORARY_POLICY = re.compile(r"4\.7\.\d+")


@dataclasses.dataclass(frozen=True, slots=True)
class Person:
    """What became of one recipient."""

    position: int
    fate: Fate
    reply: str
    error: DataPallasError | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to be noted.

    Attributes:
        people: every recipient this message was still to be sent to.
        summary: one word for the list of attempts.
        error: why, for the mailbox's page; None when nothing is wrong with it.
        again: some recipients are to be tried again.
        counted: the try counts against the message's lifetime.
        throttled: the mailbox is to be left alone for a while, and then to send slower.
        pause: the mailbox is to be paused.
        doubtful: it is not known whether the server took it, and it is sent again.
        server: who answered.
        after: seconds the other side asked to be left alone for (Retry-After, RFC 9110 section 10.2.3); 0: it did not say.
    """

    people: tuple[Person, ...]
    summary: str
    error: DataPallasError | None = None
    again: bool = False
    counted: bool = True
    throttled: bool = False
    slower: bool = False
    pause: Pause | None = None
    doubtful: bool = False
    server: str = ""
    after: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What the verdict is about.

    Attributes:
        recipients: position and address of those still to be sent to.
        doubt: the job's policy.
        doubts: how often it was not known before.
        own_sender: the envelope's sender is the connection's, not one this message brought along.
    """

    recipients: Sequence[tuple[int, str]]
    doubt: Doubt = Doubt.RETRY
    doubts: int = 0
    own_sender: bool = True


def of_receipt(case: Case, receipt: Receipt) -> Verdict:
    """Judge what the server said to each recipient."""
    if len(receipt.outcomes) == len(case.recipients) == 1:
        (outcome,), ((place, _),) = receipt.outcomes, case.recipients
        if outcome.outcome is Outcome.ACCEPTED:  # by far the most; nothing else follows from it
            alone = Person(place, Fate.ACCEPTED, outcome.reply, None)
            return Verdict(people=(alone,), summary=Fate.ACCEPTED.value, server=receipt.server)
    for one in receipt.outcomes:
        if one.error is not None and one.outcome is not Outcome.UNKNOWN:
            stop = _about_mailbox(one.error, own_sender=case.own_sender)
            # What others were accepted for stays so: only a whole refusal is the mailbox's.
            if stop is not None and not receipt.accepted:
                return _held(case, one.error, stop, receipt.server)
    throttled = next((o.error for o in receipt.outcomes if asked_for_less(o.error)), None)
    found = {outcome.address: outcome for outcome in receipt.outcomes}
    people = tuple([_person(case, place, found[address]) for place, address in case.recipients])
    doubtful = any(o.outcome is Outcome.UNKNOWN and _fate(case, o) is Fate.DEFERRED for o in receipt.outcomes)
    return Verdict(
        people=people,
        summary=_summary(people),
        error=throttled,
        again=any(person.fate is Fate.DEFERRED for person in people),
        throttled=throttled is not None,
        slower=throttled is not None,
        doubtful=doubtful,
        server=receipt.server,
        after=asked_after(throttled),
    )


def of_error(case: Case, error: DataPallasError) -> Verdict:
    """Judge a sending that handed nothing over."""
    if isinstance(error, MessageError | SmtpUnsupported | UsageError):
        people = tuple([Person(place, Fate.REFUSED, "", error) for place, _ in case.recipients])
        return Verdict(people=people, summary="refused", error=None)
    stop = _about_mailbox(error, own_sender=case.own_sender)
    if stop is not None:
        return _held(case, error, stop)
    if isinstance(error, SmtpRefused) and not error.transient and error.step not in OPENING:
        people = tuple([Person(place, Fate.REFUSED, error.raw, error) for place, _ in case.recipients])
        return Verdict(people=people, summary="refused")
    if not error.transient:
        return _held(case, error, Pause.CONFIGURATION)
    people = tuple([Person(place, Fate.DEFERRED, _said(error), error) for place, _ in case.recipients])
    return Verdict(
        people=people,
        summary="deferred",
        error=error,
        again=True,
        throttled=True,
        slower=asked_for_less(error),
        after=asked_after(error),
    )


OPENING = frozenset({"connect", "EHLO", "STARTTLS", "TLS", "AUTH"})


def _held(case: Case, error: DataPallasError, pause: Pause, server: str = "") -> Verdict:
    people = tuple([Person(place, Fate.QUEUED, _said(error), error) for place, _ in case.recipients])
    return Verdict(
        people=people, summary="held", error=error, again=True, counted=False, pause=pause, server=server
    )


def _about_mailbox(error: DataPallasError, *, own_sender: bool) -> Pause | None:
    """Why this failure would meet every message of the mailbox; None when it is this message's, or passes."""
    if error.transient or isinstance(error, MessageError):
        return None
    if isinstance(error, SmtpRefused):
        return _about_sender(error, own_sender=own_sender)
    if isinstance(error, SignInError | TokenRefused):
        return Pause.SIGN_IN
    return Pause.CONFIGURATION if isinstance(error, ConfigurationError | TlsRefused) else None


def _about_sender(error: SmtpRefused, *, own_sender: bool) -> Pause | None:
    if error.step in OPENING:
        return Pause.SIGN_IN if error.step == "AUTH" else Pause.CONFIGURATION
    if error.enhanced in _QUOTA or _QUOTA_WORDS.search(error.text):
        return Pause.QUOTA
    sender = error.enhanced in _SENDER or _SENDER_WORDS.search(error.text) is not None
    too_large = error.enhanced in _TOO_LARGE or error.reply_code == _TOO_LARGE_CODE
    return Pause.SENDER if own_sender and (sender or (error.step == "MAIL" and not too_large)) else None


def asked_after(error: DataPallasError | None) -> float:
    """Seconds the other side asked to be left alone for; 0 when it did not say, or said something that is no number.

    A refused token knows them; whatever answers by HTTP (429) puts them into the fact `retry_after`.
    """
    said = getattr(error, "retry_after", None) if error is not None else None
    if said is None and error is not None:
        said = error.facts.get("retry_after")
    try:
        seconds = float(said or 0)
    except ValueError:
        return 0.0
    return seconds if 0 < seconds < math.inf else 0.0


def asked_for_less(error: DataPallasError | None) -> bool:
    """The other side wants to be left alone for a while: whatever a person does, it is."""
    if not isinstance(error, SmtpRefused) or not error.transient:
        return error is not None and error.transient and asked_after(error) > 0
    if error.reply_code in _THROTTLE_CODES or _THROTTLE.fullmatch(error.enhanced):
        return True
    # A recipient's own 4.7.1 is greylisting, and that recipient's alone.
    return error.step != "RCPT" and _TEMPORARY_POLICY.fullmatch(error.enhanced) is not None


def _person(case: Case, place: int, outcome: RecipientOutcome) -> Person:
    return Person(place, _fate(case, outcome), outcome.reply or _said(outcome.error), outcome.error)


def _fate(case: Case, outcome: RecipientOutcome) -> Fate:
    if outcome.outcome is Outcome.UNKNOWN:
        return Fate.DEFERRED if case.doubt is Doubt.RETRY and not case.doubts else Fate.UNKNOWN
    return {
        Outcome.ACCEPTED: Fate.ACCEPTED,
        Outcome.DEFERRED: Fate.DEFERRED,
        Outcome.REFUSED: Fate.REFUSED,
        Outcome.PARKED: Fate.PARKED,
    }[outcome.outcome]


def _summary(people: Sequence[Person]) -> str:
    fates = sorted({person.fate.value for person in people})
    return fates[0] if len(fates) == 1 else "mixed"


def _said(error: DataPallasError | None) -> str:
    return "" if error is None else error.raw or error.message
