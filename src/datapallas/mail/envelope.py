"""Sender and recipients as the server sees them, and what happened to each.

Must stay true: every recipient of an envelope has exactly one outcome in its receipt, with the server's own words;
"accepted" means that the mail server took the message over (RFC 5321 section 6.1), never that it was delivered.
"""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from datapallas.errors import MessageError, RecipientsRefused
from datapallas.smtp.address import wire

if TYPE_CHECKING:
    from datapallas.errors import DataPallasError


class Outcome(StrEnum):
    """What happened to one recipient.

    ACCEPTED: the server took it over. DEFERRED: not now; the same again later may work. REFUSED: not like this.
    UNKNOWN: the connection ended between the last octet and the answer (RFC 1047): sent or not, nobody can say, and
    it is never sent again by itself. PARKED: stopped until a person does something.
    """

    ACCEPTED = "ACCEPTED"
    DEFERRED = "DEFERRED"
    REFUSED = "REFUSED"
    UNKNOWN = "UNKNOWN"
    PARKED = "PARKED"


@dataclasses.dataclass(frozen=True, slots=True)
class Envelope:
    """Who the server is told, whatever the headers say.

    Attributes:
        sender: where notices of failure go (RFC 5321 section 4.1.1.2); empty for none.
        recipients: at least one; a recipient given twice counts once.

    Raises AddressError, or MessageError when there is no recipient.
    """

    sender: str
    recipients: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.recipients:
            raise MessageError("The envelope has no recipient.", code="no-recipient")
        put = object.__setattr__
        put(self, "sender", wire(self.sender) if self.sender else "")
        put(self, "recipients", tuple(dict.fromkeys([wire(address) for address in self.recipients])))

    @property
    def smtputf8(self) -> bool:
        """True when an address needs SMTPUTF8 (RFC 6531)."""
        return not (self.sender.isascii() and all(map(str.isascii, self.recipients)))


@dataclasses.dataclass(frozen=True, slots=True)
class RecipientOutcome:
    """What happened to one recipient.

    Attributes:
        address: as in the envelope.
        outcome: see Outcome.
        reply: what the server said that decided it, such as ``250 2.6.0 Queued``; empty when it said nothing.
        error: why it was not accepted; None when it was.
    """

    address: str
    outcome: Outcome
    reply: str
    error: DataPallasError | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Receipt:
    """What happened to one message.

    Attributes:
        message_id: with its angle brackets.
        envelope: sender and recipients.
        outcomes: one for each recipient, in the envelope's order.
        server: ``host:port`` that answered.
        sent_at: when the answer came, ISO 8601, UTC.
    """

    message_id: str
    envelope: Envelope
    outcomes: tuple[RecipientOutcome, ...]
    server: str
    sent_at: str

    @property
    def accepted(self) -> tuple[RecipientOutcome, ...]:
        """Those the server took over."""
        return tuple([one for one in self.outcomes if one.outcome is Outcome.ACCEPTED])

    @property
    def refused(self) -> tuple[RecipientOutcome, ...]:
        """All others: deferred, refused, unknown, parked."""
        return tuple([one for one in self.outcomes if one.outcome is not Outcome.ACCEPTED])

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON has it: texts, numbers, lists."""
        return {
            "message_id": self.message_id,
            "sent_at": self.sent_at,
            "server": self.server,
            "sender": self.envelope.sender,
            "recipients": [
                {
                    "address": one.address,
                    "outcome": one.outcome.value.lower(),
                    "reply": one.reply,
                    "error": one.error.code if one.error else None,
                    "transient": bool(one.error and one.error.transient),
                }
                for one in self.outcomes
            ],
        }

    def raise_if_nobody(self) -> Receipt:
        """Give the receipt itself, or raise RecipientsRefused when not one recipient was accepted."""
        if any(one.outcome is Outcome.ACCEPTED for one in self.outcomes):
            return self
        first = self.outcomes[0]
        unknown = any(one.outcome is Outcome.UNKNOWN for one in self.outcomes)
        who = first.address if len(self.outcomes) == 1 else f"{len(self.outcomes)} recipients"
        if unknown:
            sentence = (
                f"The connection ended before {self.server} said whether it took the message for {who};"
                " it may have been sent, and it was not sent again."
            )
        else:
            sentence = f"The mail server {self.server} did not accept the message for {who}."
        raw = (first.error.raw if first.error else "") or first.reply
        transient = all(one.outcome is Outcome.DEFERRED for one in self.outcomes)
        problem = RecipientsRefused(sentence, receipt=self, transient=transient, raw=raw)
        problem.facts.update(first.error.facts if first.error else {})
        if unknown:
            problem.code = "outcome-unknown"
        raise problem from first.error
