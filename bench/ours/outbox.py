"""DataPallas by its outbox: every message on the disk before the server hears of it, three sessions, one courier."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.meter import RECIPIENT, Job, Meter
from bench.ours import wiring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datapallas.mail.transport import MailTransport
    from datapallas.outbox.accept import Item
    from datapallas.outbox.limits import Limits

job = Job.given()
CODE = "eml-bench"


class Room:
    """The one mailbox there is."""

    def __init__(self) -> None:
        self._connection = wiring.connection(job)

    def limits(self, code: str) -> Limits:  # noqa: ARG002 - the only one
        from datapallas.outbox.limits import Limits

        return Limits(sessions=job.connections)

    def transport(self, code: str) -> MailTransport:  # noqa: ARG002 - the only one
        from datapallas.mail.transport import Options, choose

        return choose(self._connection, wiring.source(job), Options(sessions=1))

    def sender(self, code: str) -> str:  # noqa: ARG002 - the only one
        return self._connection.from_address

    def mark(self, code: str) -> str:  # noqa: ARG002 - never changes
        return "1"


def items() -> Iterator[Item]:
    """A message for each person, all with the same file."""
    from datapallas.mail.attachment import Attachment
    from datapallas.mail.compose import Composer
    from datapallas.mail.mailbox import sender_of
    from datapallas.mail.message import Message
    from datapallas.outbox.accept import Item

    campaign = job.campaign()
    figures = Attachment("figures.pdf", Path(job.file).read_bytes())
    composer = Composer(sender_of(wiring.connection(job)))
    skeleton = composer.skeleton(Message(to=RECIPIENT, text="-", attachments=[figures]))
    for index in range(job.messages):
        to, subject, text, html = campaign.letter(index)
        yield Item.of(skeleton.compose(to=to, subject=subject, text=text, html=html), str(index))


def run(folder: Path) -> None:
    """Accept everything, then send it; both are inside the clock."""
    from datapallas.outbox import accept as accepting
    from datapallas.outbox.courier import Courier
    from datapallas.outbox.database import Database

    database = Database(folder / "outbox.db")
    meter = Meter()
    meter.start()
    accepting.accept(database, accepting.Job(connection=CODE, id="bench"), items())
    Courier(database, Room()).drain()
    meter.took = [0.0] * job.messages
    meter.finish()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=Path(__file__).resolve().parents[1] / ".build") as folder:
        run(Path(folder))
