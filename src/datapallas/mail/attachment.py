"""Attachments: a name, a media type, and where the octets come from.

Must stay true: what cannot be sent is refused when the attachment is made, not in the middle of sending; a name
cannot add a line or a parameter to a header, or a folder to a path on the recipient's side.
"""

from __future__ import annotations

import dataclasses
import os
import re
from typing import TYPE_CHECKING

from datapallas.errors import AttachmentError
from datapallas.mail.address import control_in
from datapallas.mail.source import File, Octets, Spooled, shown, spool

if TYPE_CHECKING:
    from typing import BinaryIO, TypeAlias

    from datapallas.mail.source import Source

    Content: TypeAlias = (
        "bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO | Octets | File | Spooled"
    )
    """Octets, or the path of a file, or a stream that is open for reading octets."""

_MAX_NAME = 255  # octets, what file systems hold
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}", re.IGNORECASE)
_UNKNOWN = "application/octet-stream"
_COMPOSITE = ("message/", "multipart/")
_SIGNATURES = ((b"\x89PNG\r\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))

# https://www.iana.org/assignments/media-types: what reports are made of. The rest is asked of `mimetypes`, whose
# import and tables cost more than sending a message.
_TYPES = {
    ".pdf": "application/pdf",
    ".csv": "text/csv",
    ".txt": "text/plain",
    ".html": "text/html",
    ".xml": "application/xml",
    ".json": "application/json",
    ".zip": "application/zip",
    ".gz": "application/gzip",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
    ".ics": "text/calendar",
    ".doc": "application/msword",
    ".xls": "application/vnd.ms-excel",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}


@dataclasses.dataclass(frozen=True, slots=True, init=False)
class Attachment:
    """One attachment.

    Args:
        name: what the recipient sees; may be empty for a file, which has a name.
        content: octets (bytes), the path of a file (str or Path), or an open binary stream, which is read here.
        content_type: a media type such as ``application/pdf``; empty: known from the name.

    Raises AttachmentError: the file is missing, a folder, or not readable; the stream fails; the name is missing,
    holds a control character or a slash; the type is none, or one that only whole messages have.
    """

    name: str
    content: Source
    content_type: str

    def __init__(self, name: str, content: Content, content_type: str = "") -> None:
        source = _source(content)
        if not name and isinstance(source, File):
            name = source.path.rpartition("/")[2]
        object.__setattr__(self, "name", _checked_name(name))
        object.__setattr__(self, "content", source)
        object.__setattr__(self, "content_type", _checked_type(content_type) or _guess(name, source))

    @classmethod
    def of(cls, given: Attachment | Content, name: str = "") -> Attachment:
        """Take what people give: an attachment, or the path of a file, or (with a name) octets or a stream."""
        return given if isinstance(given, Attachment) else cls(name, given)


def _source(content: Content) -> Source:
    if isinstance(content, bytes):
        return Octets(content)
    if isinstance(content, bytearray | memoryview):
        return Octets(bytes(content))
    if isinstance(content, Octets | File | Spooled):
        return content
    if isinstance(content, str | os.PathLike):
        return _file(os.fspath(content))
    if hasattr(content, "read"):
        return spool(content)
    raise AttachmentError(
        f"An attachment is octets, a path or a binary stream, not {type(content).__name__}."
    )


def _file(path: str) -> File:
    if not path or "\0" in path:
        raise AttachmentError(f"{path!a} is not the path of an attachment.", path=ascii(path))
    file = File(path)
    file.size()  # says now what is wrong, not in the middle of sending
    if not os.access(path, os.R_OK):
        raise AttachmentError(
            f"Cannot read the attachment {shown(path)}: Permission denied.", path=shown(path)
        )
    return file


def _checked_name(name: str) -> str:
    if not name:
        raise AttachmentError("An attachment needs a name: Attachment('figures.pdf', content).")
    if bad := control_in(name):
        raise AttachmentError(f"The name of an attachment, {name!a}, holds {bad}: give it another name.")
    if "/" in name or name in {".", ".."}:
        raise AttachmentError(f"The name of an attachment, {name!r}, is a path: give its last part only.")
    if len(name.encode()) > _MAX_NAME:
        raise AttachmentError(
            f"The name of an attachment is longer than {_MAX_NAME} octets: {name[:60]!r}..."
        )
    return name


def _checked_type(content_type: str) -> str:
    if content_type and not _MEDIA_TYPE.fullmatch(content_type):
        raise AttachmentError(f"{content_type!r} is not a media type such as application/pdf.")
    if content_type.lower().startswith(_COMPOSITE):
        # RFC 2046 section 5.2.1: these may not be base64, so a relay could change the octets.
        raise AttachmentError(
            f"An attachment cannot be sent as {content_type}: leave the type out, and it is kept octet for octet."
        )
    return content_type


def _guess(name: str, source: Source) -> str:
    dot = name.rfind(".")
    ending = name[dot:].lower() if dot >= 0 else ""
    if known := _TYPES.get(ending):
        return known
    if isinstance(source, Octets):
        for signature, kind in _SIGNATURES:
            if source.data.startswith(signature):
                return kind
    if not ending:
        return _UNKNOWN
    import mimetypes

    guessed, encoding = mimetypes.guess_type(f"x{ending}")
    return guessed if guessed and not encoding and not guessed.startswith(_COMPOSITE) else _UNKNOWN
