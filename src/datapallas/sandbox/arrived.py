"""Mail that arrived in the sandbox: in memory, and as .eml files.

Must stay true: what is in the file is what came over the wire, octet for octet; a mail is listed once it is whole.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
import threading
from typing import TYPE_CHECKING

from datapallas import files

if TYPE_CHECKING:
    from email.message import EmailMessage
    from pathlib import Path

    from datapallas.smtp.server.policy import Taken

_IN_MEMORY = 1 << 20  # octets; a larger mail is read from its file when asked for


@dataclasses.dataclass(frozen=True)
class Arrived:
    """One mail.

    Attributes:
        number: 1, 2, ... in the order of arrival.
        user: who signed in to send it.
        sender: of the envelope; empty for the null path.
        recipients: of the envelope, those that were accepted.
        size: octets on the wire, without the dots added for transparency.
        path: the .eml file.
    """

    number: int
    user: str
    sender: str
    recipients: tuple[str, ...]
    size: int
    path: Path
    _data: bytes | None = dataclasses.field(default=None, repr=False)

    @property
    def data(self) -> bytes:
        """The mail as it came."""
        return self.path.read_bytes() if self._data is None else self._data

    @functools.cached_property
    def message(self) -> EmailMessage:
        """The mail, read by the standard library."""
        import email.policy
        from email.message import EmailMessage

        parsed = email.message_from_bytes(self.data, policy=email.policy.default)
        if not isinstance(parsed, EmailMessage):
            raise TypeError("the policy makes EmailMessage objects")
        return parsed

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Names and decoded values, in their order."""
        return [(name, str(value)) for name, value in self.message.items()]

    @property
    def subject(self) -> str:
        """The decoded subject; empty when there is none."""
        return str(self.message.get("Subject", ""))

    @property
    def text(self) -> str:
        """The plain text with LF; the HTML source when there is none; empty when there is neither."""
        part = self.message.get_body(("plain", "html"))
        if part is None:
            return ""
        with contextlib.suppress(LookupError, KeyError, ValueError):
            return str(part.get_content()).replace("\r\n", "\n")
        return "(cannot be shown: its character set or encoding is not known)"

    @property
    def attachments(self) -> list[str]:
        """The names of attached files."""
        return [part.get_filename() or part.get_content_type() for part in self.message.iter_attachments()]

    def to_dict(self) -> dict[str, object]:
        """What a script wants to know."""
        return {
            "number": self.number,
            "user": self.user,
            "sender": self.sender,
            "recipients": list(self.recipients),
            "subject": self.subject,
            "size": self.size,
            "path": str(self.path),
        }


class Part:
    """A mail that is coming in: a file that goes away unless it is kept."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._path = path
        self._file = os.fdopen(os.open(path, flags, 0o600), "w+b")
        self.size = 0

    def write(self, data: bytes) -> None:
        """Keep some more octets."""
        self.size += len(data)
        self._file.write(data)

    def keep(self, path: Path) -> bytes | None:
        """Make it the file `path`, and give what is in it unless that is much."""
        self._file.flush()
        data = None
        if self.size <= _IN_MEMORY:
            self._file.seek(0)
            data = self._file.read()
        self._path.rename(path)
        return data

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        self._path.unlink(missing_ok=True)


class Inbox:
    """Everything that arrived. Safe to read from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = files.private_directory(folder)
        self._mails: list[Arrived] = []
        self._parts, self._kept = itertools.count(1), itertools.count(1)
        self._changed = threading.Condition()

    @property
    def mails(self) -> list[Arrived]:
        """What is there, the oldest first; a copy."""
        with self._changed:
            return list(self._mails)

    def part(self) -> Part:
        """A place for a mail that is coming in. Raises OSError."""
        return Part(self._folder / f"{os.getpid()}-{next(self._parts)}.part")

    def add(self, envelope: Taken, part: Part) -> Arrived:
        """List a mail that is whole. Raises OSError."""
        with self._changed:
            number = next(self._kept)
            path = self._folder / f"{number:05}.eml"
            data = part.keep(path)
            sender = "" if envelope.sender is None else str(envelope.sender)
            recipients = tuple(str(address) for address in envelope.recipients)
            mail = Arrived(number, envelope.user, sender, recipients, part.size, path, data)
            self._mails.append(mail)
            self._changed.notify_all()
        return mail

    def clear(self) -> None:
        """Forget everything that arrived; the files stay."""
        with self._changed:
            self._mails.clear()

    def wait(self, count: int, seconds: float = 30.0) -> list[Arrived]:
        """Everything that arrived, once there are `count` mails; TimeoutError when they do not come."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._mails) >= count, seconds):
                raise TimeoutError(f"{len(self._mails)} of {count} mails arrived in {seconds:g} seconds")
            return list(self._mails)
