"""What a person says: from, to, subject, bodies, attachments.

Must stay true: a Message that exists can be sent. Everything that could make it unsendable, or let data add a line,
a header or a recipient, is refused here with a sentence: MessageError, AddressError or AttachmentError.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from datapallas.errors import MessageError
from datapallas.mail.address import NamedAddress, control_in, parse_many, parse_one
from datapallas.mail.attachment import Attachment

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable
    from typing import TypeAlias

    from datapallas.connection.model import Connection
    from datapallas.mail.address import Addresses
    from datapallas.mail.attachment import Content

    Headers: TypeAlias = "Mapping[str, str] | Iterable[tuple[str, str]]"

_HEADER_NAME = re.compile(r"[!-9;-~]{1,64}")
_MESSAGE_ID = re.compile(r"[!-;=?A-~]{1,200}@[!-;=?A-~]{1,200}")
_CID = re.compile(r"[A-Za-z0-9!#$%&'*+=?^_`{|}~.@-]{1,200}")  # the slash is for paths
_YEAR_10000 = 253402300800  # RFC 5322 section 3.3 has four digits
_SURROGATE = re.compile(r"[\ud800-\udfff]")
# Headers that a field of Message writes, and where; the others are not a message's to say.
_FIELDS = {
    "from": "sender",
    "to": "to",
    "cc": "cc",
    "bcc": "bcc",
    "reply-to": "reply_to",
    "subject": "subject",
    "date": "date",
    "message-id": "message_id",
}
_STRUCTURAL = ("content-", "mime-", "resent-", "arc-", "dkim-")
_TRACE = frozenset({"received", "return-path", "sender", "authentication-results"})


@dataclasses.dataclass(frozen=True, slots=True, init=False, kw_only=True)
class Message:
    """One message. Nothing is sent, and no file but for its size is read, until a mailbox sends it.

    Args:
        to: one address, several in one text separated by commas, or a sequence with one address each;
            an address is ``a@x.example``, ``Name <a@x.example>`` or a NamedAddress.
        cc: as `to`.
        bcc: as `to`; these get the message and stand in no header.
        subject: any text of one line.
        text: the plain text body.
        html: the HTML body.
        attachments: paths, or Attachment for octets, streams and other names.
        inline: images the HTML shows as ``<img src="cid:NAME">``: a mapping of NAME to a path, octets or Attachment.
        reply_to: as `to`.
        headers: further headers, a mapping or pairs; never the ones the fields above write.
        sender: another From than the mailbox's own.
        message_id: empty: made when the message is sent.
        date: None: when the message is sent.

    Raises MessageError (no recipient, a line break in a header), AddressError or AttachmentError.
    """

    to: tuple[NamedAddress, ...]
    cc: tuple[NamedAddress, ...]
    bcc: tuple[NamedAddress, ...]
    subject: str
    text: str
    html: str
    attachments: tuple[Attachment, ...]
    inline: tuple[tuple[str, Attachment], ...]
    reply_to: tuple[NamedAddress, ...]
    headers: tuple[tuple[str, str], ...]
    sender: NamedAddress | None
    message_id: str
    date: dt.datetime | None

    def __init__(  # noqa: PLR0913 - the fields of one message, by name only
        self,
        *,
        to: Addresses = (),
        cc: Addresses = (),
        bcc: Addresses = (),
        subject: str = "",
        text: str = "",
        html: str = "",
        attachments: Iterable[Attachment | Content] = (),
        inline: Mapping[str, Attachment | Content] | Iterable[tuple[str, Attachment]] = (),
        reply_to: Addresses = (),
        headers: Headers = (),
        sender: str | NamedAddress | None = None,
        message_id: str = "",
        date: dt.datetime | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "to", parse_many(to))
        put(self, "cc", parse_many(cc) if cc else ())
        put(self, "bcc", parse_many(bcc) if bcc else ())
        if not (self.to or self.cc or self.bcc):
            raise MessageError("The message has no recipient: give to, cc or bcc.", code="no-recipient")
        put(self, "subject", _line("subject", subject))
        put(self, "text", _body("text", text))
        put(self, "html", _body("html", html))
        put(self, "attachments", _attachments(attachments))
        put(self, "inline", _inline(inline, html=bool(html)) if inline else ())
        put(self, "reply_to", parse_many(reply_to) if reply_to else ())
        put(self, "headers", _headers(headers) if headers else ())
        put(self, "sender", parse_one(sender) if sender else None)
        put(self, "message_id", _message_id(message_id) if message_id else "")
        put(self, "date", _date(date) if date else None)

    def replace(self, **changes: Any) -> Message:
        """Give a copy with other fields, checked like any message: what a mail merge needs."""
        return dataclasses.replace(self, **changes)

    @property
    def recipients(self) -> tuple[str, ...]:
        """Every address that gets the message, once, in the order given."""
        return tuple(dict.fromkeys([person.address for person in (*self.to, *self.cc, *self.bcc)]))


def test_message(connection: Connection, to: str) -> Message:
    """Make the test email of `connection`: short, with both bodies, saying where it came from.

    The name in the HTML is escaped: a connection file is data.
    """
    import html

    name = connection.name or connection.code
    server = f"{connection.server.host}:{connection.server.port}"
    facts = (("Connection", connection.code), ("Mailbox", connection.mailbox), ("Mail server", server))
    plain = "\n".join(f"{what}: {value}" for what, value in facts)
    rows = "".join(f"<tr><td>{what}</td><td>{html.escape(value)}</td></tr>" for what, value in facts)
    done = "This test email was sent by DataPallas. If you can read it, the connection works."
    return Message(
        to=to,
        subject=f"DataPallas test email from {name}",
        text=f"{done}\n\n{plain}\n",
        html=f"<p>{done}</p>\n<table>{rows}</table>\n",
        headers={"Auto-Submitted": "auto-generated"},  # RFC 3834: nobody's absence note answers
    )


test_message.__test__ = False  # type: ignore[attr-defined]  # its name looks like a test to pytest


def _line(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise MessageError(f"The {what} is a text, not {type(value).__name__}.", code="header", header=what)
    if bad := control_in(value):
        raise MessageError(f"The {what} holds {bad}; a header is one line.", code="header", header=what)
    return value


def _body(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise MessageError(f"The {what} body is a text, not {type(value).__name__}.", code="body")
    if not value.isascii() and _SURROGATE.search(value):
        raise MessageError(f"The {what} body holds half a character (a lone surrogate).", code="body")
    return value


def _attachments(given: Iterable[Attachment | Content]) -> tuple[Attachment, ...]:
    if isinstance(given, str | bytes) or hasattr(given, "__fspath__") or hasattr(given, "read"):
        raise MessageError("attachments is a list, even for one: attachments=[...].", code="attachment")
    return tuple([Attachment.of(item) for item in given])


def _inline(
    given: Mapping[str, Attachment | Content] | Iterable[tuple[str, Attachment]], *, html: bool
) -> tuple[tuple[str, Attachment], ...]:
    items = given.items() if isinstance(given, Mapping) else given
    named = tuple([(_cid(cid), Attachment.of(content, _cid_name(cid, content))) for cid, content in items])
    if len({cid for cid, _ in named}) < len(named):
        raise MessageError("Two inline images have the same cid.")
    if not html:
        raise MessageError("Inline images need an html body that shows them.")
    return named


def _cid(cid: object) -> str:
    if not isinstance(cid, str) or not _CID.fullmatch(cid):
        raise MessageError(f"{cid!a} cannot be the cid of an inline image: use letters, digits, dots.")
    return cid


def _cid_name(cid: str, content: Attachment | Content) -> str:
    """Octets have no name of their own; the cid serves."""
    return cid if isinstance(content, bytes | bytearray | memoryview) or hasattr(content, "read") else ""


def _headers(given: Headers) -> tuple[tuple[str, str], ...]:
    items = given.items() if isinstance(given, Mapping) else given
    return tuple([_header(name, value) for name, value in items])


def _header(name: object, value: object) -> tuple[str, str]:
    if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
        raise MessageError(f"{name!a} is not the name of a header.", code="header")
    lower = name.lower()
    if field := _FIELDS.get(lower):
        raise MessageError(f"Give {field} instead of the header {name}.", code="header", header=name)
    if lower in _TRACE or lower.startswith(_STRUCTURAL):
        raise MessageError(f"The header {name} is not a message's own to set.", code="header", header=name)
    return name, _line(f"header {name}", value)


def _date(value: dt.datetime) -> dt.datetime:
    try:
        seconds = value.timestamp()  # one without a zone is local time
    except (AttributeError, ValueError, OverflowError, OSError) as problem:
        raise MessageError(f"The date {value!r} is not a moment in time.", code="header") from problem
    if not 0 <= seconds < _YEAR_10000:
        raise MessageError(f"The date {value!r} is not one a message can have.", code="header")
    return value


def _message_id(value: str) -> str:
    bare = value.removeprefix("<").removesuffix(">")
    if not _MESSAGE_ID.fullmatch(bare):
        raise MessageError(f"{value!a} is not a Message-ID of the form <left@right>.", code="header")
    return f"<{bare}>"
