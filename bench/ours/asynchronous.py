"""DataPallas with asyncio: the session alone."""

from __future__ import annotations

from bench.meter import RECIPIENT, SENDER, Job, measure_async
from bench.ours import wiring

from datapallas.smtp.async_stream import AsyncSession
from datapallas.smtp.body import BytesBody

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


measure_async(job, Octets)
