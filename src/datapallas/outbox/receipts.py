"""What the ledger knows of a message, as the receipt or the error a sending gives. Pure.

Must stay true: what is raised for a message that nobody took is what a sending straight to the server would raise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.errors import ConfigurationError, SmtpRefused, Unreachable
from datapallas.mail.envelope import Envelope, Outcome, Receipt, RecipientOutcome
from datapallas.oauth.clock import iso
from datapallas.outbox.tables import Fate
from datapallas.outbox.verdict import OPENING, Pause

if TYPE_CHECKING:
    from datapallas.errors import DataPallasError
    from datapallas.outbox.single import Person, Standing

STOPPED = (Pause.SIGN_IN.value, Pause.CONFIGURATION.value, Pause.SENDER.value)
"""Pauses after which a person must act: whoever waits for the message is told at once."""
_SURE = {
    Fate.ACCEPTED: Outcome.ACCEPTED,
    Fate.REFUSED: Outcome.REFUSED,
    Fate.UNKNOWN: Outcome.UNKNOWN,
}


def settled(standing: Standing) -> Receipt:
    """Give the receipt of a message that is done, or was taken back; raises what a sending would raise.

    Raises RecipientsRefused, with the receipt, when the server took it for nobody; any other DataPallasError when it
    was handed over to nobody.
    """
    found = receipt(standing)
    if not found.accepted:
        stopped = _stopped(standing)
        if stopped is not None:
            _name(standing, stopped)
            raise stopped
    for one in found.refused:
        if one.error is not None:
            _name(standing, one.error)
    return found.raise_if_nobody()


def receipt(standing: Standing) -> Receipt:
    """The receipt as it is by now; what has no outcome yet is deferred, refused or parked, by its error."""
    at = max((one.at for one in standing.people), default=0.0)
    return Receipt(
        message_id=standing.message_id,
        envelope=Envelope(standing.sender, tuple([one.address for one in standing.people])),
        outcomes=tuple([_outcome(one) for one in standing.people]),
        server=standing.server,
        sent_at=iso(at) if at else "",
    )


def _outcome(person: Person) -> RecipientOutcome:
    if person.fate in _SURE:
        return RecipientOutcome(person.address, _SURE[person.fate], person.reply, person.problem)
    outcome = Outcome.PARKED
    if person.problem is not None:
        outcome = Outcome.DEFERRED if person.problem.transient else Outcome.REFUSED
    return RecipientOutcome(person.address, outcome, person.reply, person.problem)


def _stopped(standing: Standing) -> DataPallasError | None:
    """Why nothing was handed over; None when the server answered about these recipients."""
    if any(one.fate is Fate.UNKNOWN for one in standing.people):
        return None
    error = next((one.problem for one in standing.people if one.problem is not None), None)
    if error is None:
        return _waiting(standing)
    about_message = isinstance(error, SmtpRefused) and error.step not in OPENING
    return None if about_message else error


def _waiting(standing: Standing) -> DataPallasError:
    """It was not even tried: its mailbox is paused, or rests."""
    if standing.pause in STOPPED and standing.problem is not None:
        return standing.problem
    if standing.pause or not standing.waits:
        return ConfigurationError(
            f"The mailbox or the job is paused ({standing.pause or 'job'}); the message was not sent.",
            code="mailbox-paused",
        )
    return Unreachable(
        f"The mailbox rests for {round(standing.waits)} seconds more; the message was not sent.",
        code="mailbox-rests",
        raw=standing.problem.raw if standing.problem else "",
    )


def _name(standing: Standing, problem: DataPallasError) -> None:
    """Whatever is refused is told with the sender of this message, which need not be the connection's."""
    if standing.sender:
        problem.facts.setdefault("sender", standing.sender)
