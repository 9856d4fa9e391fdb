"""Send mail through Microsoft 365, Gmail and any OAuth2 mailbox.

    import datapallas

    with datapallas.open("eml-office365") as mailbox:
        receipt = mailbox.send(datapallas.Message(to="a@x.example", subject="Figures", text="..."))

`async with` works the same, with `await mailbox.send(...)`. Everything public is a name of this module; it is
imported when it is first used, so that a command which needs little starts quickly. Details: docs/library.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datapallas.diagnosis.explain import Diagnosis, explain
    from datapallas.errors import (
        AddressError,
        AttachmentError,
        BrokenConnection,
        ConfigurationError,
        DataPallasError,
        KeyProblem,
        MessageError,
        NoDefaultConnection,
        NotSignedIn,
        Parked,
        ProtocolError,
        RecipientsRefused,
        RowsError,
        SealBroken,
        SignInAborted,
        SignInError,
        SignInRejected,
        SmtpRefused,
        SmtpUnsupported,
        StorageError,
        TlsRefused,
        TokenRefused,
        UnknownConnection,
        Unreachable,
        UsageError,
    )
    from datapallas.library import open  # noqa: A004 - datapallas.open, as gzip.open
    from datapallas.mail.attachment import Attachment
    from datapallas.mail.envelope import Outcome, Receipt, RecipientOutcome
    from datapallas.mail.message import Message

__version__ = "0.1.0"

__all__ = [
    "AddressError",
    "Attachment",
    "AttachmentError",
    "BrokenConnection",
    "ConfigurationError",
    "DataPallasError",
    "Diagnosis",
    "KeyProblem",
    "Message",
    "MessageError",
    "NoDefaultConnection",
    "NotSignedIn",
    "Outcome",
    "Parked",
    "ProtocolError",
    "Receipt",
    "RecipientOutcome",
    "RecipientsRefused",
    "RowsError",
    "SealBroken",
    "SignInAborted",
    "SignInError",
    "SignInRejected",
    "SmtpRefused",
    "SmtpUnsupported",
    "StorageError",
    "TlsRefused",
    "TokenRefused",
    "UnknownConnection",
    "Unreachable",
    "UsageError",
    "__version__",
    "explain",
    "open",
]

_PLACES = {
    "Attachment": "mail.attachment",
    "Diagnosis": "diagnosis.explain",
    "Message": "mail.message",
    "Outcome": "mail.envelope",
    "Receipt": "mail.envelope",
    "RecipientOutcome": "mail.envelope",
    "explain": "diagnosis.explain",
    "open": "library",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used; what has no other place is an error."""
    if name not in __all__:
        raise AttributeError(f"module 'datapallas' has no attribute {name!r}")
    value = getattr(import_module(f"datapallas.{_PLACES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, also those not imported yet."""
    return sorted({*globals(), *__all__})
