"""DataPallas with asyncio: the session alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.meter import RECIPIENT, SENDER, Job, measure_async
from bench.ours import wiring

from datapallas.smtp.async_stream import AsyncSession
from datapallas.smtp.body import BytesBody
from datapallas.smtp.parcels import Parcel

if TYPE_CHECKING:
    from datapallas.errors import DataPallasError
    from datapallas.smtp.target import Sent

job = Job.given()
octets = job.octets()


class Octets:
    """Sends octets that are a message already, checked each time."""

    async def open(self) -> None:
        self._session = await AsyncSession.open(wiring.target(job), login=wiring.login(job))

    async def send(self, index: int) -> None:  # noqa: ARG002 - all are the same
        sent = await self._session.send(SENDER, [RECIPIENT], BytesBody(octets))
        assert sent.final is not None
        assert sent.final.positive

    async def close(self) -> None:
        await self._session.quit()


class InFlight(Octets):
    """The same, `window` messages at a time, several of them unanswered: `send_all`."""

    def __init__(self) -> None:
        self._waiting = 0

    async def send(self, index: int) -> None:
        self._waiting += 1
        last = index + job.connections >= job.messages
        if self._waiting < job.window and not last:
            return
        count, self._waiting = self._waiting, 0
        parcels = (Parcel(SENDER, [RECIPIENT], BytesBody(octets)) for _ in range(count))
        await self._session.send_all(parcels, accepted)


def accepted(sent: Sent | DataPallasError) -> None:
    """Nothing else is right here."""
    assert not isinstance(sent, Exception)
    assert sent.final is not None
    assert sent.final.positive


measure_async(job, InFlight if job.window > 1 else Octets)
