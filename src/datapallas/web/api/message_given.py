"""What programs send to have mail sent: the body of `POST /messages`.

Must stay true: an attachment is octets that came with the request, never a file of this machine.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, StrictBool

from datapallas.web.api.given import Given, Text, whole

if TYPE_CHECKING:
    from datapallas.mail.message import Message

_MOST_PEOPLE = 1000
_MOST_FILES = 100
_LONGEST_BODY = 10_000_000
_LONGEST_FILE = 41_000_000


def _octets(value: str) -> str:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("It is not base64 (RFC 4648 section 4).") from None
    return value


Address = Annotated[str, AfterValidator(whole), Field(max_length=1000)]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Addresses = Annotated[
    list[Address],
    Field(max_length=_MOST_PEOPLE),
    BeforeValidator(_listed, json_schema_input_type=list[Address] | Address),
]
Body = Annotated[str, AfterValidator(whole), Field(max_length=_LONGEST_BODY)]
Name = Annotated[str, AfterValidator(whole), Field(max_length=200)]


class AttachmentGiven(Given):
    """A file that goes along."""

    name: Annotated[str, AfterValidator(whole), Field(min_length=1, max_length=200, examples=["figures.pdf"])]
    """What the recipient sees."""
    content: Annotated[str, AfterValidator(_octets), Field(max_length=_LONGEST_FILE, examples=["JVBERi0="])]
    """Its octets in base64."""
    type: Annotated[str, AfterValidator(whole), Field(max_length=200, examples=["application/pdf"])] = ""
    """Its media type; left out: known from the name."""


class NewMessage(Given):
    """A message to be sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"to": ["anna@contoso.example"], "subject": "Figures", "text": "They are ready."}]
        }
    )
    connection: Name = ""
    """The connection's code; left out: the default one."""
    to: Addresses = Field(default_factory=list)
    """Recipients, as `a@x.example` or `Name <a@x.example>`: a list, or one as a text."""
    cc: Addresses = Field(default_factory=list)
    """Recipients of a copy."""
    bcc: Addresses = Field(default_factory=list)
    """Recipients nobody else sees."""
    reply_to: Addresses = Field(default_factory=list)
    """Where answers go."""
    subject: Text = ""
    """The subject."""
    text: Body = ""
    """The plain text."""
    html: Body = ""
    """The HTML."""
    attachments: Annotated[list[AttachmentGiven], Field(max_length=_MOST_FILES)] = Field(default_factory=list)
    """Files that go along."""
    job: Name = ""
    """The job it belongs to; left out: one of its own."""
    key: Name = ""
    """What makes it this one within `job`: the same key of a job is sent once."""
    bulk: StrictBool = False
    """It goes after the mail of others."""
    now: StrictBool = False
    """Wait up to 30 seconds for the outcome."""


def message_of(given: NewMessage) -> Message:
    """The message. Raises MessageError, AddressError, AttachmentError."""
    from datapallas.mail.attachment import Attachment
    from datapallas.mail.message import Message

    files = [Attachment(one.name, base64.b64decode(one.content), one.type) for one in given.attachments]
    return Message(
        to=given.to,
        cc=given.cc,
        bcc=given.bcc,
        reply_to=given.reply_to,
        subject=given.subject,
        text=given.text,
        html=given.html,
        attachments=files,
    )
