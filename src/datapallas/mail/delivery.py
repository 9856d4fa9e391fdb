"""How one message goes over SMTP sessions: when to open one, what to try again, and what each reply means.

A generator that yields what is to be done and is sent, or thrown, what came of it; the two transports drive it. No
socket, no clock, no thread is here.

Must stay true:
- a message is handed over again only when the server cannot have it: when the connection ends after the last octet
  and before the answer, the outcome is UNKNOWN (RFC 1047);
- a refused token is renewed once and tried once more, never again (535 counts against the account);
- a connection that was kept open and turns out to be dead is replaced once; one that was just opened is not.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from datapallas.errors import DataPallasError, ProtocolError, SmtpRefused, Unreachable
from datapallas.mail.envelope import Outcome, RecipientOutcome

if TYPE_CHECKING:
    from datapallas.mail.envelope import Envelope
    from datapallas.smtp.reply import Reply
    from datapallas.smtp.target import Sent

MAX_RECIPIENTS = 500
"""Recipients of one transaction: what Exchange Online takes (facts: 500); others say 452 4.5.3 when they take fewer."""
STALE = 5.0
"""Seconds after which an idle session is asked whether it lives; below, a closed one shows by itself."""
_BAD_CREDENTIALS = 535
_CLOSING = 421
_TOO_MANY = 452


class Open(NamedTuple):
    """Open a session, in place of the one there may be; `force`: with a token that was made just now."""

    force: bool = False


class Check(NamedTuple):
    """Ask the session whether it lives; an exception when it does not."""


class Send(NamedTuple):
    """Send the message to these recipients over the session; gives what the server said."""

    recipients: Sequence[str]


Step = Open | Check | Send
T = TypeVar("T")
Steps = Generator[Step, "Sent | None", T]
Outcomes = dict[str, RecipientOutcome]


def delivery(
    envelope: Envelope, *, kept: bool, stale: bool, bearer: bool
) -> Steps[tuple[RecipientOutcome, ...]]:
    """Send one message to all recipients of an envelope.

    Args:
        envelope: sender and recipients.
        kept: there is a session from before.
        stale: it was idle so long that it must be asked first.
        bearer: the login is a token, which can be renewed.

    Returns one outcome for each recipient. Raises DataPallasError when nothing was handed over to anyone and the
    reason is not this message's: no connection, no sign-in.
    """
    outcomes: Outcomes = {}
    session = _Session(kept=kept, bearer=bearer)
    if kept and stale:
        yield from session.check()
    pending: Sequence[str] = envelope.recipients
    while pending:
        batch, rest = pending[:MAX_RECIPIENTS], pending[MAX_RECIPIENTS:]
        try:
            sent = yield from session.send(batch)
        except DataPallasError as error:
            if _after_body(error):
                outcomes |= _unknown(batch, error)
                pending = rest
                continue
            if not outcomes and not _about_sender(error):
                raise
            outcomes |= failed(pending, error)
            break
        again = _read(batch, sent, outcomes)
        pending = (*again, *rest)
    return tuple([outcomes[one] for one in envelope.recipients])


def judged(recipients: Sequence[str], result: Sent | DataPallasError) -> Outcomes | DataPallasError | None:
    """Say what became of a message that was one of several in flight.

    Returns outcomes, of fewer than all `recipients` when some were only too many for one transaction; the error that
    `delivery` would raise; or None: nothing of it was sent, because the session ended, and it may go once more.
    """
    if not isinstance(result, DataPallasError):
        final = result.final
        if len(recipients) == 1 and final is not None and final.code < 300 > result.recipients[0].code:  # noqa: PLR2004
            return {recipients[0]: RecipientOutcome(recipients[0], Outcome.ACCEPTED, _words(final))}
        outcomes: Outcomes = {}
        _read(recipients, result, outcomes)
        return outcomes
    if _after_body(result):
        return _unknown(recipients, result)
    if _over(result) and isinstance(result, Unreachable | ProtocolError | SmtpRefused):
        return None
    return failed(recipients, result) if _about_sender(result) else result


class _Session:
    """The one session a delivery uses at a time, and what may still be tried with it."""

    def __init__(self, *, kept: bool, bearer: bool) -> None:
        self._open = kept
        self._kept = kept
        self._renewable = bearer

    def check(self) -> Steps[None]:
        """Drop a session that does not answer."""
        try:
            yield Check()
        except DataPallasError:
            self._open = False

    def send(self, recipients: Sequence[str]) -> Steps[Sent]:
        """Send to `recipients`, with what may be tried again tried again."""
        try:
            sent = yield from self._send(recipients)
        except (Unreachable, ProtocolError, SmtpRefused) as error:
            if not self._kept or _after_body(error) or not _over(error):
                self._open = not _over(error)
                raise
            self._open = self._kept = False
            sent = yield from self._send(recipients)
        self._kept = True  # it has served: from now on it is an old one
        return sent

    def _send(self, recipients: Sequence[str]) -> Steps[Sent]:
        if not self._open:
            yield from self._sign_in()
            self._open = True
        sent = yield Send(recipients)
        assert sent is not None  # noqa: S101 - what a driver answers to Send
        return sent

    def _sign_in(self) -> Steps[None]:
        self._kept = False
        try:
            yield Open()
        except SmtpRefused as refusal:
            if not (self._renewable and refusal.step == "AUTH" and refusal.reply_code == _BAD_CREDENTIALS):
                raise
            self._renewable = False
            yield Open(force=True)


def _read(batch: Sequence[str], sent: Sent, outcomes: Outcomes) -> list[str]:
    """Note the outcomes of one transaction; give the recipients that were only too many for it."""
    again = []
    taken = sent.final is not None and sent.final.positive
    for address, reply in zip(batch, sent.recipients, strict=True):
        if not reply.positive:
            if taken and reply.code == _TOO_MANY and reply.enhanced in {"", "4.5.3"}:
                again.append(
                    address
                )  # RFC 5321 section 4.5.3.1.10; the transaction took others, so this ends
            else:
                outcomes[address] = _refused(address, "RCPT", reply)
        elif sent.final is not None and sent.final.positive:
            outcomes[address] = RecipientOutcome(address, Outcome.ACCEPTED, _words(sent.final))
        else:
            outcomes[address] = _refused(address, "message", sent.final or reply)
    return again


def _refused(address: str, step: str, reply: Reply) -> RecipientOutcome:
    error = SmtpRefused(
        f"The mail server refused {'the recipient ' + address if step == 'RCPT' else 'the message'}: {_words(reply)}",
        step=step,
        reply_code=reply.code,
        enhanced=reply.enhanced,
        text=reply.text,
        recipient=address,
    )
    return RecipientOutcome(address, _by_class(error), _words(reply), error)


def failed(recipients: Sequence[str], error: DataPallasError) -> Outcomes:
    """Nobody answered for these recipients; what stopped the transaction stopped it for all."""
    said = error.raw if isinstance(error, SmtpRefused) else ""
    return {one: RecipientOutcome(one, _by_class(error), said, error) for one in recipients}


def _unknown(recipients: Sequence[str], error: DataPallasError) -> Outcomes:
    return {one: RecipientOutcome(one, Outcome.UNKNOWN, "", error) for one in recipients}


def _by_class(error: DataPallasError) -> Outcome:
    return Outcome.DEFERRED if error.transient else Outcome.REFUSED


def _words(reply: Reply) -> str:
    return f"{reply.code} {reply.text}"


def _after_body(error: DataPallasError) -> bool:
    return error.facts.get("after_body") == "yes"


def _over(error: DataPallasError) -> bool:
    """The session is of no more use."""
    return not isinstance(error, SmtpRefused) or error.reply_code == _CLOSING


def _about_sender(error: DataPallasError) -> bool:
    return isinstance(error, SmtpRefused) and error.step == "MAIL"
