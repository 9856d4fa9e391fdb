"""DataPallas with blocking sockets: the session alone for octets, the mailbox for what is composed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.meter import RECIPIENT, SENDER, Client, Job, measure
from bench.ours import wiring

if TYPE_CHECKING:
    from datapallas.errors import DataPallasError
    from datapallas.mail.compose import Composed
    from datapallas.mail.message import Message
    from datapallas.smtp.target import Sent

job = Job.given()


class Octets:
    """Sends octets that are a message already, checked each time."""

    def __init__(self) -> None:
        self._octets = job.octets()
        self._target, self._login = wiring.target(job), wiring.login(job)

    def open(self) -> None:
        from datapallas.smtp.stream import Session

        self._session = Session.open(self._target, login=self._login)

    def send(self, index: int) -> None:  # noqa: ARG002 - all are the same
        from datapallas.smtp.body import BytesBody

        sent = self._session.send(SENDER, [RECIPIENT], BytesBody(self._octets))
        assert sent.final is not None
        assert sent.final.positive

    def close(self) -> None:
        self._session.quit()


class InFlight(Octets):
    """The same, `window` messages at a time, several of them unanswered: `send_all`."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting = 0

    def send(self, index: int) -> None:
        from datapallas.smtp.body import BytesBody
        from datapallas.smtp.parcels import Parcel

        self._waiting += 1
        last = index + job.connections >= job.messages
        if self._waiting < job.window and not last:
            return
        count, self._waiting = self._waiting, 0
        parcels = (Parcel(SENDER, [RECIPIENT], BytesBody(self._octets)) for _ in range(count))
        self._session.send_all(parcels, accepted)


def accepted(sent: Sent | DataPallasError) -> None:
    """Nothing else is right here."""
    assert not isinstance(sent, Exception)
    assert sent.final is not None
    assert sent.final.positive


class Composing:
    """Makes every message anew and sends it through the mailbox."""

    def __init__(self) -> None:
        self._words = job.words() if job.text else ""
        self._campaign = job.campaign() if job.people else None

    def open(self) -> None:
        from datapallas.mail.attachment import Attachment
        from datapallas.mail.mailbox import Mailbox
        from datapallas.mail.message import Message

        self._mailbox = Mailbox(wiring.connection(job), wiring.source(job))
        if self._campaign:
            figures = Attachment("figures.pdf", Path(job.file).read_bytes())
            self._skeleton = self._mailbox.skeleton(Message(to=RECIPIENT, text="-", attachments=[figures]))

    def send(self, index: int) -> None:
        assert self._mailbox.send(self._letter(index)).accepted

    def _letter(self, index: int) -> Message | Composed:
        from datapallas.mail.message import Message

        if self._campaign:
            to, subject, text, html = self._campaign.letter(index)
            return self._skeleton.compose(to=to, subject=subject, text=text, html=html)
        files = [job.file] if job.file else []
        return Message(to=RECIPIENT, subject="Figures", text=self._words, attachments=files)

    def close(self) -> None:
        self._mailbox.close()


def make() -> Client:
    """The client for the job's work."""
    if job.work != "raw":
        return Composing()
    return InFlight() if job.window > 1 else Octets()


measure(job, make)
