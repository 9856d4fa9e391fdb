"""The envelope while it is agreed on: sender, recipients, and the parameters we know (RFC 1870, 6152, 6531, 4954).

Must stay true: a parameter that is not offered is refused, never ignored.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from datapallas.smtp.server import words
from datapallas.smtp.server.content import TOO_BIG
from datapallas.smtp.server.policy import Taken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from datapallas.smtp.address import Address
    from datapallas.smtp.command import Command
    from datapallas.smtp.reply import Reply
    from datapallas.smtp.server.policy import Offer


@dataclasses.dataclass(slots=True)
class Transaction:
    """One message on its way in."""

    sender: Address | None = None
    smtputf8: bool = False
    eightbit: bool = False
    recipients: list[Address] = dataclasses.field(default_factory=list)

    @classmethod
    def of(cls, sender: Address | None, params: Mapping[str, str]) -> Transaction:
        """Begin one from a MAIL command that was accepted."""
        return cls(sender, "SMTPUTF8" in params, params.get("BODY", "").upper() == "8BITMIME")

    def taken(self, user: str) -> Taken:
        """The envelope as agreed."""
        return Taken(self.sender, tuple(self.recipients), user, self.smtputf8, self.eightbit)


def wrong_with_mail(command: Command, offer: Offer) -> Reply | None:
    """Why a MAIL command cannot be, whoever sends it; None when it can."""
    for name, value in command.params.items():
        known = _MAIL.get(name)
        if known is None or not getattr(offer, known):
            return words.PARAMETER
        if not _VALUES[name](value):
            return words.PARAMETER_VALUE
    if command.address and not command.address.is_ascii and "SMTPUTF8" not in command.params:
        return words.NEEDS_SMTPUTF8
    return TOO_BIG if int(command.params.get("SIZE", "0")) > offer.size else None


def wrong_with_recipient(command: Command, mail: Transaction, limit: int) -> Reply | None:
    """Why a RCPT command cannot be in this transaction; None when it can."""
    if command.params:
        return words.PARAMETER
    if command.address and not command.address.is_ascii and not mail.smtputf8:
        return words.NEEDS_SMTPUTF8
    return words.TOO_MANY_RECIPIENTS if len(mail.recipients) >= limit else None


# A parameter of MAIL to the field of `Offer` that announces it, and what its value may be.
_MAIL = {"SIZE": "announce_size", "BODY": "eightbit", "SMTPUTF8": "smtputf8", "AUTH": "mechanisms"}
_VALUES: Mapping[str, Callable[[str], bool]] = {
    "SIZE": lambda value: value.isascii() and value.isdigit() and len(value) <= 20,  # noqa: PLR2004 - RFC 1870 section 3
    "BODY": lambda value: value.upper() in {"7BIT", "8BITMIME"},  # BINARYMIME (RFC 3030) is not offered
    "SMTPUTF8": lambda value: not value,
    "AUTH": bool,  # RFC 4954 section 5: taken, and not passed on
}
