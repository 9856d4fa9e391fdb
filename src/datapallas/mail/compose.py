"""From a Message to the octets on the wire (RFC 5322, RFC 2045 to 2047, RFC 2387).

The structure is mixed(related(alternative(text, html), inline images), attachments), less what is not needed.
Headers are written by hand, bodies encoded by C functions, attachments encoded once and shared: the standard
library's `email` takes 35 times as long (bench/). It stays the reference that the tests compare with.

Must stay true: only CR LF ends a line, no line passes 998 octets; Bcc stands in no header; a boundary cannot occur
in what it separates (it is random, and new for each message); the size is exact before the first octet is given.
"""

from __future__ import annotations

import dataclasses
import os
import time
from typing import TYPE_CHECKING

from datapallas.errors import UsageError
from datapallas.mail import header
from datapallas.mail.encoding import BLOCK, base64_block, base64_size, encode_text
from datapallas.mail.envelope import Envelope
from datapallas.mail.shelf import BUDGET, Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datapallas.mail.address import NamedAddress
    from datapallas.mail.attachment import Attachment
    from datapallas.mail.message import Message
    from datapallas.mail.source import Source


@dataclasses.dataclass(frozen=True, slots=True)
class Streamed:
    """A large attachment, encoded while it is sent."""

    source: Source
    octets: int

    def __len__(self) -> int:
        return base64_size(self.octets)

    def __iter__(self) -> Iterator[bytes]:
        end = b""
        for block in self.source.read(self.octets, BLOCK):
            yield end + base64_block(block)
            end = b"\r\n"


Segment = bytes | Streamed
_LARGE = 16 * 1024
_SHARED = frozenset({"attachments", "inline"})


@dataclasses.dataclass(frozen=True, slots=True)
class _Parts:
    inline: list[list[Segment]]
    files: list[list[Segment]]


class Composed:
    """A message ready to be sent, any number of times: it is what `datapallas.smtp` calls a Body.

    Attributes:
        envelope: who it is from and for.
        message_id: with its angle brackets.
        size: octets on the wire, before any dot-stuffing.
        smtputf8: an address, in a header or the envelope, is not ASCII (RFC 6531).
        eightbit: a header holds UTF-8; bodies never do.
    """

    __slots__ = ("_segments", "eightbit", "envelope", "message_id", "size", "smtputf8")

    def __init__(
        self, envelope: Envelope, message_id: str, segments: list[Segment], *, eightbit: bool
    ) -> None:
        self.envelope = envelope
        self.message_id = message_id
        self._segments = segments
        self.size = sum(map(len, segments))
        self.eightbit = eightbit
        self.smtputf8 = eightbit or envelope.smtputf8

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Give the octets. Raises AttachmentError, before the end, when a file is no longer what it was."""
        for segment in self._segments:
            if isinstance(segment, bytes):
                yield segment
            else:
                yield from segment

    def __bytes__(self) -> bytes:
        return b"".join(self.chunks())


class Composer:
    """Writes the messages of one mailbox, and keeps the attachments they share.

    Attributes:
        sender: the From of messages that do not say their own.
    """

    def __init__(self, sender: NamedAddress, shelf: Shelf | None = None) -> None:
        self.sender = sender
        self._shelf = shelf or Shelf()

    def compose(
        self, message: Message, *, now: float | None = None, envelope_from: str | None = None
    ) -> Composed:
        """Write one message.

        Args:
            message: what to send.
            now: seconds since 1970 for Date and Message-ID; None: now.
            envelope_from: where notices of failure go; None: to the From address; empty: nowhere.

        Raises AttachmentError: a file has gone since the message was made.
        """
        return self._write(message, self._encoded(message), now, envelope_from)

    def skeleton(self, template: Message) -> Skeleton:
        """Compile what all messages of a job share."""
        return Skeleton(self, template)

    def _encoded(self, message: Message) -> _Parts:
        room = BUDGET  # many small files are as heavy as one large: past this they are streamed, too
        groups: list[list[list[Segment]]] = [[], []]
        for group, disposition, file in _files(message):
            kept = self._shelf.encoded(file.content) if room > 0 else None
            segment: Segment = Streamed(file.content, file.content.size()) if kept is None else kept
            room -= len(kept or b"")
            groups[group].append(_file_part(disposition, file, segment))
        return _Parts(groups[0], groups[1])

    def _write(
        self,
        message: Message,
        parts: _Parts,
        now: float | None,
        envelope_from: str | None,
    ) -> Composed:
        sender = message.sender or self.sender
        reverse = sender.address if envelope_from is None else envelope_from
        envelope = Envelope(reverse, message.recipients)
        unique = os.urandom(28).hex()
        message_id = message.message_id or f"<{unique[:32]}@{sender.domain}>"
        head = _head(message, sender, message_id, time.time() if now is None else now)
        segments = [head.encode(), *_structure(message, parts, f"=_{unique[32:]}")]
        if not (isinstance(segments[-1], bytes) and segments[-1].endswith(b"\r\n")):
            segments.append(b"\r\n")
        return Composed(envelope, message_id, _joined(segments), eightbit=not head.isascii())


class Skeleton:
    """What the messages of one job share: structure, headers, and attachments encoded once and kept until the end.

    The attachments are read and encoded here; what changes in a file afterwards does not reach the job, except for
    files too large to be kept, which are read for each message.
    """

    def __init__(self, composer: Composer, template: Message) -> None:
        self._composer = composer
        self._template = template
        self._parts = composer._encoded(template)  # noqa: SLF001 - one idea in two classes

    def compose(
        self, *, now: float | None = None, envelope_from: str | None = None, **changes: object
    ) -> Composed:
        """Write one message of the job: any field of Message but attachments and inline, checked as always."""
        if _SHARED.intersection(changes):
            raise UsageError("The messages of one job share their attachments and inline images.")
        message = self._template.replace(**changes)
        return self._composer._write(message, self._parts, now, envelope_from)  # noqa: SLF001


def _head(message: Message, sender: NamedAddress, message_id: str, now: float) -> str:
    lines = [header.addresses("From", (sender,))]
    if message.reply_to:
        lines.append(header.addresses("Reply-To", message.reply_to))
    if message.to:
        lines.append(header.addresses("To", message.to))
    if message.cc:
        lines.append(header.addresses("Cc", message.cc))
    if not (message.to or message.cc):
        lines.append("To: undisclosed-recipients:;")  # RFC 5322 section 3.6.3: servers refuse mail with none
    lines.append(header.field("Subject", message.subject))
    lines.append(f"Date: {header.date(message.date.timestamp() if message.date else now)}")
    lines.append(f"Message-ID: {message_id}")
    lines += [header.field(name, value) for name, value in message.headers]
    lines.append("MIME-Version: 1.0\r\n")
    return "\r\n".join(lines)


def _structure(message: Message, parts: _Parts, boundary: str) -> list[Segment]:
    """Lay out the parts; each, and the whole, is without a line end at its end."""
    body: list[Segment] = []
    if message.html and message.text:
        both = [_text_part("plain", message.text), _text_part("html", message.html)]
        body = _multipart("alternative", "", f"{boundary}a", both)
    elif message.html:
        body = _text_part("html", message.html)
    elif message.text or not parts.files:
        body = _text_part("plain", message.text)
    if parts.inline:
        root = "multipart/alternative" if message.text else "text/html"
        body = _multipart("related", f' type="{root}";', f"{boundary}r", [body, *parts.inline])
    if parts.files:
        body = _multipart("mixed", "", f"{boundary}m", [body, *parts.files] if body else parts.files)
    return body


def _multipart(kind: str, parameter: str, boundary: str, parts: list[list[Segment]]) -> list[Segment]:
    opening = f'Content-Type: multipart/{kind};{parameter}\r\n boundary="{boundary}"\r\n'
    segments: list[Segment] = [opening.encode()]
    for part in parts:
        segments.append(f"\r\n--{boundary}\r\n".encode())
        segments += part
    segments.append(f"\r\n--{boundary}--".encode())
    return segments


def _text_part(kind: str, text: str) -> list[Segment]:
    encoding, octets = encode_text(text)
    fields = f"Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return [fields.encode(), octets]


def _files(message: Message) -> Iterator[tuple[int, str, Attachment]]:
    for cid, image in message.inline:
        yield 0, f"Content-ID: <{cid}>\r\nContent-Disposition: inline", image
    for attachment in message.attachments:
        yield 1, "Content-Disposition: attachment", attachment


def _file_part(disposition: str, file: Attachment, content: Segment) -> list[Segment]:
    fields = (
        f"Content-Type: {file.content_type}\r\nContent-Transfer-Encoding: base64\r\n"
        f"{disposition}{header.parameter('filename', file.name)}\r\n\r\n"
    )
    return [fields.encode(), content]


def _joined(segments: list[Segment]) -> list[Segment]:
    """Join neighbours, but for large ones: these are shared, and a copy would cost."""
    joined: list[Segment] = []
    run: list[bytes] = []
    for segment in segments:
        if isinstance(segment, bytes) and len(segment) < _LARGE:
            run.append(segment)
            continue
        if run:
            joined.append(b"".join(run))
            run = []
        joined.append(segment)
    if run:
        joined.append(b"".join(run))
    return joined
