"""Everything that can go wrong, as one tree.

An error carries what was said, as it was said; it is explained only when it is shown (`datapallas.explain`).
So a better catalogue also explains old failures. Three questions every error answers:
whose business is it (its class), does it pass by itself (`transient`), what does a script see (`exit_code`).

    DataPallasError                  70  the root, and our own faults
    ├── UsageError                   64  asked for something that has no meaning
    ├── MessageError                 65  this message cannot be sent by anyone
    │   ├── AddressError                 an address that is not one
    │   └── AttachmentError              a file that is not there, or not readable
    ├── RowsError                    65  the rows of a report cannot be read; file, line and reason
    ├── ConfigurationError           78  a file, a setting or a key must be changed by a person
    │   ├── UnknownConnection            no connection has this code; the known ones are named
    │   ├── NoDefaultConnection          none, or more than one, where one is needed
    │   ├── BrokenConnection             a file that cannot be read; line and reason
    │   ├── KeyProblem                   the master key is missing, exposed, wrong or doubled
    │   └── SealBroken                   a sealed value does not open, or was sealed for something else
    ├── StorageError              75/78  disk full, locked too long; a right that is missing (78); nothing was lost
    ├── SignInError                  77  a person must sign in (again)
    │   ├── NotSignedIn                  never signed in, or signed out
    │   ├── Parked                       the provider refused the refresh token; kept, not deleted
    │   ├── SignInAborted                timed out, cancelled, refused by the person or the provider
    │   └── SignInRejected               it worked, but for the wrong account, or with too few rights
    ├── TokenRefused              75/77/78  a token or device endpoint answered with an error
    ├── Unreachable                  75  DNS, connect, time-out, closed: no answer
    ├── TlsRefused                   78  a certificate, name or protocol version that is not safe
    ├── SmtpRefused               75/77/69  a mail server answered 4yz or 5yz
    ├── SmtpUnsupported              69  the server lacks an extension this message needs
    ├── ProtocolError                75  the other side broke the protocol
    └── RecipientsRefused         75/69  not one recipient was accepted; carries the receipt

No secret is ever put in a message, a fact or the raw text: whoever raises masks first.
"""

from __future__ import annotations

from typing import ClassVar

# sysexits.h, the codes a mail program is expected to use; documented in docs/exit-codes.md.
EX_USAGE, EX_DATAERR, EX_UNAVAILABLE, EX_SOFTWARE = 64, 65, 69, 70
EX_TEMPFAIL, EX_NOPERM, EX_CONFIG = 75, 77, 78


class DataPallasError(Exception):
    """What failed, in one sentence, with what the other side said.

    Attributes:
        message: one sentence, for a person; no secrets.
        code: the name the catalogue knows this failure by, such as ``unknown-connection``.
        raw: what the other side or the system said, unchanged but for masked secrets; may be empty.
        facts: names and values that make the advice exact, such as the file, the line, the mailbox.
        transient: True when trying again later, with nothing changed, can succeed.
        exit_code: what a command ends with (sysexits).
    """

    code: str = "internal"
    exit_code: int = EX_SOFTWARE
    transient: bool = False

    def __init__(self, message: str, *, code: str | None = None, raw: str = "", **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.raw = raw
        self.facts: dict[str, str] = {name: str(value) for name, value in facts.items()}
        if code is not None:
            self.code = code


class UsageError(DataPallasError):
    """Asked for something that has no meaning."""

    code, exit_code = "usage", EX_USAGE


class MessageError(DataPallasError):
    """This message cannot be sent by anyone: no recipient, a line break in a header, a bad address."""

    code, exit_code = "message", EX_DATAERR


class AddressError(MessageError):
    """An address that is not one (RFC 5321 section 4.1.2, RFC 6531)."""

    code = "address"


class AttachmentError(MessageError):
    """An attachment that is missing, unreadable, or that changed while it was read."""

    code = "attachment"


class RowsError(DataPallasError):
    """The rows of a report cannot be read at all. Facts: `file`, `line` (from 1, or empty), `reason`, `case`."""

    code, exit_code = "rows", EX_DATAERR


class ConfigurationError(DataPallasError):
    """A file, a setting or a key must be changed by a person."""

    code, exit_code = "configuration", EX_CONFIG


class UnknownConnection(ConfigurationError):
    """No connection has this code. `known` names the ones there are."""

    code = "unknown-connection"


class NoDefaultConnection(ConfigurationError):
    """No default connection, or several, where exactly one is needed. The files are named."""

    code = "no-default-connection"


class BrokenConnection(ConfigurationError):
    """A connection file that cannot be read. Facts: `path`, `line` (1-based, or empty), `reason`."""

    code = "broken-connection"


class KeyProblem(ConfigurationError):
    """The master key is missing, exposed, wrong, or two sources disagree."""

    code = "key"


class SealBroken(ConfigurationError):
    """A sealed value that does not open, or that was sealed for another file, field, server or mailbox."""

    code = "seal-broken"


class StorageError(DataPallasError):
    """The disk is full, a lock was not free in time, or a right is missing (then 78: waiting gives none). Nothing was lost."""

    code, exit_code, transient = "storage", EX_TEMPFAIL, True


class SignInError(DataPallasError):
    """A person must sign in (again)."""

    code, exit_code = "sign-in", EX_NOPERM


class NotSignedIn(SignInError):
    """Nobody has signed in to this connection yet, or it was signed out."""

    code = "not-signed-in"


class Parked(SignInError):
    """The provider refused the stored sign-in. It is kept, not deleted; a new sign-in un-parks it."""

    code = "parked"


class SignInAborted(SignInError):
    """The sign-in did not end with a code: timed out, cancelled, or refused at the provider."""

    code = "sign-in-aborted"


class SignInRejected(SignInError):
    """The sign-in worked, but for another account, or with less than was asked. Nothing was stored."""

    code = "sign-in-rejected"


class TokenRefused(DataPallasError):
    """An OAuth2 endpoint answered with an error (RFC 6749 section 5.2).

    Attributes:
        error: the RFC's own word, such as ``invalid_grant``; empty when the body had none.
        description: `error_description` as it came.
        status: the HTTP status.
        error_codes: Microsoft's AADSTS numbers, or empty.
        correlation_id: what the provider's support asks for, or empty.
        retry_after: seconds the provider asked us to wait, or None.
    """

    code = "token-refused"
    # Temporary by their own documents: the ten AADSTS codes Microsoft lists as "retry" (diagnoses.md) and RFC 6749 4.1.2.1.
    TEMPORARY_AADSTS: ClassVar[frozenset[int]] = frozenset(
        {50033, 50087, 50196, 90006, 90012, 90024, 90033, 90055}
    )
    TEMPORARY: ClassVar[frozenset[str]] = frozenset({"server_error", "temporarily_unavailable", "slow_down"})
    CONFIGURATION: ClassVar[frozenset[str]] = frozenset(
        {"invalid_client", "invalid_request", "invalid_scope", "invalid_target", "unauthorized_client",
         "unsupported_grant_type"}
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - the fields of one answer
        self,
        message: str,
        *,
        error: str = "",
        description: str = "",
        status: int = 400,
        error_codes: tuple[int, ...] = (),
        correlation_id: str = "",
        retry_after: float | None = None,
        raw: str = "",
        **facts: str,
    ) -> None:
        super().__init__(message, raw=raw or description, **facts)
        self.error = error
        self.description = description
        self.status = status
        self.error_codes = error_codes
        self.correlation_id = correlation_id
        self.retry_after = retry_after
        self.transient = (
            status == 429  # noqa: PLR2004 - RFC 6585: too many requests
            or status >= 500  # noqa: PLR2004
            or error in self.TEMPORARY
            or bool(self.TEMPORARY_AADSTS.intersection(error_codes))
        )
        if self.transient:
            self.exit_code = EX_TEMPFAIL
        else:
            self.exit_code = EX_CONFIG if error in self.CONFIGURATION else EX_NOPERM


class Unreachable(DataPallasError):
    """No answer. Facts: `host`, `port`, and `phase`: dns, connect, timeout, closed, proxy."""

    code, exit_code, transient = "unreachable", EX_TEMPFAIL, True


class TlsRefused(DataPallasError):
    """The other side could not prove who it is, or offers no safe TLS. Nothing secret was sent."""

    code, exit_code = "tls", EX_CONFIG


class SmtpRefused(DataPallasError):
    """A mail server refused a step.

    Attributes:
        step: the command that was refused: connect, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, message.
        reply_code: three digits (RFC 5321 section 4.2).
        enhanced: RFC 3463 status such as ``5.7.139``, or empty.
        text: the server's words, lines joined by a line feed.
        challenge: the JSON a server sent inside a 334 refusal (RFC 7628 section 3.2.2), or empty.
    """

    code = "smtp-refused"

    def __init__(  # noqa: PLR0913 - the fields of one reply
        self,
        message: str,
        *,
        step: str,
        reply_code: int,
        enhanced: str = "",
        text: str = "",
        challenge: str = "",
        **facts: str,
    ) -> None:
        raw = f"{reply_code} {text}" + (f" {challenge}" if challenge else "")
        super().__init__(message, raw=raw, **facts)
        self.step = step
        self.reply_code = reply_code
        self.enhanced = enhanced
        self.text = text
        self.challenge = challenge
        self.transient = 400 <= reply_code < 500  # noqa: PLR2004 - RFC 5321 section 4.2.1
        if self.transient:
            self.exit_code = EX_TEMPFAIL
        else:
            self.exit_code = EX_NOPERM if step == "AUTH" else EX_UNAVAILABLE


class SmtpUnsupported(DataPallasError):
    """The server lacks an extension that this message or sign-in needs; nothing was sent. Fact: `extension`."""

    code, exit_code = "smtp-unsupported", EX_UNAVAILABLE


class ProtocolError(DataPallasError):
    """The other side broke the protocol: an endless line, a reply nobody asked for, something that is not HTTP."""

    code, exit_code, transient = "protocol", EX_TEMPFAIL, True


class RecipientsRefused(DataPallasError):
    """Not one recipient was accepted. `receipt` is a `datapallas.mail.envelope.Receipt` and tells each reply."""

    code, exit_code = "recipients-refused", EX_UNAVAILABLE

    def __init__(self, message: str, *, receipt: object, transient: bool, raw: str = "") -> None:
        super().__init__(message, raw=raw)
        self.receipt = receipt
        self.transient = transient
        if transient:
            self.exit_code = EX_TEMPFAIL
